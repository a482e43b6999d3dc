"""The nodes of a model, and what a set of them leaves when it alone is kept.

A node is a head (its z) or an MLP (what it adds to the stream, `L5.mlp_out`). The embeddings and the unembedding are no
nodes: they are always there.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from lesion.engine.select_engine import Engine
from lesion.errors import InputError
from lesion.interventions.site import Site, head
from lesion.measures.attribution.target import Target, edited_values, target_values
from lesion.measures.effects.ablation import Ablation
from lesion.measures.prompt_set import Asked
from lesion.models.sizes import Sizes

Numbers = NDArray[np.float64]


def all_nodes(sizes: Sizes) -> tuple[Site, ...]:
    """Every head and every MLP, by layer: heads first, then the layer's MLP where it has neurons."""
    nodes: list[Site] = []
    for layer in range(sizes.n_layers):
        nodes += [head(layer, index) for index in range(sizes.n_heads)]
        nodes += [Site(kind="mlp_out", layer=layer)] if sizes.d_mlp else []
    return tuple(nodes)


def require_nodes(sizes: Sizes, sites: Iterable[Site]) -> frozenset[Site]:
    """The sites as a set of nodes.

    Raises:
        InputError: when one is neither a head nor an MLP's output.
        InterventionError: when the model lacks one.
    """
    known = frozenset(all_nodes(sizes))
    kept = frozenset(sites)
    for site in sorted(kept - known, key=str):
        sizes.check(site)
        raise InputError(f"{site} is no node of a circuit: name heads (L5H1) and MLPs (L5.mlp_out)")
    return kept


def in_order(sizes: Sizes, nodes: Iterable[Site]) -> tuple[Site, ...]:
    """Nodes in the order of `all_nodes`, each once."""
    known = frozenset(nodes)
    return tuple(node for node in all_nodes(sizes) if node in known)


def kept_values(
    engine: Engine, asked: Asked, sets: Sequence[frozenset[Site]], how: Ablation, target: Target, words: str
) -> Numbers:
    """The target of every item when one set of nodes alone is kept and every other node is replaced.

    Args:
        engine: the model and the way it is run.
        asked: the items.
        sets: sets of nodes that are kept, one after another.
        how: what replaces the others; its several draws are averaged.
        target: what is read.
        words: what the progress bar says.

    Returns:
        (sets, items), logits.

    Raises:
        InterventionError: for an item whose activations cannot be replaced so.
    """
    nodes = all_nodes(engine.model.sizes)
    outside = [tuple(node for node in nodes if node not in kept) for kept in sets]
    edits = [list(how.make(replaced)) if replaced else [] for replaced in outside]
    flat = [edit for several in edits for edit in several]
    told = iter(edited_values(engine, asked, flat, target, words, how.library) if flat else [])
    base = target_values(engine, asked, target) if not all(edits) else None
    return np.array([np.mean([next(told) for _ in made], axis=0) if made else base for made in edits])
