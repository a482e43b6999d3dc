"""What the laboratory gives in a notebook: changes, scores and texts, as tables that draw themselves."""

from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lesion.errors import InputError, nearest
from lesion.interventions.intervention import Receipt
from lesion.interventions.site import parse_site
from lesion.measures.effects.effect import Change, Effect
from lesion.measures.heads.detection import Detection
from lesion.report.terminal.notebook import Picture, as_pandas, framed, picture_of_changes, picture_of_scores, printed
from lesion.report.terminal.text_pictures import picture_of_patterns, picture_of_tokens
from lesion.stats.intervals import Interval


class Result(NamedTuple):
    """What an intervention did."""

    table: pl.DataFrame
    """One row per item: `index`, every measure unedited and edited (`…_edited`), `kl`, `top1_flip`; null: unscored."""
    summary: pl.DataFrame
    """One row per measure: unit, baseline, edited, delta, low, high, scored, unscored."""
    effect: Effect
    """All of it as one document."""

    @property
    def receipt(self) -> Receipt:
        """Proof that the intervention acted."""
        return self.effect.receipt

    def change(self, measure: str = "correct") -> Change:
        """The change of a measure."""
        return self.effect.change(measure)

    def interval(self, measure: str = "correct") -> Interval:
        """The 95 % interval of a measure's mean paired difference; NaN where fewer than two items are scored."""
        change = self.change(measure)
        low, high = change.low, change.high
        return Interval(float("nan") if low is None else low, float("nan") if high is None else high)

    def to_pandas(self) -> Any:
        """The table of items for pandas.

        Raises:
            InputError: when pandas is not installed.
        """
        return as_pandas(self.table)

    def plot(self, *measures: str) -> Picture:
        """The changes with their intervals, one line per measure; by default of the usual measures.

        Raises:
            InputError: for a measure without a change.
        """
        return picture_of_changes(self.summary, f"{self.effect.intervention} on {self.effect.model}", measures)

    def __str__(self) -> str:
        return printed(self.summary, f"{self.effect.intervention} on {self.effect.model}", told(self.receipt))

    def _repr_html_(self) -> str:
        return framed(self.summary, f"{self.effect.intervention} on {self.effect.model}", told(self.receipt))


class Scores(NamedTuple):
    """How much each head looks like a kind of head, and which ones are named."""

    table: pl.DataFrame
    """A row per detector and head, the best first: `detector`, `site`, `layer`, `head`, `score` (0 … 1), its interval
    `low` … `high`, `control` (score without the pattern), `p`, `again` (score on other sequences), `robust`
    (smallest score over other lengths and gaps), `holds` (the same in words), `named`."""
    detections: tuple[Detection, ...]
    """All of it as documents, one per detector."""

    @property
    def verdicts(self) -> tuple[str, ...]:
        """One sentence per detector."""
        return tuple(detection.verdict for detection in self.detections)

    def to_pandas(self) -> Any:
        """The table for pandas.

        Raises:
            InputError: when pandas is not installed.
        """
        return as_pandas(self.table)

    def plot(self) -> Picture:
        """A map of layers × heads per detector; named heads are outlined."""
        return picture_of_scores(self.table)

    def __str__(self) -> str:
        return printed(self.table, *self.verdicts)

    def _repr_html_(self) -> str:
        return framed(self.table, *self.verdicts)


class Texts(NamedTuple):
    """What was written after prompts."""

    table: pl.DataFrame
    """A row per prompt: `prompt`, `text` (without the token that ended it), `stopped` (whether one did), `margin`
    (smallest gap between the two largest logits, logits; 0 is a tie)."""
    receipt: Receipt | None
    """Proof that the intervention acted; none where none was asked for."""

    @property
    def texts(self) -> list[str]:
        """The texts alone."""
        return self.table["text"].to_list()

    def to_pandas(self) -> Any:
        """The table for pandas.

        Raises:
            InputError: when pandas is not installed.
        """
        return as_pandas(self.table)

    def __str__(self) -> str:
        return printed(self.table, told(self.receipt))

    def _repr_html_(self) -> str:
        return framed(self.table, told(self.receipt))


class TextLook(NamedTuple):
    """One text as the model reads it, unedited and, where an intervention was asked for, under it."""

    table: pl.DataFrame
    """A row per token: `position`, `token`, `next_logprob` (log-probability of the token that follows, nats; null at
    the end), `likeliest` (the most likely next token), `logit_diff` (of the two tokens asked for), and the same with
    `_edited` behind the name."""
    patterns: dict[str, NDArray[np.float32]]
    """`unedited` and `edited` -> attention of every head, (layers, heads, query, key)."""
    about: str
    """What was done to which model."""

    def plot(self, *heads: str) -> Picture:
        """Attention patterns of some heads with the text's tokens; edited beside unedited.

        Raises:
            InputError: for no head, or one that the model does not have.
        """
        layers, width = self.patterns["unedited"].shape[:2]
        places = [
            (site.layer, site.index)
            for site in map(parse_site, heads)
            if site.kind == "head" and site.index is not None
        ]
        if not places or len(places) != len(heads) or any(at >= layers or of >= width for at, of in places):
            raise InputError(
                f"give heads such as 'L0H0'; this model has L0H0 to L{layers - 1}H{width - 1}, not {' '.join(heads)}"
            )
        return picture_of_patterns(self.patterns, self.table["token"].to_list(), places, f"Attention, {self.about}")

    def plot_tokens(self, measure: str = "next_logprob") -> Picture:
        """A measure at each token, unedited and edited: `next_logprob` or `logit_diff`.

        Raises:
            InputError: for a measure that was not asked for.
        """
        words = {"next_logprob": "log-probability of the next token, nats", "logit_diff": "logit difference, logits"}
        there = [name for name in words if name in self.table.columns]
        if measure not in there:
            raise InputError(f"there is no '{measure}' here; {nearest(measure, there)}; logit_diff needs versus=(…, …)")
        return picture_of_tokens(self.table, measure, words[measure], f"{words[measure]}: {self.about}")

    def __str__(self) -> str:
        return printed(self.table, self.about)

    def _repr_html_(self) -> str:
        return framed(self.table, self.about)


def told(receipt: Receipt | None) -> str:
    """A receipt in a sentence; empty for none."""
    if receipt is None:
        return ""
    return (
        f"Receipt: {receipt.firings:,} firings in {receipt.forwards:,} forward passes, {receipt.elements:,} elements "
        f"written, changed by {receipt.l2_change:.4g} in all"
    )
