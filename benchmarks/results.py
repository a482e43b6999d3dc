"""What one side of the benchmark gave."""

import re
from typing import NamedTuple

OURS = "lesion"
EXPERT = "the same, last logits only (expert)"


class Result(NamedTuple):
    """One side on one piece of work."""

    name: str
    seconds: float
    """Median over the repeats, extrapolated to all interventions."""
    processor: float
    timed: int
    """Interventions that were run."""
    ratio: float
    """This side's time over ours, the median over the repeats."""
    ratio_processor: float
    error: float
    """Largest absolute difference of answer log-probabilities from transformers + hooks, nats."""
    peak_bytes: int


def peers(results: list[Result]) -> list[Result]:
    """The sides that are neither ours nor an expert's loop."""
    return [one for one in results if one.name not in (OURS, EXPERT)]


def fastest(results: list[Result]) -> Result:
    """The peer that took the least processor time."""
    return min(peers(results), key=lambda one: one.processor)


def named(results: list[Result], name: str) -> Result:
    """One side."""
    return next(one for one in results if one.name == name)


BEGINS, ENDS = "<!-- diagnostics: benchmarks/heads.py -->", "<!-- end of diagnostics -->"
READING = "## How to read it"


def diagnostics_of(page: str) -> str:
    """The section on diagnostics of a page, with its marks; empty where it has none."""
    found = re.search(f"{re.escape(BEGINS)}.*?{re.escape(ENDS)}\n", page, re.DOTALL)
    return found[0] if found else ""


def with_diagnostics(page: str, section: str) -> str:
    """The page with a section on diagnostics, in place of its own or before the words on how to read it."""
    whole = f"{BEGINS}\n{section}{ENDS}\n"
    if old := diagnostics_of(page):
        return page.replace(old, whole)
    head, reading, rest = page.partition(READING)
    return f"{head}{whole}\n{reading}{rest}"
