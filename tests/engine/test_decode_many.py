"""Several interventions decoded together: each row is the text of its prompt alone, read anew for each token."""

import dataclasses

import numpy as np
import pytest
import torch

from lesion.engine.batch import batches
from lesion.engine.decode import loops as module
from lesion.engine.decode import prefill
from lesion.engine.decode.generate import generate, generate_many
from lesion.engine.decode.kept import kept_bytes
from lesion.engine.decode.padded_prompts import as_prompt, padded
from lesion.engine.decode.passes import Arm
from lesion.engine.hooks import applied, hook_count
from lesion.engine.replacement_activations import Library
from lesion.errors import InterventionError
from lesion.interventions.intervention import KnockOut, Patch, Scale, Steer
from lesion.interventions.site import head, parse_site

NAMES = ("gpt2", "mistral", "gemma2", "falcon")
MOST = 6
NOISE = 1e-4
"""A text whose two largest logits come nearer than this may be another."""


def _scale(sites, positions, alpha=0.2):
    return Scale(sites=tuple(map(parse_site, sites.split("+"))), alpha=alpha, positions=positions)


ARMS = [
    None,
    _scale("L0H1+L1N3", "all"),
    _scale("L1H0", "last", -1.0),
    _scale("L2H2+L0.resid_pre", "generated"),
    _scale("L1.attn_out", "prompt"),
    _scale("L0H2", "index:2", 3.0),
    _scale("L1.resid_mid", "role:operand_1"),
    _scale("L2H1", "index:-2"),
]


def _prompts(compiled, seed=0):
    """Prompts of four lengths that begin alike, in no order."""
    every = [p for length in (9, 14, 11, 16) for p in compiled(2, length, 1, seed=seed)]
    every = [dataclasses.replace(p, ids=(*every[0].ids[:8], *p.ids[8:])) for p in every]
    return [every[i] for i in np.random.default_rng(seed).permutation(len(every))]


def _as_alone(model, prompts, arms, stop, made):
    """Every sure text is that of its prompt alone, and so is what the edits wrote; how many texts were compared."""
    sure = 0
    for one, generation in zip(arms, made, strict=True):
        for prompt, text in zip(prompts, generation.texts, strict=True):
            (free,) = generate(model, [prompt], MOST, (), one, cache=False).texts
            ends = next((place + 1 for place, token in enumerate(free.tokens) if token in stop), MOST)
            if free.margin > NOISE:
                sure += 1
                assert text.tokens == free.tokens[:ends], str(one)
                assert text.stopped == bool(stop & set(text.tokens))
                assert text.margin > free.margin - NOISE
        if one is not None:
            _counted(model, one, prompts, generation)
    return sure


def _counted(model, one, prompts, generation):
    """The receipt tells what the edit writes when each finished text is read once, alone."""
    elements, squares = 0, 0.0
    for prompt, text in zip(prompts, generation.texts, strict=True):
        ids = torch.tensor([[*prompt.ids[: prompt.prompt_length], *text.tokens[:-1]]])
        mask = padded([prompt]).mask(one.positions, ids.shape[1])
        if mask.any():
            with applied(model, one, mask) as recorder, torch.inference_mode():
                model.module(ids, use_cache=False)
            elements += recorder.elements
            squares += recorder.squared_change
    receipt = generation.receipt
    assert receipt.elements == elements
    assert receipt.l2_change**2 == pytest.approx(squares, rel=1e-3)
    assert receipt.firings == receipt.forwards * receipt.modules


def _stops(model, prompts, seed):
    """Some tokens that really come, so that rows end at different steps."""
    free = generate(model, prompts, MOST)
    written = sorted({token for text in free.texts for token in text.tokens[1:]})
    return set(np.random.default_rng(seed).permutation(written)[:2].tolist())


def _arms(model):
    """Those that the family has a place for."""
    parallel = model.family.residual == "parallel"
    return [one for one in ARMS if not (parallel and one and any(s.kind == "resid_mid" for s in one.sites))]


def _check(model, compiled, seed):
    prompts, arms = _prompts(compiled, seed), _arms(model)
    stop = _stops(model, prompts, seed)
    before = hook_count(model.module)
    made = generate_many(model, prompts, MOST, stop, [Arm(one) for one in arms])
    assert hook_count(model.module) == before
    assert len({len(text.tokens) for each in made for text in each.texts}) > 1, "rows end at different steps"
    assert _as_alone(model, prompts, arms, stop, made) > len(arms) * len(prompts) / 2


@pytest.mark.parametrize("name", NAMES)
def test_every_row_is_the_text_of_its_prompt_alone(tiny, compiled, monkeypatch, name):
    monkeypatch.setattr(prefill, "WORTH", 1)
    monkeypatch.setattr(prefill, "TOKENS", 60)
    _check(tiny(name), compiled, 1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_on_every_family_every_row_is_the_text_of_its_prompt_alone(model, compiled, monkeypatch, seed):
    monkeypatch.setattr(prefill, "WORTH", 1)
    monkeypatch.setattr(prefill, "TOKENS", (1, 60, 2048)[seed])
    if seed == 2:
        monkeypatch.setattr(prefill, "WORTH", 10**9)
    _check(model, compiled, seed)


def test_each_row_has_its_own_source_in_whatever_order_rows_are_read(tiny, compiled):
    model = tiny("qwen2")
    items = compiled(5, 6, 2)
    items = [dataclasses.replace(a, twin_ids=b.ids) for a, b in zip(items, items[1:] + items[:1], strict=True)]
    (batch,) = batches(items, 8)
    library = Library(model, items)
    steer = Steer(sites=(parse_site("L1.resid_pre"),), vector=library.add(torch.ones(32)), coefficient=3.0)
    patch = Patch(sites=(parse_site("L0.resid_pre"),), positions="prompt")
    sources = library.sources(batch, [steer, patch])
    arms = [Arm(), Arm(patch, sources[patch]), Arm(steer, sources[steer])]
    plain, patched, steered = generate_many(model, items, 4, (), arms, memory=2 * kept_bytes(model.sizes, 10))
    assert patched.texts[:-1] != plain.texts[:-1]
    assert [text.tokens for text in patched.texts] == [t.tokens for t in plain.texts[1:] + plain.texts[:1]]
    alone = [generate(model, [item], 4, (), steer, sources[steer], cache=False).texts[0] for item in items]
    assert [text.tokens for text in steered.texts] == [text.tokens for text in alone]


def test_rows_are_split_so_that_what_is_kept_fits_the_memory(tiny, compiled, monkeypatch):
    model, prompts = tiny("llama"), _prompts(compiled)
    seen: list[int] = []
    monkeypatch.setattr(module, "read_prompts", lambda p, some, rows, arms: _noted(seen, p, some, rows, arms))
    arms = [Arm(), Arm(ARMS[1]), Arm(ARMS[2])]
    whole = generate_many(model, prompts, 3, (), arms)
    assert seen == [24]
    for rows, wanted in ((7, [6, 6, 6, 6]), (2, None)):
        seen.clear()
        split = generate_many(model, prompts, 3, (), arms, memory=rows * kept_bytes(model.sizes, 16 + 3))
        assert max(seen) <= rows
        assert sum(seen) == 24
        assert wanted is None or seen == wanted
        for one, other in zip(split, whole, strict=True):
            assert [text.tokens for text in one.texts] == [text.tokens for text in other.texts]
            assert one.receipt is None or one.receipt.elements == other.receipt.elements


def _noted(seen, passes, prompts, rows, arms):
    seen.append(len(rows) * len(arms))
    return prefill.read_prompts(passes, prompts, rows, arms)


def test_an_edit_shares_the_unedited_prompt_up_to_where_it_acts(tiny, compiled, monkeypatch):
    monkeypatch.setattr(prefill, "WORTH", 1)
    model, prompts, read = tiny("llama"), _prompts(compiled), []
    handle = model.module.register_forward_pre_hook(lambda _, args: read.append(args[0].numel()))
    try:
        for positions, more in (("generated", 0), ("last", len(prompts)), ("all", 8 + 8 * len(prompts))):
            counts: list[int] = []
            for arms in ([Arm()], [Arm(), Arm(_scale("L0H1", positions))]):
                read.clear()
                generate_many(model, prompts, 2, (), arms)
                counts.append(sum(read) - len(arms) * len(prompts))  # without the step over the first new tokens
            assert counts[0] == 8 + 8 * len(prompts), "eight common tokens are read once"
            assert counts[1] == counts[0] + more
    finally:
        handle.remove()


def test_a_finished_row_is_read_no_more(tiny, compiled):
    model, prompts, rows = tiny("llama"), _prompts(compiled), []
    stop = _stops(model, prompts, 0)
    handle = model.module.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    try:
        (made,) = generate_many(model, prompts, MOST, stop, [Arm()])
    finally:
        handle.remove()
    lengths = [len(text.tokens) for text in made.texts]
    wanted = [sum(length > step for length in lengths) for step in range(1, max(lengths))]
    assert rows[-len(wanted) :] == wanted
    assert wanted[-1] < len(prompts)


def test_texts_that_are_read_again_go_in_passes_of_few_tokens(tiny, compiled, monkeypatch):
    model, prompts = tiny("llama"), [*compiled(30, 6, 1)]
    cut = KnockOut(sites=(head(1, 2),), positions="last", keys="index:-2")
    (whole,) = generate_many(model, prompts, 3, (), [Arm(cut)])
    seen: list[int] = []
    handle = model.module.register_forward_pre_hook(lambda _, args: seen.append(args[0].numel()))
    monkeypatch.setattr("lesion.engine.decode.generate.READ_AGAIN", 40)
    try:
        (parts,) = generate_many(model, prompts, 3, (), [Arm(cut)])
    finally:
        handle.remove()
    assert max(seen) <= 40 < sum(prompt.prompt_length for prompt in prompts)
    assert [text.tokens for text in parts.texts] == [text.tokens for text in whole.texts]


def test_a_knock_out_and_an_edit_without_meaning_are_as_ever(tiny, compiled):
    model, prompts = tiny("llama"), _prompts(compiled)
    cut = KnockOut(sites=(head(1, 2),), positions="last", keys="index:-2")
    plain, made = generate_many(model, prompts, 3, (), [Arm(), Arm(cut)])
    assert made.texts == generate(model, prompts, 3, (), cut).texts
    assert plain.receipt is None
    patch = Patch(sites=(head(0, 0),), positions="last")
    with pytest.raises(InterventionError, match="generated tokens have nothing to be replaced by"):
        generate_many(model, prompts, 2, (), [Arm(), Arm(patch, {patch.sites[0]: torch.zeros(1, 4, 8)})])


@pytest.mark.pretrained
def test_texts_of_a_real_model_are_those_of_each_prompt_alone(smollm2_model):
    model = smollm2_model
    front = "Question: Ada has 4 pens and buys 3 more. How many pens has she?\nAnswer: 4 + 3 = 7\n"
    prompts = [
        as_prompt(model, front + f"Question: {name} has {n} cups.\nAnswer:") for name, n in (("Bo", 2), ("Cy", 31))
    ]
    arms = [None, _scale("L7H0+L7H8", "all"), _scale("L22H0", "last", -1.0)]
    made = generate_many(model, prompts, 4, (), [Arm(one) for one in arms])
    assert model.sizes.n_layers > 22
    for one, generation in zip(arms, made, strict=True):
        for prompt, text in zip(prompts, generation.texts, strict=True):
            (alone,) = generate(model, [prompt], 4, (), one, cache=False).texts
            assert alone.margin < NOISE or text.tokens == alone.tokens
            assert text.margin == pytest.approx(alone.margin, abs=1e-3)
