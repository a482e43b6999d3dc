"""When a training ends, where its recipe does not leave that to the schedule alone; torch-free.

Some seeds learn arithmetic sooner than others. With `until:` a training that has nothing left to lose stops at a
measurement, and one that falls short when its schedule has run out goes on for a further cycle of the learning rate
(a warm restart, Loshchilov and Hutter 2017). What decides is the accuracy on discovery items that is measured along the
training anyway, so the end follows from recipe and measurements, and a training that was killed comes to the same one.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Self

from pydantic import Field, model_validator

from lesion.identity import Document

TIER_1, TIER_2 = "tier 1: sums and differences", "tier 2: one larger operand"
CHAINS = "tier 4: a+b-c"
Share = Annotated[float, Field(ge=0, le=1)]


class Until(Document):
    """The accuracies between which a training ends."""

    tier_1: Share = 0.88
    """Least accuracy in tier 1: a training that ends its schedule below it goes on."""
    tier_2: Share = 0.07
    """Least accuracy in tier 2, likewise."""
    tier_4: Share = 0.5
    """Least accuracy in tier 4, likewise."""
    most: Share = 0.995
    """Accuracy in tier 1 at which a training stops before its schedule ends, if the other tiers have their least."""
    cycle: int = Field(default=1000, ge=1)
    """Steps by which a training goes on."""
    cycles: int = Field(default=2, ge=0)
    """How often it goes on at most."""
    peak: Share = 0.25
    """Learning rate at the start of such a cycle, as a share of the optimiser's peak; a cosine leads to the floor."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.most <= self.tier_1:
            raise ValueError(f"most ({self.most}) must lie above tier_1 ({self.tier_1})")
        return self

    def enough(self, accuracy: Mapping[str, float]) -> bool:
        """Whether every tier has its least."""
        least = {TIER_1: self.tier_1, TIER_2: self.tier_2, CHAINS: self.tier_4}
        return all(accuracy[tier] >= share for tier, share in least.items())

    def end(self, steps: int, measured: Iterable[tuple[int, Mapping[str, float]]]) -> int:
        """The step at which a training ends, as far as its measurements tell.

        Args:
            steps: length of the schedule.
            measured: step and accuracy per tier of every measurement so far, in order.
        """
        end, left = steps, self.cycles
        for step, accuracy in measured:
            if self.enough(accuracy) and accuracy[TIER_1] >= self.most:
                return step
            if step == end and left and not self.enough(accuracy):
                end, left = end + self.cycle, left - 1
        return end

    def rate(self, floor: float, beyond: int) -> float:
        """Learning rate as a share of the peak, `beyond` steps after the schedule's end; `floor` is where it ends."""
        done = beyond % self.cycle / self.cycle
        return floor + (self.peak - floor) * 0.5 * (1 + math.cos(math.pi * done))
