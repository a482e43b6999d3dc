"""Replay: the run again, from its manifest alone, in another folder, and every row compared.

Grades, from best to worst: bit-equal; within the measured noise floor (no answer flips, every number as close as a
batch of one came to a whole batch); verdict-equal; different.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from lesion.errors import Tampered
from lesion.runs.closing import Order, WriteReport
from lesion.runs.conduct import Progress
from lesion.runs.manifest import REPRODUCED, Manifest, Match, read_manifest
from lesion.runs.run import Ran, start
from lesion.runs.store import RunFolder
from lesion.runs.verify import verify, weights
from lesion.study.contingency import as_before
from lesion.study.plan import Plan
from lesion.study.rows import ITEM_KEY, ITEMS, rows_hash

NUMBERS = [name for name, kind in ITEMS.items() if kind == pl.Float64]
KEY = ["stage", *ITEM_KEY, "arm"]


class Difference(NamedTuple):
    """How two runs' rows differ."""

    rows: pl.DataFrame
    """Rows that are not bit-equal: key, what flipped, largest absolute difference."""
    only_first: int
    only_second: int
    flips: int
    """Answers that are right in one run only."""
    largest: float
    """Largest absolute difference of a number."""


def replay(path: Path, home: Path, workers: int, progress: Progress, report: WriteReport) -> Ran:
    """Repeat the run of a manifest and compare. The result's manifest holds `match`.

    Raises:
        InputError: when there is no manifest.
        Tampered: when the manifest, the rows beside it or a model's weights are not those of the run.
    """
    manifest = read_manifest(path)
    folder = path if path.is_dir() else path.parent
    beside = (folder / "units").is_dir()
    if faults := (verify(path) if beside else weights(manifest)):
        listed = "; ".join(f"{what} {fault}" for what, fault in faults[:5])
        raise Tampered(f"{folder.name}: not replayed, for the run is not what it was: {listed}")
    order = Order(
        study=manifest.study,
        text=manifest.study_text,
        status=manifest.status,
        command="replay",
        key=manifest.key,
        registration=manifest.registration,
        deviations=manifest.deviations,
        replay_of=manifest.seal,
        afford=partial(_put_off_again, manifest.plan),
        compare=partial(grade, manifest, folder if beside else None),
    )
    return start(order, home, workers, progress, report)


def _put_off_again(old: Plan, plan: Plan, seconds: Mapping[str, float]) -> Plan:  # noqa: ARG001
    """What its run put off, a replay puts off."""
    return as_before(old, plan)


def grade(manifest: Manifest, original: Path | None, again: RunFolder, results: dict[str, Any]) -> Match:
    """How the rows and results of a replay compare with those of its run.

    Args:
        manifest: of the run.
        original: its folder, when its rows are at hand; without them only equal hashes can be told from other rows.
        again: the replay's folder.
        results: the replay's findings.
    """
    items = again.items()
    if rows_hash(items) == manifest.rows_hash:
        return "bit-equal"
    if original is not None:
        found = compare_rows(RunFolder(original).items(), items)
        floor = max((model.answer["noise_floor"] for model in manifest.models), default=0.0)  # pyright: ignore
        if found.flips == found.only_first == found.only_second == 0 and found.largest <= float(floor):  # pyright: ignore
            return "noise-floor"
    return "verdict-equal" if _verdicts(results) == _verdicts(manifest.results) else "different"


def _verdicts(results: Any) -> dict[str, str]:
    return {name: cell["verdict"] for name, cell in results["cells"].items()}


def compare_rows(first: pl.DataFrame, second: pl.DataFrame) -> Difference:
    """Every row of two runs, by key."""
    both = first.join(second, on=KEY, how="inner", suffix="_again")
    gaps = [(pl.col(name) - pl.col(f"{name}_again")).abs().fill_nan(0.0).alias(f"{name}_gap") for name in NUMBERS]
    judged = both.with_columns(*gaps, (pl.col("correct") != pl.col("correct_again")).alias("flip")).with_columns(
        pl.max_horizontal(f"{name}_gap" for name in NUMBERS).fill_null(0.0).alias("largest")
    )
    rows = judged.filter(pl.col("flip") | (pl.col("largest") > 0)).select(*KEY, "flip", "largest")
    top = judged["largest"].max() if judged.height else 0.0
    return Difference(
        rows=rows.sort("largest", descending=True),
        only_first=first.join(second, on=KEY, how="anti").height,
        only_second=second.join(first, on=KEY, how="anti").height,
        flips=int(judged["flip"].sum()) if judged.height else 0,
        largest=float(top) if isinstance(top, float) else 0.0,
    )


def reproduced(manifest: Manifest) -> bool:
    """Whether a replay is bit-equal to its run, or within the noise floor."""
    return manifest.match in REPRODUCED
