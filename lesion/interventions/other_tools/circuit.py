"""A circuit that EAP-IG wrote as JSON, read as the set of sites that are in it.

The format is that of `Graph.to_json` and `Graph.from_json` in src/eap/graph.py of github.com/hannamw/EAP-IG: `cfg`
(sizes), `nodes` (a name and whether it is in the graph) and `edges`. Scores and edges have no counterpart here and are
not read, so a set of sites says less than the graph did. `input` and `logits` are the ends of every graph and no sites.
"""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lesion.errors import InputError
from lesion.interventions.site import Site, parse_site

_ENDS = ("input", "logits")


class Lenient(BaseModel):
    """Part of a document that another tool writes: it may hold more than is read here."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Sizes(Lenient):
    """The sizes of the model that a graph is of."""

    n_layers: int = Field(ge=1)
    n_heads: int = Field(ge=1)


class _Node(Lenient):
    in_graph: bool = Field(strict=True)
    neurons: tuple[bool | float, ...] | None = None
    """Which dimensions of what the node writes are in the graph; none: all."""


class _Graph(Lenient):
    cfg: Sizes
    nodes: Mapping[str, bool | _Node]
    edges: Mapping[str, object]


def is_circuit(document: Mapping[str, object]) -> bool:
    """Whether a JSON document has the keys of EAP-IG's graph."""
    return {"cfg", "nodes", "edges"} <= document.keys()


def circuit_sites(text: str) -> tuple[Site, ...]:
    """The heads and MLPs that are in a graph, in its order.

    Raises:
        InputError: when it is no such graph, a node in it is not of its model or in it by some dimensions only, or no
            node is in it.
    """
    try:
        graph = _Graph.model_validate_json(text)
    except ValidationError as error:
        told = error.errors()[0]
        raise InputError(f"no graph of EAP-IG: {'.'.join(map(str, told['loc']))}: {told['msg']}") from error
    found = tuple(
        _site(name, node, graph.cfg) for name, node in graph.nodes.items() if name not in _ENDS and _inside(node)
    )
    if not found:
        raise InputError(
            "this graph of EAP-IG has no head and no MLP in it: apply_topn or apply_threshold puts some there"
        )
    return found


def _inside(node: bool | _Node) -> bool:
    return node if isinstance(node, bool) else node.in_graph


def _site(name: str, node: bool | _Node, sizes: Sizes) -> Site:
    site = parse_site(name)
    if site.kind not in ("head", "mlp_out") or site.layer >= sizes.n_layers or (site.index or 0) >= sizes.n_heads:
        raise InputError(
            f"'{name[:40]}' is no node of a model of {sizes.n_layers} layers with {sizes.n_heads} heads, counted from 0"
        )
    some = [] if isinstance(node, bool) or node.neurons is None else list(node.neurons)
    if not all(some):
        raise InputError(
            f"{name} is in this graph by {sum(map(bool, some))} of its {len(some)} dimensions; a site here is "
            "the whole of it: write the graph at the level of nodes or edges"
        )
    return site
