"""One batcher: rows of equal prompt length and equal answer length, without padding, in a fixed order.

The make-up of batches is a pure function of the list given, never of memory or timing, so it belongs to the plan. The
model reads the prompt and all but the last answer token (teacher forcing): the logits at the last prompt token and at
every answer token but the last are those that decide the answer.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from lesion.errors import InputError, InterventionError, nearest
from lesion.identity import content_hash, generator
from lesion.tasks.tokenizers.prompt_contract import Compiled, Span


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows that are run together."""

    rows: tuple[int, ...]
    """Which items of the list given, in order."""
    ids: Int[Tensor, "batch length"]
    """Prompt and answer tokens."""
    prompt_length: int
    """Tokens before the answer, the same for all rows."""
    wrong: Int[Tensor, "batch answer"]
    """The twin's answer tokens."""
    roles: tuple[Mapping[str, tuple[Span, ...]], ...]
    """Role -> spans of positions in `ids`, per row."""
    twins: Int[Tensor, "batch length"] | None = None
    """The counterfactual twins' tokens, where every row has one that aligns."""
    digits: Int[Tensor, "batch answer 10"] | None = None
    """The ids of 0 … 9 in the place of each answer token, -1 where it is no digit; None where no row has digits."""

    @property
    def answer(self) -> Int[Tensor, "batch answer"]:
        """Answer tokens."""
        return self.ids[:, self.prompt_length :]

    @property
    def inputs(self) -> Int[Tensor, "batch pos"]:
        """What the model reads: everything but the last answer token."""
        return self.ids[:, :-1]

    @property
    def first(self) -> int:
        """The position whose logits decide the first answer token: the last prompt token."""
        return self.prompt_length - 1

    def mask(self, positions: str) -> Bool[Tensor, "batch pos"]:
        """Where an intervention acts: see `lesion.interventions.intervention.Where`.

        Raises:
            InterventionError: when a row has no such role, or no prompt token has that index.
        """
        if positions == "all":
            return torch.ones(self.inputs.shape, dtype=torch.bool)
        mask = torch.zeros(self.inputs.shape, dtype=torch.bool)
        if not positions.startswith("role:"):
            mask[:, span(positions, self.prompt_length)] = True
            return mask
        role = positions.removeprefix("role:")
        for row, roles in enumerate(self.roles):
            if role not in roles:
                raise InterventionError(f"an item has no token with the role '{role}'; {nearest(role, roles)}")
            for start, stop in roles[role]:
                mask[row, start:stop] = True
        return mask

    def keys(self, positions: str) -> Bool[Tensor, "batch keys"] | Bool[Tensor, "batch queries keys"]:
        """The key positions of a knock-out: as `mask`, or `induction` and `random:N`, which differ by query."""
        if positions.startswith("random:"):
            return random_edges(self.inputs, int(positions.removeprefix("random:")))
        return induction_edges(self.inputs) if positions == "induction" else self.mask(positions)


def induction_edges(ids: Int[Tensor, "batch pos"]) -> Bool[Tensor, "batch queries keys"]:
    """The edges of the induction pattern: from a token to those that follow its earlier occurrences."""
    same = ids[:, :, None] == ids[:, None, :]
    earlier = same & torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool).tril(-1)
    return torch.cat([torch.zeros_like(earlier[:, :, :1]), earlier[:, :, :-1]], 2)


def random_edges(ids: Int[Tensor, "batch pos"], number: int) -> Bool[Tensor, "batch queries keys"]:
    """As many edges from each query as the induction pattern has, to other tokens at or before it, drawn at random.

    Where a query has fewer other tokens, all of them are taken. A row's edges depend on its tokens and the number only.
    """
    pattern = induction_edges(ids)
    edges = torch.zeros_like(pattern)
    rows: list[list[int]] = ids.tolist()
    for row, tokens in enumerate(rows):
        rng = generator("random edges", number, content_hash(tokens))
        cut: list[list[bool]] = pattern[row].tolist()
        for query, keys in enumerate(cut):
            free = [key for key in range(query + 1) if not keys[key]]
            many = min(len(free), sum(keys))
            if many:
                edges[row, query, [free[int(i)] for i in rng.choice(len(free), many, replace=False)]] = True
    return edges


def span(positions: str, prompt_length: int) -> slice:
    """The stretch of a row that `last`, `prompt`, `generated` or `index:N` means.

    Raises:
        InterventionError: when no prompt token has that index, or the word is none of these.
    """
    known = {
        "last": slice(prompt_length - 1, None),
        "prompt": slice(0, prompt_length),
        "generated": slice(prompt_length, None),
    }
    if positions in known:
        return known[positions]
    if not positions.startswith("index:"):
        raise InterventionError(f"'{positions}' names no positions; {nearest(positions, [*known, 'all', 'index:0'])}")
    number = int(positions.removeprefix("index:"))
    if not -prompt_length <= number < prompt_length:
        raise InterventionError(f"{positions}: the prompt has {prompt_length} tokens, 0 … {prompt_length - 1}")
    place = number % prompt_length
    return slice(place, place + 1)


def batches(prompts: Sequence[Compiled], most: int, max_positions: int | None = None) -> list[Batch]:
    """Cut a list of compiled items into batches of at most `most` rows.

    Rows with equal (prompt length, answer length) stand together, in the order given; the groups come in the order of
    these lengths.

    Raises:
        InputError: for an empty prompt or answer, or an input longer than `max_positions`.
    """
    if most < 1:
        raise InputError(f"a batch holds at least one row, not {most}")
    groups: dict[tuple[int, int], list[int]] = {}
    for row, prompt in enumerate(prompts):
        lengths = (prompt.prompt_length, len(prompt.answer_ids))
        if min(lengths) < 1:
            raise InputError(f"item {row} has {lengths[0]} prompt and {lengths[1]} answer tokens; both need at least 1")
        if max_positions is not None and sum(lengths) - 1 > max_positions:
            raise InputError(f"item {row} needs {sum(lengths) - 1} positions; this model has {max_positions}")
        groups.setdefault(lengths, []).append(row)
    return [
        _batch(prompts, tuple(group[start : start + most]))
        for _, group in sorted(groups.items())
        for start in range(0, len(group), most)
    ]


def in_parts(batch: Batch, most: int) -> Iterator[Batch]:
    """The batch in parts of at most `most` rows."""
    for start in range(0, len(batch.rows), most):
        here = slice(start, start + most)
        yield replace(
            batch,
            rows=batch.rows[here],
            ids=batch.ids[here],
            wrong=batch.wrong[here],
            roles=batch.roles[here],
            twins=None if batch.twins is None else batch.twins[here],
            digits=None if batch.digits is None else batch.digits[here],
        )


def _batch(prompts: Sequence[Compiled], rows: tuple[int, ...]) -> Batch:
    chosen = [prompts[row] for row in rows]
    twins = [prompt.twin_ids for prompt in chosen if prompt.twin_ids is not None]
    return Batch(
        rows=rows,
        ids=torch.tensor([list(prompt.ids) for prompt in chosen]),
        prompt_length=chosen[0].prompt_length,
        wrong=torch.tensor([list(prompt.wrong_ids) for prompt in chosen]),
        roles=tuple(prompt.roles for prompt in chosen),
        twins=torch.tensor([list(twin) for twin in twins]) if len(twins) == len(chosen) else None,
        digits=_digits(chosen),
    )


def _digits(chosen: Sequence[Compiled]) -> Int[Tensor, "batch answer 10"] | None:
    if not any(prompt.digits for prompt in chosen):
        return None
    none = (-1,) * 10
    return torch.tensor(
        [[each or none for each in prompt.digits or ((),) * len(prompt.answer_ids)] for prompt in chosen]
    )
