"""Prompts of different lengths in one batch, padded on the left; masks and position ids are made here only."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from lesion.engine.batch import span
from lesion.errors import InputError, InterventionError, nearest
from lesion.models.model import Model
from lesion.tasks.tokenizers.prompt_contract import Compiled, Refused, encode


@dataclass(frozen=True, eq=False)
class Padded:
    """Prompts that are read together, padded on the left."""

    ids: Int[Tensor, "batch pos"]
    pads: Int[Tensor, " batch"]
    """Padding tokens in front of each row."""
    prompts: tuple[Compiled, ...]

    @property
    def length(self) -> int:
        """Positions, padding among them, before the first generated token."""
        return self.ids.shape[1]

    def mask(self, positions: str, length: int) -> Bool[Tensor, "batch length"]:
        """Where among the first `length` positions an intervention acts.

        Raises:
            InterventionError: when a row has no such role or index.
        """
        mask = torch.zeros(len(self.ids), length, dtype=torch.bool)
        for row, (pad, prompt) in enumerate(zip(self.pads.tolist(), self.prompts, strict=True)):
            if positions == "all":
                mask[row, pad:] = True
            elif positions.startswith("role:"):
                role = positions.removeprefix("role:")
                if role not in prompt.roles or role == "answer":
                    raise InterventionError(
                        f"a prompt has no token with the role '{role}'; {nearest(role, prompt.roles)}"
                    )
                for start, stop in prompt.roles[role]:
                    mask[row, pad + start : pad + stop] = True
            else:
                where = span(positions, prompt.prompt_length)
                mask[row, pad + where.start : None if where.stop is None else pad + where.stop] = True
        return mask

    def shared(self) -> int:
        """Tokens at the start that all prompts have in common; each keeps at least one of its own."""
        rows = [prompt.ids[: prompt.prompt_length - 1] for prompt in self.prompts]
        short = min(map(len, rows))
        return next((place for place in range(short) if len({row[place] for row in rows}) > 1), short)


def real(pads: Int[Tensor, " batch"], length: int) -> Bool[Tensor, "batch length"]:
    """Which of the first `length` positions are no padding."""
    return torch.arange(length)[None] >= pads[:, None]


def position_ids(pads: Int[Tensor, " batch"], length: int) -> Int[Tensor, "batch length"]:
    """Each position's number in its own row."""
    return (torch.arange(length)[None] - pads[:, None]).clamp(min=0)


def as_prompt(model: Model, text: str) -> Compiled:
    """A text as a prompt without roles and answer, behind the model's own BOS where it has one.

    Raises:
        InputError: for a text that the model's tokenizer cannot write.
    """
    found = encode(model.tokenizer, text, model.bos)
    if isinstance(found, Refused):
        raise InputError(f"the prompt {text[:60]!r} cannot be asked of {model.name}: {found.detail}")
    ids = (*(() if model.bos is None else (model.bos,)), *found.ids)
    return Compiled(ids=ids, roles={}, answer_ids=(), wrong_ids=(), prompt_length=len(ids), twin_ids=None)


def padded(prompts: Sequence[Compiled]) -> Padded:
    """Prompts without their answers, padded on the left to the longest.

    Raises:
        InputError: for no prompt, or an empty one.
    """
    lengths = [prompt.prompt_length for prompt in prompts]
    if not lengths or min(lengths) < 1:
        raise InputError("text needs at least one prompt, and each at least one token")
    pads = [max(lengths) - length for length in lengths]
    rows = [
        [prompt.ids[0]] * pad + list(prompt.ids[: prompt.prompt_length])
        for pad, prompt in zip(pads, prompts, strict=True)
    ]
    return Padded(torch.tensor(rows), torch.tensor(pads), tuple(prompts))
