"""What the laboratory gives in a notebook: changes, scores and texts, as tables that draw themselves."""

from typing import Any, NamedTuple

import polars as pl

from lesion.interventions.intervention import Receipt
from lesion.measures.effects.effect import Change, Effect
from lesion.measures.heads.detection import Detection
from lesion.report.terminal.notebook import Picture, as_pandas, framed, picture_of_changes, picture_of_scores
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

    def _repr_html_(self) -> str:
        return framed(self.table, told(self.receipt))


def told(receipt: Receipt | None) -> str:
    """A receipt in a sentence; empty for none."""
    if receipt is None:
        return ""
    return (
        f"Receipt: {receipt.firings:,} firings in {receipt.forwards:,} forward passes, {receipt.elements:,} elements "
        f"written, changed by {receipt.l2_change:.4g} in all"
    )
