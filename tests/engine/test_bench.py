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


def test_a_plain_pass_has_more_operations_than_the_floor_of_patches_and_scalings():
    from lesion.engine.batch import batches
    from lesion.interventions.intervention import Patch, Scale
    from lesion.interventions.site import head
    from lesion.models.model import open_model
    from lesion.tasks.tokenizers.prompt_contract import Compiled

    model = open_model("tiny:llama")
    ids = tuple(range(2, 12))
    (batch,) = batches([Compiled(ids, {}, ids[9:], (2,), 9, None)], 1)
    sizes, blocks = model.sizes, 2.0 * 9 * sum(p.numel() for p in model.block(0).parameters() if p.ndim == 2)
    scores = 4 * sizes.n_heads * sizes.d_head * 81
    whole, late = (module.plain_operations(model, batch, late=only) for only in (False, True))
    assert whole == sizes.n_layers * (blocks + scores) + 2.0 * sizes.d_model * sizes.vocab_size * 9
    assert whole - late == 2.0 * sizes.d_model * sizes.vocab_size * 8
    clean = module.floor(model, batch, [], None)
    scaled, patched = (
        module.floor(model, batch, [edit], None) - clean
        for edit in (Scale(sites=(head(0, 1),), alpha=0.0), Patch(sites=(head(0, 1),), positions="index:5"))
    )
    assert 0 < patched < scaled < late, "a patch at position 5 runs the four tokens from there on"
