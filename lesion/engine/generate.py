"""Greedy text under an intervention, token by token.

Rows of different lengths are padded on the left; mask and position ids are made here and nowhere else. With a cache
of keys and values only the new token is run, under the same intervention. The highest logit wins, the lowest token id
where several are highest; no logit is processed. A row ends with the first token of the stop set.

`all` means every token that is read, prompt and generated; `prompt` and `generated` one of the two; `last` the last
prompt token and every generated one: the steps that decide a token.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import inspect
import math
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from lesion.engine.attach import Source
from lesion.engine.batch import span
from lesion.engine.hooks import applied
from lesion.errors import InputError, InterventionError, nearest
from lesion.interventions.intervention import BY_QUERY, Intervention, KnockOut, Receipt, replaces
from lesion.models.model import Model
from lesion.tasks.tokenizers.prompt_contract import Compiled, Refused, encode


class Text(NamedTuple):
    """What one prompt was answered with."""

    tokens: tuple[int, ...]
    """Generated tokens, the stop token included."""
    stopped: bool
    """Whether a stop token ended it; otherwise the limit did."""
    margin: float
    """Smallest gap between the two largest logits over all steps; 0 is a tie, decided by the lowest token id."""


class Generation(NamedTuple):
    """What a batch of prompts was answered with."""

    texts: tuple[Text, ...]
    receipt: Receipt | None
    """All forward passes in which the intervention had to act, together; none for unedited text."""


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

    def real(self, length: int) -> Bool[Tensor, "batch length"]:
        """Which of the first `length` positions are no padding."""
        return torch.arange(length)[None] >= self.pads[:, None]

    def position_ids(self, length: int) -> Int[Tensor, "batch length"]:
        """Each position's number in its own row."""
        return (torch.arange(length)[None] - self.pads[:, None]).clamp(min=0)

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


def generate(
    model: Model,
    prompts: Sequence[Compiled],
    most: int,
    stop: Collection[int] = (),
    intervention: Intervention | None = None,
    source: Source | None = None,
    *,
    cache: bool = True,
) -> Generation:
    """Greedy text after each prompt.

    Args:
        model: the model.
        prompts: what is answered, together; their own answers are not looked at.
        most: tokens at most.
        stop: token ids that end a row.
        intervention: what is changed, if anything.
        source: what it adds or puts in place, for the prompts as one batch of `lesion.engine.batch`.
        cache: whether keys and values are kept between steps; knock-outs never keep them.

    Raises:
        InputError: when there are no prompts, or they and `most` are longer than the model's positions.
        InterventionError: for an intervention that has no meaning while text is generated, or did not act as it must.
    """
    batch = padded(prompts)
    limit = model.sizes.max_positions
    if limit is not None and batch.length + most - 1 > limit:
        raise InputError(f"{batch.length} prompt tokens and {most} to generate: this model has {limit} positions")
    if intervention is not None and (why := meaningless(intervention, prompts, source)):
        raise InterventionError(f"{intervention}: {why}")
    if (switch := rope_switch(model)) is not None and batch.length + most - 1 > switch:
        if len(prompts) > 1:
            return _one_by_one(model, prompts, most, stop, intervention, source, cache)
        cache = cache and batch.length > switch  # keys from before the switch were turned by other angles
    run = _Run(model, batch, intervention, source, cache and not isinstance(intervention, KnockOut))
    ids, open_rows = batch.ids, torch.ones(len(prompts), dtype=torch.bool)
    stops = torch.tensor(sorted(stop), dtype=torch.long)
    tokens: list[list[int]] = [[] for _ in prompts]
    margins = torch.full((len(prompts),), torch.inf)
    for _ in range(most):
        logits = run.step(ids, open_rows)
        top = logits.topk(2, dim=-1).values
        margins = torch.where(open_rows, torch.minimum(margins, top[:, 0] - top[:, 1]), margins)
        chosen = logits.argmax(-1)
        for row in torch.nonzero(open_rows).flatten().tolist():
            tokens[row].append(int(chosen[row]))
        ids = torch.cat([ids, chosen[:, None]], dim=1)
        open_rows = open_rows & ~torch.isin(chosen, stops)
        if not bool(open_rows.any()):
            break
    ended = (~open_rows).tolist()
    texts = tuple(Text(tuple(t), end, float(m)) for t, end, m in zip(tokens, ended, margins, strict=True))
    return Generation(texts, run.receipt())


def rope_switch(model: Model) -> int | None:
    """The longest text that rotary embeddings of the first kind read, where longer texts have other angles.

    `longrope` (Phi-3) has two sets of factors, by the length of the longest row of a pass. `dynamic` changes beyond the
    model's positions only, where no text is read. None for all others.
    """
    config = model.module.config
    said: Any = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    if said.get("rope_type", said.get("type")) != "longrope":
        return None
    length = said.get("original_max_position_embeddings")
    return getattr(config, "original_max_position_embeddings", None) if length is None else int(length)


def _one_by_one(
    model: Model,
    prompts: Sequence[Compiled],
    most: int,
    stop: Collection[int],
    intervention: Intervention | None,
    source: Source | None,
    cache: bool,
) -> Generation:
    """Each prompt alone, so that no row's angles depend on a longer neighbour."""
    made: list[Generation] = []
    for row, prompt in enumerate(prompts):
        own = None if source is None else {site: t if len(t) == 1 else t[row : row + 1] for site, t in source.items()}
        made.append(generate(model, [prompt], most, stop, intervention, own, cache=cache))
    receipts = [one.receipt for one in made if one.receipt is not None]
    return Generation(tuple(one.texts[0] for one in made), _together(receipts) if receipts else None)


def _together(receipts: Sequence[Receipt]) -> Receipt:
    return Receipt(
        forwards=sum(one.forwards for one in receipts),
        firings=sum(one.firings for one in receipts),
        modules=max(one.modules for one in receipts),
        elements=sum(one.elements for one in receipts),
        l2_change=math.sqrt(sum(one.l2_change**2 for one in receipts)),
    )


def meaningless(intervention: Intervention, prompts: Sequence[Compiled], source: Source | None) -> str:
    """Why an intervention cannot act while text is generated: no source for new tokens, or for rows of other lengths.

    Returns:
        A sentence; empty where it can act.
    """
    if not replaces(intervention):
        keys = intervention.keys if isinstance(intervention, KnockOut) else ""
        return f"{keys} edges are known under teacher forcing only" if keys.startswith(BY_QUERY) else ""
    if any(site.kind == "pattern" for site in intervention.sites):
        return "a pattern can be replaced under teacher forcing only"
    if source is not None and all(tensor.shape[1] == 1 for tensor in source.values()):
        return ""
    if intervention.positions in ("all", "last", "generated"):
        return "generated tokens have nothing to be replaced by; ask for prompt, a role or an index"
    if len({prompt.prompt_length for prompt in prompts}) > 1:
        return "prompts of different lengths share no source; give them one by one"
    return ""


def cache_name(module: nn.Module) -> str:
    """What a module calls the keys and values of earlier tokens: `cache` since transformers 5.24."""
    return "cache" if "cache" in inspect.signature(type(module).forward).parameters else "past_key_values"


class _Run:
    """The steps of one call."""

    def __init__(
        self, model: Model, batch: Padded, intervention: Intervention | None, source: Source | None, cache: bool
    ) -> None:
        self.model, self.batch, self.intervention, self.source = model, batch, intervention, source
        self.cache = cache
        self.kept: Any = None
        self.receipts: list[Receipt] = []
        self.padding = bool(batch.pads.any())
        self.takes_positions = "position_ids" in inspect.signature(type(model.module).forward).parameters

    def step(self, ids: Tensor, open_rows: Tensor) -> Tensor:
        """The logits that decide the next token of each row, float32."""
        length = ids.shape[1]
        start = length - 1 if self.kept is not None else 0
        named: dict[str, Any] = {"use_cache": self.cache}
        if self.cache:
            named[cache_name(self.model.module)] = self.kept
        if self.padding:
            named["attention_mask"] = self.batch.real(length).long()
            if self.takes_positions:
                named["position_ids"] = self.batch.position_ids(length)[:, start:]
        with ExitStack() as stack:
            recorder = self._edited(stack, start, length, open_rows)
            stack.enter_context(torch.inference_mode())
            out = self.model.module(ids[:, start:], **named)
        if recorder is not None:
            self.receipts.append(recorder.receipt())
        self.kept = getattr(out, cache_name(self.model.module)) if self.cache else None
        return out.logits[:, -1].float()

    def _edited(self, stack: ExitStack, start: int, length: int, open_rows: Tensor) -> Any:
        """Put the intervention in place for one step, unless it does not act in it."""
        if self.intervention is None:
            return None
        mask = self.batch.mask(self.intervention.positions, length)[:, start:] & open_rows[:, None]
        if not bool(mask.any()):
            return None
        keys = self.batch.mask(self.intervention.keys, length) if isinstance(self.intervention, KnockOut) else None
        return stack.enter_context(
            applied(self.model, self.intervention, mask, self._source(start, length), keys, whole=False)
        )

    def _source(self, start: int, length: int) -> Source | None:
        """The source at the positions of this step; behind the prompt it is never looked at."""
        if self.source is None:
            return None
        extra = max(0, length - self.batch.length)

        def now(tensor: Tensor) -> Tensor:
            whole = torch.nn.functional.pad(tensor[:, : self.batch.length], (0, 0, 0, extra))
            return tensor if tensor.shape[1] == 1 else whole[:, start:length]

        return {site: now(tensor) for site, tensor in self.source.items()}

    def receipt(self) -> Receipt | None:
        """All steps' receipts together.

        Raises:
            InterventionError: when the intervention never had to act.
        """
        if self.intervention is None:
            return None
        if not sum(one.elements for one in self.receipts):
            raise InterventionError(f"{self.intervention}: no token was read at '{self.intervention.positions}'")
        return _together(self.receipts)
