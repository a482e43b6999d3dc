"""Heads over a training: kept checkpoints are measured, and two layers form an induction head where one cannot."""

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from lesion import cli
from lesion.errors import InputError
from lesion.measures.heads.pattern_scores import HeadScores, detect
from lesion.measures.heads.repeated_sequences import Probe
from lesion.models.model import open_model
from lesion.runs.check.verify import verify
from lesion.runs.manifest import training as trainings
from lesion.training.evaluation.examine import make_model
from lesion.training.evaluation.formation import Formation, formation
from lesion.training.recipe import Optimiser, Recipe, Shape, load_recipe
from lesion.training.trainer import train

RECIPES = Path(__file__).parents[2] / "recipes"
QUICK = Recipe(
    name="quick",
    about="A test.",
    family="llama",
    shape=Shape(layers=2, width=32, heads=2, mlp=8),
    steps=6,
    batch=4,
    optimiser=Optimiser(warmup=2),
    keep=(4,),
)
"""Far too short for anything to form."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("quick")
    train(QUICK, folder)
    return folder


@pytest.fixture(scope="module")
def measured(trained) -> Formation:
    return formation(trained, ("induction",))


def with_scores(measured: Formation, *best: float) -> Formation:
    """A formation whose checkpoints have these best scores, at steps 10, 20, …"""

    def scores(value: float) -> tuple[HeadScores, ...]:
        table = ((0.0, 0.0), (0.0, value))
        return (HeadScores(detector="induction", probe=Probe(), prefix=1, ordinary=45, scores=table),)

    moments = [
        measured.moments[0].model_copy(update={"step": 10 * place, "scores": scores(value)})
        for place, value in enumerate(best, 1)
    ]
    return measured.model_copy(update={"moments": tuple(moments)})


def test_every_kept_checkpoint_and_the_finished_model_are_measured(trained, measured):
    assert [moment.step for moment in measured.moments] == [4, 6]
    checkpoint = open_model(str(trained / "checkpoints" / "step-000004"))
    assert measured.moments[0].weights == checkpoint.weights_hash
    assert np.array_equal(measured.moments[0].scores[0].table(), detect(checkpoint).table())
    assert measured.moments[1].weights == measured.training.weights


def test_a_head_has_formed_where_it_stays(measured):
    assert with_scores(measured, 0.1, 0.6, 0.2, 0.4, 0.9).formed("induction", 0.3) == 40
    assert with_scores(measured, 0.5, 0.6).formed("induction", 0.3) == 10
    assert with_scores(measured, 0.9, 0.1).formed("induction", 0.3) is None
    assert "between steps 30 and 40" in with_scores(measured, 0.1, 0.6, 0.2, 0.4).verdict("induction", 0.3)
    assert "no induction head forms" in with_scores(measured, 0.9, 0.1).verdict("induction", 0.3)
    assert measured.formed("induction", 0.3) is None


def test_a_folder_without_training_checkpoints_or_its_own_weights_is_refused(trained, tmp_path):
    with pytest.raises(InputError, match="finished training"):
        formation(tmp_path, ("induction",))
    bare = shutil.copytree(trained, tmp_path / "bare", ignore=shutil.ignore_patterns("checkpoints"))
    with pytest.raises(InputError, match="kept no checkpoint"):
        formation(bare, ("induction",))
    other = shutil.copytree(trained, tmp_path / "other")
    shutil.copy(other / "checkpoints" / "step-000004" / "model.safetensors", other)
    with pytest.raises(InputError, match="not those that its training left"):
        formation(other, ("induction",))


@pytest.fixture
def said(capsys):
    def call(*arguments: object) -> tuple[int, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main(["heads", *map(str, arguments)])
        found = capsys.readouterr()
        return int(ended.value.code or 0), found.out or found.err

    return call


def test_the_command_prints_a_table_one_document_and_a_picture(said, trained, tmp_path):
    code, text = said(trained, "--over-training", "--detector", "induction")
    assert code == 0
    assert "quick: no induction head forms" in text
    drawn = tmp_path / "heads.svg"
    code, text = said("--over-training", trained, "--against", trained, "--picture", drawn, "--json")
    document = json.loads(text)
    assert code == 0
    assert [moment["step"] for moment in document["trainings"][1]["moments"]] == [4, 6]
    assert document["trainings"][0]["formed"] == {"induction": None, "previous_token": None}
    assert drawn.read_text().count("quick: llama, 2 layers of 2 heads") > 1


def test_a_recipe_is_trained_into_its_own_folder_first(said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trainings, "make_model", partial(make_model, items=10))
    (tmp_path / "short.yaml").write_text(
        QUICK.model_copy(update={"name": "short", "steps": 2, "keep": (1,)}).model_dump_json()
    )
    code, text = said("--over-training", "short.yaml", "--detector", "induction", "--json")
    (found,) = json.loads(text)["trainings"]
    assert code == 0
    assert [moment["step"] for moment in found["moments"]] == [1, 2]
    assert verify(tmp_path / "models" / "short") == []
    assert found["training"] == json.loads((tmp_path / "models" / "short" / "training.json").read_bytes())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--circuits",), "do not go together"),
        (("--picture", "x.pdf"), ".svg or .png"),
        (("--detector", "inducton"), "did you mean 'induction'"),
    ],
)
def test_what_does_not_go_together_is_refused(said, trained, arguments, told):
    code, text = said("--over-training", trained, *arguments)
    assert code == 2
    assert told in text
    assert "belong to --over-training" in said(trained, "--picture", "x.svg")[1]


@pytest.mark.slow
def test_two_layers_form_an_induction_head_and_one_layer_cannot(tmp_path):
    for name, formed in (("two-layers", True), ("one-layer", False)):
        recipe = load_recipe(RECIPES / f"{name}.yaml")
        train(recipe.model_copy(update={"keep": (100, 400)}), tmp_path / name)
        found = formation(tmp_path / name, ("induction", "previous_token"))
        early, later, last = (moment.best("induction")[1] for moment in found.moments)
        assert (found.formed("induction", 0.3) == 400) is formed
        assert early < 0.15
        assert (later > 0.5 and last > 0.5) if formed else (later < 0.15 and last < 0.15)
        assert (found.moments[-1].in_context.second < 0.5) is formed
