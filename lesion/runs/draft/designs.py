"""Designs of a first study: how small a change is looked for, on how many items, among how many matched sets.

They are fixed here, before any model is run, from the most thorough one to the quickest. Of a model, only its unedited
answers are looked at (`outcome.py`), so fitting a design to the time is no tuning.
"""

from typing import NamedTuple

from lesion.runs.draft.outcome import Beforehand


class Precision(NamedTuple):
    """How small a change is looked for: as a share of answers, or in nats."""

    margin: float
    """Equivalence margin: a Null rules out a change of this size."""
    effect: float
    """Difference that is detected with a probability of 0.8."""
    spread: float
    """Widest spread of the baseline over seeds."""


class Design(NamedTuple):
    """How thorough a study is."""

    share: Precision
    """Where the share of right answers is judged."""
    nats: Precision
    """Where the answer's log-probability is judged."""
    sets: int
    """Matched sets."""
    items: int
    """Discovery items, baseline items per seed at the start, and items of a block."""
    set_items: int
    """Items of each matched set."""
    factors: tuple[float, ...]
    single_heads: bool
    """Whether every head alone is zeroed on the discovery items, too: half of the time on a model of many heads."""

    def precision(self, before: Beforehand) -> Precision:
        """That of the outcome which is judged."""
        return self.share if before.outcome == "accuracy" else self.nats


DESIGNS = (
    Design(Precision(0.03, 0.05, 0.03), Precision(0.1, 0.3, 0.5), 199, 512, 256, (0.0, 0.5, 1.5, 2.0), True),
    Design(Precision(0.05, 0.08, 0.05), Precision(0.1, 0.3, 0.5), 199, 512, 256, (0.0, 2.0), True),
    Design(Precision(0.05, 0.08, 0.05), Precision(0.15, 0.3, 0.5), 99, 256, 256, (0.0, 2.0), True),
    Design(Precision(0.10, 0.15, 0.10), Precision(0.15, 0.3, 0.5), 99, 256, 128, (0.0,), True),
    Design(Precision(0.10, 0.15, 0.10), Precision(0.2, 0.4, 0.5), 59, 128, 128, (0.0,), False),
    Design(Precision(0.15, 0.20, 0.15), Precision(0.3, 0.6, 0.5), 59, 64, 64, (0.0,), False),
)
