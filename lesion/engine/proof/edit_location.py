"""Proves where an edit lands and which logits a batch reads, on the loaded weights, without asking the model's places.

The other identities find a head where `Model.place` says it is, so a place that is wrong in the same way on both sides
would pass them. These count slices from the config's sizes, layers from the family's row, and positions by hand.

- A zeroed head or neuron is zero in its own slice of its own layer; its neighbours, and all layers below, keep every
  bit. Layers are given their recorded streams, so all are tried in one pass, or in two or three.
- A unit that is halved is half of its slice, to the bit: half and a quarter differ where 0 and 1 are their own squares.
- What is put in a unit's place is what its projection is then given: a neuron is the product, not one factor of it,
  which scaling cannot tell.
- Everything that is read and edited is in the model's own numbers.
- No logit depends on a later token.
- The words for positions (`all`, `last`, `prompt`, …) mean the tokens that they say.
- What a batch gives for an answer is what its row alone gives, at the answer's own places.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from lesion.engine import reference
from lesion.engine.batch import Batch, batches
from lesion.engine.proof.recorded_passes import Check, Evidence, forward, held, plain
from lesion.interventions.intervention import Patch, Scale
from lesion.interventions.site import Site
from lesion.models.model import Model
from lesion.tasks.tokenizers.prompt_contract import Compiled


def _lands(kind: Literal["head", "neuron"]) -> Check:
    """An edit of one unit changes this unit's slice in its layer and no bit beside it or in another layer."""

    def check(model: Model, evidence: Evidence) -> tuple[Tensor, Tensor]:
        paths = _reading(kind, model)
        before = plain(model, evidence)
        found, expected = list[Tensor](), list[Tensor]()
        for chosen in _codes(model.sizes.n_layers, model.sizes.n_heads if kind == "head" else model.sizes.d_mlp):
            sites = tuple(Site(kind=kind, layer=layer, index=index) for layer, index in chosen.items())
            seen = held(model, before, Scale(sites=sites, alpha=0), patterns=False).seen
            found += [seen[path].input for path in paths]
            expected += [_silent(before.seen[path].input, kind, model, chosen.get(n)) for n, path in enumerate(paths)]
        return torch.cat([tensor.flatten() for tensor in found]), torch.cat([tensor.flatten() for tensor in expected])

    return check


def _halved(kind: Literal["head", "neuron"]) -> Check:
    """A unit of every layer scaled by a half is half of its slice, and every other slice keeps its bits."""

    def check(model: Model, evidence: Evidence) -> tuple[Tensor, Tensor]:
        before, index = plain(model, evidence), _last(kind, model)
        sites = tuple(Site(kind=kind, layer=layer, index=index) for layer in range(model.sizes.n_layers))
        seen = held(model, before, Scale(sites=sites, alpha=0.5), patterns=False).seen
        given = [before.seen[path].input for path in _reading(kind, model)]
        expected = [torch.where(_slice(one, kind, model, index), 0.5 * one, one).flatten() for one in given]
        return _flat([seen[path].input for path in _reading(kind, model)]), torch.cat(expected)

    return check


def _put(kind: Literal["head", "neuron"]) -> Check:
    """What is put in the place of a unit of every layer (the other text's) is what the unit's projection is given."""

    def check(model: Model, evidence: Evidence) -> tuple[Tensor, Tensor]:
        before, index = plain(model, evidence), _last(kind, model)
        paths, expected = _reading(kind, model), list[Tensor]()
        sites = [Site(kind=kind, layer=layer, index=index) for layer in range(model.sizes.n_layers)]
        source = {}
        for site, path in zip(sites, paths, strict=True):
            given = before.seen[path].input
            rows = given.reshape(*evidence.ids.shape, _units(kind, model), -1)
            source[site] = rows[:, :, index].flip(0)
            expected.append(torch.where(_slice(given, kind, model, index), rows.flip(0).reshape(given.shape), given))
        seen = held(model, before, Patch(sites=tuple(sites)), source=source, patterns=False).seen
        return _flat([seen[path].input for path in paths]), _flat(expected)

    return check


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])


def _units(kind: Literal["head", "neuron"], model: Model) -> int:
    return model.sizes.n_heads if kind == "head" else model.sizes.d_mlp


def _last(kind: Literal["head", "neuron"], model: Model) -> int:
    return _units(kind, model) - 1


def _reading(kind: Literal["head", "neuron"], model: Model) -> list[str]:
    """By layer, the projection that reads the units."""
    out = model.family.attention_out if kind == "head" else model.family.mlp_out
    return [f"{model.block_path(layer)}.{out}" for layer in range(model.sizes.n_layers)]


def _slice(given: Tensor, kind: Literal["head", "neuron"], model: Model, index: int) -> Tensor:
    """Where one unit stands in what its projection is given."""
    width = given.shape[-1] // _units(kind, model)
    inside = torch.zeros(given.shape[-1], dtype=torch.bool)
    inside[index * width : (index + 1) * width] = True
    return inside.expand_as(given)


def _codes(layers: int, units: int) -> list[dict[int, int]]:
    """Per pass, the unit that is zeroed in a layer; over all passes no two layers have the same units.

    So one pass, or two or three, tell every layer from every other: layer L is written as the number L + 1 to the base
    units + 1, and digit d of it zeroes unit d - 1 in the pass of that digit; 0 zeroes nothing.
    """
    passes: list[dict[int, int]] = []
    numbers = list(range(1, layers + 1))
    while any(numbers):
        passes.append({layer: number % (units + 1) - 1 for layer, number in enumerate(numbers) if number % (units + 1)})
        numbers = [number // (units + 1) for number in numbers]
    return passes


def _silent(given: Tensor, kind: Literal["head", "neuron"], model: Model, index: int | None) -> Tensor:
    """What a projection must be given when one unit is zeroed."""
    expected = given.clone()
    if index is not None:
        width = expected.shape[-1] // (model.sizes.n_heads if kind == "head" else model.sizes.d_mlp)
        expected[..., index * width : (index + 1) * width] = 0
    return expected


def _own_numbers(model: Model, evidence: Evidence) -> tuple[Tensor, Tensor]:
    """What projections are given and give back has the number type of the weights."""
    own = next(model.module.parameters()).dtype
    seen = plain(model, evidence).seen
    parts = [part for kind in ("head", "neuron") for path in _reading(kind, model) for part in seen[path]]
    return torch.tensor([float(part.dtype == own) for part in parts]), torch.ones(len(parts))


def _no_later_token(model: Model, evidence: Evidence) -> tuple[Tensor, Tensor]:
    """With another last token, the logits before it are the same."""
    other = evidence.ids.clone()
    other[:, -1] = (other[:, -1] + 1) % model.sizes.vocab_size
    return forward(model, other)[:, :-1], plain(model, evidence).logits[:, :-1]


PROMPT = 3
"""Prompt tokens of the batch on which positions are tried; the rest of its tokens is the answer."""


def _batch(evidence: Evidence) -> Batch:
    """The evidence's tokens as prompts of three tokens and an answer, with a role on the second token."""
    rows = [tuple(map(int, row)) for row in evidence.ids]
    made = [Compiled(ids, {"second": ((1, 2),)}, ids[PROMPT:], ids[PROMPT:], PROMPT, None) for ids in rows]
    (batch,) = batches(made, len(made))
    return batch


def _positions(model: Model, evidence: Evidence) -> tuple[Tensor, Tensor]:  # noqa: ARG001  (all checks are called alike)
    """The masks of a batch, against positions counted by hand."""
    batch, length = _batch(evidence), evidence.ids.shape[1] - 1
    where = torch.arange(length)
    wanted = {
        "all": where >= 0,
        "last": where >= PROMPT - 1,
        "prompt": where < PROMPT,
        "generated": where >= PROMPT,
        "index:-1": where == PROMPT - 1,
        "role:second": where == 1,
    }
    found = torch.stack([batch.mask(positions) for positions in wanted])
    return found.double(), torch.stack([mask.expand(len(evidence.ids), -1) for mask in wanted.values()]).double()


def _answers(model: Model, evidence: Evidence) -> tuple[Tensor, Tensor]:
    """The probability of each answer token, by way of a batch, against each row alone."""
    batch = _batch(evidence)
    logits = reference.run(model, batch).logits.double().log_softmax(-1)
    found = logits.gather(-1, batch.answer[..., None])[..., 0]
    expected = [
        forward(model, row[None])[0].double().log_softmax(-1)[range(PROMPT - 1, len(row) - 1), row[PROMPT:]]
        for row in evidence.ids
    ]
    return found, torch.stack(expected)


PLACE_CHECKS: dict[str, tuple[Literal["model", "head", "neuron"], bool, Check]] = {
    "a zeroed head is zero in its slice of its layer, and nothing beside or below it changes": (
        "head",
        True,
        _lands("head"),
    ),
    "a zeroed neuron is zero in its slice of its layer, and nothing beside or below it changes": (
        "neuron",
        True,
        _lands("neuron"),
    ),
    "a halved head is half of its slice": ("head", True, _halved("head")),
    "a halved neuron is half of its slice": ("neuron", True, _halved("neuron")),
    "what is put in a head's place is what its projection is given": ("head", True, _put("head")),
    "what is put in a neuron's place is what its projection is given": ("neuron", True, _put("neuron")),
    "heads and neurons are computed in the model's own numbers": ("model", True, _own_numbers),
    "no logit depends on a later token": ("model", False, _no_later_token),
    "positions are the tokens that they name": ("model", True, _positions),
    "a batch gives its answers the probabilities that each row gives alone": ("model", False, _answers),
}
"""Identity -> what cannot be trusted when it fails, whether it must be bit-equal, and how it is computed."""
