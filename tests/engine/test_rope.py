"""Rotary embeddings whose angles depend on the longest row of a pass: no row's numbers depend on its neighbours."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from lesion.engine.batch import batches
from lesion.engine.decode.generate import generate
from lesion.engine.decode.kept import rope_switch
from lesion.engine.decode.padded_prompts import as_prompt
from lesion.engine.reference import run
from lesion.errors import InputError
from lesion.interventions.intervention import Scale
from lesion.interventions.site import head
from lesion.measures.prompt_set import ask
from lesion.models.model import Model, adopted_model
from lesion.models.tiny import character_tokenizer

LONG = {
    "rope_type": "longrope", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 16,
    "short_factor": [1.0] * 4, "long_factor": [1.5, 4.0, 6.0, 8.0],
}  # fmt: skip
DYNAMIC = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0}
SHORT_TEXT, LONG_TEXT = "12+3=", "12+3=15;4+5=9;7+8=15;1+1="


def _llama(rope: dict[str, object], positions: int) -> Model:
    tokenizer = character_tokenizer()
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=positions, rope_parameters=rope,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = LlamaForCausalLM._from_config(config, attn_implementation="sdpa").eval()
        for parameter in module.parameters():
            parameter.data *= 8
    return adopted_model(module, tokenizer)


def test_a_short_text_beside_a_long_one_is_the_text_that_it_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = _llama(LONG, 64)
    assert rope_switch(model.module) == 16
    rows = [as_prompt(model, SHORT_TEXT), as_prompt(model, LONG_TEXT)]
    alone = [generate(model, [row], 6).texts[0].tokens for row in rows]
    assert [text.tokens for text in generate(model, rows, 6).texts] == alone
    monkeypatch.setattr("lesion.engine.decode.generate.rope_switch", lambda _: None)
    assert [text.tokens for text in generate(model, rows, 6).texts] != alone


def test_a_text_that_grows_beyond_the_switch_is_the_one_of_whole_passes() -> None:
    model = _llama(LONG, 64)
    row = as_prompt(model, "12+3=15;4+5=")
    (text,) = generate(model, [row], 8).texts
    ids = list(row.ids)
    for token in text.tokens:
        assert int(model.module(torch.tensor([ids])).logits[0, -1].argmax()) == token
        ids.append(token)
    assert len(row.ids) < 16 < len(ids)


def test_an_edit_of_late_positions_reads_a_long_prompt_in_one_pass() -> None:
    model = _llama(LONG, 64)
    row = as_prompt(model, LONG_TEXT)
    for positions in ("last", "generated", "index:4"):
        edit = Scale(sites=(head(0, 1),), alpha=-2.0, positions=positions)
        ways = [generate(model, [row], 6, intervention=edit, cache=cache).texts[0].tokens for cache in (True, False)]
        assert ways[0] == ways[1]


@pytest.mark.parametrize(("rope", "positions"), [(LONG, 64), (DYNAMIC, 32)])
def test_rows_under_teacher_forcing_have_their_own_numbers_in_any_order(rope: dict[str, object], positions: int):
    model = _llama(rope, positions)
    asked = ask(model, "arithmetic high=99 shots=1", items=24)
    first = {row: run(model, batch).logits[i] for batch in asked.batches for i, row in enumerate(batch.rows)}
    assert len({batch.ids.shape[1] for batch in asked.batches}) > 2
    for row in reversed(range(len(asked.compiled))):
        (single,) = batches([asked.compiled[row]], 1, positions)
        assert torch.allclose(run(model, single).logits[0], first[row], atol=1e-4)


def test_a_text_longer_than_a_dynamic_model_reads_is_refused_with_both_lengths() -> None:
    model = _llama(DYNAMIC, 16)
    with pytest.raises(InputError, match=r"too_long 24, e\.g\. \d+ tokens must be read, and this model reads 16"):
        ask(model, "arithmetic low=100 high=999 shots=2", items=24)
    with pytest.raises(InputError, match="this model has 16 positions"):
        generate(model, [as_prompt(model, SHORT_TEXT)], 20)
