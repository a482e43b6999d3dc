"""Tier 5: GSM8K (Cobbe et al. 2021, "Training verifiers to solve math word problems") from its own JSONL.

Problems are numbered by line and permuted. GSM8K has no twins: `wrong` is the answer with its last digit changed.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lesion.errors import InputError, Tampered
from lesion.identity import file_hash
from lesion.tasks.config import Gsm8kConfig
from lesion.tasks.numbering import Place, Stratum, lane
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


def read_rows(path: Path, sha256: str | None = None) -> tuple[Row, ...]:
    """All problems of a GSM8K file.

    Raises:
        InputError: when the file is missing or a line is not a problem.
        Tampered: when the file's hash is not `sha256`.
    """
    if not path.is_file():
        raise InputError(f"there is no GSM8K file {path}; give the path of a JSONL with question and answer")
    if sha256 is not None and file_hash(path) != sha256:
        raise Tampered(f"{path} has the hash {file_hash(path)}, the configuration asks for {sha256}")
    with path.open(encoding="utf-8") as lines:
        rows = tuple(_row(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip())
    if not rows:
        raise InputError(f"{path} holds no problem")
    return rows


def _row(line: str, where: str) -> Row:
    try:
        record = json.loads(line)
        question, answer = str(record["question"]), str(record["answer"])
    except (ValueError, KeyError, TypeError) as error:
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


class Gsm8kTask:
    """Problems of a `Gsm8kConfig`, in lanes."""

    def __init__(self, config: Gsm8kConfig) -> None:
        self.config = config
        path = Path(config.path)
        self._rows = read_rows(path, config.sha256)
        self._strata = (Stratum(f"gsm8k {file_hash(path)}", len(self._rows)),)

    @property
    def pool(self) -> int:
        """How many different problems there are."""
        return len(self._rows)

    def capacity(self, draw: Draw) -> int:
        """How many items this lane holds."""
        return lane(self._strata, *draw).capacity

    def items(self, draw: Draw, start: int, stop: int) -> Iterator[Item]:
        """Items `start` … `stop`-1 of the lane, made one at a time.

        Raises:
            InputError: when the lane holds fewer than `stop`.
        """
        places = lane(self._strata, *draw).places(start, stop)
        shots = lane(self._strata, "shots", f"{draw.key}:{draw.seed}", 0, 1).places(0, self.config.shots)
        rows = [self._rows[place.number] for place in shots]
        examples = tuple(
            Segment("".join(s.text for s in self._question(row)) + self._reply(row, row.final), "shot") for row in rows
        )
        return (self._item(place, examples) for place in places)

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
