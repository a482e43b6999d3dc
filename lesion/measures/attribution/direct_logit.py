"""Direct logit attribution: every head's, neuron's and layer's own share of a logit, which add up to the logit.

1. In the unedited run, read at one position per row: z, neurons, the stream that enters block 0, and what the norms got
   and gave.
2. Freeze every norm between a part and the logits at its denominators of that run: the way there is then linear.
3. Pull the read-out direction (the answer's unembedding row, or answer minus wrong) back through the frozen norms; each
   part's share is its product with that direction.
4. Embedding, heads, neurons and every bias are summed and compared with the model's own logit, before any soft cap.

Elhage et al. 2021; "direct" is the path through the residual stream alone. The total effect of a head is the value
minus the value with that head zeroed and everything behind it recomputed.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from lesion.engine.batch import Batch
from lesion.engine.batched.linear_kernels import weight_and_bias
from lesion.engine.batched.memory import give_back
from lesion.engine.capture import Read, at, capture
from lesion.engine.select_engine import Engine
from lesion.errors import InputError
from lesion.identity import Document
from lesion.interventions.intervention import Scale
from lesion.interventions.site import Site, head
from lesion.measures.attribution.frozen_norm import FrozenNorm, freeze
from lesion.measures.attribution.target import Target, mean_interval, places, require_target, target_changes
from lesion.measures.heads.qk_ov_circuits import unembedding
from lesion.measures.prompt_set import Asked
from lesion.models.model import Model
from lesion.progress import track

DIRECT = 10
"""Heads with the largest direct effects whose total effect is measured, too."""
COMPLETE = {"float64": 1e-6, "float32": 1e-4, "bfloat16": 5e-2}
"""Largest completeness error over the largest absolute logit (or 1). Transformers' RMSNorm computes in float32 also in
a float64 model, so 1e-6 there; with LayerNorm it is below 1e-9."""


@dataclass(frozen=True, eq=False)
class Shares:
    """The parts of one batch's logits, float64; they add up to `total`."""

    heads: Float[Tensor, "batch layers heads"]
    neurons: Float[Tensor, "batch layers neurons"]
    attention_bias: Float[Tensor, "batch layers"]
    """Bias of the attention output and shift of the norm behind it: a layer's, not a head's."""
    mlp_bias: Float[Tensor, "batch layers"]
    embedding: Float[Tensor, "batch"]
    """The stream that enters block 0, positions included."""
    shift: Float[Tensor, "batch"]
    """Shift of the final norm through W_U, and the bias of the unembedding."""
    logit: Float[Tensor, "batch"]
    """The model's own, before any soft cap."""

    @property
    def total(self) -> Float[Tensor, "batch"]:
        """The sum of all parts."""
        layers = self.heads.sum((1, 2)) + self.neurons.sum((1, 2)) + self.attention_bias.sum(1) + self.mlp_bias.sum(1)
        return layers + self.embedding + self.shift

    @property
    def error(self) -> float:
        """Largest difference between sum and logit, over the largest absolute logit (or 1)."""
        return float((self.total - self.logit).abs().max() / max(1.0, float(self.logit.abs().max())))


def attribute(model: Model, batches: Sequence[Batch], target: Target = "logit_diff") -> Iterator[Shares]:
    """The shares of every part, batch by batch.

    Raises:
        InputError: for an unknown target.
        InterventionError: when a norm has no known form, or a module did not run.
    """
    require_target(target)
    bias = weight_and_bias(model.submodule(model.family.unembedding))[1]
    for seen in capture(model, batches, _reads(model, target), answers=True):
        yield _shares(model, seen.batch, seen.kept, target, bias)


def _reads(model: Model, target: Target) -> list[Read]:
    """Every module's read at the position that decides the target."""
    family = model.family
    here = at(lambda batch: batch.first + places(batch, target))
    reads = [
        Read("embedding", model.block_path(0), "input", here),
        Read("final in", family.final_norm, "input", here),
        Read("final out", family.final_norm, "output", here),
        Read("logits", family.unembedding, "output", at(lambda batch: places(batch, target))),
    ]
    for layer in range(model.sizes.n_layers):
        block = model.block_path(layer)
        reads += [
            Read(f"z {layer}", f"{block}.{family.attention_out}", "input", here),
            Read(f"neurons {layer}", f"{block}.{family.mlp_out}", "input", here),
        ]
        for name, path in (("attention", family.post_attention_norm), ("mlp", family.post_mlp_norm)):
            if path is not None:
                reads.append(Read(f"{name} norm in {layer}", f"{block}.{path}", "input", here))
                reads.append(Read(f"{name} norm out {layer}", f"{block}.{path}", "output", here))
    return reads


def _shares(model: Model, batch: Batch, kept: Mapping[str, Tensor], target: Target, bias: Tensor | None) -> Shares:
    row, place = torch.arange(len(batch.rows)), places(batch, target)
    right, wrong = batch.answer[row, place], batch.wrong[row, place]
    sign = 0.0 if target == "answer" else 1.0
    wanted = unembedding(model, right).T - sign * unembedding(model, wrong).T
    final = freeze(model.submodule(model.family.final_norm), kept["final in"], kept["final out"])
    pulled = final.adjoint(wanted)
    parts: dict[str, list[Tensor]] = {"heads": [], "neurons": [], "attention_bias": [], "mlp_bias": []}
    for layer in range(model.sizes.n_layers):
        heads, rest = _through(model, layer, "attention", kept, pulled)
        parts["heads"].append(heads.unflatten(1, (model.sizes.n_heads, -1)).sum(2))
        parts["attention_bias"].append(rest)
        neurons, rest = _through(model, layer, "mlp", kept, pulled)
        parts["neurons"].append(neurons)
        parts["mlp_bias"].append(rest)
    raw = kept["logits"].double()
    constant = torch.zeros(len(row), dtype=torch.float64)
    if bias is not None:
        constant = bias.double()[right] - sign * bias.double()[wrong]
    return Shares(
        **{name: torch.stack(found, 1) for name, found in parts.items()},
        embedding=(kept["embedding"].double() * pulled).sum(1),
        shift=wanted @ final.shift + constant,
        logit=raw[row, right] - sign * raw[row, wrong],
    )


def _through(
    model: Model, layer: int, name: Literal["attention", "mlp"], kept: Mapping[str, Tensor], pulled: Tensor
) -> tuple[Tensor, Tensor]:
    """Share of every column of a projection's input, (batch, columns), and of the constants behind it, (batch,)."""
    family, block = model.family, model.block_path(layer)
    path, post = (
        (family.attention_out, family.post_attention_norm)
        if name == "attention"
        else (family.mlp_out, family.post_mlp_norm)
    )
    weight, bias = weight_and_bias(model.submodule(f"{block}.{path}"))
    norm: FrozenNorm | None = None
    direction = pulled
    if post is not None:
        given, gave = kept[f"{name} norm in {layer}"], kept[f"{name} norm out {layer}"]
        norm = freeze(model.submodule(f"{block}.{post}"), given, gave)
        direction = norm.adjoint(pulled)
    columns = kept[f"{'z' if name == 'attention' else 'neurons'} {layer}"].double()
    rest = torch.zeros(len(pulled), dtype=torch.float64)
    if bias is not None:
        rest = direction @ bias.double()
    if norm is not None:
        rest = rest + pulled @ norm.shift
    return columns * (direction @ weight.double().T), rest


class Part(Document):
    """One part's share, over the items."""

    site: str
    """L5H1, L5N12, or `L5.attention_bias`, `L5.mlp_bias`, `embedding`, `shift`."""
    direct: float
    """Mean share of the target: the effect through the residual stream alone, norms frozen; logits."""
    low: float
    """Lower end of the 95 % interval of the mean over items."""
    high: float
    """Upper end."""
    total: float | None = None
    """Mean of the target minus the target with this head zeroed; null where it was not run."""
    total_low: float | None = None
    """Lower end."""
    total_high: float | None = None
    """Upper end."""


class Attribution(Document):
    """A target's decomposition over the items of a task."""

    target: Target
    """`logit_diff` (answer minus wrong where they first differ) or `answer` (the first answer token's logit)."""
    items: int
    """Items."""
    mean: float
    """Mean target, before any soft cap; the sum of all parts."""
    error: float
    """Completeness: largest difference between sum and logit over the largest absolute logit (or 1)."""
    tolerance: float
    """Largest error that is accepted."""
    capped: bool
    """Whether the model bends its logits afterwards (soft cap): shares are those of the logit before."""
    heads: tuple[Part, ...]
    """All heads by layer and number."""
    neurons: tuple[Part, ...]
    """The neurons with the largest absolute mean share."""
    others: tuple[Part, ...]
    """Embedding, biases and shifts."""
    layers: tuple[tuple[float, float], ...]
    """Mean share of each layer's attention and MLP, biases included."""

    @property
    def complete(self) -> bool:
        """Whether the parts add up to the logit."""
        return self.error <= self.tolerance


def attribution(
    engine: Engine,
    asked: Asked,
    target: Target = "logit_diff",
    neurons: int = 20,
    totals: Sequence[Site] | None = None,
) -> Attribution:
    """Direct effects of all parts and total effects of heads.

    Args:
        engine: the model and the way it is run.
        asked: the items.
        target: `logit_diff` or `answer`.
        neurons: how many of the largest neurons are listed.
        totals: heads whose total effect is measured, one edited run each, beside the `DIRECT` heads with the largest
            direct effects; None for all heads, and an empty list for none.

    Raises:
        InputError: for an unknown target, or fewer than two items.
        InterventionError: when a norm has no known form.
    """
    model = engine.model
    if len(asked.compiled) < 2:
        raise InputError("an interval over items needs at least two items")
    heads, direct = _direct(model, asked, target, neurons)
    give_back()
    total = total_effects(engine, asked, _measured(model, heads, totals), target)
    parts = [
        _part(str(site), heads[:, site.layer, site.index or 0].numpy(force=True), total.get(str(site)))
        for site in heads_of(model)
    ]
    cap = getattr(model.module.config, model.family.softcap, None) if model.family.softcap else None
    return Attribution(
        target=target,
        items=len(heads),
        tolerance=COMPLETE[model.dtype],
        capped=cap is not None,
        heads=tuple(parts),
        **direct,
    )


def _direct(model: Model, asked: Asked, target: Target, neurons: int) -> tuple[Tensor, dict[str, Any]]:
    """Each head's share by item, (items, layers, heads), and all that is said of the other parts."""
    shares = list(track(attribute(model, asked.batches, target), "direct effects", len(asked.batches)))
    heads, every = (torch.cat([getattr(s, name) for s in shares]) for name in ("heads", "neurons"))
    largest = every.mean(0).abs().flatten().topk(min(neurons, every[0].numel())).indices.tolist()
    where = [divmod(i, model.sizes.d_mlp) for i in largest]
    constants = [torch.cat([getattr(s, name) for s in shares]) for name in ("attention_bias", "mlp_bias")]
    layers = torch.stack([heads.sum(2) + constants[0], every.sum(2) + constants[1]]).mean(1).T
    return heads, {
        "mean": float(torch.cat([s.logit for s in shares]).mean()),
        "error": max(s.error for s in shares),
        "neurons": tuple(_part(f"L{layer}N{i}", every[:, layer, i].numpy(force=True), None) for layer, i in where),
        "others": tuple(_others(shares, constants)),
        "layers": tuple((float(a), float(m)) for a, m in layers),
    }


def _measured(model: Model, direct: Tensor, totals: Sequence[Site] | None) -> list[Site]:
    """The heads whose total effect is measured; `direct` is (items, layers, heads)."""
    if totals is None:
        return heads_of(model)
    largest = direct.mean(0).abs().flatten().topk(min(DIRECT, direct[0].numel())).indices.tolist() if totals else []
    chosen = {str(site) for site in [*totals, *(head(*divmod(place, model.sizes.n_heads)) for place in largest)]}
    return [site for site in heads_of(model) if str(site) in chosen]


def heads_of(model: Model) -> list[Site]:
    """All heads by layer and number."""
    return [head(layer, i) for layer in range(model.sizes.n_layers) for i in range(model.sizes.n_heads)]


def total_effects(
    engine: Engine, asked: Asked, sites: Sequence[Site], target: Target, alpha: float = 0.0
) -> dict[str, NDArray[np.float64]]:
    """The target minus the target with a site scaled by `alpha`, each site alone: (items,) by the site's name."""
    edits = [Scale(sites=(site,), alpha=alpha) for site in sites]
    changes = target_changes(engine, asked, edits, target, "exact effects")
    return {str(site): -row for site, row in zip(sites, changes, strict=True)}


def _others(shares: Sequence[Shares], constants: Sequence[Tensor]) -> Iterator[Part]:
    yield _part("embedding", torch.cat([s.embedding for s in shares]).numpy(force=True), None)
    yield _part("shift", torch.cat([s.shift for s in shares]).numpy(force=True), None)
    for name, table in zip(("attention_bias", "mlp_bias"), constants, strict=True):
        for layer in range(table.shape[1]):
            if bool(table[:, layer].any()):
                yield _part(f"L{layer}.{name}", table[:, layer].numpy(force=True), None)


def _part(site: str, direct: NDArray[np.float64], total: NDArray[np.float64] | None) -> Part:
    mean, low, high = mean_interval(direct)
    if total is None:
        return Part(site=site, direct=mean, low=low, high=high)
    whole, under, over = mean_interval(total)
    return Part(site=site, direct=mean, low=low, high=high, total=whole, total_low=under, total_high=over)
