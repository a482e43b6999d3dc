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


SECTIONS = {
    "diagnostics": ("<!-- diagnostics: benchmarks/heads.py -->", "<!-- end of diagnostics -->"),
    "decoding": ("<!-- decoding: benchmarks/decoding.py -->", "<!-- end of decoding -->"),
    "edges": ("<!-- edges: benchmarks/edges.py -->", "<!-- end of edges -->"),
    "shapes": ("<!-- random weights: benchmarks/shapes.py -->", "<!-- end of random weights -->"),
    "shares": ("<!-- shares: benchmarks/shares.py -->", "<!-- end of shares -->"),
    "starts": ("<!-- starts: benchmarks/starts.py -->", "<!-- end of starts -->"),
    "real": ("<!-- real weights: benchmarks/real.py -->", "<!-- end of real weights -->"),
}
"""The marks around the sections that other programs write into the page."""
READING = "## How to read it"


def section_of(page: str, name: str) -> str:
    """A section of a page, with its marks; empty where it has none."""
    begins, ends = SECTIONS[name]
    found = re.search(f"{re.escape(begins)}.*?{re.escape(ends)}\n", page, re.DOTALL)
    return found[0] if found else ""


def with_section(page: str, name: str, section: str) -> str:
    """The page with a section, in place of its own or before the words on how to read it."""
    begins, ends = SECTIONS[name]
    whole = f"{begins}\n{section}{ends}\n"
    if old := section_of(page, name):
        return page.replace(old, whole)
    head, reading, rest = page.partition(READING)
    return f"{head}{whole}\n{reading}{rest}"
