"""EAP-IG's own code against ours, on the same weights: scores, exact effects, kept circuits and graph files."""

import numpy as np
import pytest

from lesion.engine.select_engine import choose
from lesion.measures.edges.attribution import attributed
from lesion.measures.edges.effects import masked
from lesion.measures.edges.exact import exact_effects
from lesion.measures.edges.faithfulness import kept_edge_values
from lesion.measures.edges.files import eap_graph, read_edges, their_names
from lesion.measures.prompt_set import of
from lesion.models.model import open_model
from lesion.tasks.tokenizers.prompt_contract import Compiled

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
METHODS = {"eap": "EAP", "eap-ig": "EAP-IG-inputs", "eap-ig-activations": "EAP-IG-activations"}
COUNTS = (20, 60, 120)
EVERY = 5


class Both:
    """One tiny network, prompt pairs, and what both programs say of them."""

    def __init__(self, folder, family, ask):
        self.model = open_model(f"tiny:{family}")
        self.model.module.save_pretrained(folder / family)
        rng = np.random.default_rng(0)
        ids = rng.integers(2, 40, (4, 9))
        other = ids.copy()
        other[:, 3] = (ids[:, 3] + 1) % 40
        other[1, 5] = 7
        answers = np.stack([ids[:, -1], (ids[:, -1] + 1) % 40], 1)
        rows = zip(ids.tolist(), other.tolist(), answers.tolist(), strict=True)
        self.asked = of([Compiled(tuple(r), {}, (x[0],), (x[1],), 8, tuple(s)) for r, s, x in rows])
        self.ours = {name: attributed(self.model, self.asked, name) for name in METHODS}
        self.graph = self.ours["eap"].graph
        best = self.ours["eap-ig"].ranked()
        self.sets = {f"ours{count:03}": best[:count] for count in COUNTS}
        for name, edges in self.sets.items():
            (folder / f"{name}.json").write_text(eap_graph(self.graph, {}, edges, self.model.sizes.d_model))
        pairs = {"clean": ids[:, :-1], "corrupted": other[:, :-1], "answers": answers, "every": EVERY}
        np.savez(folder / "pairs.npz", **pairs)
        ask("eap-ig", "eap_ig.py", folder, family, "scores")
        self.theirs = {name: float(value) for name, value in np.load(folder / "theirs.npz").items()}
        self.folder = folder


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def both(request, tmp_path_factory, ask):
    return Both(tmp_path_factory.mktemp(request.param), request.param, ask)


@pytest.mark.parametrize("method", METHODS)
def test_scores_are_theirs(both, method):
    """Keys and values of a group get the sum of its heads' scores.

    One deviation: while the embeddings lie between two prompts, their code for EAP-IG-activations gives them no
    gradient. Without learned positions none then reaches what the first block's queries, keys and values read, and
    these passes count 0 for their edges.
    """
    found = both.ours[method]
    lost = method == "eap-ig-activations" and both.model.family.name == "llama"
    compared = 0
    for edge in found.graph.edges:
        reader = found.graph.readers[edge.reader]
        if lost and reader.layer == 0 and reader.letter in "qkv":
            continue
        theirs = sum(both.theirs[f"{METHODS[method]}|{name}"] for name in their_names(found.graph, edge))
        assert found.mean[edge] == pytest.approx(theirs, abs=1e-5), found.graph.name(edge)
        compared += 1
    assert compared > 150


def test_exact_effects_are_theirs(both):
    found, compared = exact_effects(choose(both.model), both.asked), 0
    for edge in found.graph.edges:
        name, *others = their_names(found.graph, edge)
        if not others and f"exact|{name}" in both.theirs:
            assert found.mean[edge] == pytest.approx(both.theirs[f"exact|{name}"], abs=1e-5), name
            compared += 1
    assert compared > 20


def test_kept_circuits_leave_what_theirs_leave_and_are_read_back(both):
    for name, edges in both.sets.items():
        left = kept_edge_values(both.model, both.asked, [masked(both.graph, edges)], "logit_diff").mean()
        assert left == pytest.approx(both.theirs[f"kept|{name}"], abs=1e-5)
        if both.graph.groups < both.graph.heads:
            continue  # they take a loose end out for one head of a group, and ours has one edge for all
        pruned = read_edges(both.graph, (both.folder / f"{name.replace('ours', 'theirs')}.json").read_text())
        assert set(pruned) <= set(edges), "their evaluation takes loose ends out of the graph"
        again = kept_edge_values(both.model, both.asked, [masked(both.graph, pruned)], "logit_diff").mean()
        assert again == pytest.approx(left, abs=1e-5), "loose ends change nothing"
