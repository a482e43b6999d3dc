import pytest
import torch

from lesion.engine import reference
from lesion.engine.batch import batches
from lesion.engine.batched import forward_pass as climb
from lesion.engine.batched import norm_consumers as readers
from lesion.engine.batched.engine import Fast
from lesion.engine.batched.norm_consumers import find, form_of
from lesion.interventions.intervention import Scale
from lesion.interventions.site import head, neuron


def _error(a, b):
    return float((a.log_softmax(-1) - b.log_softmax(-1)).abs().max())


def test_every_family_with_a_norm_before_its_block_has_readers_that_are_known(model):
    for reads in find(model):
        before = [read for read in reads if read.of == "stream"]
        assert bool(before) == (model.name != "tiny:olmo2"), model.name  # OLMo 2 norms what a block adds instead
        assert all(read.readers for read in reads)


def test_a_middle_is_found_only_where_the_mlp_reads_what_attention_added(model):
    middles = [read for reads in find(model) for read in reads if read.of == "middle"]
    if model.residual == "parallel" or model.family.post_attention_norm or model.name == "tiny:bloom":
        assert not middles  # bloom's attention adds the stream itself
    else:
        assert len(middles) == model.sizes.n_layers


def test_a_norm_in_its_form_gives_what_the_norm_gives(model):
    x = torch.linspace(-2, 3, 4 * model.sizes.d_model).sin().view(4, -1) + 0.5
    for layer, reads in enumerate(find(model)):
        for read in reads:
            norm = model.block(layer).get_submodule(read.norm)
            form = form_of(norm)
            assert form is not None
            torch.testing.assert_close(form(x), norm(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["gpt2", "llama", "gpt_neox", "bloom"])
def test_told_outputs_are_used_and_give_the_references_numbers(tiny, compiled, name, monkeypatch):
    model = tiny(name)
    (batch,) = batches(compiled(3, 6, 2, shared=3), 8)
    told = []
    give = climb.give
    monkeypatch.setattr(climb, "give", lambda *given: (told.append(1), give(*given)))
    fast = Fast(model)
    for site in (head(0, 1), neuron(0, 5)):
        wanted = [Scale(sites=(site,), alpha=alpha) for alpha in (0.0, 0.5, 2.0)]
        told.clear()
        for number, outcome in fast.run(batch, wanted):
            assert _error(outcome.logits, reference.run(model, batch, wanted[number]).logits) < 1e-5
        assert told or (name, site) == ("bloom", head(0, 1))  # bloom's attention adds the stream itself


def test_a_wrong_constant_of_a_norm_shows_in_the_numbers(tiny, compiled, monkeypatch):
    """The tests above would see it if a told output were not the real one."""
    monkeypatch.setattr(readers, "_constant", lambda form, reader, like: reader.linear(like[:1])[0] * 0)
    model = tiny("gpt2")
    with torch.no_grad():
        bias = model.block(0).mlp.c_fc.bias
        before = bias.clone()
        bias += 0.3
    try:
        (batch,) = batches(compiled(3, 6, 2, shared=3), 8)
        one = Scale(sites=(head(0, 1),), alpha=3.0)
        ((_, outcome),) = Fast(model).run(batch, [one])
        assert _error(outcome.logits, reference.run(model, batch, one).logits) > 1e-4
    finally:
        with torch.no_grad():
            bias.copy_(before)


def test_a_pass_that_ends_early_leaves_no_told_output_behind(tiny, compiled, monkeypatch):
    """As when memory does not suffice in the middle of a block: the next pass must not find what this one was told."""
    model = tiny("gpt2")
    (batch,) = batches(compiled(3, 6, 2, shared=3), 8)
    fast, one = Fast(model), Scale(sites=(neuron(0, 5),), alpha=3.0)
    enter = fast.twin.enter

    def scarce(layer, stream, given, known=None):
        if layer == 1 and fast.twin.groups[1]["stream"][0].readers[0].known is not None:
            raise ValueError("the end")
        return enter(layer, stream, given, known)

    monkeypatch.setattr(fast.twin, "enter", scarce)
    with pytest.raises(ValueError, match="the end"):
        list(fast.run(batch, [one]))
    assert all(r.known is None for layer in fast.twin.groups for gs in layer.values() for g in gs for r in g.readers)
