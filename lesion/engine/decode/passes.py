"""One forward pass while text is decoded: some positions of some rows, each row under its own intervention.

Rows of several interventions go through the model together: each intervention has its hooks on, and its mask holds in
its own rows only. What it did is counted for it alone.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import inspect
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from lesion.engine.attach import Keys, Source
from lesion.engine.decode.kept import Kept, cache_name
from lesion.engine.decode.padded_prompts import position_ids, real
from lesion.engine.hooks import applied
from lesion.engine.receipts import merged
from lesion.errors import InterventionError
from lesion.interventions.intervention import Intervention, Receipt
from lesion.models.model import Model


class Arm(NamedTuple):
    """What the prompts are answered under."""

    intervention: Intervention | None = None
    source: Source | None = None
    """What it adds or puts in place, for the prompts as one batch of `lesion.engine.batch`."""


class Act(NamedTuple):
    """An intervention in one pass."""

    arm: int
    """Whose receipt counts it."""
    mask: Bool[Tensor, "rows read"]
    source: Source | None = None
    keys: Keys | None = None
    times: Int[Tensor, "rows read"] | None = None
    """For how many tokens of the prompts each token stands; one where nothing is said."""


class Step(NamedTuple):
    """What a pass gave."""

    logits: Tensor
    """Those that decide the next token, (rows, vocab), float32."""
    kept: Kept
    """Keys and values of all positions so far."""


class Passes:
    """The forward passes of one call, and what its interventions did in them."""

    def __init__(self, model: Model, arms: Sequence[Arm], *, whole: bool = False) -> None:
        self.model, self.arms, self.whole = model, arms, whole
        """Whether a prompt must be read in one pass, for the angles of its positions depend on its length."""
        self.receipts: list[list[Receipt]] = [[] for _ in arms]
        takes = inspect.signature(type(model.module).forward).parameters
        self.takes_positions = "position_ids" in takes
        self.named: dict[str, Any] = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}
        self.kept_as = cache_name(model.module)

    def read(
        self,
        ids: Int[Tensor, "rows read"],
        pads: Int[Tensor, " rows"],
        kept: Kept = None,
        start: int = 0,
        acts: Sequence[Act] = (),
        *,
        keep: bool = True,
    ) -> Step:
        """Read the tokens at `start` and behind it.

        Args:
            ids: tokens; padding too.
            pads: padding tokens in front of each row.
            kept: keys and values of the positions before `start`; they grow.
            start: the first token's position, padding counted.
            acts: the interventions that act here.
            keep: whether keys and values are kept.
        """
        length = start + ids.shape[1]
        named: dict[str, Any] = {**self.named, "use_cache": keep}
        if keep:
            named[self.kept_as] = kept
        if bool(pads.any()):
            named["attention_mask"] = real(pads, length).long()
            if self.takes_positions:
                named["position_ids"] = position_ids(pads, length)[:, start:]
        recorders: list[tuple[int, Any]] = []
        with ExitStack() as stack:
            for act in acts:
                intervention = self.arms[act.arm].intervention
                if intervention is not None and bool(act.mask.any()):
                    here = applied(
                        self.model, intervention, act.mask, act.source, act.keys, times=act.times, whole=False
                    )
                    recorders.append((act.arm, stack.enter_context(here)))
            stack.enter_context(torch.inference_mode())
            out = self.model.module(ids, **named)
        for arm, recorder in recorders:
            self.receipts[arm].append(recorder.receipt())
        return Step(out.logits[:, -1].float(), getattr(out, self.kept_as) if keep else None)

    def receipt(self, arm: int) -> Receipt | None:
        """All passes' receipts of one intervention together; none for unedited text.

        Raises:
            InterventionError: when the intervention never had to act.
        """
        intervention = self.arms[arm].intervention
        if intervention is None:
            return None
        if not sum(one.elements for one in self.receipts[arm]):
            raise InterventionError(f"{intervention}: no token was read at '{intervention.positions}'")
        return merged(self.receipts[arm]).model_copy(update={"max_logit_change": None})
