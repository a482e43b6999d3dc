"""The two loops over new tokens: with keys and values kept, for many arms at once; and with everything read again.

Both write into answers that grow. The second is the reference, and what a knock-out needs: its edges change with every
token.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lesion.engine.decode.kept import chosen, joined
from lesion.engine.decode.padded_prompts import padded
from lesion.engine.decode.passes import Act, Passes
from lesion.engine.decode.prefill import read_prompts, rows_of
from lesion.interventions.intervention import KnockOut
from lesion.tasks.tokenizers.prompt_contract import Compiled


@dataclass
class Answer:
    """What was written so far."""

    tokens: list[int] = field(default_factory=list[int])
    stopped: bool = False
    margin: float = float("inf")


def decode(
    passes: Passes,
    prompts: Sequence[Compiled],
    rows: Sequence[int],
    arms: Sequence[int],
    most: int,
    stops: Int[Tensor, " stops"],
    made: Sequence[Sequence[Answer]],
) -> None:
    """Some prompts under some arms, with keys and values kept; their answers grow in `made`."""
    if not arms:
        return
    begun = read_prompts(passes, [prompts[row] for row in rows], rows, arms)
    length = max(prompts[row].prompt_length for row in rows)
    open_rows = [(arm, row) for arm in arms for row in rows]
    logits, kept = torch.cat([step.logits for step in begun]), joined([step.kept for step in begun])
    pads = torch.tensor([length - prompts[row].prompt_length for _, row in open_rows])
    del begun
    for place in range(length, length + most):
        tokens, going = _written(logits, [made[arm][row] for arm, row in open_rows], stops)
        if place + 1 == length + most or not bool(going.any()):
            return
        if not bool(going.all()):
            left = going.nonzero().flatten()
            open_rows = [open_rows[row] for row in left.tolist()]
            tokens, pads, kept = tokens[left], pads[left], chosen(kept, left)
        acts = _acts(passes, open_rows, arms, place, length)
        logits, kept = passes.read(tokens[:, None], pads, kept, place, acts)


def _acts(
    passes: Passes, open_rows: Sequence[tuple[int, int]], arms: Sequence[int], place: int, length: int
) -> list[Act]:
    """What the arms do where new tokens are read, each in its own rows."""
    made: list[Act] = []
    for arm in arms:
        intervention, source = passes.arms[arm]
        if intervention is not None and intervention.positions in ("all", "last", "generated"):
            mask = torch.tensor([[own == arm] for own, _ in open_rows])
            made.append(Act(arm, mask, rows_of(source, [row for _, row in open_rows], place, place + 1, length)))
    return made


def _written(
    logits: Float[Tensor, "rows vocab"], answers: Sequence[Answer], stops: Int[Tensor, " stops"]
) -> tuple[Int[Tensor, " rows"], Tensor]:
    """Each row's next token, written down, and which rows go on."""
    top = logits.topk(2, dim=-1).values
    tokens = logits.argmax(-1)
    going = ~torch.isin(tokens, stops)
    gaps: list[float] = (top[:, 0] - top[:, 1]).tolist()
    for answer, token, gap, goes in zip(answers, tokens.tolist(), gaps, going.tolist(), strict=True):
        answer.tokens.append(token)
        answer.margin = min(answer.margin, gap)
        answer.stopped = not goes
    return tokens, going


def reread(
    passes: Passes,
    prompts: Sequence[Compiled],
    rows: Sequence[int],
    arm: int,
    most: int,
    stops: Int[Tensor, " stops"],
    made: Sequence[Answer],
) -> None:
    """Some prompts under one arm, with everything read again for each token: the reference."""
    batch = padded([prompts[row] for row in rows])
    intervention, source = passes.arms[arm]
    ids, left = batch.ids, torch.arange(len(rows))
    for place in range(batch.length, batch.length + most):
        acts: list[Act] = []
        if intervention is not None:
            mask = batch.mask(intervention.positions, place)[left]
            keys = batch.mask(intervention.keys, place)[left] if isinstance(intervention, KnockOut) else None
            mine = [rows[row] for row in left.tolist()]
            acts = [Act(arm, mask, rows_of(source, mine, 0, place, batch.length), keys)]
        logits = passes.read(ids, batch.pads[left], acts=acts, keep=False).logits
        tokens, going = _written(logits, [made[rows[row]] for row in left.tolist()], stops)
        ids, left = torch.cat([ids, tokens[:, None]], dim=1)[going], left[going]
        if not len(left):
            return
