"""Counts what an intervention did, and refuses one that did not act as it must."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lesion.errors import InterventionError
from lesion.interventions.intervention import Intervention, KnockOut, Receipt, Scale, replaces


class Recorder:
    """Counts what an intervention did while its hooks are on; `receipt` is valid after the body ended."""

    def __init__(self, intervention: Intervention, modules: int, *, whole: bool = True) -> None:
        """`whole`: whether this is all that the intervention does; a step of many may find nothing to change."""
        self.whole = whole
        self.intervention = intervention
        self.modules = modules
        self.forwards = 0
        self.firings = 0
        self.elements = 0
        self.squared_change = 0.0
        self.squared_before = 0.0

    def saw(self, before: Tensor, after: Tensor, times: Tensor | None = None, elements: int | None = None) -> None:
        """Add one firing: the elements that were to be written, (tokens, …), before and after.

        Where one token stands for several (a shared prefix), `times` says for how many, and `elements` counts them all.
        """
        self.firings += 1
        self.elements += before.numel() if elements is None else elements
        many = torch.ones((), dtype=torch.float64) if times is None else times.double()
        squares = ((after.double() - before.double()).square(), before.double().square())
        change, size = (float((square.flatten(1).sum(1) * many).sum()) for square in squares)
        self.squared_change += change
        self.squared_before += size

    def receipt(self, max_logit_change: float | None = None) -> Receipt:
        """The proof.

        Raises:
            InterventionError: when hooks did not fire once per forward pass, or an edit that must change something
                did not.
        """
        expected = self.forwards * self.modules
        what = f"{self.intervention}"
        if self.firings == 0 or self.firings != expected:
            raise InterventionError(
                f"{what}: its hooks fired {self.firings} times in {self.forwards} forward passes over {self.modules} "
                f"modules, expected {max(expected, self.modules)}; the family's path is not what the model really runs"
            )
        if self.elements == 0 and self.whole:
            missing = "open edge" if isinstance(self.intervention, KnockOut) else "token"
            raise InterventionError(
                f"{what}: no {missing} of this batch is at '{self.intervention.positions}', so nothing was edited"
            )
        if not math.isfinite(self.squared_before + self.squared_change):
            raise InterventionError(f"{what}: an edited activation is not a finite number, before or after")
        if self.whole and self._must_change() and self.squared_change == 0:
            raise InterventionError(f"{what}: wrote {self.elements} elements and changed nothing")
        return Receipt(
            forwards=self.forwards,
            firings=self.firings,
            modules=self.modules,
            elements=self.elements,
            l2_change=math.sqrt(self.squared_change),
            max_logit_change=max_logit_change,
        )

    def _must_change(self) -> bool:
        """A replacement may find what it puts there already: before a twin's first difference, nothing differs."""
        if isinstance(self.intervention, Scale):
            return self.intervention.alpha != 1 and self.squared_before > 0
        return not replaces(self.intervention) and getattr(self.intervention, "coefficient", 1) != 0


def merged(receipts: Sequence[Receipt]) -> Receipt:
    """One receipt for all batches of an intervention."""
    return Receipt(
        forwards=sum(r.forwards for r in receipts),
        firings=sum(r.firings for r in receipts),
        modules=max(r.modules for r in receipts),
        elements=sum(r.elements for r in receipts),
        l2_change=math.sqrt(sum(r.l2_change**2 for r in receipts)),
        max_logit_change=max(r.max_logit_change or 0.0 for r in receipts),
    )
