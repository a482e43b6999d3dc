"""Tier 5: GSM8K (Cobbe et al. 2021, "Training verifiers to solve math word problems") from its own JSONL, or Parquet.

The file is local, or one of a data set of the Hugging Face hub, pinned twice: by commit and the file's hash. Problems
are numbered by line and permuted. GSM8K has no twins: `wrong` is the answer with its last digit changed.
"""

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from lesion.errors import InputError, Tampered
from lesion.identity import file_hash
from lesion.outside.documents import read_lines
from lesion.tasks.config import Gsm8kConfig
from lesion.tasks.drawing.numbering import Place, Stratum
from lesion.tasks.drawing.stratified import FewShotTask
from lesion.tasks.hub_file import local_file
from lesion.tasks.task import Draw, Item, Segment

_CALCULATION = re.compile(r"<<.*?>>")
_MANY_STEPS = 8


class Row(NamedTuple):
    """One problem."""

    question: str
    solution: str
    """Steps, without the calculator's annotations."""
    final: str
    """The answer without thousands separators."""
    steps: int
    """Calculations marked in the reference solution; 0 when it marks none."""


MOST_BYTES = 100_000_000
MOST_ROWS = 200_000
"""GSM8K has 8,792 problems."""


def read_rows(path: Path, sha256: str | None = None) -> tuple[Row, ...]:
    """All problems of a GSM8K file: Parquet if its name ends so, else JSONL.

    Raises:
        InputError: when the file is missing, a line is not a problem, or a problem stands on two lines.
        Tampered: when the file's hash is not `sha256`.
    """
    if not path.is_file():
        raise InputError(f"there is no GSM8K file {path}; give the path of a JSONL or Parquet with question and answer")
    if sha256 is not None and file_hash(path) != sha256:
        raise Tampered(f"{path} has the hash {file_hash(path)}, the configuration asks for {sha256}")
    records = _parquet(path) if path.suffix == ".parquet" else _lines(path)
    found = [(_row(record, where), where) for record, where in islice(records, MOST_ROWS + 1)]
    if len(found) > MOST_ROWS:
        raise InputError(f"{path}: holds more than {MOST_ROWS:,} problems; give a smaller file")
    if not found:
        raise InputError(f"{path} holds no problem")
    _unrepeated(path, found)
    return tuple(row for row, _ in found)


def _unrepeated(path: Path, found: list[tuple[Row, str]]) -> None:
    """Refuse a file that holds a problem twice: it could be an example of its own question, or in two seeds."""
    places: dict[str, list[str]] = {}
    for row, where in found:
        places.setdefault(" ".join(row.question.casefold().split()), []).append(where.removeprefix(f"{path}, "))
    again = [", ".join(same) for same in places.values() if len(same) > 1]
    if again:
        more = f", and {len(again) - 3} more" if len(again) > 3 else ""
        raise InputError(
            f"{path} holds {len(again)} of its {len(places)} problems more than once ({'; '.join(again[:3])}{more}): "
            "a repeated problem could stand among its own examples; keep one line of each"
        )


def _lines(path: Path) -> Iterator[tuple[object, str]]:
    for record, number in read_lines(path, MOST_BYTES):
        yield record, f"{path}, line {number}"


def _parquet(path: Path) -> Iterator[tuple[object, str]]:
    from lesion.outside.tables import read_table  # noqa: PLC0415  (polars, for Parquet alone)

    table = read_table(path, MOST_ROWS)
    for number, record in enumerate(table.iter_rows(named=True), 1):
        yield record, f"{path}, row {number}"


def _row(record: Any, where: str) -> Row:
    try:
        question, answer = str(record["question"]), str(record["answer"])
    except (KeyError, TypeError) as error:
        raise InputError(f"{where}: found no JSON object with question and answer ({error})") from error
    solution, mark, final = answer.rpartition("####")
    final = final.strip().replace(",", "")
    if not mark or not re.fullmatch(r"-?\d+(\.\d+)?", final):
        raise InputError(f"{where}: the answer must end with `#### ` and a number, found {answer[-40:]!r}")
    return Row(question.strip(), _CALCULATION.sub("", solution).strip(), final, len(_CALCULATION.findall(solution)))


def _counted(steps: int) -> str:
    if steps == 0:
        return "unmarked"
    return str(steps) if steps < _MANY_STEPS else f"{_MANY_STEPS}+"


class Gsm8kTask(FewShotTask):
    """Problems of a `Gsm8kConfig`, in lanes."""

    def __init__(self, config: Gsm8kConfig) -> None:
        self.config = config
        path = local_file(config.path, config.hub)
        self._rows = read_rows(path, config.sha256)
        self._strata = (Stratum(f"gsm8k {file_hash(path)}", len(self._rows)),)

    def examples(self, draw: Draw, prefix: int = 0) -> tuple[Segment, ...]:
        """The few-shot examples of one prefix of a draw: its own order of the *shots* part."""
        shots = self._shots(draw, prefix, self.config.shots)
        rows = [self._rows[place.number] for place in shots]
        return tuple(
            Segment("".join(s.text for s in self._question(row)) + self._reply(row, row.final), "shot") for row in rows
        )

    def _question(self, row: Row) -> tuple[Segment, ...]:
        return (Segment(f"Question: {row.question}", "question"), Segment("\nAnswer:", "cue"))

    def _reply(self, row: Row, final: str) -> str:
        return f" {final}\n" if self.config.solution == "direct" else f" {row.solution}\n#### {final}\n"

    def _item(self, place: Place, examples: tuple[Segment, ...]) -> Item:
        row = self._rows[place.number]
        other = row.final[:-1] + str((int(row.final[-1]) + 1) % 10)
        return Item(
            index=place.item,
            segments=examples + self._question(row),
            answer=self._reply(row, row.final),
            wrong=self._reply(row, other),
            buckets={
                "steps": _counted(row.steps),
                "digits": str(len(row.final.lstrip("-").partition(".")[0])),
            },
        )
