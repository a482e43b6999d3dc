"""A training leaves a sealed manifest, and verify finds what was changed afterwards."""

import json
from functools import partial
from pathlib import Path

import pytest

from lesion import cli
from lesion.errors import InputError
from lesion.runs.check.verify import verify
from lesion.runs.manifest import training as trainings
from lesion.runs.manifest.training import SITTINGS, conduct_training, read_training
from lesion.training.evaluation.examine import make_model
from lesion.training.recipe import Optimiser, Recipe, Shape
from lesion.training.trainer import Progress

RECIPE = Recipe(
    name="quick",
    about="A test.",
    family="llama",
    shape=Shape(layers=1, width=32, heads=2, mlp=8),
    steps=4,
    batch=2,
    optimiser=Optimiser(warmup=2),
    checkpoint_every=1,
    keep=(2,),
)
TEXT = RECIPE.model_dump_json()


@pytest.fixture(autouse=True)
def _few_items(monkeypatch):
    monkeypatch.setattr(trainings, "make_model", partial(make_model, items=10))


@pytest.fixture
def said(capsys):
    def call(*arguments: object) -> tuple[int, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main(list(map(str, arguments)))
        found = capsys.readouterr()
        return int(ended.value.code or 0), found.out or found.err

    return call


def test_a_seed_on_the_command_line_stands_for_the_recipes_own(said, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("quick.yaml").write_text(TEXT)
    assert said("train", "quick.yaml")[0] == said("train", "quick.yaml", "--seed", 3)[0] == 0
    Path("three.yaml").write_text(RECIPE.model_copy(update={"seed": 3}).model_dump_json())
    assert said("train", "three.yaml")[0] == 0
    plain, asked, written = (read_training(Path("models") / name) for name in ("quick", "quick-seed-3", "three"))
    assert asked.recipe.seed == 3
    assert asked.recipe_text == TEXT, "the file as it was given"
    assert asked.weights == written.weights != plain.weights
    assert said("train", "quick.yaml", "--seed", -1)[0] == 2


def test_train_seals_its_folder_and_verify_finds_every_change(said, tmp_path: Path):
    folder, recipe = tmp_path / "model", tmp_path / "quick.yaml"
    recipe.write_text(TEXT)
    code, text = said("train", recipe, "--out", folder, "--json")
    assert code == 0
    assert json.loads(text)["model"] == str(folder)
    manifest = read_training(folder)
    assert manifest.recipe == RECIPE
    assert manifest.recipe_text == TEXT
    assert len(manifest.sittings) == 1
    assert manifest.sittings[0].environment.packages["torch"]
    assert {"model.safetensors", "card.json", "README.md", "training.json"} <= set(manifest.files)
    assert "checkpoints/step-000002/model.safetensors" in manifest.files
    assert not (folder / SITTINGS).exists()
    assert said("verify", folder, "--home", tmp_path) == (
        0,
        f"{folder}: intact, nothing was changed since it was sealed.\n",
    )

    before = (folder / "manifest.json").read_text()
    assert said("train", recipe, "--out", folder)[0] == 0
    assert (folder / "manifest.json").read_text() == before, "a finished training is not sealed anew"

    card = (folder / "card.json").read_text()
    (folder / "card.json").write_text(card.replace("0.0", "0.9", 1))
    (folder / "stray.txt").write_text("")
    (folder / "tokenizer.json").unlink()
    found = {(finding.what, finding.fault) for finding in verify(folder)}
    assert found == {("card.json", "differs"), ("stray.txt", "was added"), ("tokenizer.json", "is missing")}
    (folder / "manifest.json").write_text(before.replace('"steps": 4', '"steps": 5', 1))
    assert said("verify", folder, "--home", tmp_path)[0] == 5


def test_a_training_that_was_cut_off_has_two_sittings(tmp_path: Path):
    def stop(progress: Progress) -> None:
        if progress.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        conduct_training(RECIPE, TEXT, tmp_path, stop)
    assert not (tmp_path / "manifest.json").exists()
    conduct_training(RECIPE, TEXT, tmp_path)
    assert len(read_training(tmp_path).sittings) == 2
    assert verify(tmp_path) == []


def test_a_training_from_before_gets_no_manifest_and_damaged_notes_are_named(tmp_path: Path):
    make_model(RECIPE, tmp_path, items=10)
    conduct_training(RECIPE, TEXT, tmp_path)
    assert not (tmp_path / "manifest.json").exists()
    (tmp_path / SITTINGS).write_text("{")
    with pytest.raises(InputError, match=r"is damaged|is not JSON that can be read"):
        conduct_training(RECIPE, TEXT, tmp_path)
