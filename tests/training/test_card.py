"""Cards: written from what is measured, refused for other weights, and honest about what is missed."""

import json

import numpy as np
import pytest

from lesion.errors import InputError
from lesion.models.sizes import ZOO
from lesion.training.evaluation.accuracy import REPEAT, TIER_1
from lesion.training.evaluation.card import Card, shortcomings
from lesion.training.evaluation.card_page import trainings_table
from lesion.training.evaluation.examine import make_model, write_card
from lesion.training.evaluation.report import REPORT
from lesion.training.recipe import Recipe, Shape

SMALL = Recipe(
    name="small",
    about="Knows nothing.",
    family="gpt_neox",
    shape=Shape(layers=2, width=32, heads=4, mlp=32),
    steps=2,
    batch=2,
)
SHIPPED = Card.model_validate_json((ZOO / "abacus-llama" / "card.json").read_bytes())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("card")
    make_model(SMALL, folder, items=20)
    return folder


def test_an_untrained_models_card_says_what_it_misses(folder):
    card = Card.model_validate_json((folder / "card.json").read_bytes())
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert card.weights in text
    assert "It misses bounds: tier 1 accuracy 0.000" in text
    assert "No head has an induction score above 0.5" in text
    assert card.group == ()
    assert card.tier(TIER_1).items == 20
    strata = [row for row in card.accuracy if row.tier == TIER_1 and row.stratum.startswith("operator")]
    assert [row.items for row in strata] == [10, 10]


def test_a_card_is_refused_for_weights_that_the_training_did_not_leave(folder, tmp_path):
    (tmp_path / REPORT).write_bytes((folder / REPORT).read_bytes())
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "model.safetensors").write_bytes(data)
    with pytest.raises(InputError, match="is not what the training left"):
        write_card(tmp_path, items=20)


def test_a_finished_model_is_neither_trained_nor_examined_again(folder):
    before = (folder / "card.json").stat().st_mtime_ns
    card = make_model(SMALL, folder, on_progress=lambda progress: pytest.fail(f"step {progress.step}"))
    assert (folder / "card.json").stat().st_mtime_ns == before
    assert card.training.recipe == SMALL


def test_a_card_needs_a_finished_training(tmp_path):
    with pytest.raises(InputError, match=r"has no training\.json"):
        write_card(tmp_path)


def changed(**changes) -> Card:
    return Card.model_validate({**json.loads(SHIPPED.model_dump_json()), **changes})


def test_every_bound_can_be_missed():
    assert shortcomings(SHIPPED) == []
    rows = [row.model_dump() for row in SHIPPED.accuracy]
    spoiled = [{**row, "accuracy": 1.0} if row["stratum"] == "all" else row for row in rows]
    assert len(shortcomings(changed(accuracy=spoiled))) == 2  # tiers 1 and 2 too good
    floored = [{**row, "accuracy": 0.0} if row["stratum"] == "all" and row["tier"] != REPEAT else row for row in rows]
    assert len(shortcomings(changed(accuracy=floored))) == 3
    assert "0 heads" in shortcomings(changed(group=[]))[0]
    heads = [entry.model_dump() for entry in SHIPPED.heads]
    table = np.array(heads[0]["scores"])
    table[2, 0] = 0.3
    assert "another head" in shortcomings(changed(heads=[{**heads[0], "scores": table.tolist()}, *heads[1:]]))[0]
    kept = {**SHIPPED.without_group.model_dump(), "high": 1.0}
    assert "zeroing the group leaves tier 3" in shortcomings(changed(without_group=kept))[0]


def test_the_table_of_trainings_has_a_line_for_each():
    table = trainings_table([SHIPPED, SHIPPED]).splitlines()
    assert len(table) == 4
    assert table[2].startswith("| abacus-llama | 0 | 4,000 | 0.99")
    assert table[2].endswith("| all met |")
