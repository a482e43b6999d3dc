import pytest

from lesion.engine.bench import workload as module
from lesion.engine.bench.bench import bench
from lesion.engine.bench.workload import Shape
from lesion.models.families import FAMILIES


@pytest.fixture
def small(monkeypatch):
    shape = Shape(layers=2, heads=4, width=32, vocabulary=70, prompts=3, prompt=10, shared=6)
    monkeypatch.setattr(module, "SHAPES", {"W1": shape, "W2": shape, "W3": shape})


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_can_be_timed_and_both_ways_give_the_same_numbers(small, family):
    timing = bench(family, "W2", share=5, loops=2, repeats=1)
    assert timing.max_abs_error <= 1e-4
    assert timing.interventions == 5
    assert min(timing.ratio_plain, timing.ratio_expert, timing.share_of_floor, timing.seconds) > 0


@pytest.mark.parametrize(("work", "positions", "shared"), [("W1", "last", None), ("W3", "all", 0), ("W1", "all", 0)])
def test_late_positions_neurons_and_unshared_prompts_can_be_timed(small, work, positions, shared):
    timing = bench("gpt2", work, positions=positions, shared=shared, share=8, loops=2, repeats=1)
    assert timing.max_abs_error <= 1e-4
