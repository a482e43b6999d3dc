import dataclasses

import pytest
import torch

from lesion.engine import reference
from lesion.engine.batch import batches
from lesion.engine.decode.generate import generate
from lesion.engine.decode.padded_prompts import padded, position_ids
from lesion.engine.hooks import hook_count
from lesion.engine.replacement_activations import Library, reference_hash
from lesion.errors import InputError, InterventionError
from lesion.interventions.intervention import KnockOut, Mean, Patch, Scale, Steer
from lesion.interventions.site import parse_site


def _sites(text):
    return tuple(map(parse_site, text.split("+")))


def _scale(text="L0H1+L1N3", alpha=0.3, positions="all"):
    return Scale(sites=_sites(text), alpha=alpha, positions=positions)


WHERE = ("all", "last", "prompt", "generated", "role:operand_1", "index:-1")
EDITS = [
    None,
    *(_scale(positions=where) for where in WHERE),
    _scale("L1.resid_pre+L1.attn_out+L2G0.k+L0N5.gate", 0.5),
    KnockOut(sites=_sites("L1H2"), positions="last", keys="index:-2"),
]


def _tokens(generation):
    return [text.tokens for text in generation.texts]


def _mixed(compiled):
    return [*compiled(2, 4, 1), *compiled(2, 9, 1), *compiled(1, 7, 1)]


NAMES = ("gpt2", "mistral", "gemma2", "bloom")


@pytest.fixture(params=[(name, edit) for name in NAMES for edit in EDITS[::2]], ids=lambda p: f"{p[0]} {p[1]}")
def case(request, tiny):
    name, edit = request.param
    return tiny(name), edit


def test_a_left_padded_batch_a_single_row_and_no_cache_all_give_the_same_text(case, compiled):
    _padded_alone_and_uncached_agree(*case, compiled)


@pytest.mark.slow
@pytest.mark.parametrize("intervention", EDITS, ids=str)
def test_on_every_family_padding_and_the_cache_change_no_text(model, compiled, intervention):
    _padded_alone_and_uncached_agree(model, intervention, compiled)


def _padded_alone_and_uncached_agree(model, intervention, compiled):
    prompts = _mixed(compiled)
    together = generate(model, prompts, 5, intervention=intervention)
    assert _tokens(together) == _tokens(generate(model, prompts, 5, intervention=intervention, cache=False))
    alone = [generate(model, [prompt], 5, intervention=intervention) for prompt in prompts]
    assert _tokens(together) == [tokens for one in alone for tokens in _tokens(one)]
    assert [t.margin for t in together.texts] == pytest.approx([one.texts[0].margin for one in alone], abs=1e-4)
    if intervention is not None:
        assert together.receipt.elements == sum(one.receipt.elements for one in alone)
        assert together.receipt.l2_change**2 == pytest.approx(sum(one.receipt.l2_change**2 for one in alone), rel=1e-4)


def test_greedy_exact_match_by_teacher_forcing_is_real_decoding(case, compiled):
    _forced_is_decoded(*case, compiled)


@pytest.mark.slow
@pytest.mark.parametrize("intervention", EDITS, ids=str)
def test_on_every_family_exact_match_by_teacher_forcing_is_real_decoding(model, compiled, intervention):
    _forced_is_decoded(model, intervention, compiled)


def _forced_is_decoded(model, intervention, compiled):
    """Conditions: the answer ends with the stop token and has it nowhere before, no logits processor, no tie."""
    prompts = compiled(6, 6, 4)
    decoded = generate(model, prompts, 4, intervention=intervention)
    assert min(text.margin for text in decoded.texts) > 1e-5, "a tie would be decided by rounding"
    for wrong in (False, True):
        asked = []
        for prompt, text in zip(prompts, decoded.texts, strict=True):
            answer = list(text.tokens)
            if wrong:  # one token of the middle
                answer[1] = (answer[1] + 1) % 64
            asked.append(dataclasses.replace(prompt, ids=(*prompt.ids[:6], *answer), answer_ids=tuple(answer)))
        (batch,) = batches(asked, 8)
        right = (reference.run(model, batch, intervention).logits.argmax(-1) == batch.answer).all(-1)
        really = []
        for item in asked:
            stop, known = item.answer_ids[-1], item.answer_ids[:-1]
            ends = set() if stop in known else {stop}
            (text,) = generate(model, [item], 4, stop=ends, intervention=intervention).texts
            really.append(text.tokens == item.answer_ids)
        assert right.tolist() == really
        assert any(really) != wrong


def test_a_row_ends_with_its_stop_token_and_the_others_go_on(tiny, compiled):
    prompts = _mixed(compiled)
    free = generate(tiny("llama"), prompts, 6)
    stop = free.texts[0].tokens[1]
    ended = generate(tiny("llama"), prompts, 6, stop={stop})
    for text, before in zip(ended.texts, free.texts, strict=True):
        cut = before.tokens.index(stop) + 1 if stop in before.tokens else 6
        assert text.tokens == before.tokens[:cut]
        assert text.stopped == (stop in before.tokens)


def test_a_steering_vector_and_a_patch_of_the_prompt_act_while_text_is_generated(tiny, compiled):
    model = tiny("qwen2")
    items = compiled(3, 6, 2)
    items = [dataclasses.replace(a, twin_ids=b.ids) for a, b in zip(items, items[1:] + items[:1], strict=True)]
    (batch,) = batches(items, 8)
    library = Library(model, items)
    steer = Steer(sites=_sites("L1.resid_pre"), vector=library.add(torch.ones(32)), coefficient=3.0)
    patch = Patch(sites=_sites("L0.resid_pre"), positions="prompt")
    mean = Mean(sites=_sites("L1H0"), reference=reference_hash(items), by="all")
    sources = library.sources(batch, [steer, patch, mean])
    plain = _tokens(generate(model, items, 4))
    for one in (steer, patch, mean):
        first, second = (
            generate(model, items, 4, intervention=one, source=sources[one], cache=c) for c in (True, False)
        )
        assert _tokens(first) == _tokens(second)
        assert first.receipt.l2_change > 0
    # the whole entering stream of the twin in the place of one's own: the twin's text
    twins = [plain[1], plain[2], plain[0]]
    assert _tokens(generate(model, items, 4, intervention=patch, source=sources[patch])) == twins


def test_a_replacement_that_has_nothing_for_generated_tokens_is_refused(tiny, compiled):
    patch = Patch(sites=_sites("L0H0"), positions="last")
    with pytest.raises(InterventionError, match="generated tokens have nothing to be replaced by"):
        generate(tiny("llama"), compiled(1, 4, 1), 2, intervention=patch, source={patch.sites[0]: torch.zeros(1, 4, 8)})
    there = patch.model_copy(update={"positions": "prompt"})
    with pytest.raises(InterventionError, match="prompts of different lengths share no source"):
        generate(tiny("llama"), _mixed(compiled), 2, intervention=there, source={patch.sites[0]: torch.zeros(5, 4, 8)})


def test_no_hook_stays_and_an_intervention_that_never_acts_is_an_error(tiny, compiled):
    model = tiny("llama")
    before = hook_count(model.module)
    generate(model, compiled(2, 4, 1), 3, intervention=_scale())
    assert hook_count(model.module) == before
    with pytest.raises(InterventionError, match="no token was read at 'generated'"):
        generate(model, compiled(2, 4, 1), 1, intervention=_scale(positions="generated"))


def test_what_does_not_fit_is_refused(tiny, compiled):
    with pytest.raises(InputError, match="this model has 128 positions"):
        generate(tiny("llama"), compiled(1, 4, 1), 126)
    with pytest.raises(InputError, match="at least one prompt"):
        generate(tiny("llama"), [], 1)
    with pytest.raises(InterventionError, match="did you mean 'operand_1'"):
        generate(tiny("llama"), compiled(1, 4, 1), 1, intervention=_scale(positions="role:operand1"))


def test_positions_are_counted_in_each_rows_own_tokens(compiled):
    batch = padded([*compiled(1, 3, 1), *compiled(1, 5, 1)])
    assert batch.mask("index:0", 6).int().tolist() == [[0, 0, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0]]
    assert batch.mask("index:-1", 6).int().tolist() == [[0, 0, 0, 0, 1, 0]] * 2
    assert batch.mask("role:operand_1", 6).int().tolist() == [[0, 0, 0, 1, 0, 0], [0, 1, 0, 0, 0, 0]]
    assert batch.mask("prompt", 6).int().tolist() == [[0, 0, 1, 1, 1, 0], [1, 1, 1, 1, 1, 0]]
    assert batch.mask("generated", 6).int().tolist() == [[0, 0, 0, 0, 0, 1]] * 2
    assert batch.mask("last", 6).int().tolist() == [[0, 0, 0, 0, 1, 1]] * 2
    assert batch.mask("all", 6).int().tolist() == [[0, 0, 1, 1, 1, 1], [1] * 6]
    assert position_ids(batch.pads, 6).tolist() == [[0, 0, 0, 1, 2, 3], [0, 1, 2, 3, 4, 5]]
