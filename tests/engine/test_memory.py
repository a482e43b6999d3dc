import pytest
import torch

from lesion.engine import reference
from lesion.engine.batch import batches
from lesion.engine.batched import engine as module
from lesion.engine.batched.clean_cache import Clean
from lesion.engine.batched.engine import Fast
from lesion.engine.batched.memory import give_back, is_out_of_memory, pass_bytes, peak_bytes
from lesion.engine.batched.token_trie import apart, trie
from lesion.errors import InterventionError
from lesion.interventions.intervention import Scale
from lesion.interventions.site import head

WANTED = [Scale(sites=(head(0, index),), alpha=alpha) for index in range(4) for alpha in (0, 0.5)]


def _error(left, right):
    return float((left.log_softmax(-1) - right.log_softmax(-1)).abs().max())


@pytest.fixture
def batch(compiled):
    return batches(compiled(3, 9, 2, 6), 8)[0]


@pytest.fixture
def scarce(monkeypatch):
    """Memory for passes of at most so many interventions; says how large the ones were that ran."""
    ran = []
    plain = module.Pass.run

    def limit(most):
        def run(one):
            result = plain(one)
            if one.rows > most:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
            ran.append(one.rows)
            return result

        monkeypatch.setattr(module.Pass, "run", run)
        return ran

    return limit


def test_a_pass_that_does_not_fit_is_halved_and_gives_the_same_numbers_and_receipts(tiny, batch, scarce):
    model = tiny("llama")
    ran, quick = scarce(2), Fast(model)
    found = dict(quick.run(batch, WANTED))
    assert max(ran) == 2
    assert sum(ran) == len(WANTED)
    assert {(cut.reason, cut.asked, cut.got) for cut in quick.halvings} == {
        ("out of memory", 8, 4),
        ("out of memory", 4, 2),
    }
    for number, intervention in enumerate(WANTED):
        plain = reference.run(model, batch, intervention)
        assert _error(found[number].logits, plain.logits) <= 1e-5
        assert found[number].receipt.firings == plain.receipt.firings == 1
        assert found[number].receipt.elements == plain.receipt.elements


def test_one_intervention_that_does_not_fit_is_refused_with_the_rows_and_bytes(tiny, batch, scarce):
    scarce(0)
    with pytest.raises(InterventionError, match=r"3 rows of 10 tokens, about \d+ MiB: ask for fewer rows"):
        list(Fast(tiny("llama")).run(batch, WANTED))


def test_other_errors_are_not_taken_for_missing_memory(tiny, batch, monkeypatch):
    def broken(_):
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(module.Pass, "run", broken)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        list(Fast(tiny("llama")).run(batch, WANTED))


def test_a_memory_limit_makes_passes_smaller_and_is_written_down(tiny, batch, scarce):
    model = tiny("gpt2")
    layout = trie(batch.inputs, batch.first)
    ran, quick = scarce(99), Fast(model, memory=3 * pass_bytes(model.sizes, layout) + 1)
    found = dict(quick.run(batch, WANTED))
    assert ran == [3, 3, 2]
    assert [(cut.reason, cut.layer, cut.got) for cut in quick.halvings] == [("limit", 0, 3)]
    assert _error(found[5].logits, reference.run(model, batch, WANTED[5]).logits) <= 1e-5


def test_without_a_limit_nothing_is_cut(tiny, batch):
    quick = Fast(tiny("gpt2"))
    list(quick.run(batch, WANTED))
    assert quick.halvings == []


def test_predicted_bytes_grow_with_rows_and_no_faster(tiny):
    sizes = tiny("gpt2").sizes
    one, two = (pass_bytes(sizes, apart(torch.zeros(rows, 10, dtype=torch.long), 8)) for rows in (4, 8))
    assert two == 2 * one


def test_peak_memory_sees_what_was_freed_again():
    before = peak_bytes(lambda: None)
    if before is None:
        pytest.skip("this system does not tell a process its peak memory")
    during = peak_bytes(lambda: torch.ones(2**24).sum())
    assert during - before >= 2**25


def test_errors_of_torch_about_memory_are_known_as_such():
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate"))
    with pytest.raises(RuntimeError) as refused:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(refused.value)
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_products_of_other_layers_are_dropped(batch):
    clean = Clean(trie(batch.inputs, batch.first), given=[], trees=[])
    clean.last = {(0, "middle", 0): (1, ()), (1, "middle", 0): (2, ()), "product": (3, ())}
    clean.forget_other_layers(layer=1)
    assert set(clean.last) == {(1, "middle", 0), "product"}


def test_freed_memory_is_given_back_where_the_system_allows():
    give_back()
