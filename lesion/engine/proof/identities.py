"""Proves queries, keys, values, patterns, gates and what attention and MLP add, on the loaded weights.

None of the identities knows how a family turns queries and keys into scores: rotation, norms, biases, scaling and soft
caps may be what they are.

- A query that is zeroed at position p makes row p of its head's pattern forget the tokens, and touches no other row and
  no other head. So two texts have the same row p.
- A key that is zeroed at position p leaves, in every row behind p, the attention to all other keys in proportion, in
  the heads of its group and in no other head.
- A value is the z of a token that is alone.
- z is the pattern times the values, also when the pattern is replaced or an edge is cut.
- act(gate), times up where there is one, is the neuron.
- The stream in the middle decides what the MLP adds, and with it the stream that leaves the block.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from lesion.engine.hooks import Seen
from lesion.engine.proof.recorded_passes import Check, Evidence, each_alone, held
from lesion.errors import InterventionError
from lesion.identity import generator
from lesion.interventions.intervention import KnockOut, Patch, Scale
from lesion.interventions.site import Kind, Site
from lesion.models.model import Model, Place


def _at(model: Model, seen: Mapping[str, Seen], kind: Kind, layer: int) -> Tensor:
    """All units of a kind in a layer, (batch, pos, units, width); those of a fused projection are picked out."""
    places = _places(model, kind, layer)
    recorded = seen[places[0].path]
    tensor = recorded.input if places[0].side == "input" else recorded.output
    stream = seen[model.block_path(layer)].input
    whole = tensor.reshape(*stream.shape[:2], places[0].units, -1)
    if kind in _MLP:  # thousands, side by side: the first and the last say where all are
        first, last = (place.index for place in places)
        if last - first != model.sizes.d_mlp - 1:
            raise InterventionError(f"{kind} sites do not lie side by side")
        return whole[:, :, first : last + 1]
    return whole[:, :, [place.index for place in places]]


_MLP: tuple[Kind, ...] = ("gate", "act", "up", "neuron")


def _places(model: Model, kind: Kind, layer: int) -> list[Place]:
    """Where the units of a kind are in a layer; of the many of an MLP, the first and the last."""
    sizes = model.sizes
    count = {"k": sizes.n_groups, "v": sizes.n_groups, "q": sizes.n_heads, "head": sizes.n_heads}
    indices = (0, sizes.d_mlp - 1) if kind in _MLP else range(count[kind]) if kind in count else (None,)
    return [model.place(Site(kind=kind, layer=layer, index=index)) for index in indices]


def _layers(model: Model) -> range:
    return range(model.sizes.n_layers)


def _all_patterns(model: Model, evidence: Evidence) -> Tensor:
    found = torch.stack([evidence.pattern(model, layer) for layer in _layers(model)]).double()
    if found.shape[2] != model.sizes.n_heads:
        raise InterventionError(f"attention has {found.shape[2]} heads, the sizes say {model.sizes.n_heads}")
    return found


def _edited_patterns(
    model: Model, evidence: Evidence, sites: tuple[Site, ...], where: int, heads: Sequence[int]
) -> Tensor:
    """The patterns with queries or keys zeroed at one position, and that such an edit reaches them.

    A head may look where it looks without a word from the zeroed vector. Then an edit as large as the vectors of other
    tokens must reach it, unless its pattern does not depend on the text.

    Raises:
        InterventionError: when no edit reaches the patterns of heads that read the text.
    """
    before = _all_patterns(model, evidence)
    found = _all_patterns(model, held(model, evidence, Scale(sites=sites, alpha=0), [where]))
    if torch.equal(found[:, :, heads], before[:, :, heads]) and not torch.equal(
        before[:, 0, heads], before[:, 1, heads]
    ):
        rng, width = generator("proof", "queries and keys"), model.sizes.d_head
        source = {site: 10 * torch.as_tensor(rng.standard_normal((1, 1, width))) for site in sites}
        other = held(model, evidence, Patch(sites=sites), [where], source=source)
        if torch.equal(_all_patterns(model, other)[:, :, heads], before[:, :, heads]):
            raise InterventionError("the edit changed nothing where it must")
    return found


def _queries(model: Model, evidence: Evidence) -> tuple[Tensor, Tensor]:
    """Row p of the edited head's pattern is the other text's; everything else is as it was."""
    head, where = 1 % model.sizes.n_heads, evidence.ids.shape[1] - 2
    sites = tuple(Site(kind="q", layer=layer, index=head) for layer in _layers(model))
    found = _edited_patterns(model, evidence, sites, where, [head])
    expected = _all_patterns(model, evidence)
    expected[:, :, head, where] = found[:, :, head, where].flip(1)
    return found, expected


def _keys(model: Model, evidence: Evidence) -> tuple[Tensor, Tensor]:
    """Behind p, the other keys' shares stay in proportion, in the heads of the edited group alone."""
    group, where = model.sizes.n_groups - 1, 1
    sites = tuple(Site(kind="k", layer=layer, index=group) for layer in _layers(model))
    found = _edited_patterns(model, evidence, sites, where, list(model.sizes.heads_of(group)))
    expected = _all_patterns(model, evidence)
    for head in model.sizes.heads_of(group):
        share = found[:, :, head, where:, where].clone()
        before = expected[:, :, head, where:, where].clone()
        # Multiplied crosswise: a head that looks at this key alone leaves the others next to nothing to divide by.
        found[:, :, head, where:] *= (1 - before)[..., None]
        expected[:, :, head, where:] *= (1 - share)[..., None]
        found[:, :, head, where:, where] = expected[:, :, head, where:, where] = share
    return found, expected


def _values(model: Model, evidence: Evidence) -> tuple[Tensor, Tensor]:
    """The value of each head's group is the head's z where the token is alone."""
    alone, found, expected = each_alone(model, evidence), [], []
    of = [model.sizes.group(head) for head in range(model.sizes.n_heads)]
    for layer in _layers(model):
        values = _at(model, evidence.seen, "v", layer)[:, :, of]
        found.append(values)
        expected.append(alone[f"{model.block_path(layer)}.{model.family.attention_out}"].input.reshape(values.shape))
    return torch.stack(found), torch.stack(expected)


def _attended(model: Model, evidence: Evidence, patterns: Tensor) -> Tensor:
    """Patterns (layers, batch, heads, query, key) times the recorded values."""
    of = [model.sizes.group(head) for head in range(model.sizes.n_heads)]
    values = torch.stack([_at(model, evidence.seen, "v", layer)[:, :, of] for layer in _layers(model)]).double()
    return torch.einsum("lbhqk,lbkhd->lbqhd", patterns, values)


def _all_z(model: Model, evidence: Evidence) -> Tensor:
    return torch.stack([_at(model, evidence.seen, "head", layer) for layer in _layers(model)])


def _replaced_pattern(model: Model, evidence: Evidence) -> tuple[Tensor, Tensor]:
    """With the other text's pattern in one head, that head's z is this pattern times its own values."""
    head, patterns = model.sizes.n_heads - 1, _all_patterns(model, evidence)
    patterns[:, :, head] = patterns[:, :, head].flip(1)
    sites = tuple(Site(kind="pattern", layer=layer, index=head) for layer in _layers(model))
    source = {site: patterns[site.layer, :, head] for site in sites}
    seen = held(model, evidence, Patch(sites=sites), source=source)
    # hooks that look come after those that edit, so this is the z that the projection was given
    return _all_z(model, seen), _attended(model, evidence, patterns)


def _cut_edges(model: Model, evidence: Evidence) -> tuple[Tensor, Tensor]:
    """A head whose last query may not see one key: that share is 0, the others grow in proportion, z follows.

    In proportion is multiplied crosswise: a head that looks at this key alone leaves nothing to divide by.
    """
    head, last, key = model.sizes.n_heads - 1, evidence.ids.shape[1] - 1, evidence.ids.shape[1] - 2
    sites = tuple(Site(kind="head", layer=layer, index=head) for layer in _layers(model))
    seen = held(model, evidence, KnockOut(sites=sites, keys="all"), [last], keys=[key])
    patterns = _all_patterns(model, seen)
    grown, expected = patterns.clone(), _all_patterns(model, evidence)
    expected[:, :, head, last, key] = 0
    grown[:, :, head, last] *= expected[:, :, head, last].sum(-1, keepdim=True)
    found = torch.cat(
        [patterns[:, :, head, last, key].flatten(), grown.flatten(), _all_z(model, seen).double().flatten()]
    )
    silent = torch.zeros_like(patterns[:, :, head, last, key]).flatten()
    return found, torch.cat([silent, expected.flatten(), _attended(model, evidence, patterns).flatten()])


def _gated(about: Literal["gate", "act", "up"]) -> Check:
    """act(gate) = act, and act times up = the neuron; without up, act is the neuron."""

    def check(model: Model, evidence: Evidence) -> tuple[Tensor, Tensor]:
        found, expected = [], []
        for layer in _layers(model):
            given, neuron = _at(model, evidence.seen, "gate", layer), _at(model, evidence.seen, "neuron", layer)
            module = model.submodule(f"{model.block_path(layer)}.{model.family.activation}")
            with torch.inference_mode():
                active = module(given)
            if about != "gate" and not model.has("act"):
                active = _at(model, evidence.seen, "act", layer)
            found.append(active if model.has("up") else active * _at(model, evidence.seen, "up", layer))
            expected.append(neuron)
        return torch.stack(found), torch.stack(expected)

    return check


def _silenced(kind: Literal["up", "act"]) -> Check:
    """Zeroing one factor of a neuron zeroes this neuron and leaves the others."""

    def check(model: Model, evidence: Evidence) -> tuple[Tensor, Tensor]:
        index = model.sizes.d_mlp - 1
        sites = tuple(Site(kind=kind, layer=layer, index=index) for layer in _layers(model))
        seen = held(model, evidence, Scale(sites=sites, alpha=0)).seen
        found = torch.stack([_at(model, seen, "neuron", layer) for layer in _layers(model)])
        expected = torch.stack([_at(model, evidence.seen, "neuron", layer) for layer in _layers(model)])
        expected[..., index, :] = 0
        return found, expected

    return check


def _leaving(model: Model, seen: Mapping[str, Seen]) -> Tensor:
    """What leaves each block in a pass."""
    outputs = [seen[model.block_path(layer)].output for layer in _layers(model)]
    return torch.stack([output[0] if isinstance(output, tuple) else output for output in outputs])


def _middle(model: Model, evidence: Evidence, layer: int) -> Tensor:
    return evidence.seen[model.block_path(layer)].input + _at(model, evidence.seen, "attn_out", layer)[:, :, 0]


def _added(kind: Literal["attn_out", "mlp_out"]) -> Check:
    """With both zeroed nothing is added; with the other one zeroed, what is added is this one."""

    def check(model: Model, evidence: Evidence) -> tuple[Tensor, Tensor]:
        other: Kind = "mlp_out" if kind == "attn_out" else "attn_out"
        both = tuple(Site(kind=one, layer=layer) for one in ("attn_out", "mlp_out") for layer in _layers(model))
        nothing = evidence.once("nothing added", lambda: held(model, evidence, Scale(sites=both, alpha=0)).seen)
        streams = torch.stack([evidence.seen[model.block_path(layer)].input for layer in _layers(model)])
        only = held(model, evidence, Scale(sites=tuple(site for site in both if site.kind == other), alpha=0)).seen
        left = torch.stack([_at(model, only, kind, layer)[:, :, 0] for layer in _layers(model)])
        return torch.stack([_leaving(model, nothing), _leaving(model, only)]), torch.stack([streams, streams + left])

    return check


def _middle_decides(model: Model, evidence: Evidence) -> tuple[Tensor, Tensor]:
    """With the other text's middle stream, the other text's stream leaves the block."""
    sites = tuple(Site(kind="resid_mid", layer=layer) for layer in _layers(model))
    source = {site: _middle(model, evidence, site.layer).flip(0) for site in sites}
    found = _leaving(model, held(model, evidence, Patch(sites=sites), source=source).seen)
    return found, _leaving(model, evidence.seen).flip(1)


SITE_CHECKS: dict[str, tuple[Kind, bool, Check]] = {
    "a zeroed query makes one row of its head's pattern forget the text": ("q", False, _queries),
    "a zeroed key leaves the other keys' shares in proportion": ("k", False, _keys),
    "value of a head's group = its z where the token is alone": ("v", False, _values),
    "replaced pattern times values = z": ("pattern", False, _replaced_pattern),
    "a cut edge has no share, and z follows the pattern that is left": ("head", False, _cut_edges),
    "activation of the gate, times up = neuron": ("gate", False, _gated("gate")),
    "act times up = neuron": ("act", False, _gated("act")),
    "up times act = neuron": ("up", False, _gated("up")),
    "zeroed act = zeroed neuron": ("act", False, _silenced("act")),
    "zeroed up = zeroed neuron": ("up", False, _silenced("up")),
    "without what the MLP adds, the block adds what attention adds": ("attn_out", False, _added("attn_out")),
    "without what attention adds, the block adds what the MLP adds": ("mlp_out", False, _added("mlp_out")),
    "the middle stream of another text gives the other text's leaving stream": ("resid_mid", False, _middle_decides),
}
"""Identity -> what cannot be trusted when it fails, whether it must be bit-equal, and how it is computed."""
