from dataclasses import replace

import pytest
import torch

from lesion.engine import ending as endings
from lesion.engine import reference
from lesion.engine.batch import batches
from lesion.engine.ending import Ending, Thrift
from lesion.engine.fast import Fast
from lesion.interventions.intervention import Scale
from lesion.interventions.site import Site, head, neuron

POSITIONS_BY_NUMBER = {"gpt2", "gpt_neo", "opt"}
"""Families whose keys know nothing of positions and have no norm."""


def _error(a, b):
    return float((a.log_softmax(-1) - b.log_softmax(-1)).abs().max())


def _largest_error(fast, batch):
    """Of edits below, in and of the last block."""
    last = fast.model.sizes.n_layers - 1
    stream = Site(kind="resid_pre", layer=last)
    sites = [(head(0, 1),), (neuron(0, 5),), (stream,), (head(0, 0), head(last, 1)), (head(last - 1, 0),)]
    wanted = [Scale(sites=some, alpha=3.0) for some in sites]
    plain = [reference.run(fast.model, batch, one).logits for one in wanted]
    return max(_error(outcome.logits, plain[number]) for number, outcome in fast.run(batch, wanted))


def test_values_of_every_family_come_from_the_stream_and_keys_where_positions_are_not_in_them(model, compiled):
    (batch,) = batches(compiled(3, 6, 2, shared=3), 8)
    fast = Fast(model)
    if not fast.twin.shares:
        assert fast.ending(batch) is None
        return
    found = fast.ending(batch)
    assert found is not None, model.name
    assert (found.keys is not None) == (model.name.removeprefix("tiny:") in POSITIONS_BY_NUMBER), model.name


@pytest.mark.parametrize(("answer", "shared"), [(1, 0), (3, 5), (2, 16)])
def test_attention_over_the_stream_gives_the_references_numbers(model, compiled, monkeypatch, answer, shared):
    monkeypatch.setattr(Ending, "pays", lambda self, layout: layout.start == 0)
    (batch,) = batches(compiled(4, 16, answer, shared=shared), 8)
    assert _largest_error(Fast(model), batch) < 1e-5


def test_a_wrong_map_shows_in_the_numbers(tiny, compiled, monkeypatch):
    """The test above would see it if z came from something else, and the clean run sees it first."""
    monkeypatch.setattr(Ending, "pays", lambda self, layout: layout.start == 0)
    (batch,) = batches(compiled(4, 16, 1, shared=4), 8)
    for model in (tiny("gpt2"), tiny("llama")):
        fast = Fast(model)
        right = fast.twin.ending
        turned = replace(right, values=right.values._replace(weight=right.values.weight.flip(0)))
        fast.twin.ending = turned
        assert fast.ending(batch) is None
        assert _largest_error(fast, batch) < 1e-5
        monkeypatch.setattr(Ending, "proven", lambda self, key, value: self)
        assert _largest_error(fast, batch) > 1e-4
        monkeypatch.undo()
        monkeypatch.setattr(Ending, "pays", lambda self, layout: layout.start == 0)


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
    fast = Fast(tiny("llama"))
    (batch,) = batches(compiled(6, 24, 1, shared=2), 8)
    list(fast.run(batch, [Scale(sites=(head(0, 1),), alpha=0.0, positions=where) for where in ("all", "last")]))
    for thrift in fast.twin.ending.thrifts:
        assert thrift.wanted is None
        assert thrift.input is None


def test_a_thrifty_projection_makes_queries_where_they_are_read_and_keys_everywhere():
    inner = torch.nn.Linear(5, 6)
    thrift = Thrift(inner, 6)
    columns = torch.tensor([4, 0])
    weight, bias = inner.weight.detach().T, inner.bias.detach()
    thrift.parts = [
        endings._part("q", columns, thrift, weight, bias, "default"),
        endings._part("k", torch.tensor([1, 2]), thrift, weight, bias, "default"),
    ]
    thrift.wanted, thrift.read = thrift.parts, torch.tensor([3, 1])
    x = torch.linspace(-1, 1, 2 * 4 * 5).view(2, 4, 5)
    with torch.no_grad():
        whole, some = inner(x), thrift(x)
    torch.testing.assert_close(some[:, [1, 3]][..., columns], whole[:, [1, 3]][..., columns])
    torch.testing.assert_close(some[..., 1:3], whole[..., 1:3])
    assert not some[:, [0, 2]][..., columns].any()
    assert not some[..., [3, 5]].any()


def test_bfloat16_keeps_its_own_values(tiny):
    model = tiny("gpt2")
    assert endings.ending(replace(model, dtype="bfloat16"), model.block(1), "default") is None
