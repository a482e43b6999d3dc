"""What a head writes and looks for, read from its weights: OV and QK circuits, copying, composition.

Row vectors throughout. W_V is not looked up but measured: with a single token attention is the identity, so the head's
z is W_V's row for each unit vector that its attention module is given. W_Q and W_K come from the projections, in one of
three layouts, and the layout counts only if its value part is the W_V that was measured. Elhage et al. 2021, "A
Mathematical Framework for Transformer Circuits".
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lesion.engine.batched.linear_kernels import weight_and_bias
from lesion.engine.hooks import Edit, edited, entering_stream, recorded
from lesion.errors import InterventionError
from lesion.identity import generator
from lesion.measures.attribution.frozen_norm import FrozenNorm, freeze
from lesion.models.model import Model

ROWS = 256
"""Single tokens in one forward pass."""
NOTHING = 1e-6
"""A matrix smaller than this share of what its factors allow counts as zero."""


@dataclass(frozen=True, eq=False)
class Circuits:
    """The weights of all heads, float64, gains of the norms before and behind attention folded in."""

    values: Float[Tensor, "layers heads d_model d_head"]
    """W_V, reading the stream."""
    outputs: Float[Tensor, "layers heads d_head d_model"]
    """W_O, writing to the stream."""
    queries: Float[Tensor, "layers heads d_model d_head"] | None
    """W_Q without rotation; None where the projections have a layout that is not known."""
    keys: Float[Tensor, "layers heads d_model d_head"] | None
    """W_K without rotation, one per query head."""
    note: str
    """What the numbers leave out: rotation, norms on queries and keys, or an unknown layout."""


def circuits(model: Model) -> Circuits:
    """Measure or read the weights of all heads.

    Raises:
        InterventionError: when a norm of the model has no known form.
    """
    raw = _values(model)
    norms = [_norms(model, layer) for layer in range(model.sizes.n_layers)]
    before = [norm for norm, _ in norms]
    shape = (model.sizes.n_heads, model.sizes.d_head, model.sizes.d_model)
    outputs: list[Tensor] = []
    for layer, (_, after) in enumerate(norms):
        weight, _ = weight_and_bias(model.submodule(f"{model.block_path(layer)}.{model.family.attention_out}"))
        folded = weight.double() if after is None else after.fold(weight.double())
        outputs.append(folded.reshape(shape))
    looked = [_queries_and_keys(model, layer, raw[layer]) for layer in range(model.sizes.n_layers)]
    known = all(pair is not None for pair in looked)
    pairs = [pair for pair in looked if pair is not None]
    return Circuits(
        values=torch.stack([_folded(w, norm) for w, norm in zip(raw, before, strict=True)]),
        outputs=torch.stack(outputs),
        queries=torch.stack([_folded(q, norm) for (q, _), norm in zip(pairs, before, strict=True)]) if known else None,
        keys=torch.stack([_folded(k, norm) for (_, k), norm in zip(pairs, before, strict=True)]) if known else None,
        note=_note(model) if known else "queries and keys have a layout that is not known here",
    )


def _folded(weight: Tensor, norm: FrozenNorm | None) -> Tensor:
    """(heads, d_model, d_head) with the gain and centring of the norm before it."""
    return weight if norm is None else norm_adjoint(weight, norm)


def norm_adjoint(weight: Tensor, norm: FrozenNorm) -> Tensor:
    """A matrix that reads the normed stream, (..., d_model, any), as one that reads the stream, denominator apart."""
    pulled = weight * norm.gain[:, None]
    return pulled - pulled.mean(-2, keepdim=True) if norm.centred else pulled


def _note(model: Model) -> str:
    attention = _attention(model, 0)
    parts = ["rotation"] if any("rotary" in name for name in _module_names(model)) else []
    parts += ["norms on queries and keys"] if hasattr(attention, "q_norm") else []
    return f"without {' and '.join(parts)}" if parts else ""


def _module_names(model: Model) -> list[str]:
    rotary = ["rotary"] if getattr(model.module.config, "rotary_dim", None) else []
    return [name for name, _ in model.module.named_modules() if "rotary" in name.rsplit(".", 1)[-1]] + rotary


def _attention(model: Model, layer: int) -> Any:
    """The attention module: the parent of its output projection."""
    path = model.family.attention_out.rpartition(".")[0]
    return model.submodule(f"{model.block_path(layer)}.{path}")


def _values(model: Model) -> list[Tensor]:
    """W_V of each layer, (heads, d_model, d_head), from unit vectors given to the attention modules."""
    sizes = model.sizes
    paths = [f"{model.block_path(layer)}.{model.family.attention_out}" for layer in range(sizes.n_layers)]
    units = torch.cat([torch.eye(sizes.d_model), torch.zeros(1, sizes.d_model)]).to(
        next(model.module.parameters()).dtype
    )
    rows: list[list[Tensor]] = [[] for _ in paths]
    for chunk in units.split(ROWS):
        with ExitStack() as stack:
            for layer in range(sizes.n_layers):
                stack.enter_context(edited(_attention(model, layer), _always(chunk[:, None])))
            seen = stack.enter_context(recorded(model, paths))
            run(model, torch.zeros(len(chunk), 1, dtype=torch.long))
            for layer, path in enumerate(paths):
                rows[layer].append(seen[path].input.reshape(len(chunk), sizes.n_heads, sizes.d_head).double())
    stacked = [torch.cat(parts) for parts in rows]
    return [(table[:-1] - table[-1]).movedim(0, 1) for table in stacked]


def _always(given: Tensor) -> Edit:
    """An edit that puts `given` in place of whatever comes."""

    def edit(_: Tensor) -> Tensor:
        return given

    return edit


def run(model: Model, ids: Tensor) -> Tensor:
    """One plain forward pass without gradients; the logits."""
    with torch.inference_mode():
        return model.module(ids, use_cache=False).logits


def _norms(model: Model, layer: int) -> tuple[FrozenNorm | None, FrozenNorm | None]:
    """The norms before and behind attention, None where there is none; found by what they give, not by name."""
    block, family = model.block_path(layer), model.family
    attention = f"{block}.{family.attention_out.rpartition('.')[0]}"
    children = [name for name, child in model.block(layer).named_children() if _is_norm(child)]
    paths = [block, attention, *(f"{block}.{name}" for name in children)]
    rng = generator("norms", layer)
    ids = torch.as_tensor(rng.integers(0, model.sizes.vocab_size, (1, 8)))
    with recorded(model, paths) as seen:
        run(model, ids)
    reads = seen[attention].input
    feeding = [f"{block}.{name}" for name in children if torch.equal(_tensor(seen[f"{block}.{name}"].output), reads)]
    if not feeding and not torch.equal(reads, seen[block].input):
        raise InterventionError(f"{model.family.architecture}: no norm of block {layer} feeds its attention")
    before = freeze(model.submodule(feeding[0]), seen[feeding[0]].input, seen[feeding[0]].output) if feeding else None
    if family.post_attention_norm is None:
        return before, None
    path = f"{block}.{family.post_attention_norm}"
    return before, freeze(model.submodule(path), seen[path].input, seen[path].output)


def _is_norm(module: nn.Module) -> bool:
    return "norm" in type(module).__name__.lower()


def _tensor(value: Any) -> Tensor:
    return value[0] if isinstance(value, tuple) else value


def _queries_and_keys(model: Model, layer: int, values: Tensor) -> tuple[Tensor, Tensor] | None:
    """W_Q and W_K, each (heads, d_model, d_head), or None for a layout that is not known."""
    family, heads, size = model.family, model.sizes.n_heads, model.sizes.d_head

    def cut(path: str) -> Tensor:
        weight, _ = weight_and_bias(model.submodule(f"{model.block_path(layer)}.{path}"))
        return weight.double().unflatten(1, (-1, size)).movedim(1, 0)  # (outputs / d_head, d_model, d_head)

    if family.fused == "separate":
        attention = _attention(model, layer)  # the projections themselves: the family's path may be a norm behind one
        if not all(hasattr(attention, f"{part}_proj") for part in "qkv"):
            return None
        parent = family.values.rpartition(".")[0]
        q, k, v = (cut(f"{parent}.{part}_proj") for part in "qkv")
    else:
        fused = cut(family.queries)
        groups = (len(fused) - heads) // 2
        if family.fused == "stacked":
            q, k, v = fused[:heads], fused[heads : heads + groups], fused[heads + groups :]
        else:
            grouped = fused.unflatten(0, (groups, -1))
            q, k, v = grouped[:, :-2].flatten(0, 1), grouped[:, -2], grouped[:, -1]
    repeat = heads // len(k)
    k, v = k.repeat_interleave(repeat, 0), v.repeat_interleave(repeat, 0)
    same = v.shape == values.shape and float((v - values).abs().max()) <= 1e-3 * float(values.abs().max())
    return (q, k) if same else None


@dataclass(frozen=True, eq=False)
class Ends:
    """What a token puts into the stream and what its logit reads, for the tokens that circuits are read on."""

    tokens: Tensor
    """Ids, (tokens,)."""
    embedding: Float[Tensor, "tokens d_model"]
    """W_E."""
    effective: Float[Tensor, "tokens d_model"]
    """W_E + MLP0(W_E): what later layers meet; W_E plus the first block's output with its heads silent."""
    unembedding: Float[Tensor, "d_model tokens"]
    """W_U with the final norm's gain folded in, centred over the tokens."""


def ends(model: Model, most: int = 32_768) -> Ends:
    """Embedding and unembedding of all tokens, or of `most` of them, drawn, where there are more."""
    size = model.sizes.vocab_size
    tokens = torch.arange(size)
    if size > most:
        tokens = torch.as_tensor(generator("circuit tokens", size).choice(size, most, replace=False)).sort().values
    plain, later = zip(*(_embedded(model, chunk) for chunk in tokens.split(ROWS)), strict=True)
    weight = unembedding(model, tokens)
    norm = final_norm(model)
    folded = norm_adjoint(weight, norm)
    return Ends(tokens, torch.cat(plain), torch.cat(later), folded - folded.mean(1, keepdim=True))


def unembedding(model: Model, tokens: Tensor | None = None) -> Tensor:
    """From the normed stream to logits, (d_model, tokens), float64; a projection in between is multiplied in.

    Args:
        model: whose.
        tokens: ids; the columns of all tokens by default, which take twice the memory of float32's.
    """
    weight = weight_and_bias(model.submodule(model.family.unembedding))[0]
    weight = (weight if tokens is None else weight[:, tokens]).double()
    if model.family.after_norm is None:
        return weight
    parent, _, name = model.family.after_norm.rpartition(".")
    projection = getattr(model.submodule(parent), name)
    return weight if projection is None else weight_and_bias(projection)[0].double() @ weight


def final_norm(model: Model) -> FrozenNorm:
    """The final norm on eight random tokens."""
    ids = torch.as_tensor(generator("final norm").integers(0, model.sizes.vocab_size, (1, 8)))
    path = model.family.final_norm
    with recorded(model, [path]) as seen:
        run(model, ids)
    return freeze(model.submodule(path), seen[path].input, seen[path].output)


def _embedded(model: Model, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Embedding and effective embedding of tokens, without what only depends on the position."""
    ids = tokens[:, None]
    entering = entering_stream(model, ids)[:, 0].clone()
    rows: Tensor = model.submodule(model.family.embedding)(ids)[:, 0].detach()
    if rows.shape == entering.shape:
        rest = entering - rows
        if float((rest - rest[0]).abs().max()) <= 1e-5 * float(entering.abs().max()):
            entering = rows  # the rest is the position's, the same for every token
    block = model.block(0)
    output = model.submodule(f"{model.block_path(0)}.{model.family.attention_out}")
    following = model.block_path(1)
    with (
        edited(block, lambda _: entering[:, None]),
        edited(output, torch.zeros_like),
        recorded(model, [following]) as seen,
    ):
        run(model, ids)
    return entering.double(), seen[following].input[:, 0].double()


def positivity(values: Tensor, outputs: Tensor, between: Tensor) -> float | None:
    """Eigenvalue positivity of one head's OV circuit, sum Re(l) / sum |l|, in -1 … 1; None for a circuit that is zero.

    Args:
        values: W_V, (d_model, d_head).
        outputs: W_O, (d_head, d_model).
        between: W_U W_E, (d_model, d_model); the small matrix W_O W_U W_E W_V has all non-zero eigenvalues of the full
            one, W_E W_V W_O W_U (cyclic permutation).
    """
    small = outputs @ between @ values
    size = torch.linalg.eigvals(small)
    total = float(size.abs().sum())
    bound = float(outputs.norm() * between.norm() * values.norm())
    return None if total <= NOTHING * bound or bound == 0 else float(size.real.sum()) / total


def copies_among(values: Tensor, outputs: Tensor, given: Ends, rows: Tensor, layer: int, k: int = 5) -> float | None:
    """Share of tokens v whose row of the full OV circuit has v among its k largest; None for a circuit that is zero."""
    embedded = given.embedding if layer == 0 else given.effective
    raised = embedded[rows] @ values @ outputs @ given.unembedding
    if float(raised.abs().max()) <= NOTHING * float(embedded.abs().max() * given.unembedding.abs().max()):
        return None
    best = raised.topk(min(k, raised.shape[1]), dim=1).indices
    return float((best == rows[:, None]).any(1).double().mean())


def composition(read: Circuits, draws: int = 8) -> dict[str, Float[Tensor, "layers heads layers heads"]]:
    """Q-, K- and V-composition of every head with every head of a later layer, NaN elsewhere.

    ||A B||_F / (||A||_F ||B||_F) with A = W_OV of the earlier head and B = W_QK, its transpose, or W_OV of the later
    one, minus the mean of the same number for Gaussian matrices of these shapes. A perfect one-to-one pair of rank r
    gives 1 / sqrt(r) before that, not 1.

    Raises:
        InterventionError: when the layout of queries and keys is not known.
    """
    if read.queries is None or read.keys is None:
        raise InterventionError(f"composition cannot be read: {read.note}")
    right = {"q": (read.queries, read.keys), "k": (read.keys, read.queries), "v": (read.values, read.outputs.mT)}
    layers, heads, d_model, d_head = read.values.shape
    base = _gaussian(d_model, d_head, draws)
    scores: dict[str, Tensor] = {}
    for name, (first, second) in right.items():
        table = torch.full((layers, heads, layers, heads), torch.nan, dtype=torch.float64)
        for i in range(layers):
            for j in range(i + 1, layers):
                parts = (read.values[i], read.outputs[i], first[j], second[j])
                table[i, :, j] = _strength(*parts) - base
        scores[name] = table
    return scores


def _strength(value: Tensor, output: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """||V O F S^T|| / (||V O|| ||F S^T||) for all pairs, (left heads, right heads); 0 where a factor is zero."""
    gram_v, gram_s = value.mT @ value, second.mT @ second
    middle = torch.einsum("aod,bdf->abof", output, first)
    squared = torch.einsum("aop,abpf,bfg,abog->ab", gram_v, middle, gram_s, middle)
    left = torch.einsum("aop,apd,aod->a", gram_v, output, output)
    right = torch.einsum("bfg,bdf,bdg->b", gram_s, first, first)
    size = (left[:, None] * right[None]).sqrt()
    return torch.where(size > 0, squared.clamp_min(0).sqrt() / size.clamp_min(1e-300), 0.0)


def _gaussian(d_model: int, d_head: int, draws: int) -> float:
    """The mean strength of random circuits of these shapes."""
    rng = generator("composition", d_model, d_head)

    def drawn() -> Tensor:
        return torch.as_tensor(rng.standard_normal((draws, d_model, d_head)))

    return float(_strength(drawn(), drawn().mT, drawn(), drawn()).mean())
