"""A graph that EAP-IG wrote: what is in it, as sites; what cannot be a site, refused by name."""

import json
import math
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from lesion import cli
from lesion.errors import InputError
from lesion.interventions.other_tools.names import HeadSet, name_site, read_sites

LAYERS, HEADS = 3, 2
NODES = [
    "input",
    *(name for layer in range(LAYERS) for name in (f"a{layer}.h0", f"a{layer}.h1", f"m{layer}")),
    "logits",
]


def graph(inside: set[str], **more: Any) -> dict[str, Any]:
    """What `Graph.to_json` writes (src/eap/graph.py): every node, every edge, NaN where nothing was scored."""
    nodes = {name: {"in_graph": name in inside or name == "logits", "score": math.nan} for name in NODES}
    edges = {
        f"{source}->{target}{letter}": {"score": 0.25, "in_graph": source in inside and target in inside}
        for place, source in enumerate(NODES)
        for target in NODES[place + 1 :]
        for letter in (("<q>", "<k>", "<v>") if target.startswith("a") else ("",))
    }
    cfg = {"n_layers": LAYERS, "n_heads": HEADS, "parallel_attn_mlp": False, "d_model": 4}
    return {"cfg": cfg, "nodes": {**nodes, **more}, "edges": edges}


@given(st.sets(st.sampled_from(NODES[1:-1]), min_size=1), st.booleans())
def test_the_nodes_that_are_in_the_graph_are_its_sites_and_named_as_they_were(inside: set[str], ends: bool):
    sites = read_sites(json.dumps(graph(inside | ({"input"} if ends else set()))))
    assert [name_site(site, "eap-ig") for site in sites] == [name for name in NODES if name in inside]


def test_nodes_may_be_plain_truth_values_as_the_format_was_described():
    plain = {**graph(set()), "nodes": {name: name in ("a1.h0", "m2", "logits") for name in NODES}}
    assert [str(site) for site in read_sites(json.dumps(plain))] == ["L1H0", "L2.mlp_out"]


def test_a_node_whose_every_dimension_is_in_the_graph_is_whole():
    whole = graph(set(), m1={"in_graph": True, "neurons": [True] * 4, "neurons_scores": [math.nan] * 4})
    assert [str(site) for site in read_sites(json.dumps(whole))] == ["L1.mlp_out"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            {"m1": {"in_graph": True, "neurons": [True, False, True, False]}},
            "m1 is in this graph by 2 of its 4 dimensions",
        ),
        ({"m3": {"in_graph": True}}, "'m3' is no node of a model of 3 layers with 2 heads"),
        ({"a0.h2": {"in_graph": True}}, "'a0.h2' is no node of a model of 3 layers with 2 heads"),
        ({"L0N1": {"in_graph": True}}, "'L0N1' is no node"),
        ({"b1": {"in_graph": True}}, "'b1' is not a site"),
        ({"m1": {"in_graph": "yes"}}, "no graph of EAP-IG: nodes.m1"),
        ({}, "no head and no MLP in it"),
    ],
)
def test_what_is_no_set_of_sites_is_refused(more: dict[str, Any], said: str):
    with pytest.raises(InputError, match=said):
        read_sites(json.dumps(graph(set(), **more)))


def test_the_command_reads_a_graph_and_hands_its_heads_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "graph.json"
    path.write_text(json.dumps(graph({"input", "a1.h1", "m2", "a0.h0"})))

    def said(*words: str, code: int = 0) -> str:
        with pytest.raises(SystemExit) as ended:
            cli.main(["names", *words])
        assert ended.value.code == code
        told = capsys.readouterr()
        return told.out + told.err

    assert said(str(path), "--as", "auto-circuit") == "A0.0\nA1.1\nMLP 2\n"
    heads = HeadSet.model_validate_json(said(str(path), "--only", "head", "--as", "heads"))
    assert [str(site) for site in heads.heads] == ["L0H0", "L1H1"]
    assert "L2.mlp_out is no head" in said(str(path), "--as", "heads", code=2)
    assert "did you mean 'head'?" in said(str(path), "--only", "heads", code=2)
    assert "is an edge, from L0H0" in said("a0.h0->m2", code=2)
    path.write_text("[" * 100_000)
    assert "not JSON" in said(str(path), code=2)
