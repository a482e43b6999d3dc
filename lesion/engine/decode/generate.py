"""Greedy text under an intervention, token by token; several interventions of the same prompts at once.

Rows of different lengths are padded on the left. With keys and values kept only the new token is run, under the same
intervention, and rows of all interventions are run together: reading the weights from memory then serves them all. The
highest logit wins, the lowest token id where several are highest; no logit is processed. A row ends with the first
token of the stop set, and then leaves the batch.

`all` means every token that is read, prompt and generated; `prompt` and `generated` one of the two; `last` the last
prompt token and every generated one: the steps that decide a token.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch

from lesion.engine.attach import Source
from lesion.engine.decode.kept import kept_bytes, rope_switch
from lesion.engine.decode.loops import Answer, decode, reread
from lesion.engine.decode.padded_prompts import padded
from lesion.engine.decode.passes import Arm, Passes
from lesion.errors import InputError, InterventionError
from lesion.interventions.intervention import BY_QUERY, Intervention, KnockOut, Receipt, replaces
from lesion.models.model import Model
from lesion.tasks.tokenizers.prompt_contract import Compiled

MEMORY = 2**30
"""Bytes that the keys, values and logits of the rows that are decoded together may take, where nothing else is said.
While they grow and are handed on, there are up to three copies."""
READ_AGAIN = 8192
"""Tokens of a pass in which whole texts are read again, at most; a single text may be longer."""


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
    (made,) = generate_many(model, prompts, most, stop, [Arm(intervention, source)], cache=cache)
    return made


def generate_many(
    model: Model,
    prompts: Sequence[Compiled],
    most: int,
    stop: Collection[int],
    arms: Sequence[Arm],
    *,
    cache: bool = True,
    memory: int = MEMORY,
) -> list[Generation]:
    """Greedy text after each prompt under each of several interventions, all decoded together.

    Equal to `generate` under each of them alone, up to the last bits of a matrix product: where a text's `margin` is
    within them, another token may win. A receipt counts the passes that were really made.

    Args:
        model: the model.
        prompts: what is answered; their own answers are not looked at.
        most: tokens at most.
        stop: token ids that end a row.
        arms: what the prompts are answered under; an arm without intervention is unedited.
        cache: whether keys and values are kept between steps; knock-outs never keep them.
        memory: bytes that keys, values and logits of the rows that are decoded together may take.

    Raises:
        InputError: when there are no prompts, or they and `most` are longer than the model's positions.
        InterventionError: for an intervention that has no meaning while text is generated, or did not act as it must.
    """
    length, limit = padded(prompts).length, model.sizes.max_positions
    if limit is not None and length + most - 1 > limit:
        raise InputError(f"{length} prompt tokens and {most} to generate: this model has {limit} positions")
    for arm in arms:
        if arm.intervention is not None and (why := meaningless(arm.intervention, prompts, arm.source)):
            raise InterventionError(f"{arm.intervention}: {why}")
    switch = rope_switch(model.module)
    turned = switch is not None and length + most - 1 > switch  # no row's angles may depend on a longer neighbour
    passes, stops = Passes(model, arms, whole=turned), torch.tensor(sorted(stop), dtype=torch.long)
    made = [[Answer() for _ in prompts] for _ in arms]
    kept = [number for number, arm in enumerate(arms) if cache and not isinstance(arm.intervention, KnockOut)]
    if switch is not None and turned:
        for row, prompt in enumerate(prompts):
            # keys from before the switch were turned by other angles
            together = kept if prompt.prompt_length > switch else []
            decode(passes, prompts, [row], together, most, stops, made)
            for arm in (arm for arm in range(len(arms)) if arm not in together):
                reread(passes, prompts, [row], arm, most, stops, made[arm])
    else:
        for rows, some in _parts(model, prompts, kept, most, memory):
            decode(passes, prompts, rows, some, most, stops, made)
        for arm in (arm for arm in range(len(arms)) if arm not in kept):
            for rows in _cut(range(len(prompts)), max(1, READ_AGAIN // (length + most))):
                reread(passes, prompts, rows, arm, most, stops, made[arm])
    texts = [tuple(Text(tuple(one.tokens), one.stopped, one.margin) for one in each) for each in made]
    return [Generation(each, passes.receipt(arm)) for arm, each in enumerate(texts)]


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


def _parts(
    model: Model, prompts: Sequence[Compiled], arms: Sequence[int], most: int, memory: int
) -> Iterator[tuple[list[int], list[int]]]:
    """Prompts and arms that are decoded together, so that their rows fit the memory; prompts of like lengths first."""
    if not arms:
        return
    order = sorted(range(len(prompts)), key=lambda row: prompts[row].prompt_length)
    rows = max(1, memory // kept_bytes(model.sizes, prompts[order[-1]].prompt_length + most))
    for some in _cut(arms, rows):
        for part in _cut(order, max(1, rows // len(some))):
            yield part, some


def _cut(items: Sequence[int], most: int) -> Iterator[list[int]]:
    """The items in as few even parts of at most `most` as there can be."""
    parts = -(-len(items) // most)
    ends = [len(items) * part // parts for part in range(parts + 1)]
    for start, stop in pairwise(ends):
        yield list(items[start:stop])
