import pytest

from lesion.engine.bench import growth as module
from lesion.engine.bench import workload
from lesion.engine.bench.growth import growth, tune
from lesion.engine.bench.workload import Shape


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    shapes = dict.fromkeys(("W1", "W2", "W3"), Shape(2, 4, 32, 70, 3, prompt=10, shared=6))
    monkeypatch.setattr(workload, "SHAPES", shapes)
    monkeypatch.setattr(module, "SHAPES", shapes)


def test_growth_is_measured_at_four_numbers_of_prompts_and_three_of_interventions():
    found = growth("llama", "W2", share=2, repeats=1)
    assert [size.prompts for size in found.by_prompts] == [3, 6, 12, 24]
    assert [size.interventions for size in found.by_interventions] == [3, 6, 12]
    assert all(size.processor_seconds > 0 for size in found.by_prompts + found.by_interventions)


def test_both_kernels_are_timed_and_the_rule_is_held_against_them():
    found = tune("W1")
    assert len(found.products) == 4
    assert all(product.default_gflops > 0 for product in found.products)
    assert found.right or found.rule != found.quicker
