"""Reads are declared, reduced while the pass goes on, and never half done."""

import pytest
import torch

from lesion.engine import capture as captures
from lesion.engine.batch import batches
from lesion.engine.capture import LEAST_SHARED, Read, at, capture, capture_places, predicted_bytes, whole
from lesion.engine.decode.kept import kept_whole
from lesion.engine.hooks import hook_count, recorded
from lesion.errors import InputError, InterventionError


def test_a_read_is_what_the_module_was_given_and_gave(model, compiled):
    made = batches(compiled(3, 5, 1), 2)
    path = f"{model.block_path(1)}.{model.family.mlp_out}"
    reads = [Read("in", path, "input", whole), Read("out", path, "output", at(lambda b: torch.full((len(b.rows),), 2)))]
    for seen in capture(model, made, reads):
        with recorded(model, [path]) as expected, torch.inference_mode():
            model.module(seen.batch.inputs, use_cache=False)
        shape = (*seen.batch.inputs.shape, -1)
        assert torch.equal(seen.kept["in"], expected[path].input.reshape(shape))
        assert torch.equal(seen.kept["out"], expected[path].output.reshape(shape)[:, 2])
    assert hook_count(model.module) == 0


def test_a_pass_that_need_not_be_whole_ends_with_the_last_read(model, compiled):
    (batch,) = batches(compiled(3, 5, 1), 4)
    path = f"{model.block_path(0)}.{model.family.mlp_out}"
    reads = [Read("in", path, "input", whole), Read("block", model.block_path(0), "input", whole)]
    last = model.block(model.sizes.n_layers - 1)
    ran: list[int] = []
    handle = last.register_forward_pre_hook(lambda *_: ran.append(1))
    try:
        (every,) = capture(model, [batch], reads)
        assert ran == [1]
        (some,) = capture(model, [batch], reads, whole_pass=False)
        assert ran == [1]
    finally:
        handle.remove()
    assert all(torch.equal(some.kept[name], every.kept[name]) for name in ("in", "block"))
    assert hook_count(model.module) == 0


def test_only_what_the_reduction_returns_is_kept(tiny, compiled):
    model = tiny("gpt2")
    (batch,) = batches(compiled(4, 6, 2), 8)
    path = f"{model.block_path(0)}.{model.family.mlp_out}"
    (seen,) = capture(model, [batch], [Read("norm", path, "input", lambda t, b: t.norm(dim=-1).amax(1))])
    assert seen.kept["norm"].shape == (4,)
    assert predicted_bytes(batch, [model.sizes.d_mlp]) == 4 * 7 * 128 * 4


def test_logits_of_the_answer_alone_are_those_of_the_whole_pass(tiny, compiled):
    model = tiny("llama")
    (batch,) = batches(compiled(3, 6, 2), 8)
    made: list[tuple[int, ...]] = []

    def seen(tensor, _):
        made.append(tuple(tensor.shape))
        return tensor.clone()

    reads = [Read("logits", model.family.unembedding, "output", seen)]
    (every,), (some,) = (list(capture(model, [batch], reads, answers=answers)) for answers in (False, True))
    assert made == [(3, 7, model.sizes.vocab_size), (3, 2, model.sizes.vocab_size)]
    assert torch.allclose(some.kept["logits"], every.kept["logits"][:, batch.first :], atol=1e-6)


def test_a_read_that_cannot_be_is_refused_and_leaves_no_hook(tiny, compiled):
    model = tiny("gpt2")
    made = batches(compiled(2, 4, 1), 2)
    path = model.block_path(0)
    with pytest.raises(InputError, match="same name"):
        list(capture(model, made, [Read("a", path, "input", whole)] * 2))
    with pytest.raises(InterventionError, match="has no 'nowhere'"):
        list(capture(model, made, [Read("a", "nowhere", "input", whole)]))

    def broken(*_):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        list(capture(model, made, [Read("a", path, "input", broken)]))
    assert hook_count(model.module) == 0


def positions_read(model):
    """A handle and the tokens that the first block was given, pass by pass."""
    seen: list[int] = []
    handle = model.block(0).register_forward_pre_hook(
        lambda _, given: seen.append(given[0].shape[0] * given[0].shape[1])
    )
    return handle, seen


@pytest.mark.parametrize("shared", [0, LEAST_SHARED - 1, LEAST_SHARED, 12, 13])
def test_tokens_that_all_rows_begin_with_are_read_once_and_nothing_changes(model, compiled, shared):
    (batch,) = batches(compiled(5, 13, 3, shared=shared), 8)
    last = model.sizes.n_layers - 1
    paths = {"mlp": f"{model.block_path(last)}.{model.family.mlp_out}", "block": model.block_path(0)}
    reads = [Read(name, path, "input", whole) for name, path in paths.items()]
    (wanted,) = capture(model, [batch], reads)
    handle, seen = positions_read(model)
    try:
        found = capture_places(model, batch, reads)
    finally:
        handle.remove()
    once, limit = min(shared, 12), kept_whole(model.module)
    whole_rows = shared < LEAST_SHARED or (limit is not None and limit < 15)  # some tiny models have a narrow window
    assert seen == ([5 * 15] if whole_rows else [once, 5 * (15 - once)])
    for name in paths:
        assert found[name].shape == wanted.kept[name].shape
        torch.testing.assert_close(found[name], wanted.kept[name], rtol=1e-4, atol=1e-5)
    assert hook_count(model.module) == 0


def test_what_a_sliding_window_would_let_go_of_is_read_in_every_row(tiny, compiled, monkeypatch):
    model = tiny("llama")
    (batch,) = batches(compiled(5, 13, 3, shared=12), 8)
    reads = [Read("block", model.block_path(0), "input", whole)]
    for limit, passes in ((15, 2), (14, 1), (None, 2)):
        monkeypatch.setattr(captures, "kept_whole", lambda _, limit=limit: limit)
        handle, seen = positions_read(model)
        capture_places(model, batch, reads)
        handle.remove()
        assert len(seen) == passes
    monkeypatch.setattr(captures, "rope_switch", lambda _: 4096)
    handle, seen = positions_read(model)
    capture_places(model, batch, reads)
    handle.remove()
    assert seen == [5 * 15]
