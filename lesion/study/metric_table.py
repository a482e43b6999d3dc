"""Every number that is measured per item: its name, unit, words, limits and place in the item table. No torch here.

A new metric is one row of `METRICS`; if it is computed from the logits, also a function in
`lesion.measures.metrics.FUNCTIONS` and, for a second reading, a line in `lesion.runs.measure.recompute_metrics`.
"""

from collections.abc import Mapping
from math import inf
from typing import Literal, NamedTuple

Of = Literal["logits", "entropy", "text", "both", "neutral"]
"""What a metric is computed from: the logits of one pass, the entropy, the written text, the logits of both passes (the
unedited and the edited one), or passes over neutral text."""


class Metric(NamedTuple):
    """One number per item."""

    name: str
    """Name in tables, options and files."""
    unit: str
    """`share`, `nats`, `logits`, `count`, `0 to 2` (a Brier score), or `of ln V` (a share of the logarithm of the
    vocabulary's size)."""
    words: str
    """What it is called in a report."""
    of: Of = "logits"
    """What it is computed from."""
    column: int | None = None
    """Its place among the numbers of the item table; None: it has no column there."""
    kind: type[bool | int | float] = float
    """Type of that column."""
    since: int = 1
    """Format of the item rows that first had the column."""
    judged: bool = False
    """Whether a verdict may rest on it. A published run keeps these columns."""
    low: float = -inf
    """Least value that is possible, rounding included."""
    high: float | Literal["ln V"] = inf
    """Greatest value that is possible, rounding included."""
    per_nat: float | Literal["token"] = 0.0
    """Largest change for each nat of error of the log-probabilities; `token`: 1 for each token of the answer. For an
    entropy the logarithm of a vocabulary of 160,000."""


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("correct", "share", "accuracy", column=0, kind=bool, judged=True),
        Metric("parsed", "share", "share of readable answers", of="text"),
        Metric(
            "answer_logprob", "nats", "log-probability of the answer",
            column=3, judged=True, low=-1e9, high=1e-6, per_nat="token",
        ),
        Metric("brier", "0 to 2", "Brier score of the answer", low=-1e-6, high=2 + 1e-6),
        Metric("logit_diff", "logits", "logit difference", column=5, judged=True, per_nat=2),
        Metric("digit_diff", "logits", "logit difference of the digits", column=7, since=4, per_nat=2),
        Metric("first_digit_diff", "logits", "logit difference of the first digit", column=8, since=4, per_nat=2),
        Metric("entropy", "nats", "entropy", column=4, low=-1e-6, high="ln V", per_nat=12),
        Metric("entropy_share", "of ln V", "entropy", of="entropy"),
        Metric("margin", "logits", "gap between the two largest logits", column=2, low=0.0, high=1e9),
        Metric("ties", "count", "positions with several largest logits", column=1, kind=int),
        Metric(
            "kl", "nats", "KL divergence from the unedited model", of="both", column=6, since=3, low=-1e-6, per_nat=2,
        ),
        Metric("top1_flip", "share", "share of answers whose likeliest tokens change", of="both"),
        Metric("neutral_loss", "nats", "loss on random tokens", of="neutral"),
        Metric("neutral_kl", "nats", "KL divergence on random tokens", of="neutral"),
        Metric("text_loss", "nats", "loss on natural text", of="neutral"),
        Metric("text_kl", "nats", "KL divergence on natural text", of="neutral"),
    )
}  # fmt: skip
"""All metrics by name, in the order in which a summary lists them."""


def computed_from(*sources: Of) -> tuple[str, ...]:
    """Names of the metrics that are computed from these."""
    return tuple(name for name, metric in METRICS.items() if metric.of in sources)


PER_ARM = tuple(m.name for m in METRICS.values() if m.column is not None and m.of != "both")
"""Metrics of the item table that every arm has, the unedited one too."""
COLUMNS = tuple(sorted((m for m in METRICS.values() if m.column is not None), key=lambda m: m.column or 0))
"""The metrics of the item table, in the order of their columns."""
JUDGED = tuple(metric.name for metric in METRICS.values() if metric.judged)
"""Names of the metrics that a verdict may rest on."""
