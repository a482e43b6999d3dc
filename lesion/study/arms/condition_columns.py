"""The condition as columns of the item table, and how they are made for older rows, which have the arm's name alone."""

from collections.abc import Sequence
from functools import cache

import polars as pl

from lesion.errors import InputError
from lesion.study.arms.condition import EDITS, ROLES, Condition

COLUMNS = {"role": pl.String, "edit": pl.String, "amount": pl.Float64, "member": pl.String}
"""Columns of the item table that say the condition."""


def older_columns() -> list[pl.Expr]:
    """The columns of the condition, made from the name of the arm: for rows of format 1, which have only the name."""
    name = pl.col("arm")
    who, what = name.str.extract(r"^([^@]+)@"), name.str.extract(r"@(.+)$")
    several = r"^(target|control|set|within|staged|random)(?::([a-z][a-z0-9_:-]*)|(\d*))$"
    named = r"^placebo:(.+)$"
    alone = pl.when(who.str.contains(r"^L\d+H\d+$")).then(pl.lit("single"))
    bare = pl.when(name.str.contains(named)).then(pl.lit("placebo")).otherwise(name)
    role = pl.coalesce(who.str.extract(several, 1), pl.when(who.is_null()).then(bare).otherwise(alone))
    amount = pl.when(bare == "placebo").then(1.0).otherwise(what.cast(pl.Float64, strict=False))
    ablation = pl.when(what.is_in(EDITS)).then(what).otherwise(pl.lit("none"))
    group = pl.coalesce(who.str.extract(several, 2), who.str.extract(several, 3), who)
    member = pl.when(who.is_null()).then(pl.coalesce(name.str.extract(named, 1), pl.lit(""))).otherwise(group)
    edit = pl.when(amount.is_not_null()).then(pl.lit("scale")).otherwise(ablation)
    return [part.alias(column) for column, part in zip(COLUMNS, (role, edit, amount, member), strict=True)]


def with_conditions(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with the columns of the condition, made from the arm's name where an older format lacks them.

    Raises:
        InputError: when a name is none of an arm, or does not fit the columns beside it.
    """
    if not {*COLUMNS} <= {*rows.columns}:
        rows = rows.with_columns(older_columns())
    told = rows.select("arm", *COLUMNS).unique(maintain_order=True)
    for (name, *said), (_, *meant) in zip(
        told.iter_rows(), told.select("arm").with_columns(older_columns()).iter_rows(), strict=True
    ):
        known = meant[0] in ROLES and meant[1] in EDITS and Condition(*meant).name == name
        if not known or Condition(*said).name != name or _but_amount(said) != _but_amount(meant):
            raise InputError(f"'{str(name)[:40]}' is not the name of the condition in its row")
    return rows


def _but_amount(parts: Sequence[object]) -> list[object]:
    """Role, edit and member, and whether there is an amount: its digits are the name's to say."""
    role, edit, amount, member = parts
    return [role, edit, amount is None, member]


@cache
def older_condition(name: str) -> Condition:
    """The condition of an arm that an older run stored by its name alone.

    Raises:
        InputError: when it is no arm's name.
    """
    return Condition(*with_conditions(pl.DataFrame({"arm": [name]})).select(*COLUMNS).row(0))
