"""Sets of edges as text and as EAP-IG's JSON graphs; names of edges in EAP-IG and AutoCircuit.

EAP-IG (src/eap/graph.py of github.com/hannamw/EAP-IG) writes `input->a0.h1<q>` and `m3->logits`, AutoCircuit
(github.com/UFO-101/auto-circuit) `Resid Start->A0.1.Q` and `MLP 3->Resid End`. Both have a key and a value input for
each *query* head. Where heads share keys, such an edge is read if all heads of the group have it, and an edge of a
group is written for each of its heads, with the group's score.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from pydantic import Field, ValidationError

from lesion.engine.edges.graph import Edge, Graph, Reader
from lesion.errors import InputError
from lesion.interventions.other_tools.circuit import Lenient, Sizes

_THEIRS = re.compile(
    r"(?:a(?P<l>\d{1,5})\.h(?P<h>\d{1,6})(?:<(?P<x>[qkv])>)?|A(?P<L>\d{1,5})\.(?P<H>\d{1,6})(?:\.(?P<X>[QKV]))?"
    r"|(?:m|MLP )(?P<m>\d{1,5}))",
    re.ASCII,
)
_ENDS = {"input": "input", "Resid Start": "input", "logits": "logits", "Resid End": "logits", "Resid Final": "logits"}
_OURS = re.compile(r"L(\d+)H(\d+)\.([kv])", re.ASCII)


class _Edge(Lenient):
    in_graph: bool = Field(strict=True)


class _Graph(Lenient):
    cfg: Sizes
    edges: Mapping[str, _Edge]


def read_edges(graph: Graph, text: str) -> tuple[Edge, ...]:
    """The edges of a JSON graph of EAP-IG, or of names joined by `+` or line breaks; in the graph's order, each once.

    Raises:
        InputError: for text that is neither, a graph of another model, or an edge that this model lacks.
    """
    found = _of_json(graph, text) if text.lstrip().startswith("{") else _of_names(graph, re.split(r"[+\n]", text))
    if not found:
        raise InputError("no edge is in this set: name some (L0H2->L1G1.k), or give a graph with edges in it")
    return tuple(edge for edge in graph.edges if edge in found)


def _of_names(graph: Graph, names: Sequence[str]) -> set[Edge]:
    written = [name.strip() for name in names if name.strip()]
    return {edge for name in _by_group(graph, [our_name(name) for name in written]) for edge in (graph.parse(name),)}


def _of_json(graph: Graph, text: str) -> set[Edge]:
    try:
        document = _Graph.model_validate_json(text)
    except ValidationError as error:
        told = error.errors()[0]
        raise InputError(f"no graph of EAP-IG with edges: {'.'.join(map(str, told['loc']))}: {told['msg']}") from error
    sizes = (document.cfg.n_layers, document.cfg.n_heads)
    if sizes != (graph.layers, graph.heads):
        raise InputError(
            f"this graph is of a model of {sizes[0]} layers with {sizes[1]} heads, and this model has {graph.layers} "
            f"layers with {graph.heads}"
        )
    return _of_names(graph, [name for name, edge in document.edges.items() if edge.in_graph])


def our_name(name: str) -> str:
    """An edge's name as it is written here; keys and values still by query head.

    >>> our_name("a0.h2->a1.h1<k>"), our_name("MLP 3->Resid End"), our_name("L0H2->L1G1.k")
    ('L0H2->L1H1.k', 'L3.mlp_out->logits', 'L0H2->L1G1.k')
    """
    source, arrow, target = name.partition("->")
    return f"{_end(source, 'mlp_out')}{arrow}{_end(target, 'mlp_in')}"


def _end(name: str, mlp: str) -> str:
    name = name.strip()
    if name in _ENDS:
        return _ENDS[name]
    match = _THEIRS.fullmatch(name)
    if match is None:
        return name
    if match["m"]:
        return f"L{int(match['m'])}.{mlp}"
    layer, head, letter = match["l"] or match["L"], match["h"] or match["H"], match["x"] or match["X"]
    return f"L{int(layer)}H{int(head)}" + (f".{letter.lower()}" if letter else "")


def _by_group(graph: Graph, names: Sequence[str]) -> Iterator[str]:
    """The names with keys and values by group, where all heads of the group are named."""
    each = graph.heads // graph.groups
    heads: dict[str, set[int]] = {}
    for name in names:
        source, _, target = name.partition("->")
        match = _OURS.fullmatch(target.strip())
        if match is None or each == 1:
            yield name
            continue
        layer, head, letter = match.groups()
        heads.setdefault(f"{source.strip()}->L{layer}G{int(head) // each}.{letter}", set()).add(int(head))
    for name, some in heads.items():
        if len(some) < each:
            raise InputError(
                f"{name}: the file has this edge for {len(some)} of the {each} heads that share these keys and values; "
                "this model computes them once, so the edge is there for all or none"
            )
        yield name


def their_names(graph: Graph, edge: Edge) -> tuple[str, ...]:
    """The names of an edge in EAP-IG: one, or one for each head that shares a key or a value."""
    source, reader = graph.senders[edge.sender], graph.readers[edge.reader]
    match = re.fullmatch(r"L(\d+)(?:H(\d+)|\.mlp_out)", source)
    sender = source if match is None else f"m{match[1]}" if match[2] is None else f"a{match[1]}.h{match[2]}"
    return tuple(f"{sender}->{target}" for target in _their_reader(graph, reader))


def _their_reader(graph: Graph, reader: Reader) -> tuple[str, ...]:
    if reader.letter == "logits":
        return ("logits",)
    if reader.letter == "mlp":
        return (f"m{reader.layer}",)
    each = 1 if reader.letter == "q" else graph.heads // graph.groups
    heads = range(reader.unit * each, (reader.unit + 1) * each)
    return tuple(f"a{reader.layer}.h{head}<{reader.letter}>" for head in heads)


def eap_graph(graph: Graph, scores: Mapping[Edge, float], kept: Collection[Edge], d_model: int) -> str:
    """A JSON graph that EAP-IG's `Graph.from_json` reads: all edges with their scores, some of them in the graph.

    Args:
        graph: the graph of a model with MLPs.
        scores: of edges; those without one get 0.
        kept: edges that are in the graph; a node is in it when one of them begins at it.
        d_model: width of the stream.
    """
    edges: dict[str, Any] = {}
    for edge in graph.edges:
        for name in their_names(graph, edge):
            edges[name] = {"score": float(scores.get(edge, 0.0)), "in_graph": edge in kept}
    inside = {edge.sender for edge in kept}
    nodes = {
        "input" if number == 0 else their_names(graph, Edge(number, len(graph.readers) - 1))[0].partition("->")[0]: {
            "in_graph": number in inside
        }
        for number in range(len(graph.senders))
    }
    cfg = {
        "n_layers": graph.layers,
        "n_heads": graph.heads,
        "parallel_attn_mlp": graph.residual == "parallel",
        "d_model": d_model,
    }
    return json.dumps({"cfg": cfg, "nodes": {**nodes, "logits": {"in_graph": True}}, "edges": edges})
