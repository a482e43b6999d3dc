"""A study begun from a shipped one: the same study under its own name, in a file that was not there before."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from lesion.study.format.load import load_study
from lesion.study.format.shipped import FOLDER, shipped

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", shipped())
def test_a_copy_is_the_shipped_study_but_for_its_name(call: Call, name: str) -> None:
    assert call("new", name, "--out", "mine.yaml")[0] == 0
    assert load_study("mine.yaml") == load_study(FOLDER / f"{name}.yaml").model_copy(update={"name": "mine"})
    text = Path("mine.yaml").read_text(encoding="utf-8")
    assert "$schema" not in text, "the schema that a shipped study names does not lie beside the copy"
    assert f"studies/{name}.yaml" not in text


def test_without_a_file_it_is_called_as_the_shipped_one(call: Call) -> None:
    code, out, _ = call("new", "dry-run", "--json")
    assert (code, json.loads(out)) == (0, {"file": "dry-run.yaml", "name": "dry-run", "from": "dry-run"})
    assert load_study("dry-run.yaml") == load_study(FOLDER / "dry-run.yaml")


def test_without_a_study_all_are_listed_with_models_and_question(call: Call, repository: Path) -> None:
    names = sorted(path.stem for path in (repository / "studies").glob("*.yaml"))
    code, out, _ = call("new", "--json")
    told = json.loads(out)["studies"]
    assert (code, [study["name"] for study in told]) == (0, names)
    assert all(study["models"] and study["question"] for study in told)
    words = call("new")[1]
    assert all(f"{name}: " in words for name in names)
    assert list(Path().iterdir()) == []


def test_nothing_that_is_there_is_overwritten(call: Call) -> None:
    Path("mine.yaml").write_text("my own work")
    code, _, said = call("new", "arithmetic", "--out", "mine.yaml")
    assert (code, Path("mine.yaml").read_text()) == (2, "my own work")
    assert "mine.yaml is there already" in said
    Path("target.yaml").symlink_to("nowhere.yaml")
    assert call("new", "arithmetic", "--out", "target.yaml")[0] == 2, "a dangling link is not written through"
    assert not Path("nowhere.yaml").exists()


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("arithmetc",), "did you mean 'arithmetic'?"),
        (("../studies/arithmetic",), "there is no shipped study '../studies/arithmetic'"),
        (("arithmetic", "--out", "no/mine.yaml"), "there is no folder no"),
        (("arithmetic", "--out", "Mine.yaml"), "line 2: name: .*did you mean 'mine'?"),
        (("arithmetic", "--out", r"\1.yaml"), "name: "),
        (("--out", "mine.yaml"), "say which study"),
    ],
)
def test_what_cannot_be_copied_or_written_is_told_in_a_sentence(
    call: Call, words: tuple[str, ...], wanted: str
) -> None:
    code, _, said = call("new", *words)
    assert code == 2
    assert re.search(wanted, said), said
    assert list(Path().rglob("*.yaml")) == []


def test_a_missing_file_that_has_a_shipped_studys_name_is_told_how_to_get_it(call: Call) -> None:
    code, _, said = call("run", "studies/arithmetic.yaml")
    assert code == 2
    assert "'lesion new arithmetic' writes a copy" in said
