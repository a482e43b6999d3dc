"""Matched sets: like the target, disjoint from it, never twice, all of them where few exist, drawn from the key."""

from itertools import pairwise
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lesion.interventions.site import head, neuron, parse_site
from lesion.study.plan import Plan, Shape, new_plan
from lesion.study.stages.matched_sets import Population, matched_sets
from lesion.study.study import Study

MODEL = "zoo:some-model"
STUDY = Study.model_validate(
    {"name": "test", "question": "?", "models": (MODEL,), "tasks": {"tier1": {"task": "arithmetic"}}, "block": 64}
)


def plan_of(layers: int, heads: int, key: str = "key", **known: object) -> Plan:
    made = new_plan(STUDY, key, {MODEL: Shape(layers=layers, heads=heads, neurons=20)}, {"tier1": 10_000})
    return made.model_copy(update=known)


@st.composite
def asked(draw: st.DrawFn) -> tuple[Plan, tuple[str, ...], int, Population]:
    """A plan with norms, a target of heads, a number of sets and a population."""
    layers, heads = draw(st.integers(1, 4)), draw(st.integers(1, 7))
    every = [str(head(layer, index)) for layer in range(layers) for index in range(heads)]
    target = draw(st.lists(st.sampled_from(every), min_size=1, max_size=5, unique=True))
    norm = st.one_of(st.just(0.0), st.floats(0.01, 100))
    norms = draw(st.lists(st.lists(norm, min_size=heads, max_size=heads), min_size=layers, max_size=layers))
    known = draw(st.booleans())
    plan = plan_of(layers, heads, draw(st.text(max_size=3)), norms={MODEL: tuple(map(tuple, norms))} if known else {})
    return plan, tuple(target), draw(st.integers(1, 60)), draw(st.sampled_from(["layer", "model"]))


def layers_of(sites: tuple[str, ...]) -> list[int]:
    return sorted(parse_site(site).layer for site in sites)


@settings(deadline=None, max_examples=60)
@given(asked())
def test_sets_are_like_the_target_share_no_head_with_it_and_none_comes_twice(case) -> None:
    plan, target, wanted, population = case
    found = matched_sets(plan, MODEL, target, wanted, population)
    shape = plan.shapes[MODEL]
    free = {layer: shape.heads - layers_of(target).count(layer) for layer in range(shape.layers)}
    exist = 1
    for layer in set(layers_of(target)):
        exist *= comb(free[layer], layers_of(target).count(layer))
    if population == "model":
        exist = comb(shape.layers * shape.heads - len(target), len(target))
    assert found.exist == exist
    assert len(found.sets) == min(wanted, exist)
    assert len({frozenset(one) for one in found.sets}) == len(found.sets)
    for one in found.sets:
        assert len(set(one)) == len(target)
        assert not set(one) & set(target)
        if population == "layer":
            assert layers_of(one) == layers_of(target)
    assert found == matched_sets(plan, MODEL, target, wanted, population)
    assert found == matched_sets(plan, MODEL, target[::-1], wanted, population), "the order of the target tells nothing"


def test_all_pairs_of_a_layer_of_eight_heads_are_fifteen_and_all_pairs_of_the_model_231() -> None:
    plan = plan_of(3, 8)
    within = matched_sets(plan, MODEL, ("L1H0", "L1H1"), 199, "layer")
    assert (len(within.sets), within.exist) == (15, 15)
    anywhere = matched_sets(plan, MODEL, ("L1H0", "L1H1"), 199, "model")
    assert (len(anywhere.sets), anywhere.exist) == (199, 231)
    every = matched_sets(plan, MODEL, ("L1H0", "L1H1"), 500, "model")
    assert set(within.sets) < set(every.sets)


def test_another_key_draws_other_sets_and_more_sets_begin_with_the_same() -> None:
    plan, target = plan_of(4, 12), ("L1H0", "L2H1")
    one = matched_sets(plan, MODEL, target, 40, "model").sets
    assert one != matched_sets(plan_of(4, 12, "other"), MODEL, target, 40, "model").sets
    assert matched_sets(plan, MODEL, target, 60, "model").sets[:40] == one


def test_the_nearest_heads_in_output_norm_come_first_and_one_that_writes_nothing_last() -> None:
    norms = (tuple(float(10**i) for i in range(12)),)
    plan = plan_of(1, 12, norms={MODEL: norms})
    found = matched_sets(plan, MODEL, ("L0H5",), 3, "layer")
    assert {site for one in found.sets for site in one} == {"L0H4", "L0H6", "L0H3"}
    silent = plan_of(1, 4, norms={MODEL: ((1.0, 0.0, 50.0, 60.0),)})
    assert set(matched_sets(silent, MODEL, ("L0H0",), 2, "layer").sets) == {("L0H2",), ("L0H3",)}


def test_a_set_of_neurons_has_the_targets_tenths() -> None:
    digits = "".join(str(i // 2) for i in range(20))
    plan = plan_of(2, 4, tenths={MODEL: (digits, digits)})
    found = matched_sets(plan, MODEL, ("L0N0", "L0N5", "L1N19"), 10, "layer")
    assert found.sets == (("L0N1", "L0N4", "L1N18"),)
    wide = matched_sets(plan, MODEL, ("L0N0", "L0N5", "L1N19"), 10, "model")
    assert wide.exist == 3**3
    for one in wide.sets:
        assert sorted(digits[parse_site(site).index or 0] for site in one) == ["0", "2", "9"]


def test_sets_of_neurons_are_drawn_from_all_that_are_alike() -> None:
    """A rank among sets that are nearly the same neurons would be a rank among a handful of sets."""
    plan = new_plan(STUDY, "key", {MODEL: Shape(layers=4, heads=2, neurons=1000)}, {"tier1": 10_000})
    digits = "".join(str(i % 10) for i in range(1000))
    plan = plan.model_copy(update={"tenths": {MODEL: (digits,) * 4}})
    target = tuple(str(neuron(layer, 7 * index)) for layer in range(4) for index in range(16))
    held = {*target}
    for pools, fewest, most in (("whole", 2000, 16.0), ("first", 0, 60.0)):
        sets = matched_sets(plan.model_copy(update={"pools": pools}), MODEL, target, 199, "layer").sets
        used = {site for one in sets for site in one}
        shared = np.mean([len({*one} & {*other}) for one, other in pairwise(sets)])
        assert len(used) >= fewest
        assert shared < most
        assert not used & held
        if pools == "first":
            assert len(used) < 200, "the fault, as it was"
            assert shared > 32


def test_where_as_many_sets_exist_as_are_wanted_all_are_taken() -> None:
    assert set(matched_sets(plan_of(2, 4), MODEL, ("L0H0", "L1H0"), 9, "layer").sets) == {
        (f"L0H{i}", f"L1H{j}") for i in (1, 2, 3) for j in (1, 2, 3)
    }


def test_the_first_set_is_uniform_over_keys() -> None:
    counts: dict[tuple[str, ...], int] = {}
    for number in range(600):
        (one,) = matched_sets(plan_of(1, 5, str(number)), MODEL, ("L0H0",), 1, "model").sets
        counts[one] = counts.get(one, 0) + 1
    assert len(counts) == 4
    assert sum((many - 150) ** 2 / 150 for many in counts.values()) < 16.3  # chi-square, 3 degrees: p .001


@pytest.mark.parametrize("target", [("L0H0", "L0H1", "L0H2"), ("L0H0", "L0H1", "L0H2", "L0H3")])
def test_a_layer_without_enough_other_heads_has_no_set(target: tuple[str, ...]) -> None:
    assert matched_sets(plan_of(1, 4), MODEL, target, 10, "layer") == ((), 0)


def test_a_large_set_of_neurons_is_drawn_quickly() -> None:
    plan = new_plan(STUDY, "key", {MODEL: Shape(layers=2, heads=2, neurons=4000)}, {"tier1": 10_000})
    digits = "".join(str(i % 10) for i in range(4000))
    plan = plan.model_copy(update={"tenths": {MODEL: (digits, digits)}})
    target = tuple(str(neuron(layer, index)) for layer in range(2) for index in range(256))
    found = matched_sets(plan, MODEL, target, 199, "layer")
    assert len(found.sets) == 199
