"""Proves a family's row on the loaded weights, or refuses: a wrong path or a wrong slice must never give numbers.

Each identity is computed on random tokens, once with as many tokens as the model has heads (the trap of taking the
sequence axis for the head axis) and once with more. The one that ties slices to heads needs no knowledge of a family's
projections: with a single token attention is the identity, so running every token alone gives the value vectors v, and
with them z[q] = sum_k A[q, k] v[k] must hold head by head for the attention pattern A that the model itself reports.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.func import functional_call

from lesion.engine.batched.linear_kernels import is_conv1d, weight_and_bias
from lesion.engine.hooks import applied, hook_count
from lesion.engine.proof.edit_location import PLACE_CHECKS
from lesion.engine.proof.identities import SITE_CHECKS
from lesion.engine.proof.recorded_passes import Check, Evidence, each_alone, forward, gather, held, plain
from lesion.errors import InterventionError
from lesion.identity import Document, generator
from lesion.interventions.intervention import Intervention, Patch, Scale
from lesion.interventions.site import KINDS, UNITS, Kind, Site
from lesion.models.model import Model
from lesion.progress import Stage, stage
from lesion.study.gates.evidence.model_answers import About, Identity

TOLERANCES = {"float64": 1e-10, "float32": 1e-4, "bfloat16": 5e-2}
SHORTEST = 4
"""Tokens that the identities about single positions need; every model is also proved on three more than its heads."""
SOFTMAX = 1e-5
"""Families take the softmax of a pattern in float32 whatever their numbers are; what follows a pattern is no closer,
and a batch's logits are handed on in float32."""


class Proof(Document):
    """What was shown about a model before it was used."""

    weights_hash: str
    """The weights on which it was shown."""
    identities: tuple[Identity, ...]
    """All of them."""
    disabled: tuple[Kind, ...]
    """Kinds of site that failed, and are refused."""
    cached: bool = False
    """Whether it was shown at an earlier opening on this machine and read from the cache."""

    def require(self, intervention: Intervention) -> None:
        """Make sure that an intervention uses only what was proved.

        Raises:
            InterventionError: naming the kind of site and the identities that failed.
        """
        for kind in sorted({site.kind for site in intervention.sites} & set(self.disabled)):
            failed = [i.name for i in self.identities if i.about == kind and not i.holds]
            raise InterventionError(
                f"{kind} sites are disabled on this model, because these failed: {'; '.join(failed)}"
            )


def prove(model: Model) -> Proof:
    """Compute every identity on the loaded weights; takes a few forward passes over some ten tokens.

    Raises:
        InterventionError: when the model as a whole fails, or no kind of site is left.
    """
    identities = examine(model)
    failed = {identity.about for identity in identities if not identity.holds}
    kinds: tuple[Kind, ...] = tuple(kind for kind in KINDS if not model.has(kind))
    disabled: tuple[Kind, ...] = tuple(kind for kind in kinds if kind in failed)
    if "model" in failed or disabled == kinds:
        names = "; ".join(f"{i.name} ({i.note or i.error})" for i in identities if not i.holds)
        raise InterventionError(f"{model.name} cannot be trusted as {model.family.architecture}: {names}")
    return Proof(weights_hash=model.weights_hash, identities=identities, disabled=disabled)


def examine(model: Model) -> tuple[Identity, ...]:
    """Every identity on the loaded weights, those that fail among them; refuses nothing."""
    heads = model.sizes.n_heads
    with stage("proof", 2 * len(CHECKS)) as advance:
        return tuple(one for tokens in (heads, heads + 3) for one in _identities(model, tokens, advance))


def _identities(model: Model, tokens: int, advance: Stage) -> Iterator[Identity]:
    evidence = gather(model, tokens)
    for name, (about, exact, check) in CHECKS.items():
        advance()
        by_position = name in PLACE_CHECKS or name in SITE_CHECKS
        too_short = by_position and tokens < SHORTEST
        if too_short or (about != "model" and model.has(about)):
            continue
        least = SOFTMAX if by_position else 0.0
        tolerance = 0.0 if exact else max(least, TOLERANCES[model.dtype])
        error, note = None, ""
        try:
            error = _difference(*check(model, evidence))
        except (InterventionError, RuntimeError) as refused:  # torch reports shapes that do not fit as RuntimeError
            note = str(refused)
        holds = error is not None and error <= tolerance
        title = f"{name}, {tokens} tokens"
        yield Identity(name=title, about=about, error=error, tolerance=tolerance, holds=holds, note=note)


def _difference(left: Tensor, right: Tensor) -> float:
    """Largest absolute difference over the largest absolute value of `right` (over 1 where that is 0)."""
    if left.shape != right.shape:
        raise InterventionError(f"shapes differ: {tuple(left.shape)} and {tuple(right.shape)}")
    error = float((left.double() - right.double()).abs().max() / (float(right.double().abs().max()) or 1.0))
    if not math.isfinite(error):
        raise InterventionError("a value is not finite")
    return error


def _idle(model: Model, evidence: Evidence) -> tuple[Tensor, Tensor]:
    """Hooks that only look: the logits are Hugging Face's, bit for bit, and no hook stays behind."""
    before = hook_count(model.module)
    watched = plain(model, evidence).logits
    if hook_count(model.module) != before:
        raise InterventionError("a hook stayed on the model")
    return watched, forward(model, evidence.ids)


def _readout(model: Model, evidence: Evidence) -> tuple[Tensor, Tensor]:
    """Final norm, unembedding and soft cap of the stream that leaves the last block = logits."""
    with torch.inference_mode():
        return model.logits(evidence.seen[model.family.final_norm].input), evidence.logits


def _sum_of_heads(model: Model, evidence: Evidence) -> tuple[Tensor, Tensor]:
    """sum_h z_h @ W_O[h] + b_O = the attention output."""
    sums, outputs = [], []
    for layer in range(model.sizes.n_layers):
        path = f"{model.block_path(layer)}.{model.family.attention_out}"
        weight, bias = weight_and_bias(model.submodule(path))
        z = evidence.seen[path].input.unflatten(-1, (model.sizes.n_heads, model.sizes.d_head))
        each = torch.einsum("bphd,hdm->bphm", z.double(), weight.double().unflatten(0, z.shape[-2:]))
        sums.append(each.sum(2) + (0 if bias is None else bias.double()))
        outputs.append(evidence.seen[path].output)
    return torch.stack(sums), torch.stack(outputs)


def _pattern_times_values(model: Model, evidence: Evidence) -> tuple[Tensor, Tensor]:
    """z[q] = sum_k A[q, k] v[k] for each head, v from running each token's stream alone."""
    predicted, found = [], []
    alone = each_alone(model, evidence)
    shape = (*evidence.ids.shape, model.sizes.n_heads, model.sizes.d_head)
    for layer in range(model.sizes.n_layers):
        block = model.block_path(layer)
        path = f"{block}.{model.family.attention_out}"
        pattern = evidence.pattern(model, layer)
        if pattern.shape[:2] != (shape[0], shape[2]):
            raise InterventionError(f"attention has {pattern.shape[1]} heads, the sizes say {shape[2]}")
        values = alone[path].input.reshape(shape)
        predicted.append(torch.einsum("bhqk,bkhd->bqhd", pattern.double(), values.double()))
        found.append(evidence.seen[path].input.reshape(shape))
    return torch.stack(predicted), torch.stack(found)


def _residual(model: Model, evidence: Evidence) -> tuple[Tensor, Tensor]:
    """resid_pre + what attention adds + what the MLP adds = resid_post, each through its norm where it has one."""
    family = model.family
    sums, posts = [], []
    for layer in range(model.sizes.n_layers):
        block = model.block_path(layer)
        seen = evidence.seen
        pre, post = seen[block].input, seen[model.block_path(layer + 1)].input
        attention = seen[f"{block}.{family.post_attention_norm or family.attention_out}"].output
        mlp = seen[f"{block}.{family.post_mlp_norm or family.mlp_out}"].output
        sums.append(pre.double() + attention.double() + mlp.double().reshape(pre.shape))
        posts.append(post)
    return torch.stack(sums), torch.stack(posts)


def _mlp_reads(model: Model, evidence: Evidence) -> tuple[Tensor, Tensor]:
    """With another attention output, neurons change if and only if the rule says sequential.

    What is put in the attention output's place is as large as the stream. An MLP whose neurons are the same on all
    tokens reads nothing, so no rule can be told from it.
    """
    before, rng = plain(model, evidence), generator("proof", "attention output")
    sites = tuple(Site(kind="attn_out", layer=layer) for layer in range(model.sizes.n_layers))
    streams = [before.seen[model.block_path(site.layer)].input for site in sites]
    source = {
        site: torch.as_tensor(rng.standard_normal((*evidence.ids.shape, stream.shape[-1])))
        * (float(stream.double().square().mean().sqrt()) or 1.0)
        for site, stream in zip(sites, streams, strict=True)
    }
    after = held(model, before, Patch(sites=sites), source=source, patterns=False).seen
    changed, expected = [0.0], [0.0]
    for site in sites:
        path = f"{model.block_path(site.layer)}.{model.family.mlp_out}"
        neurons = before.seen[path].input.reshape(evidence.ids.numel(), -1)
        if not torch.equal(neurons, neurons[:1].expand_as(neurons)):
            changed.append(float(not torch.equal(neurons, after[path].input.reshape(neurons.shape))))
            expected.append(float(model.residual == "sequential"))
    return torch.tensor(changed), torch.tensor(expected)


def _edited_logits(model: Model, evidence: Evidence, intervention: Intervention) -> Tensor:
    mask = torch.ones(evidence.ids.shape, dtype=torch.bool)
    with applied(model, intervention, mask):
        return forward(model, evidence.ids)


def _one_per_layer(model: Model, kind: Kind) -> tuple[Site, ...]:
    """One head, neuron or stream of each layer."""
    rng = generator("proof", kind)
    sizes = model.sizes
    units = {"head": sizes.n_heads, "group": sizes.n_groups, "neuron": sizes.d_mlp}
    count = units[UNITS[kind]] if kind in UNITS else 0
    index = [int(rng.integers(count)) if count else None for _ in range(sizes.n_layers)]
    return tuple(Site(kind=kind, layer=layer, index=i) for layer, i in enumerate(index))


def _placebo(kind: Kind) -> Check:
    """Scale 1 = no hook, bit for bit."""

    def check(model: Model, evidence: Evidence) -> tuple[Tensor, Tensor]:
        expected = plain(model, evidence).logits
        found = evidence.once("placebo", lambda: _joint_placebo(model, evidence))
        if found is None or not torch.equal(found, expected):
            found = _edited_logits(model, evidence, Scale(sites=_one_per_layer(model, kind), alpha=1))
        return found, expected

    return check


def _joint_placebo(model: Model, evidence: Evidence) -> Tensor | None:
    """The logits with sites of all kinds scaled by 1; none where one of them cannot be edited."""
    kinds: list[Kind] = [kind for kind in KINDS if kind != "pattern" and not model.has(kind)]
    sites = [site for kind in kinds for site in _one_per_layer(model, kind)]
    try:
        return _edited_logits(model, evidence, Scale(sites=tuple(sites), alpha=1))
    except (InterventionError, RuntimeError, IndexError):  # which kind it is, each shows by itself
        return None


def _zeroed(kind: Literal["head", "neuron"]) -> Check:
    """Zeroing a head or neuron of each layer = zeroing its rows of the projection that reads it."""

    def check(model: Model, evidence: Evidence) -> tuple[Tensor, Tensor]:
        joint = evidence.once("zeroed", lambda: _joint_zeroed(model, evidence))
        return _without(model, evidence, (kind,)) if joint is None else joint

    return check


def _joint_zeroed(model: Model, evidence: Evidence) -> tuple[Tensor, Tensor] | None:
    """Heads and neurons together; none where they do not agree, so that each must show by itself."""
    try:
        found, expected = _without(model, evidence, ("head", "neuron"))
        return (found, expected) if _difference(found, expected) <= TOLERANCES[model.dtype] else None
    except (InterventionError, RuntimeError, IndexError):  # which kind it is, each shows by itself
        return None


def _without(model: Model, evidence: Evidence, kinds: Sequence[Kind]) -> tuple[Tensor, Tensor]:
    """The logits with one site of each kind zeroed in every layer, and with the rows that read it zeroed."""
    sites = tuple(site for kind in kinds for site in _one_per_layer(model, kind))
    weights: dict[str, Tensor] = {}
    for site in sites:
        place = model.place(site)
        weight, _ = weight_and_bias(place.module)
        width = weight.shape[0] // place.units
        keep = torch.ones(weight.shape[0], 1, dtype=weight.dtype)
        keep[place.index * width : (place.index + 1) * width] = 0
        weights[f"{place.path}.weight"] = weight * keep if is_conv1d(place.module) else (weight * keep).T
    with torch.inference_mode():
        expected = functional_call(model.module, weights, (evidence.ids,), {"use_cache": False}).logits
    return _edited_logits(model, evidence, Scale(sites=sites, alpha=0)), expected


CHECKS: dict[str, tuple[About, bool, Check]] = {
    "logits with hooks that only look = Hugging Face's": ("model", True, _idle),
    "final norm and unembedding of the last stream = logits": ("model", False, _readout),
    "sum of heads through W_O, plus bias = attention output": ("head", False, _sum_of_heads),
    "attention pattern times values = z, head by head": ("head", False, _pattern_times_values),
    "head scaled by 1 = no hook": ("head", True, _placebo("head")),
    "zeroed head = zeroed rows of W_O": ("head", False, _zeroed("head")),
    "neuron scaled by 1 = no hook": ("neuron", True, _placebo("neuron")),
    "zeroed neuron = zeroed column of the down projection": ("neuron", False, _zeroed("neuron")),
    "resid_pre + attention + MLP = resid_post": ("resid_pre", False, _residual),
    "the MLP reads what the residual rule says": ("resid_pre", True, _mlp_reads),
    "stream scaled by 1 = no hook": ("resid_pre", True, _placebo("resid_pre")),
    **{
        f"{kind} scaled by 1 = no hook": (kind, True, _placebo(kind))
        for kind in KINDS
        if kind not in ("head", "neuron", "resid_pre", "pattern")
    },
    **PLACE_CHECKS,
    **SITE_CHECKS,
}
