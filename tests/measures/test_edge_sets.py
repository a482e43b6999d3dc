"""Sets of edges: what they carry alone, and files of them."""

import json

import numpy as np
import pytest

from lesion.engine.edges.graph import Edge, Graph
from lesion.errors import InputError
from lesion.measures.edges.attribution import attributed
from lesion.measures.edges.effects import Effects, recall_at
from lesion.measures.edges.faithfulness import edge_curve, faithful_edges
from lesion.measures.edges.files import eap_graph, our_name, read_edges, their_names
from lesion.measures.edges.table import edge_table
from lesion.measures.prompt_set import of

PATH = "input->L0G2.v+L0H2->L1G1.k+L1H1->logits"
MHA, GQA = Graph(2, 4, 4, True, "sequential"), Graph(2, 4, 2, True, "sequential")


@pytest.fixture(scope="module")
def summed(hand_model, swapped):
    """EAP-IG on the hand model, with enough steps to see its path."""
    return attributed(hand_model, of(swapped), "eap-ig", steps=12)


def edges(graph, text):
    return [graph.parse(name) for name in text.split("+")]


def test_the_hand_models_answer_needs_its_path_and_the_edges_that_both_prompts_share(hand_model, swapped):
    """Everything but one edge of the path leaves the corrupted answer; everything leaves the clean one."""
    asked, graph = of(swapped), MHA
    path = edges(graph, PATH)
    whole = faithful_edges(hand_model, asked, graph.edges)
    assert (whole.faithfulness, whole.of) == (pytest.approx(1), graph.size)
    assert faithful_edges(hand_model, asked, path).faithfulness == pytest.approx(1, abs=1e-3)
    for missing in path:
        rest = [edge for edge in graph.edges if edge != missing]
        assert faithful_edges(hand_model, asked, rest).faithfulness == pytest.approx(0, abs=1e-3)
    assert faithful_edges(hand_model, asked, []).circuit == pytest.approx(-20, abs=0.05)


def test_the_curve_keeps_the_path_first_and_ends_with_the_whole_model(hand_model, swapped, summed):
    curve = edge_curve(hand_model, of(swapped), summed)
    at = {point.edges: point.faithfulness for point in curve.points}
    assert [point.edges for point in curve.points] == [0, 0, 0, 1, 2, 5, 11, 22, 55, 110]
    assert at[0] == pytest.approx(0, abs=1e-3)
    assert at[5] == pytest.approx(1, abs=1e-3)
    assert curve.cpr == pytest.approx(1 - curve.cmd - 0.001, abs=1e-3)


def test_a_table_lists_the_strongest_and_says_how_many_were_found(hand_model, swapped, summed):
    asked = of(swapped)
    plain = attributed(hand_model, asked, "eap")
    found = edge_table(plain, asked, 3, summed)
    assert found.rows[0].edge == "L1H1->logits"
    assert found.recall == recall_at(plain, summed, 3)
    assert found.rows[0].low is not None
    assert edge_table(plain, asked, 3).rows[0].exact is None


def test_edges_are_read_in_the_names_of_three_tools():
    for name in ("L0H2->L1G1.k", "a0.h2->a1.h1<k>", "A0.2->A1.1.K", "L0H2->L1H1.k"):
        assert read_edges(MHA, name) == (MHA.parse("L0H2->L1G1.k"),)
    assert our_name("Resid Start->MLP 1") == "input->L1.mlp_in"
    assert our_name("m0->logits") == "L0.mlp_out->logits"


def test_every_edge_is_read_back_from_eap_igs_name():
    for edge in MHA.edges:
        (name,) = their_names(MHA, edge)
        assert read_edges(MHA, name) == (edge,)


def test_a_graph_is_read_back_as_it_was_written():
    kept = edges(GQA, "input->L0G1.k+L0H2->L1H3.q+L1.mlp_out->logits")
    text = eap_graph(GQA, {kept[0]: -1.5}, kept, 32)
    assert set(read_edges(GQA, text)) == set(kept)
    document = json.loads(text)
    assert [document["edges"][f"input->a0.h{head}<k>"]["score"] for head in (2, 3)] == [-1.5, -1.5]
    assert document["nodes"]["a0.h2"]["in_graph"]
    assert not document["nodes"]["a0.h0"]["in_graph"]
    assert len(document["edges"]) == MHA.size, "theirs counts every query head"


def test_graphs_that_do_not_fit_are_refused():
    text = eap_graph(MHA, {}, edges(MHA, "input->L0G1.k"), 32)
    with pytest.raises(InputError, match="for 1 of the 2 heads that share"):
        read_edges(GQA, text)
    with pytest.raises(InputError, match="of a model of 2 layers with 4 heads, and this model has 3 layers"):
        read_edges(Graph(3, 4, 4, True, "sequential"), text)
    with pytest.raises(InputError, match="no edge is in this set"):
        read_edges(MHA, eap_graph(MHA, {}, [], 32))
    with pytest.raises(InputError, match="no graph of EAP-IG with edges"):
        read_edges(MHA, '{"cfg": {}}')
    with pytest.raises(InputError, match="sends nothing in this model"):
        read_edges(MHA, "a0.h9->logits")


def test_the_order_of_ranking_is_by_size_or_by_help():
    each = np.full((1, *MHA.there.shape), np.nan, dtype=np.float32)
    helps, hurts = Edge(0, 0), Edge(0, 1)
    each[0][helps], each[0][hurts] = -1.0, 2.0
    found = Effects(MHA, "exact", "logit_diff", each, np.zeros(1), np.zeros(1))
    assert found.ranked() == [hurts, helps]
    assert found.ranked(signed=True) == [helps, hurts]
