"""Edge patching: the batched engine against plain hooks, and what must hold for every graph."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lesion.engine.batch import batches
from lesion.engine.batched.engine import Fast
from lesion.engine.edges.batched import Patcher
from lesion.engine.edges.contributions import differences, head_parts, output_rows, written
from lesion.engine.edges.graph import Edge, Graph, graph_of
from lesion.engine.edges.kept import Keeper
from lesion.engine.edges.reference import leaving, patched
from lesion.errors import InputError, InterventionError
from lesion.identity import generator
from lesion.models.model import open_model
from lesion.tasks.tokenizers.prompt_contract import Compiled

FAMILIES = ("gpt2", "llama", "gpt_neox", "bloom")
"""Heads with keys of their own; grouped keys; attention and MLP side by side; no shared prefixes."""


class Case:
    """A tiny model and three prompt pairs that part at different positions."""

    def __init__(self, family, dtype="float64"):
        self.model = open_model(f"tiny:{family}", dtype=dtype)
        self.graph = graph_of(self.model)
        ids = generator("edges", family).integers(2, 40, (3, 9))
        twins = ids.copy()
        for row, place in ((0, 3), (1, 4), (1, 6), (2, 6)):
            twins[row, place] = (ids[row, place] + 1) % 40 or 1
        rows = [
            Compiled(tuple(r), {}, (r[-1],), (1,), 8, tuple(t))
            for r, t in zip(ids.tolist(), twins.tolist(), strict=True)
        ]
        (self.batch,) = batches(rows, 8)
        self.twins = self.batch.twins[:, :-1]
        self.moved = differences(self.model, self.graph, self.batch.inputs, self.twins)

    def plain(self, edge):
        reader = self.graph.readers[edge.reader]
        return patched(self.model, self.batch, reader, self.moved[edge.sender])


@pytest.fixture(scope="module", params=FAMILIES)
def case(request):
    return Case(request.param)


def test_gpt2_small_has_32491_edges():
    graph = Graph(12, 12, 12, True, "sequential")
    assert (graph.size, len(graph.edges)) == (32_491, 32_491)
    assert (len(graph.senders), len(graph.readers)) == (157, 445)


def test_keys_and_values_are_counted_by_group():
    graph = Graph(30, 9, 3, True, "sequential")
    per_layer = [reader for reader in graph.readers if reader.layer == 0]
    assert [str(reader) for reader in per_layer][8:13] == ["L0H8.q", "L0G0.k", "L0G1.k", "L0G2.k", "L0G0.v"]
    assert len(per_layer) == 9 + 3 + 3 + 1


@settings(max_examples=30)
@given(st.integers(1, 5), st.integers(1, 4), st.booleans(), st.sampled_from(["sequential", "parallel"]))
def test_every_edge_is_read_back_from_its_name(layers, heads, mlps, residual):
    graph = Graph(layers, heads, 1, mlps, residual)
    assert all(graph.parse(graph.name(edge)) == edge for edge in graph.edges)
    assert graph.size == len(graph.edges) == len({graph.name(edge) for edge in graph.edges})


def test_names_that_are_no_edges_are_refused():
    graph = Graph(2, 4, 4, True, "sequential")
    assert graph.parse("L0H2->L1H1.k") == graph.parse("L0H2->L1G1.k")
    for name, words in [
        ("L0H2", "is no edge; write sender->reader"),
        ("L0H9->logits", "'L0H9' sends nothing in this model"),
        ("L0H2->L9H1.q", "'L9H1.q' reads nothing in this model"),
        ("L1H1->L0H2.q", "does not come after L1H1"),
    ]:
        with pytest.raises(InputError, match=words):
            graph.parse(name)


def test_a_stream_that_is_normed_after_attention_is_refused():
    with pytest.raises(InterventionError, match="normalises what attention adds"):
        graph_of(open_model("tiny:gemma2"))


def test_what_nodes_add_is_what_leaves_the_last_block(case):
    found, sizes = written(case.model, case.batch.inputs), case.model.sizes
    whole = found.entering + sum(found.mlps)
    for layer, z in enumerate(found.heads):
        whole = whole + head_parts(case.model, layer, z).sum(0)
        bias = case.model.submodule(f"{case.model.block_path(layer)}.{case.model.family.attention_out}").bias
        whole = whole if bias is None else whole + bias
    assert torch.allclose(whole, leaving(case.model, case.batch.inputs), atol=1e-9)
    assert output_rows(case.model, 0).shape == (sizes.n_heads, sizes.d_head, sizes.d_model)


def test_the_batched_engine_patches_every_edge_as_plain_hooks_do(case):
    patcher = Patcher(Fast(case.model), case.graph, case.batch, case.twins)
    found = {e: s for part in patcher.run(case.graph.there) for e, s in zip(part.edges, part.streams, strict=True)}
    assert found.keys() == set(case.graph.edges)
    for edge in case.graph.edges[::9]:
        assert torch.allclose(found[edge], case.plain(edge)[:, case.batch.first :], atol=1e-9), case.graph.name(edge)
    clean = leaving(case.model, case.batch.inputs)[:, case.batch.first :]
    assert torch.allclose(patcher.unpatched, clean, atol=1e-9)
    assert max(float((stream - clean).abs().max()) for stream in found.values()) > 0.1, "patching does something"


def test_in_float32_the_engines_differ_by_rounding():
    case = Case("llama", "float32")
    patcher = Patcher(Fast(case.model), case.graph, case.batch, case.twins)
    for part in patcher.run(case.graph.there):
        plain = case.plain(part.edges[0])[:, case.batch.first :]
        assert torch.allclose(part.streams[0], plain, atol=2e-5)


def test_only_wanted_edges_are_run(case):
    table = np.zeros_like(case.graph.there)
    edge = Edge(1, len(case.graph.readers) - 1)
    table[edge] = True
    patcher = Patcher(Fast(case.model), case.graph, case.batch, case.twins)
    assert [part.edges for part in patcher.run(table)] == [(edge,)]


def test_the_corrupted_input_of_the_logits_alone_is_the_corrupted_run(case):
    """All edges into the logits carry what the nodes add in the corrupted run, so the last stream is that run's."""
    edges = torch.from_numpy(case.graph.there).clone()
    edges[:, -1] = False
    keeper = Keeper(case.model, case.graph, case.batch.inputs, case.twins)
    assert torch.allclose(keeper.kept(edges), leaving(case.model, case.twins), atol=1e-9)


def test_all_edges_are_the_clean_run_and_none_the_corrupted_one(case):
    keeper, there = (
        Keeper(case.model, case.graph, case.batch.inputs, case.twins),
        torch.from_numpy(case.graph.there),
    )
    assert torch.allclose(keeper.kept(there), leaving(case.model, case.batch.inputs), atol=1e-9)
    assert torch.allclose(keeper.kept(~there & there), leaving(case.model, case.twins), atol=1e-9)


def test_all_edges_but_one_are_the_patched_edge(case):
    keeper = Keeper(case.model, case.graph, case.batch.inputs, case.twins)
    for edge in case.graph.edges[::37]:
        edges = torch.from_numpy(case.graph.there).clone()
        edges[edge] = False
        assert torch.allclose(keeper.kept(edges), case.plain(edge), atol=1e-9), case.graph.name(edge)


def test_edges_into_a_node_that_nobody_reads_do_nothing(case):
    """A circuit's loose ends: without its edges out, a node's edges in are without effect."""
    keeper = Keeper(case.model, case.graph, case.batch.inputs, case.twins)
    edges = torch.from_numpy(case.graph.there).clone()
    edges[1] = False  # L0H0 sends nothing clean
    cut = edges.clone()
    cut[:, [number for number, r in enumerate(case.graph.readers) if str(r) == "L0H0.q"]] = False
    assert torch.allclose(keeper.kept(edges), keeper.kept(cut), atol=1e-12)
