"""Two runs side by side: what was asked, on what it ran, every row, every verdict, and one grade for all of it.

Grades, from best to worst: bit-equal; within the measured noise floor (no answer flips, every number as close as a
batch of one came to a whole batch); verdict-equal; different. Needs no torch.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from lesion.errors import Tampered
from lesion.identity import Document, canonical_json
from lesion.runs.folder.find import folder_of
from lesion.runs.folder.run_folder import RunFolder
from lesion.runs.manifest.base import Sealed
from lesion.runs.manifest.command import Call, read_repeat
from lesion.runs.manifest.command_results import differences, grade
from lesion.runs.manifest.run import Manifest, Match, read_manifest
from lesion.study.rows import ITEM_KEY, NUMBERS, rows_hash

KEY = ["stage", *ITEM_KEY, "arm"]
MISSING = "(not there)"


class Difference(NamedTuple):
    """How two runs' rows differ."""

    rows: pl.DataFrame
    """Rows that are not bit-equal: key, what flipped, largest absolute difference."""
    only_first: int
    only_second: int
    flips: int
    """Answers that are right in one run only, or written otherwise."""
    largest: float
    """Largest absolute difference of a number."""


class Change(Document):
    """One thing that two runs do not share."""

    what: str
    """Where it stands, as a path with dots."""
    first: str
    """In the first run, as JSON; a path that one run lacks says so."""
    second: str


class RowsCompared(Document):
    """The rows of two runs, by key."""

    compared: bool
    """Whether both runs' rows are at hand; without them only the recorded hashes are compared."""
    same_hash: bool
    """Whether all rows are the same, bit for bit."""
    shared: int
    """Rows that both have."""
    differing: int
    """Shared rows of which a number or the answer is another."""
    only_first: int
    only_second: int
    flips: int
    """Answers that are right in one run only."""
    largest: float
    """Largest absolute difference of a number (nats, or logits)."""
    noise_floor: float
    """The larger of the two runs' measured floors, nats."""
    examples: tuple[str, ...]
    """The most different rows, by key."""


class Comparison(Document):
    """Two runs, explained."""

    first: str
    second: str
    grade: Match
    parameters: tuple[Change, ...]
    """Of the study and what orders its items."""
    environment: tuple[Change, ...]
    """Code, packages, hardware, settings, models."""
    verdicts: tuple[Change, ...]
    rows: RowsCompared


def compare_runs(first: Path, second: Path) -> Comparison:
    """Explain how two runs differ.

    Raises:
        InputError: when one of them has no readable manifest.
        Tampered: when a manifest or rows were changed after they were sealed.
    """
    left, right = read_manifest(first), read_manifest(second)
    folders = [RunFolder(folder_of(path)) for path in (first, second)]
    beside = all((folder.path / "units").is_dir() for folder in folders)
    tables = [_sealed_rows(each, folder) for each, folder in zip((left, right), folders, strict=True)] if beside else []
    difference = compare_rows(*tables) if tables else None
    same, alike = left.rows_hash == right.rows_hash, left.results.words() == right.results.words()
    floor = max(noise_floor(left), noise_floor(right))
    return Comparison(
        first=left.run,
        second=right.run,
        grade=grade_of(difference, floor, same_hash=same, same_verdicts=alike),
        parameters=tuple(_changes(_parameters(left), _parameters(right))),
        environment=tuple(_changes(_environment(left), _environment(right))),
        verdicts=tuple(_changes(_decided(left), _decided(right))),
        rows=_rows(difference, floor, tables[0].height if tables else 0, same),
    )


class CallsCompared(Document):
    """Two commands that are no studies, explained."""

    first: str
    second: str
    grade: Match
    parameters: tuple[Change, ...]
    """The command, what it was given, and the hashes of the files among it."""
    environment: tuple[Change, ...]
    """Code, packages, hardware, settings, models."""
    result: tuple[str, ...]
    """Where the results differ, as paths with dots; empty where one of them is not at hand."""


def compare_calls(first: Path, second: Path) -> CallsCompared:
    """Explain how two records of commands differ.

    Raises:
        InputError: when one of them is no record of a command.
        Tampered: when a manifest or a result was changed after it was sealed.
    """
    left, right = read_repeat(first), read_repeat(second)
    parameters = [{"command": c.command, **c.parameters, **_hashes(c)} for c in (left.call, right.call)]
    here = left.result is not None and right.result is not None
    command = left.call.command
    same = "bit-equal" if left.call.result_hash == right.call.result_hash else "different"
    return CallsCompared(
        first=left.call.run,
        second=right.call.run,
        grade=grade(command, left.call.result_hash, left.result, right.result) if right.result is not None else same,
        parameters=tuple(_changes(*parameters)),
        environment=tuple(_changes(_environment(left.call), _environment(right.call))),
        result=tuple(differences(command, left.result, right.result)) if here else (),
    )


def _hashes(call: Call) -> dict[str, str]:
    return {f"{name} (content)": file.sha256 or file.seal for name, file in call.inputs.items()}


def _sealed_rows(manifest: Manifest, folder: RunFolder) -> pl.DataFrame:
    items = folder.items()
    if rows_hash(items) != manifest.rows_hash:
        raise Tampered(f"{folder.path.name}: its rows do not give the recorded hash; see lesion verify")
    return items


def grade_of(difference: Difference | None, floor: float, *, same_hash: bool, same_verdicts: bool) -> Match:
    """One of the four grades.

    Args:
        difference: how the rows differ; nothing when they are not at hand.
        floor: the measured noise floor, nats.
        same_hash: whether the recorded hashes of all rows are equal.
        same_verdicts: whether every cell has the same verdict.
    """
    if same_hash:
        return "bit-equal"
    if (
        difference is not None
        and difference.flips == difference.only_first == difference.only_second == 0
        and difference.largest <= floor
    ):
        return "noise-floor"
    return "verdict-equal" if same_verdicts else "different"


def noise_floor(manifest: Manifest) -> float:
    """The largest floor that a run's models were measured to have, nats."""
    return max((answer.noise_floor for answer in manifest.proofs().values()), default=0.0)


def compare_rows(first: pl.DataFrame, second: pl.DataFrame) -> Difference:
    """Every row of two runs, by key."""
    both = first.join(second, on=KEY, how="inner", suffix="_again")
    gaps = [(pl.col(name) - pl.col(f"{name}_again")).abs().fill_nan(0.0).alias(f"{name}_gap") for name in NUMBERS]
    flip = pl.col("correct") != pl.col("correct_again")
    if {"written", "written_again"} <= {*both.columns}:
        flip |= pl.col("written").ne_missing(pl.col("written_again"))
    judged = both.with_columns(*gaps, flip.alias("flip")).with_columns(
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


def _rows(difference: Difference | None, floor: float, height: int, same: bool) -> RowsCompared:
    if difference is None:
        return RowsCompared(
            compared=False, same_hash=same, shared=0, differing=0, only_first=0, only_second=0, flips=0, largest=0.0,
            noise_floor=floor, examples=(),
        )  # fmt: skip
    worst = difference.rows.sort(["flip", "largest"], descending=True).head(5)
    return RowsCompared(
        compared=True,
        same_hash=same,
        shared=height - difference.only_first,
        differing=difference.rows.height,
        only_first=difference.only_first,
        only_second=difference.only_second,
        flips=difference.flips,
        largest=difference.largest,
        noise_floor=floor,
        examples=tuple(" ".join(str(row[name]) for name in KEY) for row in worst.to_dicts()),
    )


def _parameters(manifest: Manifest) -> dict[str, Any]:
    return {"study": manifest.study.model_dump(mode="json"), "key": manifest.key, "status": manifest.status}


def _environment(manifest: Sealed) -> dict[str, Any]:
    models = {m.name: m.model_dump(mode="json", exclude={"answer", "name"}) for m in manifest.models}
    return {
        "code": manifest.code.model_dump(mode="json"),
        **manifest.environment.model_dump(mode="json"),
        "models": models,
    }


def _decided(manifest: Manifest) -> dict[str, Any]:
    return {"outcome": manifest.outcome, "scenario": manifest.results.scenario, **manifest.results.words()}


def _changes(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[Change]:
    left, right = dict(_leaves(first)), dict(_leaves(second))
    for what in sorted(left.keys() | right.keys()):
        if left.get(what) != right.get(what):
            yield Change(what=what, first=left.get(what, MISSING), second=right.get(what, MISSING))


def _leaves(value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Every value of a document by its path, as JSON; an empty mapping or list is a value, too."""
    held: Any = value
    if isinstance(value, (dict, list)) and held:
        pairs: Any = held.items() if isinstance(value, dict) else enumerate(held)
        for name, each in pairs:
            yield from _leaves(each, f"{where}.{name}" if where else str(name))
    else:
        yield where, canonical_json(value).decode()
