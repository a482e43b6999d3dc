"""Compiled programs: the network answers as the program does, and what is needed is what ablation finds."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lesion.engine.replacement_activations import Library
from lesion.engine.select_engine import choose
from lesion.errors import InputError
from lesion.identity import generator
from lesion.interventions.site import Site, head
from lesion.measures.circuits.faithfulness import faithful
from lesion.measures.circuits.nodes import all_nodes
from lesion.measures.effects.ablation import counterfactual, scaling
from lesion.measures.prompt_set import of
from lesion.models.model import open_model
from lesion.tasks.tokenizers.prompt_contract import Compiled
from lesion.training.compiled.oracle import needed, right, run
from lesion.training.compiled.placement import LEAK, place
from lesion.training.compiled.program import parts, read_program
from lesion.training.planted_heads import planted, write_planted
from lesion.training.written_weights import GAIN
from tests.program import load_program

PARTS = ((0, 0), (0, 1), (1, None))
NEEDED = frozenset(((0, 0), (1, None)))
SMALL = load_program(Path(__file__).with_name("small_program.py"))
TABLE = load_program(Path(__file__).parents[2] / "docs" / "compiled" / "measure.py")


@pytest.fixture(scope="module")
def program():
    return SMALL.next_of_previous()


@pytest.fixture(scope="module")
def placed(program):
    return place(program, [SMALL.first_letter()], generator("places"))


@pytest.fixture(scope="module")
def model(placed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("program")
    placed.write(folder)
    return open_model(str(folder))


def test_a_program_comes_back_from_its_file(program, tmp_path):
    SMALL.saved(program, tmp_path / "one.npz")
    again = read_program(tmp_path / "one.npz")
    assert (again.name, again.tokens, again.numerical) == (program.name, program.tokens, program.numerical)
    for name in ("embedding", "positions", "unembedding"):
        assert np.array_equal(getattr(again, name), getattr(program, name))
    for one, other in zip(again.layers, program.layers, strict=True):
        assert all(np.array_equal(mine, theirs) for mine, theirs in zip(one, other, strict=True))
    assert (again.inputs, again.answers, again.outputs) == (program.inputs, program.answers, program.outputs)


def test_a_program_with_biases_is_refused(program, tmp_path):
    biased = tmp_path / "biased.npz"
    SMALL.saved(program, tmp_path / "one.npz")
    with np.load(tmp_path / "one.npz") as file:
        arrays = dict(file)
    arrays["transformer/layer_0/mlp/linear_2|b"] = np.ones(4)
    np.savez(biased, **arrays)
    with pytest.raises(InputError, match=r"biased\.npz has biases"):
        read_program(biased)


def test_the_oracle_answers_as_the_program_should_and_finds_what_is_needed(program):
    assert right(program).all()
    assert not right(program._replace(answers=program.answers[1:] + program.answers[:1])).all()
    assert parts(program) == PARTS
    found = needed(program, generator("pairs"))
    assert found.zero == found.counterfactual == NEEDED, "head 1 writes what nobody reads"


def test_the_network_says_what_the_program_says_on_every_input(program, placed):
    """Without leaks to 1e-4; with a distractor to what it may leak."""
    wanted = run(program, program.inputs).outputs
    for one, limit in ((place(program), 1e-4), (placed, LEAK)):
        ids = torch.tensor([[0, *(one.vocabulary.index(letter) for letter in text)] for text in program.inputs])
        with torch.no_grad():
            logits = one.network(ids).logits[:, -1].numpy()
        said = logits[:, [one.vocabulary.index(token) for token in program.outputs]] / GAIN
        assert np.abs(said - wanted).max() < limit


def test_a_distractor_that_cannot_read_the_inputs_is_refused(program):
    other = SMALL.first_letter()
    short = other._replace(positions=other.positions[:-1])
    with pytest.raises(InputError, match="cannot read every input"):
        place(program, [short])


def questions(program, placed):
    rng = generator("program questions")
    return TABLE.asked_of(placed, TABLE.pairs(program, rng)[:8])


def by_hooks(network, asked, kept, kind: str, sizes) -> float:
    """f of a set in float64 with hooks of this test's own, one item at a time."""
    network = network.double()
    places = {path: [] for path in range(sizes.n_layers)}
    stored: dict[tuple[int, str], torch.Tensor] = {}

    def value(ids: tuple[int, ...], item: Compiled, mode: str, nodes) -> float:
        hooks = []
        for layer in places:
            block = network.transformer.h[layer]

            def heads(module, inputs, layer=layer):
                z = inputs[0].clone()
                if mode == "store":
                    stored[layer, "z"] = z.clone()
                    return None
                size = z.shape[-1] // sizes.n_heads
                for index in range(sizes.n_heads):
                    if head(layer, index) not in nodes:
                        at = slice(index * size, (index + 1) * size)
                        z[..., at] = 0 if kind == "zero" else stored[layer, "z"][..., at]
                return (z,)

            def mlp(module, inputs, output, layer=layer):
                if mode == "store":
                    stored[layer, "mlp"] = output.clone()
                    return None
                if Site(kind="mlp_out", layer=layer) in nodes:
                    return None
                return torch.zeros_like(output) if kind == "zero" else stored[layer, "mlp"]

            hooks += [block.attn.c_proj.register_forward_pre_hook(heads), block.mlp.register_forward_hook(mlp)]
        with torch.no_grad():
            logits = network(torch.tensor([ids[: item.prompt_length]])).logits[0, -1]
        for hook in hooks:
            hook.remove()
        return float(logits[item.answer_ids[0]] - logits[item.wrong_ids[0]])

    means = []
    for nodes in (frozenset(all_nodes(sizes)), frozenset(), frozenset(kept)):
        told = []
        for item in asked.compiled:
            if kind == "counterfactual":
                value(item.twin_ids, item, "store", nodes)
            told.append(value(item.ids, item, "edit", nodes))
        means.append(np.mean(told))
    return float((means[2] - means[1]) / (means[0] - means[1]))


@pytest.mark.parametrize("kind", ["zero", "counterfactual"])
def test_faithfulness_is_that_of_plain_hooks_in_float64_and_falls_where_a_node_is_exchanged(
    program, placed, model, kind
):
    engine, asked = choose(model, "reference"), questions(program, placed)
    how = scaling(0.0) if kind == "zero" else counterfactual(Library(model))
    circuit = [placed.nodes[part] for part in NEEDED]
    spare = next(site for site in all_nodes(model.sizes) if site.kind == "head" and site not in placed.nodes.values())
    exchanged = [site for site in circuit if site.kind != "head"] + [spare]
    found = {}
    for name, some in (("circuit", circuit), ("exchanged", exchanged), ("half", circuit[:1])):
        found[name] = faithful(engine, asked, some, how).faithfulness
        assert found[name] == pytest.approx(by_hooks(placed.network, asked, some, kind, model.sizes), abs=1e-4)
    placed.network.float()
    assert found["circuit"] == pytest.approx(1, abs=LEAK)
    assert found["exchanged"] < 0.1


def test_the_effects_of_single_nodes_are_those_of_the_oracle(program, placed, model):
    some = TABLE.pairs(program, generator("program questions"))[:8]
    engine, asked = choose(model, "reference"), questions(program, placed)
    nodes = list(placed.nodes.values())
    for kind, how in (("zero", scaling(0.0)), ("counterfactual", counterfactual(Library(model)))):
        by_engine = dict(zip(nodes, TABLE.effects(engine, asked, how, nodes), strict=True))
        for part, wanted in TABLE.true_effects(program, some, kind).items():
            assert np.abs(by_engine[placed.nodes[part]] - wanted).max() < 1e-3 * GAIN


@pytest.mark.parametrize("seed", [0, 1])
def test_a_planted_circuit_loses_faithfulness_where_a_head_is_exchanged(seed, tmp_path):
    truth = planted(seed)
    write_planted(truth, tmp_path)
    model = open_model(str(tmp_path))
    engine = choose(model, "reference")
    rows = load_program(Path(__file__).parents[2] / "docs" / "planted.py").questions(seed, 0)
    asked = of(rows.compiled[:3])
    (out, *_), (other, *_) = (
        sorted(truth.circuit - truth.backups, key=str),
        sorted(set(truth.kinds) - truth.circuit, key=str),
    )
    whole = faithful(engine, asked, sorted(truth.circuit, key=str), scaling(0.0)).faithfulness
    exchanged = faithful(engine, asked, [*(truth.circuit - {out}), other], scaling(0.0)).faithfulness
    assert whole == pytest.approx(1, abs=0.05)
    assert exchanged < whole - 0.15
    assert whole == pytest.approx(by_hooks(truth.network, asked, truth.circuit, "zero", model.sizes), abs=1e-4)
