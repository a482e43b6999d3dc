"""Kinds of numbers: how counts of rows, or fields of a manifest, become values, and how values are printed.

Formulas are the laboratory's own (lesion/stats); a claim names its kind, so that anyone can compute it again.
"""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from lesion.report.wording.checks import moved
from lesion.report.wording.words import NATS, action, count, did, p_value, percent, points, signed, task_words
from lesion.stats.intervals import tango, wilson
from lesion.stats.multiplicity import holm
from lesion.stats.paired.tests import mcnemar_exact
from lesion.stats.specificity.rank import TIE
from lesion.tasks.config import TaskConfig

_TASK: TypeAdapter[TaskConfig] = TypeAdapter(TaskConfig)
Values = tuple[Any, ...]
Counts = Mapping[str, int]


class Kind(NamedTuple):
    """How a number comes about."""

    words: str
    """In words, for the supplement."""
    say: Callable[[Values], str]
    """The values as printed."""
    compute: Callable[[Counts, float], Values] | None = None
    """The values from counts and a confidence level; nothing where a field of the manifest is all there is."""


def _change(counts: Counts, confidence: float) -> Values:
    low, high = tango(counts["gained"], counts["lost"], counts["n"], confidence)
    return _difference(counts, confidence)[0], low, high


def _difference(counts: Counts, _: float) -> Values:
    return ((counts["gained"] - counts["lost"]) / counts["n"],)


def _accuracy(counts: Counts, confidence: float) -> Values:
    low, high = wilson(counts["after"], counts["n"], confidence)
    return counts["after"] / counts["n"], float(low), float(high)


def _holm(counts: Counts, _: float) -> Values:
    tested = range(sum(name.startswith("gained_") for name in counts))
    p = [float(mcnemar_exact(counts[f"gained_{place}"], counts[f"lost_{place}"])) for place in tested]
    size = next(counts[name] for name in counts if name.startswith("family"))
    return (float(holm(p, size)[counts["place"]]),)


def _rank(counts: Counts, _: float) -> Values:
    """Rank and p of the target among its sets: those that do at least as much, in the target's own direction."""
    places = range(sum(name.startswith("gained_") for name in counts))
    effects = [(counts[f"gained_{i}"] - counts[f"lost_{i}"]) / counts[f"n_{i}"] for i in places]
    sign = -1 if effects[0] < 0 else 1
    rank = 1 + sum(sign * each >= sign * effects[0] - TIE for each in effects[1:])
    return rank, rank / len(effects), len(effects) - 1


def _span(middle: str, low: str, high: str) -> str:
    return f"{middle} ({low} to {high})"


def _share(value: float) -> str:
    return percent(value).removesuffix(" %")


KINDS: dict[str, Kind] = {
    "items": Kind("number of rows", lambda v: f"{v[0]:,}", lambda c, _: (c["n"],)),
    "moved": Kind("rows that became right / became wrong", lambda v: f"{v[0]:,} / {v[1]:,}",
                  lambda c, _: (c["gained"], c["lost"])),
    "change": Kind("(gained − lost) / n in points, with Tango's score interval",
                   lambda v: _span(*map(points, v)), _change),
    "difference": Kind("(gained − lost) / n in points", lambda v: points(v[0]), _difference),
    "accuracies": Kind("share of right answers before → after, in percent",
                       lambda v: f"{_share(v[0])} → {_share(v[1])}",
                       lambda c, _: (c["before"] / c["n"], c["after"] / c["n"])),
    "accuracy": Kind("share of right answers in percent, with Wilson's score interval",
                     lambda v: _span(*map(_share, v)), _accuracy),
    "runs": Kind("number of runs in the audit table", lambda v: count(v[0]), lambda c, _: (c["n"],)),
    "rank": Kind("rank of the target among its matched sets, (one + sets at least as extreme) / (one + sets)",
                 lambda v: f"{v[0]} of {v[2] + 1}, p {p_value(v[1])}", _rank),
    "rank in nats": Kind("rank of the target among its matched sets, as the run recorded it",
                         lambda v: f"{v[0]} of {v[2] + 1}, p {p_value(v[1])}"),
    "level": Kind("mean outcome of the manifest: a share in percent", lambda v: percent(v[0])),
    "nats": Kind("as the run recorded it, in nats", lambda v: _span(*(NATS.said(each) for each in v))),
    "nats of one model": Kind("mean outcome of the manifest, in nats", lambda v: NATS.said(v[0])),
    "edit": Kind("ablation of the manifest, in words", lambda v: did(str(v[0]))),
    "interval": Kind("as the run recorded it, in points", lambda v: _span(*map(points, v))),
    "p": Kind("p value that the run recorded", lambda v: p_value(v[0])),
    "holm": Kind("McNemar's exact p of every cell or kind that was judged with it, by Holm's correction",
                 lambda v: p_value(v[0]), _holm),
    "spread in nats": Kind("largest − smallest over seeds, in nats, as recorded",
                           lambda v: NATS.said(v[0]).lstrip("+")),
    "spread": Kind("largest − smallest over seeds, in points, as recorded",
                   lambda v: signed(100 * v[0], 2).lstrip("+")),
    "statistic": Kind("field of the manifest", lambda v: f"{v[0]:,.1f}"),
    "whole percent": Kind("share of the manifest, in percent", lambda v: f"{100 * v[0]:.0f}"),
    "number": Kind("field of the manifest", lambda v: f"{v[0]:,.10g}"),
    "share": Kind("field of the manifest, in percent", lambda v: f"{100 * v[0]:.10g}"),
    "hours": Kind("seconds of the manifest, in hours", lambda v: f"{v[0] / 3600:.3f}"),
    "minutes": Kind("seconds of the manifest, in minutes", lambda v: f"{v[0] / 60:.1f}"),
    "day": Kind("UTC day of a time in the manifest", lambda v: str(v[0])[:10]),
    "moved by": Kind("change that a check of the manifest tells, in points", lambda v: moved(str(v[0]))),
    "text": Kind("text of the manifest", lambda v: str(v[0])),
    "factor": Kind("factor of the manifest, in words", lambda v: action(v[0])),
    "many": Kind("number of entries in the manifest", lambda v: count(len(v[0]))),
    "entries": Kind("number of these fields of the manifest", lambda v: count(len(v))),
    "listed": Kind("list of the manifest", lambda v: ", ".join(f"{each:g}" for each in v[0])),
    "task": Kind("task of the study, in words", lambda v: task_words(_TASK.validate_python(v[0]))),
    "told": Kind("sentence that the report makes of the run", lambda v: str(v[0])),
}  # fmt: skip
"""Name -> kind."""
