"""The model card as a document: what a trained model can do and which heads it has.

`card.json` is for machines; `lesion.training.evaluation.card_page` says the same for people;
`lesion.training.evaluation.examine` measures it.
"""

import numpy as np
from numpy.typing import NDArray

from lesion.errors import InputError
from lesion.identity import Document
from lesion.measures.heads.pattern_scores import HeadScores
from lesion.training.evaluation.accuracy import CHAINS, REPEAT, TIER_1, TIER_2
from lesion.training.evaluation.report import TrainingReport

THRESHOLD, OTHERS = 0.5, 0.2
"""A head is called an induction head above the first robust score; all others should lie below the second."""


class Accuracy(Document):
    """Exactly right answers in one tier or stratum."""

    tier: str
    """Name of the tier."""
    stratum: str
    """`all`, or `bucket = value`."""
    items: int
    """Items asked."""
    right: int
    """Answers that were exactly right."""
    accuracy: float
    """right / items."""
    low: float
    """Lower end of Wilson's 95 % interval."""
    high: float
    """Upper end."""


class Card(Document):
    """A model card."""

    card: int = 1
    """Version of this format."""
    training: TrainingReport
    """The recipe and how its training went."""
    weights: str
    """SHA-256 of the weights file."""
    tokenizer: str
    """SHA-256 of tokenizer.json."""
    parameters: int
    """Number of weights, tied ones counted once."""
    megabytes: float
    """Size of the weights file, 10^6 bytes."""
    licence: str = "MIT"
    """Licence of weights and card."""
    accuracy: tuple[Accuracy, ...]
    """Per tier and stratum."""
    heads: tuple[HeadScores, ...]
    """Scores of all heads, per detector."""
    group: tuple[str, ...]
    """Heads with a robust induction score above the threshold."""
    without_group: Accuracy | None
    """Tier 3, repeats, with those heads zeroed together; none where there is no such head."""

    def tier(self, name: str) -> Accuracy:
        """The accuracy of a whole tier.

        Raises:
            InputError: when the card has no such tier.
        """
        for entry in self.accuracy:
            if entry.tier == name and entry.stratum == "all":
                return entry
        raise InputError(f"the card has no tier '{name}'")

    def scores(self, detector: str) -> NDArray[np.float64]:
        """A detector's scores, shape [layers, heads]."""
        return next(entry.table() for entry in self.heads if entry.detector == detector)


def shortcomings(card: Card) -> list[str]:
    """What a model of the zoo should have and this one has not, each in a sentence; empty for a good one."""
    tier_1, tier_2, repeat, chains = (card.tier(name).accuracy for name in (TIER_1, TIER_2, REPEAT, CHAINS))
    scores = card.scores("induction")
    others = scores[scores <= THRESHOLD]
    found: list[str] = []
    if not 0.85 <= tier_1 <= 0.999:
        found.append(f"tier 1 accuracy {tier_1:.3f} lies outside 0.85 … 0.999")
    if not 0.05 <= tier_2 <= 0.75:
        found.append(f"tier 2 accuracy {tier_2:.3f} lies outside 0.05 … 0.75")
    if chains < 0.5 and card.training.recipe.family == "llama":  # one family must calculate in steps
        found.append(f"tier 4 accuracy {chains:.3f} lies below 0.5")
    if not 1 <= len(card.group) <= 4:
        found.append(f"{len(card.group)} heads have an induction score above {THRESHOLD}, not one to four")
    if others.size and others.max() >= OTHERS:
        found.append(f"another head has an induction score of {others.max():.2f}, not below {OTHERS}")
    if card.without_group and card.without_group.high >= repeat:
        found.append(f"zeroing the group leaves tier 3 at {card.without_group.accuracy:.3f}, from {repeat:.3f}")
    return found
