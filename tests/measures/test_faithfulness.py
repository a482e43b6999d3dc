"""Faithfulness of sets on the hand model, whose circuit is written down: L0H2 feeds L1H1, and nothing else matters."""

import numpy as np
import pytest

from lesion.engine.replacement_activations import Library
from lesion.engine.select_engine import choose
from lesion.errors import InputError
from lesion.identity import generator
from lesion.interventions.site import Site, head
from lesion.measures.circuits.faithfulness import ends, faithful, shares_of
from lesion.measures.circuits.nodes import all_nodes
from lesion.measures.circuits.pruning import prune
from lesion.measures.circuits.size_curve import FRACTIONS, areas, single_effects, size_curve
from lesion.measures.effects.ablation import averaging, counterfactual, scaling
from lesion.measures.prompt_set import of

CIRCUIT = (head(0, 2), head(1, 1))


@pytest.fixture(scope="module")
def how(hand_model):
    return {"zero": scaling(0.0), "counterfactual": counterfactual(Library(hand_model))}


@pytest.fixture(scope="module")
def engine(hand_model):
    return choose(hand_model)


@pytest.mark.parametrize("ablation", ["zero", "counterfactual"])
def test_the_written_circuit_is_faithful_complete_and_minimal(engine, hand_model, swapped, how, ablation):
    found = faithful(engine, of(swapped), CIRCUIT, how[ablation], each=True, subsets=4)
    assert found.faithfulness == pytest.approx(1, abs=1e-3)
    assert (found.low, found.high) == (pytest.approx(1, abs=1e-3), pytest.approx(1, abs=1e-3))
    assert [effect.fall for effect in found.minimality] == [pytest.approx(1, abs=1e-3)] * 2, "each alone is needed"
    assert [subset.gap for subset in found.completeness] == [pytest.approx(0, abs=1e-3)] * 4


@pytest.mark.parametrize("ablation", ["zero", "counterfactual"])
def test_a_set_with_one_node_exchanged_has_nothing(engine, hand_model, swapped, how, ablation):
    found = faithful(engine, of(swapped), (head(0, 2), head(1, 2)), how[ablation])
    assert found.faithfulness == pytest.approx(0, abs=1e-3)


def test_the_whole_model_is_one_and_nothing_is_nought(engine, hand_model, swapped, how):
    nodes = all_nodes(hand_model.sizes)
    assert faithful(engine, of(swapped), nodes, how["zero"]).faithfulness == 1
    assert faithful(engine, of(swapped), (), how["zero"]).faithfulness == 0


def test_a_node_too_many_is_named_by_its_fall(engine, hand_model, swapped, how):
    found = faithful(engine, of(swapped), (*CIRCUIT, head(0, 0)), how["counterfactual"], each=True)
    falls = {effect.node: effect.fall for effect in found.minimality}
    assert falls["L0H0"] == pytest.approx(0, abs=1e-5)
    assert min(falls["L0H2"], falls["L1H1"]) == pytest.approx(1, abs=1e-3)


def test_what_is_no_node_is_refused(engine, hand_model, swapped, how):
    with pytest.raises(InputError, match="no node of a circuit"):
        faithful(engine, of(swapped), (Site(kind="resid_pre", layer=1),), how["zero"])


def test_a_task_that_nothing_serves_has_no_share():
    with pytest.raises(InputError, match="no way to take a share"):
        shares_of(np.ones((3, 5)), 0)


def test_no_interval_where_the_way_is_not_told_apart_from_nothing():
    """A bootstrap of a share with a denominator around 0 is no interval; it once gave 0 for such draws."""
    way = np.array([1.0, 1.0, 1.0, -1.0, 0.0, 0.0, 0.0, 0.0])
    shares, draws = shares_of(np.stack([way, 0 * way, way]), 0)
    assert shares.tolist() == [1, 0, 1]
    assert np.isnan(draws).all()
    assert ends(draws[2]) == (None, None)


def test_templates_are_resampled_in_place_of_items():
    """Four templates whose items are alike tell no more than four items."""
    rng = generator("templates")
    four = 1 + 0.2 * rng.normal(size=4)
    numbers, labels = np.stack([np.ones(64), np.zeros(64), np.repeat(four, 16)]), np.repeat(["a", "b", "c", "d"], 16)
    narrow, wide = (np.ptp(ends(shares_of(numbers, 0, units)[1][2])) for units in (None, labels))
    assert wide > 2.5 * narrow


def test_areas_are_those_of_mib():
    """One step up at half: f is 0 up to .2, 1 from .5 on, so the trapezoid between has half of .3."""
    cpr, cmd = areas(FRACTIONS, [0.0] * 8 + [1.0, 1.0])
    assert cpr == pytest.approx(0.15 + 0.5)
    assert cmd == pytest.approx(0.199 + 0.15)
    over = areas(FRACTIONS, [1.0] * 8 + [1.2, 1.0])
    assert over == (pytest.approx(0.999 + 0.1 * 0.3 + 0.1 * 0.5), pytest.approx(0.1 * 0.3 + 0.1 * 0.5))


def test_the_curve_is_one_from_two_nodes_on(engine, hand_model, swapped, how):
    asked = of(swapped)
    effects = single_effects(engine, asked, how["zero"])
    assert {str(node) for node in effects if effects[node] > 1} == {"L0H2", "L1H1"}
    curve = size_curve(engine, asked, effects, how["zero"])
    assert set(curve.ranked[:2]) == {"L0H2", "L1H1"}
    for point in curve.points:
        assert point.faithfulness == pytest.approx(1.0 if point.nodes >= 2 else 0.0, abs=1e-3)
    assert 0 < curve.cmd < curve.cpr < 1


def test_pruning_keeps_the_two_heads_and_counts_its_sets(engine, hand_model, swapped, how):
    asked = of(swapped)
    effects = single_effects(engine, asked, how["counterfactual"])
    found = prune(engine, asked, effects, how["counterfactual"])
    assert found.kept == ("L0H2", "L1H1")
    assert found.sets == len(all_nodes(hand_model.sizes)) + 2
    with pytest.raises(InputError, match="0 to 1"):
        prune(engine, asked, effects, how["zero"], tolerance=2.0)


def test_a_mean_ablation_needs_its_reference(engine, hand_model, swapped):
    how = averaging(Library(hand_model, swapped))
    assert faithful(engine, of(swapped), CIRCUIT, how).faithfulness == pytest.approx(1, abs=0.01)
