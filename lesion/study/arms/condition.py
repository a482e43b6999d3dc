"""The condition under which a row was measured: its role, the edit, how much of it, and which of several.

These are columns of the item table. The arm's printable name is made from them, here and nowhere else.
"""

from collections.abc import Sequence
from functools import cache
from typing import Literal, NamedTuple, get_args

import polars as pl

from lesion.errors import InputError

Role = Literal["baseline", "placebo", "target", "control", "set", "within", "single", "staged", "random"]
"""Who is edited. `control` are the random sets of discovery, `set` the matched sets of specificity, `within` those of
the target's own layers; `single` is one head alone; `staged` and `random` are heads ablated cumulatively, in the order
of their scores and in a random order."""
Edit = Literal[
    "none", "scale", "zero", "mean", "median", "resample", "noising", "denoising", "knock_out", "steer"
]  # fmt: skip
ROLES: tuple[Role, ...] = get_args(Role)
EDITS: tuple[Edit, ...] = get_args(Edit)
COLUMNS = {"role": pl.String, "edit": pl.String, "amount": pl.Float64, "member": pl.String}
"""Columns of the item table that say the condition."""


class Condition(NamedTuple):
    """What is done to whom."""

    role: Role
    edit: Edit = "none"
    amount: float | None = None
    """Factor of a scaling; nothing for other edits."""
    member: str = ""
    """Number of a set, number of heads ablated cumulatively, or the name of a single head; else empty. In a study of
    several targets also the target's name: `early`, and `early:7` of its set 7."""

    @property
    def name(self) -> str:
        """Printable name of the arm: `baseline`, `target@0.5`, `set7@mean`, `L1H3@0`, `target:early@mean`."""
        colon = ":" if self.target else ""
        who = self.member if self.role == "single" else f"{self.role}{colon}{self.member}"
        if self.role in ("baseline", "placebo"):
            return who
        return f"{who}@{self.amount:g}" if self.amount is not None else f"{who}@{self.edit}"

    @property
    def target(self) -> str:
        """Name of the target that is edited, or that the set belongs to; empty where a study has one target."""
        name = self.member.partition(":")[0]
        return "" if self.role == "single" or not name or name.isdigit() else name


UNEDITED = Condition("baseline")


def placebo_of(target: str = "") -> Condition:
    """A target scaled by 1."""
    return Condition("placebo", "scale", 1.0, target)


def target(edit: Edit | float, name: str = "") -> Condition:
    """The target of this name under a factor or an ablation."""
    return condition("target", edit, name)


def member_of(target: str, member: object = "") -> str:
    """A member of a target's, as a condition has it: `7`, or `early:7` where the target has a name."""
    return ":".join(part for part in (target, str(member)) if part)


def condition(role: Role, edit: Edit | float, member: object = "") -> Condition:
    """A condition with a factor, or with an ablation by its name."""
    if isinstance(edit, str):
        return Condition(role, edit, None, str(member))
    return Condition(role, "scale", float(edit), str(member))


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
