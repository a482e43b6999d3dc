"""What one side of the benchmark gave."""

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
