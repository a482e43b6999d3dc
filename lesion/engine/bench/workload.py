"""The pieces of work that speed is measured on, and the arithmetic that they cannot do without.

W1: every head of a GPT-2-small shape with alpha in {0, .5, 2} on 32 prompts of 56 tokens, 48 of them shared. W2: the
same on a small model with 256 prompts. W3: 256 single neurons zeroed on W1's model. Weights and tokens are random and
seeded; nothing here looks at a clock.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch

from lesion.engine.batch import Batch, batches
from lesion.engine.batched.block_copies import shares_prefixes
from lesion.engine.batched.forward_pass import WIDE
from lesion.engine.batched.last_layer_attention import Ending
from lesion.engine.batched.linear_kernels import weight_and_bias
from lesion.engine.batched.norm_consumers import Read, find
from lesion.engine.batched.token_trie import apart, trie
from lesion.identity import generator
from lesion.interventions.intervention import Intervention, Positions, Scale
from lesion.interventions.site import Site, head, neuron
from lesion.models.families import Family, family_named
from lesion.models.model import Model, random_model
from lesion.tasks.tokenizers.prompt_contract import Compiled

Work = Literal["W1", "W2", "W3", "R1"]


class Shape(NamedTuple):
    """The size of a piece of work."""

    layers: int
    heads: int
    width: int
    vocabulary: int
    prompts: int
    prompt: int = 56
    shared: int = 48


SHAPES: Mapping[Work, Shape] = {
    "W1": Shape(12, 12, 768, 50_257, 32),
    "W2": Shape(4, 4, 128, 64, 256),
    "W3": Shape(12, 12, 768, 50_257, 32),
    "R1": Shape(16, 32, 2048, 128_256, 64, prompt=32, shared=18),
}


class Workload(NamedTuple):
    """One piece of work, ready to run."""

    shape: Shape
    model: Model
    batch: Batch
    wanted: list[Scale]
    """The interventions, by layer."""


def workload(
    family: str, work: Work, *, positions: Positions = "all", shared: int | None = None, grow: int = 1, share: int = 1
) -> Workload:
    """Make one piece of work.

    Args:
        family: row of the table of architectures.
        work: which.
        positions: where the interventions act.
        shared: length of the shared prefix, where it is not the work's own.
        grow: how many times the work's prompts.
        share: take every `share`-th intervention only.
    """
    row, shape = family_named(family), SHAPES[work]
    shape = shape._replace(prompts=shape.prompts * grow, shared=shape.shared if shared is None else shared)
    model = random_model(row, _arguments(row, shape), shape.vocabulary)
    return Workload(shape, model, _batch(shape), _interventions(work, model, positions)[::share])


def floor(model: Model, batch: Batch, wanted: Sequence[Intervention], ending: Ending | None) -> float:
    """Operations (2 per multiply-add) of the matrix products that the algorithm needs, clean run included.

    Per block: all its weights on every token that is run, attention scores, and in the last block only keys and values
    on every token and the rest on the read ones, or less where its attention goes over the stream (`ending`). An
    intervention's own block needs its MLP alone where the MLP reads the edited stream, and nothing otherwise. The first
    products behind the edit count for nothing where they follow from a small one (`readers`).
    """
    reads_of = find(model) if model.sizes.d_model >= WIDE and model.dtype != "bfloat16" else []
    sizes, block = model.sizes, model.block(0)
    matrices = sum(p.numel() for p in block.parameters() if p.ndim == 2)
    out = sizes.n_heads * sizes.d_head * sizes.d_model
    attention = block.get_submodule(model.family.attention_out.rpartition(".")[0])
    into = sum(p.numel() for p in attention.parameters() if p.ndim == 2) - out
    mlp = matrices - into - out
    share = shares_prefixes(model)
    full = trie(batch.inputs, batch.first) if share else apart(batch.inputs, batch.first)
    reads = len(full.read)
    total = 2.0 * matrices * full.tokens * sizes.n_layers
    for one in wanted:
        mask = batch.mask(one.positions)
        layout = full.late(int(torch.nonzero(mask.any(0))[0])) if share else full
        pairs = sum(level.count * level.width * level.stop for level in layout.run)
        scores = 4 * sizes.n_heads * sizes.d_head * pairs
        site = one.sites[0]
        above = sizes.n_layers - 1 - site.layer
        start = mlp if site.kind == "head" and model.residual == "sequential" else 0
        total += 2.0 * start * (layout.tokens if above else reads)
        if isinstance(one, Scale) and full.start == layout.start:
            total -= 2.0 * _spared(model, site, reads_of) * layout.tokens
        total += max(0, above - 1) * (2.0 * matrices * layout.tokens + scores)
        if above:
            keys = into - out
            total += 2.0 * keys * layout.tokens + 2.0 * (matrices - keys) * reads
            total += 4 * sizes.n_heads * sizes.d_head * reads * layout.length
            total -= 2.0 * ending.spared(layout) if ending is not None else 0
        total += 2.0 * sizes.d_model * sizes.vocab_size * reads
    return total


def plain_operations(model: Model, batch: Batch, *, late: bool = False) -> float:
    """Operations (2 per multiply-add) of the matrix products in one whole forward pass of a batch.

    Args:
        model: the model.
        batch: the rows, none of them shared.
        late: whether logits are made at the answer positions only.
    """
    sizes, (rows, length) = model.sizes, batch.inputs.shape
    matrices = sum(p.numel() for p in model.block(0).parameters() if p.ndim == 2)
    pairs = length * length  # plain attention makes the masked scores too
    block = 2.0 * matrices * length + 4 * sizes.n_heads * sizes.d_head * pairs
    read = length - batch.first if late else length
    return rows * (sizes.n_layers * block + 2.0 * sizes.d_model * sizes.vocab_size * read)


def _spared(model: Model, site: Site, reads: Sequence[Sequence[Read]]) -> int:
    """Weights of the first products behind an edit, which are not made where a small product tells their outcome."""
    sequential = site.kind == "head" and model.residual == "sequential"
    layer, of = (site.layer, "middle") if sequential else (site.layer + 1, "stream")
    post = model.family.post_mlp_norm is not None and site.kind == "neuron"
    if not reads or post or layer >= model.sizes.n_layers - 1:
        return 0
    paths = [f"{model.block_path(layer)}.{path}" for read in reads[layer] if read.of == of for path in read.readers]
    return sum(weight_and_bias(model.submodule(path))[0].numel() for path in paths)


def _arguments(family: Family, shape: Shape) -> dict[str, Any]:
    """The config's arguments for a shape: the family's tiny ones with other sizes; grouped heads stay grouped."""
    arguments = dict(family.tiny)
    sizes = {
        family.n_layers[0]: shape.layers,
        family.n_heads[0]: shape.heads,
        family.d_model[0]: shape.width,
        **({family.max_positions[0]: 1024} if family.max_positions else {}),
        **({"num_key_value_heads": shape.heads // 4} if "num_key_value_heads" in arguments else {}),
        **({"head_dim": shape.width // shape.heads} if "head_dim" in arguments else {}),
        **({family.d_mlp[0]: 4 * shape.width} if family.d_mlp and family.d_mlp[0] in arguments else {}),
        **({"sliding_window": 4096} if "sliding_window" in arguments else {}),
        **({"query_pre_attn_scalar": shape.width // shape.heads} if "query_pre_attn_scalar" in arguments else {}),
    }
    arguments.pop("layer_types", None)
    if "attention_types" in arguments:
        sizes |= {"attention_types": [[["global", "local"], shape.layers // 2]], "window_size": 256}
    return {**arguments, **sizes}


def _batch(shape: Shape) -> Batch:
    rng = generator("bench", shape.prompts, shape.prompt, shape.shared)
    rows = rng.integers(1, shape.vocabulary, size=(shape.prompts, shape.prompt + 2))
    rows[:, : shape.shared] = rows[0, : shape.shared]
    # the last column is the twin's answer
    items = [Compiled(tuple(row[:-1]), {}, (row[-2],), (row[-1],), shape.prompt, None) for row in rows.tolist()]
    return batches(items, len(items))[0]


def _interventions(work: Work, model: Model, positions: Positions) -> list[Scale]:
    layers = range(model.sizes.n_layers)
    if work == "W3":
        rng = generator("bench", "neurons")
        sites = [neuron(i * len(layers) // 256, int(rng.integers(model.sizes.d_mlp))) for i in range(256)]
        return [Scale(sites=(site,), alpha=0, positions=positions) for site in sites]
    sites = [head(layer, index) for layer in layers for index in range(model.sizes.n_heads)]
    factors = (0.0, 2.0) if work == "R1" else (0.0, 0.5, 2.0)
    return [Scale(sites=(site,), alpha=alpha, positions=positions) for site in sites for alpha in factors]
