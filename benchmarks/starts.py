"""How long the program takes to start: `lesion --help`, `plan` and `show`, beside what Python and libraries take alone.

    python benchmarks/starts.py --page docs/benchmarks.md    # ten seconds of an idle machine

A command is started anew each time; the quickest of seven starts counts, by the clock.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from results import with_section

from lesion.runs.manifest.environment import processor

ROOT = Path(__file__).resolve().parent.parent
STARTS = 7


class Start(NamedTuple):
    """A command, what it may take, and the libraries that it cannot do without."""

    words: tuple[str, ...]
    most: float
    libraries: str


def starts() -> list[Start]:
    """The commands: help, a forecast of the first study, and the first published run."""
    run = next(iter(sorted((ROOT / "publications" / "real-models").glob("*/manifest.json")))).parent
    return [
        Start(("--help",), 0.12, "typer, rich"),
        Start(("plan", "studies/arithmetic.yaml"), 0.5, "typer, rich, numpy, pydantic.main, polars, tokenizers"),
        Start(("show", str(run.relative_to(ROOT))), 0.3, "typer, rich, numpy, pydantic.main"),
    ]


def quickest(command: list[str]) -> float:
    """Seconds of the quickest start; compiled modules are kept, as they are for every user."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    seconds: list[float] = []
    for _ in range(STARTS):
        began = time.perf_counter()
        subprocess.run(command, check=True, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def section() -> str:
    """The section of a page of benchmarks."""
    load, lesion = os.getloadavg()[0], str(Path(sys.executable).parent / "lesion")
    taken = {each: quickest([lesion, *each.words]) for each in starts()}
    rows = [
        f"| `lesion {each.words[0]}` | {seconds:.2f} | {each.most:g} | "
        f"{quickest([sys.executable, '-c', f'import {each.libraries}']):.2f} |\n"
        for each, seconds in taken.items()
    ]
    met = sum(seconds <= each.most for each, seconds in taken.items())
    conditions = {"starts": STARTS, "machine": processor(), "load": load, "day": time.strftime("%Y-%m-%d")}
    return HEAD + "".join(rows) + TAIL.format(met=met, all=len(taken), **conditions)


HEAD = """\
## Starting: help, plan and show

| | seconds | wanted, at most | Python and libraries alone |
|---|--:|--:|--:|
"""
TAIL = """
{met} of {all} met. The quickest of {starts} starts, on {machine}, load {load:.1f}, {day}. The last column imports the
libraries that the command needs, and nothing of this project. What is above it goes to this project's own modules, most
of it to the classes that check documents, and in `plan` to drawing and tokenising a thousand items of each tier for the
count of reference items. Measured by `benchmarks/starts.py`.
"""


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description="Times of help, plan and show.")
    parser.add_argument("--page", type=Path, required=True, help="page of benchmarks that gets the section")
    given = parser.parse_args()
    page = given.page.read_text(encoding="utf-8")
    given.page.write_text(with_section(page, "starts", section()), encoding="utf-8")


if __name__ == "__main__":
    main()
