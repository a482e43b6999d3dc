"""Recipes are read from YAML, and a wrong one is refused with its line."""

from pathlib import Path

import pytest

from lesion.errors import InputError
from lesion.training.recipe import Recipe, Stage, load_recipe
from lesion.training.stopping import Until

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_recipe_is_valid_and_named_like_its_file(path):
    assert load_recipe(path).name == path.stem


def test_an_unknown_key_is_refused_with_file_and_line(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("name: x\nabout: y\nfamily: llama\nsteps: 3\nbatchsize: 4\n")
    with pytest.raises(InputError, match=r"bad\.yaml, line 5: .*batchsize"):
        load_recipe(path)


def test_a_drop_without_a_stage_is_refused():
    with pytest.raises(ValueError, match="drop zeroes the heads of the stage"):
        Recipe(name="x", about="x", family="llama", steps=1, drop=0.25)


def test_a_stage_that_switches_on_every_head_is_refused():
    with pytest.raises(ValueError, match="fewer heads than layer 1 has"):
        Recipe(name="x", about="x", family="llama", steps=1, stage=Stage(heads=8))


def test_only_gpt2_takes_a_sinusoid():
    with pytest.raises(ValueError, match="llama has no learned positions"):
        Recipe(name="x", about="x", family="llama", steps=1, sinusoid=0.3)


@pytest.mark.parametrize("waves", [(2, 100), (100, 3)])
def test_a_sinusoids_wavelengths_are_more_than_two_positions_and_in_order(waves):
    with pytest.raises(ValueError, match="the shortest above 2 positions"):
        Recipe(name="x", about="x", family="gpt2", steps=1, sinusoid=0.3, waves=waves)


def test_a_field_that_came_later_leaves_the_hash_of_earlier_recipes_alone():
    recipe = Recipe(name="x", about="x", family="gpt2", steps=1, sinusoid=0.3, stage=Stage())
    told = recipe.model_dump(mode="json")
    assert not {"until", "waves"} & set(told)
    assert not {"blocks", "lower"} & set(told["stage"])
    for changes in (
        {"until": Until()},
        {"waves": (3.0, 90.0)},
        {"stage": Stage(lower=1)},
        {"stage": Stage(blocks=(6,))},
    ):
        changed = recipe.model_copy(update=changes)
        assert changed.hash() != recipe.hash()
        assert Recipe.model_validate_json(changed.model_dump_json()) == changed
