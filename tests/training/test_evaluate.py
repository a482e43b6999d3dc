"""Accuracy by teacher forcing is the accuracy of greedy decoding, and chains are right."""

import re

import pytest
import torch

from lesion.errors import InputError
from lesion.models.model import open_model
from lesion.tasks.config import ArithmeticConfig, SymbolicConfig
from lesion.tasks.task import Item, Segment
from lesion.training.evaluation.accuracy import CHAINS, chain_items, compile_all, exactly_right, tier_items, tiers

MODEL = open_model("zoo:abacus-llama")


def decoded(compiled) -> list[bool]:
    """Greedy decoding, one token at a time, one item at a time."""
    right: list[bool] = []
    for item in compiled:
        ids = list(item.ids[: item.prompt_length])
        for _ in item.answer_ids:
            ids.append(int(MODEL.module(torch.tensor([ids])).logits[0, -1].argmax()))
        right.append(tuple(ids[item.prompt_length :]) == item.answer_ids)
    return right


@pytest.mark.parametrize("config", [ArithmeticConfig(high=119, beyond=199), SymbolicConfig(), None])
def test_teacher_forcing_agrees_with_greedy_decoding(config):
    compiled = compile_all(tier_items(config, 24), MODEL.tokenizer)
    assert exactly_right(MODEL.module, compiled).tolist() == decoded(compiled)


def test_one_wrong_digit_is_wrong():
    items = compile_all(tier_items(SymbolicConfig(), 8), MODEL.tokenizer)
    assert exactly_right(MODEL.module, items).all()
    spoiled = [
        Item(0, (Segment(item.prompt, ""),), item.answer[:-1] + item.answer[0], item.answer, {})
        for item in tier_items(SymbolicConfig(), 8)
    ]
    assert not exactly_right(MODEL.module, compile_all(spoiled, MODEL.tokenizer)).any()


def test_chains_are_right_and_unseen_ones_are_a_third():
    items = chain_items(600)
    for item in items:
        asked = item.segments[-1].text
        a, b, c = map(int, re.fullmatch(r"(\d+)\+(\d+)-(\d+)=", asked).groups())
        assert item.answer == f"{a + b - c};"
        assert item.wrong != item.answer
        assert a + b >= c
        assert max(a, b, c) < 50
    assert 0.27 < sum(item.buckets["pair"] == "unseen" for item in items) / 600 < 0.4
    assert chain_items(5) == items[:5]


def test_the_tiers_end_with_the_trained_range():
    by_name = tiers(119)
    configs = [config for config in by_name.values() if isinstance(config, ArithmeticConfig)]
    assert [(config.high, config.beyond) for config in configs] == [(119, None), (119, 199)]
    assert by_name[CHAINS] is None


def test_an_item_that_the_vocabulary_cannot_spell_is_refused():
    item = Item(0, (Segment("1 + 2=", ""),), "3;", "4;", {})
    with pytest.raises(InputError, match="unknown_token"):
        compile_all([item], MODEL.tokenizer)
