from dataclasses import replace

import pytest
import torch

from lesion.engine import reference
from lesion.engine.batch import batches
from lesion.engine.batched import last_layer_attention as endings
from lesion.engine.batched.engine import Fast
from lesion.engine.batched.last_layer_attention import Ending, Thrift
from lesion.interventions.intervention import Scale
from lesion.interventions.site import Site, head, neuron
from lesion.tasks.tokenizers.prompt_contract import Compiled

POSITIONS_BY_NUMBER = {"gpt2", "gpt_bigcode", "gpt_neo", "opt"}
"""Families whose keys know nothing of positions and have no norm."""


def _error(a, b):
    return float((a.log_softmax(-1) - b.log_softmax(-1)).abs().max())


@pytest.fixture
def always(monkeypatch):
    """Whatever the shapes say; holds an entry for every time that it was used."""
    used, on = [], Ending.on
    monkeypatch.setattr(Ending, "pays", lambda self, layout: layout.start == 0)
    monkeypatch.setattr(Ending, "on", lambda self, read: (used.append(len(read)), on(self, read))[1])
    return used


def _largest_error(fast, batch):
    """Of edits below, in and of the last block."""
    last = fast.model.sizes.n_layers - 1
    stream = Site(kind="resid_pre", layer=last)
    sites = [(head(0, 1),), (neuron(0, 5),), (stream,), (head(0, 0), head(last, 1)), (head(last - 1, 0),)]
    wanted = [Scale(sites=some, alpha=3.0) for some in sites]
    plain = [reference.run(fast.model, batch, one).logits for one in wanted]
    return max(_error(outcome.logits, plain[number]) for number, outcome in fast.run(batch, wanted))


def test_keys_and_values_come_from_the_stream_where_positions_are_not_in_them(model, compiled):
    (batch,) = batches(compiled(3, 6, 2, shared=3), 8)
    found = Fast(model).ending(batch)
    assert (found is not None) == (model.name.removeprefix("tiny:") in POSITIONS_BY_NUMBER), model.name


@pytest.mark.parametrize(("answer", "shared"), [(1, 0), (1, 4), (3, 5), (2, 16)])
@pytest.mark.parametrize("name", sorted(POSITIONS_BY_NUMBER))
def test_attention_over_the_stream_gives_the_references_numbers(tiny, compiled, always, name, answer, shared):
    (batch,) = batches(compiled(4, 16, answer, shared=shared), 8)
    assert _largest_error(Fast(tiny(name)), batch) < 1e-5
    assert always


def test_keys_that_turn_with_the_position_are_seen_and_left_alone(tiny, compiled, always):
    (batch,) = batches(compiled(4, 16, 1, shared=4), 8)
    fast = Fast(tiny("llama"))
    assert fast.twin.ending is not None
    assert _largest_error(fast, batch) < 1e-5
    assert not always


def test_many_tokens_at_position_0_do_not_pass_for_keys_without_positions(tiny, always):
    """There a rotation does nothing; here they are the first 64 tokens of the trie."""
    rows = [(2 + row // 2, 3 + row % 2 * 5, 7, 9, 11 + row % 3) for row in range(128)]
    (batch,) = batches([Compiled(ids, {}, ids[4:], ids[4:], 4, None) for ids in rows], 128)
    fast = Fast(tiny("llama"))
    assert (fast.layout(batch).levels[0].count, fast.layout(batch).levels[0].width) == (64, 1)
    assert fast.ending(batch) is None
    assert _largest_error(fast, batch) < 1e-5
    assert not always


@pytest.mark.parametrize("what", ["keys", "values"])
def test_a_wrong_map_is_seen_in_the_clean_run_and_would_show_in_the_numbers(tiny, compiled, monkeypatch, always, what):
    (batch,) = batches(compiled(4, 16, 1, shared=4), 8)
    fast = Fast(tiny("gpt2"))
    right = getattr(fast.twin.ending, what)
    fast.twin.ending = replace(fast.twin.ending, **{what: right._replace(weight=2 * right.weight.flip(0))})
    assert fast.ending(batch) is None
    assert _largest_error(fast, batch) < 1e-5
    assert not always
    monkeypatch.setattr(Ending, "holds", lambda self, key, value: True)
    assert _largest_error(fast, batch) > 1e-4
    assert always


def test_it_is_used_where_it_spares_work_and_not_for_late_positions_or_many_reads(tiny, compiled, monkeypatch):
    taken = []
    on = Ending.on
    monkeypatch.setattr(Ending, "on", lambda self, read: (taken.append(len(read)), on(self, read))[1])
    model = tiny("gpt2")
    for answer, positions, used in [(1, "all", True), (1, "last", False), (8, "all", False)]:
        taken.clear()
        (batch,) = batches(compiled(6, 24, answer, shared=2), 8)
        wanted = [Scale(sites=(head(0, 1),), alpha=0.0, positions=positions)]
        ((_, outcome),) = Fast(model).run(batch, wanted)
        assert _error(outcome.logits, reference.run(model, batch, wanted[0]).logits) < 1e-5
        assert bool(taken) == used, (answer, positions)


def test_nothing_is_kept_or_left_on_behind_a_run(tiny, compiled):
    fast = Fast(tiny("gpt2"))
    (batch,) = batches(compiled(6, 24, 1, shared=2), 8)
    list(fast.run(batch, [Scale(sites=(head(0, 1),), alpha=0.0, positions=where) for where in ("all", "last")]))
    for thrift in fast.twin.ending.thrifts:
        assert thrift.read is None
        assert thrift.input is None


def test_a_thrifty_projection_makes_queries_where_they_are_read_and_nothing_else():
    inner, columns = torch.nn.Linear(5, 6), torch.tensor([4, 0])
    thrift = Thrift(inner, 6)
    some = endings._some(columns, thrift, inner.weight.detach().T, inner.bias.detach(), "default")
    thrift.queries, thrift.read = (columns, some), torch.tensor([3, 1])
    x = torch.linspace(-1, 1, 2 * 4 * 5).view(2, 4, 5)
    with torch.no_grad():
        whole, made = inner(x), thrift(x)
    torch.testing.assert_close(made[:, [1, 3]][..., columns], whole[:, [1, 3]][..., columns])
    assert not made[:, [0, 2]].any()
    assert not made[..., [1, 2, 3, 5]].any()


def test_bfloat16_and_norms_behind_a_projection_keep_their_own_keys(tiny):
    gpt2, olmo2 = tiny("gpt2"), tiny("olmo2")
    assert endings.ending(replace(gpt2, dtype="bfloat16"), gpt2.block(1), "default") is None
    assert endings.ending(olmo2, olmo2.block(1), "default") is None
