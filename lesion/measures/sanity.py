"""The sanity suite: what must hold on any loaded model, and on a model whose every answer is known.

On the model itself: silent heads leave the output bias of their layer; silent heads and neurons leave the read-out of
embedding and biases alone; scaling by 1 changes no bit. On the hand model, whose weights are written down: an
intervention that is known to matter must matter, and nothing else may. A check that cannot fail is none: the tests see
them fail.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from lesion.engine.batched.linear_kernels import weight_and_bias
from lesion.engine.hooks import applied, recorded
from lesion.engine.proof.prove import TOLERANCES
from lesion.identity import Document, generator
from lesion.interventions.intervention import Scale
from lesion.interventions.site import Site, head, neuron
from lesion.measures.heads.detection import detection
from lesion.measures.heads.pattern_scores import robust_induction
from lesion.measures.heads.qk_ov_circuits import run
from lesion.measures.heads.repeated_sequences import repeats
from lesion.models.device import on_processor, whole_copy
from lesion.models.model import Model

FOUND, QUIET = 0.99, 0.05
"""The planted head must score more, every other head less."""


class Check(Document):
    """One thing that must hold."""

    name: str
    """What was compared."""
    value: float
    """What came out: an error, a score or an accuracy."""
    limit: float
    """What it is held against."""
    holds: bool
    """Whether it holds."""
    expects: str = "at most"
    """`at most`, `less than` or `more than` the limit."""


def at_most(name: str, value: float, limit: float) -> Check:
    """A check of an error."""
    return Check(name=name, value=value, limit=limit, holds=value <= limit)


def model_checks(model: Model) -> Iterator[Check]:
    """Silent layers and the placebo, on random tokens of the loaded model."""
    ids = torch.as_tensor(generator("doctor").integers(0, model.sizes.vocab_size, (2, model.sizes.n_heads + 3)))
    tolerance = TOLERANCES[model.dtype]
    worst = max(_silent_heads(model, layer, ids) for layer in range(model.sizes.n_layers))
    yield at_most("all heads of a layer silent: its attention gives its output bias", worst, tolerance)
    yield at_most("all heads and neurons silent: norm(embedding + biases) W_U", _silent_model(model, ids), tolerance)
    for site in (head(model.sizes.n_layers - 1, 0), neuron(0, 0)):
        yield at_most(f"{site} scaled by 1: no bit changes", _placebo(model, site, ids), 0.0)


def _mask(ids: Tensor) -> Tensor:
    return torch.ones(ids.shape, dtype=torch.bool)


def _all_heads(model: Model, layer: int) -> tuple[Site, ...]:
    return tuple(head(layer, i) for i in range(model.sizes.n_heads))


def _silent_heads(model: Model, layer: int, ids: Tensor) -> float:
    path = f"{model.block_path(layer)}.{model.family.attention_out}"
    silent = Scale(sites=_all_heads(model, layer), alpha=0.0)
    with applied(model, silent, _mask(ids)), recorded(model, [path]) as seen:
        run(model, ids)
    _, bias = weight_and_bias(model.submodule(path))
    expected = torch.zeros(()) if bias is None else bias
    return float((seen[path].output.double() - expected.double()).abs().max())


def _silent_model(model: Model, ids: Tensor) -> float:
    """Largest difference of logits, over the largest logit, from the read-out of the embedding and all biases."""
    sizes, family = model.sizes, model.family
    layers = range(sizes.n_layers)
    sites = [site for layer in layers for site in _all_heads(model, layer)]
    sites += [neuron(layer, i) for layer in layers for i in range(sizes.d_mlp)]
    with recorded(model, [model.block_path(0)]) as seen:
        run(model, ids)
    stream = seen[model.block_path(0)].input
    for layer in layers:
        block = model.block_path(layer)
        for path, post in ((family.attention_out, family.post_attention_norm), (family.mlp_out, family.post_mlp_norm)):
            _, bias = weight_and_bias(model.submodule(f"{block}.{path}"))
            added = torch.zeros_like(stream) if bias is None else bias.expand_as(stream)
            with torch.inference_mode():
                stream = stream + (added if post is None else model.submodule(f"{block}.{post}")(added))
    with torch.inference_mode():
        expected = model.logits(stream)
    with applied(model, Scale(sites=tuple(sites), alpha=0.0), _mask(ids)):
        logits = run(model, ids)
    scale = float(expected.abs().max()) or 1.0
    return float((logits.double() - expected.double()).abs().max()) / scale


def _placebo(model: Model, site: Site, ids: Tensor) -> float:
    plain = run(model, ids)
    with applied(model, Scale(sites=(site,), alpha=1.0), _mask(ids)):
        edited = run(model, ids)
    return 0.0 if torch.equal(plain, edited) else float((plain - edited).abs().max())


def noise_floor(model: Model) -> float:
    """Largest difference of log-probabilities that is not an effect, nats: between rows run together and alone.

    In bfloat16 that may be nothing while every number is rounded to three digits, so there it is at least the largest
    difference from the same weights in float32, of which a copy is made.
    """
    ids = torch.as_tensor(generator("noise").integers(0, model.sizes.vocab_size, (8, 12)))
    together = _log_probs(model, ids)
    others = [torch.cat([_log_probs(model, row[None]) for row in ids])]
    if model.dtype == "bfloat16":
        with on_processor():
            whole = replace(model, module=whole_copy(model.module), dtype="float32")
            others.append(_log_probs(whole, ids.cpu()))
    return max(float((together.cpu() - other.cpu()).abs().max()) for other in others)


def _log_probs(model: Model, ids: Tensor) -> Tensor:
    return run(model, ids).double().log_softmax(-1)


def positive_control(model: Model, planted: Site) -> Iterator[Check]:
    """The planted induction head is found, no other is, and without it repeated blocks are answered by chance."""
    letters = np.arange(1, 33)
    scores = robust_induction(model.module, letters, 0)
    place = (planted.layer, planted.index or 0)
    others = [float(score) for where, score in np.ndenumerate(scores.numpy(force=True)) if where != place]
    score = float(scores[place])
    yield Check(name=f"{planted} is found", value=score, limit=FOUND, holds=score > FOUND, expects="more than")
    most = max(others)
    yield Check(name="no other head is", value=most, limit=QUIET, holds=most < QUIET, expects="less than")
    named = [str(found) for found in detection(model).named]
    yield at_most("heads named beside it", float(len(set(named) ^ {str(planted)})), 0.0)
    plain, silent = (_repeated_accuracy(model, sites) for sites in ((), (planted,)))
    yield Check(name="repeated blocks are answered", value=plain, limit=FOUND, holds=plain > FOUND, expects="more than")
    yield at_most(f"{planted} silent: answered by chance, 1/33 and three standard errors", silent, 1 / 33 + 0.03)


def _repeated_accuracy(model: Model, sites: tuple[Site, ...]) -> float:
    """Accuracy in the second copy; a tie gives its share, because without the head all logits are equal."""
    group = repeats(np.arange(1, 33), 0, 32, 0, 10, generator("doctor", "repeats"))
    if sites:
        with applied(model, Scale(sites=sites, alpha=0.0), _mask(group.ids)):
            logits = run(model, group.ids)
    else:
        logits = run(model, group.ids)
    query = torch.tensor(list(group.second))[:-1]
    read, wanted = logits[:, query], group.ids[:, query + 1]
    best = read == read.amax(-1, keepdim=True)
    return float((best.gather(2, wanted[..., None])[..., 0] / best.sum(-1)).double().mean())
