"""Greedy search for a small set: nodes are replaced one after another, those that were stay replaced.

Single effects hide backups: of two heads that can each do the work, either alone costs nothing. Pruning sees them,
since the first is gone when the second is tried. Nodes are tried in a fixed order, the weakest single effect first; a
node stays replaced if f falls by at most `tolerance`, which is fixed beforehand. One pass over all nodes, then the
search ends: as many sets as nodes. What it finds depends on the order where nodes can stand in for each other.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from collections.abc import Mapping

import numpy as np

from lesion.engine.select_engine import Engine
from lesion.errors import InputError
from lesion.identity import Document
from lesion.interventions.site import Site
from lesion.measures.attribution.target import Target, edited_values
from lesion.measures.circuits.faithfulness import require_way
from lesion.measures.circuits.nodes import all_nodes, kept_values
from lesion.measures.effects.ablation import Ablation
from lesion.measures.prompt_set import Asked
from lesion.progress import stage, unshown


class Pruning(Document):
    """A set that a greedy search kept."""

    tolerance: float
    """Fall of f that taking one node out may cost."""
    kept: tuple[str, ...]
    """The nodes that stayed."""
    faithfulness: float
    """f of the set on the items that it was found with; measure it again on others."""
    sets: int
    """Sets that were tried, the cost of the search: each is a forward pass of all items (and draws)."""


def prune(
    engine: Engine,
    asked: Asked,
    effects: Mapping[Site, float],
    how: Ablation,
    target: Target = "logit_diff",
    tolerance: float = 0.01,
) -> Pruning:
    """Take nodes out, the weakest single effect first, while f holds.

    Args:
        engine: the model and the way it is run.
        asked: the items that decide; faithfulness is to be measured on others.
        effects: single effects of all nodes, which give the order.
        how: what replaces nodes.
        target: what is read.
        tolerance: how far f may fall for each node that is taken out; 0 to 1.

    Raises:
        InputError: for a tolerance out of range, or when model and empty model do not differ.
        InterventionError: for an item whose activations cannot be replaced so.
    """
    if not 0 <= tolerance <= 1:
        raise InputError(f"the tolerance is a share of the way, 0 to 1, not {tolerance:g}")
    nodes = all_nodes(engine.model.sizes)
    both = kept_values(engine, asked, [frozenset(nodes), frozenset()], how, target, "both ends")
    require_way(both)
    model, empty = both.mean(1)
    replaced: tuple[Site, ...] = ()
    share = 1.0
    with stage("pruning", len(nodes)) as advance, unshown():
        for node in sorted(nodes, key=lambda node: abs(effects[node])):
            edits = list(how.make((*replaced, node)))
            left = float(edited_values(engine, asked, edits, target, "one set", how.library).mean())
            tried = float((left - empty) / (model - empty))
            if tried >= share - tolerance:
                replaced, share = (*replaced, node), tried
            advance()
    return Pruning(
        tolerance=tolerance,
        kept=tuple(str(node) for node in nodes if node not in set(replaced)),
        faithfulness=float(np.round(share, 12)),
        sets=len(nodes) + 2,
    )
