"""The embedded models are what their cards say."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lesion.identity import file_hash
from lesion.measures.heads.pattern_scores import DETECTORS, detect
from lesion.models.model import open_model
from lesion.models.sizes import ZOO
from lesion.training.evaluation.accuracy import compile_all, exactly_right, tier_items, tiers
from lesion.training.evaluation.card import Card, shortcomings
from lesion.training.evaluation.card_page import card_text, trainings_table
from lesion.training.recipe import load_recipe

NAMES = sorted(path.parent.name for path in ZOO.glob("*/card.json"))
RECIPES = ZOO.parents[2] / "recipes"


@pytest.fixture(scope="module", params=NAMES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def card(name):
    return Card.model_validate_json((ZOO / name / "card.json").read_bytes())


@pytest.fixture(scope="module")
def model(name):
    return open_model(f"zoo:{name}")


def test_the_files_are_those_of_the_card(name, card, model):
    assert file_hash(ZOO / name / "model.safetensors") == card.weights == card.training.weights == model.weights_hash
    assert file_hash(ZOO / name / "tokenizer.json") == card.tokenizer
    assert (ZOO / name / "model.safetensors").stat().st_size <= 3_000_000
    assert sum(p.numel() for p in model.module.parameters()) == card.parameters


def test_the_card_was_written_for_the_recipe_that_stands_in_the_repository(name, card):
    recipe = load_recipe(RECIPES / f"{name}.yaml")
    assert card.training.recipe == recipe
    assert card.training.recipe_hash == recipe.hash()


def test_the_readme_is_the_card(name, card):
    assert (ZOO / name / "README.md").read_text(encoding="utf-8") == card_text(card)


def test_it_meets_every_bound_of_the_zoo(card):
    assert shortcomings(card) == []


def test_accuracy_on_the_first_items_is_what_the_card_lets_expect(card, model):
    for tier, config in tiers(card.training.recipe.mixture.high).items():
        right = exactly_right(model.module, compile_all(tier_items(config, 100), model.tokenizer)).mean()
        expected = card.tier(tier).accuracy
        assert abs(right - expected) <= 4 * np.sqrt(max(expected * (1 - expected), 0.01) / 100), tier


@pytest.mark.parametrize("detector", DETECTORS)
def test_head_scores_are_measured_again(card, model, detector):
    assert np.abs(detect(model, detector).table() - card.scores(detector)).max() < 1e-4


def test_it_opens_with_hugging_faces_own_loader_and_says_the_same(name, model):
    loaded = AutoModelForCausalLM.from_pretrained(ZOO / name)
    tokenizer = AutoTokenizer.from_pretrained(ZOO / name)
    ids = tokenizer("abcdefghijabcd", return_tensors="pt").input_ids
    assert torch.equal(loaded(ids).logits, model.module(ids).logits)
    answer = loaded.generate(ids, max_new_tokens=4, do_sample=False)[0, ids.shape[1] :]
    assert tokenizer.decode(answer) == "efgh"


def test_the_page_of_trainings_has_the_line_of_every_card():
    page = (ZOO.parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    files = [*ZOO.glob("*/card.json"), *(ZOO.parents[2] / "docs" / "trainings").glob("*.json")]
    for path in files:
        line = trainings_table([Card.model_validate_json(path.read_bytes())]).splitlines()[-1]
        assert line in page, path
