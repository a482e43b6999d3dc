"""Reading the prompts under several interventions, with nothing read twice that is the same.

An intervention shares the unedited prompt's keys and values up to the first position where it acts: one that acts on
generated tokens shares the whole prompt, one at `last` all but the last token. Tokens that all prompts begin with are
read in one row for all of them, by an intervention that does the same in each.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Sequence

import torch
from torch import Tensor

from lesion.engine.attach import Source
from lesion.engine.decode.kept import Kept, copied, joined, kept_whole, moved, spread
from lesion.engine.decode.padded_prompts import Padded, padded
from lesion.engine.decode.passes import Act, Arm, Passes, Step
from lesion.tasks.tokenizers.prompt_contract import Compiled

TOKENS = 2048
"""Tokens, over all rows, that a pass over prompts reads at most: enough to keep a processor's matrix kernel busy."""
WORTH = 64
"""Tokens that must be spared before the common beginning of prompts gets a pass of its own: a short pass takes as long
as one over 40 tokens."""


def read_prompts(passes: Passes, prompts: Sequence[Compiled], rows: Sequence[int], arms: Sequence[int]) -> list[Step]:
    """The prompts under some of the arms: the logits that decide the first new token, and what is kept.

    Args:
        passes: of the model, with all arms.
        prompts: those that are read, the shortest first.
        rows: their places in the arms' sources.
        arms: numbers of the arms.
    """
    front = 0 if passes.whole else _front_length(padded(prompts), kept_whole(passes.model.module))
    pieces = _pieces(prompts, front)
    batches = [padded(prompts[start:stop]) for start, stop in pieces]
    fronts = _Fronts(passes, batches, front)
    length = max(batch.length for batch in batches)
    begun: list[list[Step]] = [[] for _ in arms]
    for batch, (start, stop) in zip(batches, pieces, strict=True):
        for place, step in enumerate(_read(passes, fronts, batch, rows[start:stop], arms)):
            begun[place].append(Step(step.logits, moved(step.kept, length - batch.length)))
    return [Step(torch.cat([s.logits for s in steps]), joined([s.kept for s in steps])) for steps in begun]


def rows_of(source: Source | None, rows: Sequence[int], start: int, stop: int, prompt: int) -> Source | None:
    """A source for some rows at the positions of a pass; where it has several, those behind the prompt are never read.

    Args:
        source: what an arm adds or puts in place.
        rows: places of the rows in it.
        start: first position of the pass.
        stop: the one behind its last.
        prompt: positions of the prompts.
    """
    if source is None:
        return None

    def now(tensor: Tensor) -> Tensor:
        mine = tensor if len(tensor) == 1 else tensor[list(rows)]
        if tensor.shape[1] == 1:
            return mine
        extra = max(0, stop - prompt)
        return torch.nn.functional.pad(mine[:, :prompt], (0, 0, 0, extra))[:, start:stop]

    return {site: now(tensor) for site, tensor in source.items()}


def is_uniform(source: Source | None) -> bool:
    """Whether all rows and positions are given the same."""
    return source is None or all(tensor.shape[:2] == (1, 1) for tensor in source.values())


def _front_length(batch: Padded, most: int | None) -> int:
    """How much of the prompts' common beginning is read in one row, at most; 0 where that spares too little."""
    shared = batch.shared() if most is None else min(most, batch.shared())
    return shared if shared * (len(batch.ids) - 1) >= WORTH else 0


def _pieces(prompts: Sequence[Compiled], front: int) -> list[tuple[int, int]]:
    """Stretches of the prompts that are read together: neighbours, whose lengths are alike."""
    made: list[tuple[int, int]] = []
    start = 0
    for stop in range(1, len(prompts) + 1):
        longest = prompts[stop - 1].prompt_length if stop == len(prompts) else prompts[stop].prompt_length
        if stop == len(prompts) or (stop - start + 1) * (longest - front) > TOKENS:
            made.append((start, stop))
            start = stop
    return made


class _Fronts:
    """The common beginning of the prompts as it is read unedited and by each arm, made when it is first asked for."""

    def __init__(self, passes: Passes, batches: Sequence[Padded], length: int) -> None:
        self.passes, self.batches = passes, batches
        self.length = length
        self.made: dict[int | None, Kept] = {}

    def of(self, arm: int | None) -> Kept:
        """What is kept of it under an arm, or unedited; none where the arm does not do the same in all prompts."""
        if arm not in self.made:
            self.made[arm] = self._read(arm) if self.length else None
        return self.made[arm]

    def _read(self, arm: int | None) -> Kept:
        acts: list[Act] = []
        if arm is not None:
            edit: Arm = self.passes.arms[arm]
            assert edit.intervention is not None
            where = self._mask(edit.intervention.positions)
            if where is None or not is_uniform(edit.source):
                return None
            acts = [Act(arm, where[None], edit.source, times=self._times()[None])]
        ids = self.batches[0].ids[:1, int(self.batches[0].pads[0]) :][:, : self.length]
        return self.passes.read(ids, torch.zeros(1, dtype=torch.long), acts=acts).kept

    def _mask(self, positions: str) -> Tensor | None:
        """Where in the beginning an intervention acts; none where that differs between prompts."""
        own = [
            batch.mask(positions, batch.length)[row, pad : pad + self.length]
            for batch in self.batches
            for row, pad in enumerate(batch.pads.tolist())
        ]
        return own[0] if all(torch.equal(own[0], other) for other in own) else None

    def _times(self) -> Tensor:
        """How many prompts take each token of the beginning from here; shorter ones read its end again."""
        ends = self.length - torch.cat([batch.pads for batch in self.batches])
        return (torch.arange(self.length)[:, None] < ends[None]).sum(1)


def _read(passes: Passes, fronts: _Fronts, batch: Padded, rows: Sequence[int], arms: Sequence[int]) -> list[Step]:
    """One piece of the prompts under each arm."""
    length = batch.length
    masks = {arm: _mask(passes.arms[arm], batch) for arm in arms}
    firsts = {arm: int(mask.any(0).nonzero()[0]) if bool(mask.any()) else length for arm, mask in masks.items()}
    least = length if passes.whole else max(1, fronts.length)
    trunk = _trunk(passes, fronts, batch, sorted({first for first in firsts.values() if first >= least}))
    made: list[Step] = []
    for arm in arms:
        start, kept = 0, None
        if (first := firsts[arm]) in trunk:
            start, kept = first, copied(trunk[first].kept)
        elif (front := fronts.of(arm)) is not None:
            start, kept = fronts.length, spread(front, batch.pads, fronts.length)
        if start == length:
            made.append(Step(trunk[first].logits, kept))
            continue
        acts = [Act(arm, masks[arm][:, start:], rows_of(passes.arms[arm].source, rows, start, length, length))]
        made.append(passes.read(batch.ids[:, start:], batch.pads, kept, start, acts))
    return made


def _mask(arm: Arm, batch: Padded) -> Tensor:
    """Where among the prompts' tokens an arm acts."""
    if arm.intervention is None:
        return torch.zeros(batch.ids.shape, dtype=torch.bool)
    return batch.mask(arm.intervention.positions, batch.length)


def _trunk(passes: Passes, fronts: _Fronts, batch: Padded, cuts: Sequence[int]) -> dict[int, Step]:
    """The unedited prompts up to each of the cuts."""
    made: dict[int, Step] = {}
    if not cuts:
        return made
    front = fronts.of(None)
    at = 0 if front is None else fronts.length
    kept = None if front is None else spread(front, batch.pads, at)
    step = Step(torch.empty(0), kept)
    for cut in cuts:
        if cut > at:
            step = passes.read(batch.ids[:, at:cut], batch.pads, copied(step.kept), at)
            at = cut
        made[cut] = step
    return made
