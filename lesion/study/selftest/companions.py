"""Format 1: mean and resample ablation beside a zeroing are tried, on rows that agree, differ, are unknown, or spoil.

A companion that always agrees would let every zeroing name its heads; spoiled rows that nobody notices would, too.
"""

from collections.abc import Iterator, Mapping

import polars as pl

from lesion.stats.paired.rows import PairedRows
from lesion.stats.specificity.companion import Answer, companion, zero_only
from lesion.stats.verdict.rule import Rule, Verdict
from lesion.study.arms.condition import target
from lesion.study.gates import judge
from lesion.study.plan import Chosen, Plan
from lesion.study.selftest.known_rows import MODEL, N, known_plan, known_rows, same_seeds

CHOSEN = Chosen(model=MODEL, tier="tier", alpha=0.0, items=32, psi=0.1, delta=0.0)


def _answers() -> Iterator[str]:
    """What a companion says of a cell's verdict, and whether the cell is then called `zero_only`."""
    gain, loss, same = (known_rows((up, up, up), down) for up, down in ((140, 40), (40, 140), (60, 60)))
    known: Mapping[str, tuple[Verdict, PairedRows | None, int, Answer]] = {
        "a loss beside Harm": ("Harm", loss, 3 * N, "agrees"),
        "a gain beside Harm": ("Harm", gain, 3 * N, "differs"),
        "no change beside Harm": ("Harm", same, 3 * N, "differs"),
        "a gain beside Improvement": ("Improvement", gain, 3 * N, "agrees"),
        "no change beside Null": ("Null", same, 3 * N, "agrees"),
        "a loss beside Null": ("Null", loss, 3 * N, "differs"),
        "a loss on a third of the items": ("Harm", loss, 9 * N, "unknown"),
        "no row at all": ("Harm", None, 3 * N, "unknown"),
    }
    for what, (verdict, rows, of, answer) in known.items():
        found = companion(verdict, rows, of, Rule())
        if found.answer != answer or zero_only([found]) != (answer != "agrees"):
            yield f"of a companion, {what} is said to be '{found.answer}', not '{answer}'"


def _spoiled() -> Iterator[str]:
    """Rows of companions that make their cell Invalid, through the gate that reads them."""
    sound = companion_rows()
    told: dict[str, pl.DataFrame] = {"sound": sound, **spoiled_rows(sound)}
    for what, rows in told.items():
        found = judge.spoiled_companion(confirming(), rows, CHOSEN)
        if (found is None) != (what == "sound"):
            yield f"rows of companions that are {what} are {'taken' if found is None else f'refused: {found}'}"


def confirming() -> Plan:
    """The small study's plan at the first look, with a zeroing that has companions."""
    looking = {
        "stage": "confirm", "family": (CHOSEN,), "pending": (CHOSEN.id,), "controls": {MODEL: ()},
        "references": {MODEL: {"tier": ("a", "b", "c")}},
    }  # fmt: skip
    return known_plan(1).model_copy(update=looking)


def companion_rows() -> pl.DataFrame:
    """A confirmation in which baseline, zeroing and both companions answered every question."""
    base = same_seeds().with_columns(stage=pl.lit("confirm"))
    return pl.concat([base.with_columns(arm=pl.lit(arm)) for arm in ("baseline", *ARMS)])


def spoiled_rows(sound: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """What is wrong -> the rows, with that in the rows of the resampling."""
    theirs = pl.col("arm") == target("resample").name
    last, first = theirs & (pl.col("index") == 31), theirs & (pl.col("index") == 0)
    return {
        "doubled": pl.concat([sound, sound.filter(first)]),
        "another question's": sound.with_columns(
            item_id=pl.when(first).then(pl.lit("other")).otherwise(pl.col("item_id"))
        ),
        "not the baseline's": sound.filter((pl.col("arm") != "baseline") | (pl.col("index") != 31)),
        "missing": sound.filter(~last),
        "not finite": sound.with_columns(
            answer_logprob=pl.when(first).then(float("nan")).otherwise(pl.col("answer_logprob"))
        ),
    }


ARMS = tuple(target(edit).name for edit in (0.0, "mean", "resample"))
COMPANION_CASES = (_answers, _spoiled)
