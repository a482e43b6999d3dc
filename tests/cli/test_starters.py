"""A study begun from a shipped one: the same study under its own name, in a file that was not there before."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from lesion.study.format.load import load_study
from lesion.study.format.shipped import FOLDER, shipped, shipped_files

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


def test_examples_and_recipes_are_listed_and_copied_as_they_are(call: Call) -> None:
    code, out, _ = call("new", "--json")
    files = json.loads(out)["files"]
    assert code == 0
    assert {"own_task.py", "first_ten_minutes.ipynb", "capitals.csv", "abacus-llama.yaml"} <= {*files}
    for name in files:
        assert call("new", name)[0] == 0
        assert Path(name).read_bytes() == shipped_files()[name].read_bytes()
        assert call("new", name)[0] == 2, "it is there already"
    assert call("new", "own_task.py", "--out", "mine.py")[0] == 0
    assert "did you mean 'own_task.py'" in call("new", "own_tusk.py")[2]


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


def test_four_answers_make_a_study_that_can_be_planned(call: Call) -> None:
    answers = ("--model", "zoo:abacus-llama", "--task", "arithmetic", "--minutes", "5")
    code, out, _ = call("init", *answers, "--edit", "L0H1,L1H0", "--out", "mine.yaml", "--json")
    assert code == 0
    told = json.loads(out)
    made = load_study("mine.yaml")
    assert (made.name, made.models, made.sweep.target.sites) == ("mine", ("zoo:abacus-llama",), ("L0H1", "L1H0"))
    assert f"planned to detect a change of {100 * made.verdict.effect:g} points" in told["notes"][0]
    assert f"It compares with {made.claims.sets} random sets" in told["notes"][0]
    assert call("plan", "mine.yaml", "--json")[0] == 0
    code, _, said = call("init", *answers, "--edit", "induction", "--out", "mine.yaml")
    assert (code, "is there already" in said) == (2, True)
    assert load_study("mine.yaml") == made


def test_less_time_makes_a_less_thorough_study_and_says_so(call: Call) -> None:
    answers = ("--model", "zoo:abacus-llama", "--task", "arithmetic", "--edit", "screen")
    call("init", *answers, "--minutes", "1000", "--out", "long.yaml")
    code, out, _ = call("init", *answers, "--minutes", "1", "--out", "short.yaml")
    assert code == 0
    long, short = load_study("long.yaml"), load_study("short.yaml")
    assert long.verdict.margin < short.verdict.margin
    assert long.sweep.target.kind == "screened"
    assert "planned to detect a change of" in out


def test_a_file_of_prompts_is_pinned(call: Call) -> None:
    rows = "".join(f"prompt {n} is,{n % 10}\n" for n in range(4000))
    Path("mine.csv").write_text(f"prompt,answer\n{rows}")
    answers = ("--model", "zoo:abacus-llama", "--edit", "induction", "--minutes", "60")
    code, _, said = call("init", *answers, "--task", "mine.csv", "--out", "mine.yaml")
    if code == 0:
        assert load_study("mine.yaml").tasks["main"].sha256 is not None
    else:
        assert (code, Path("mine.yaml").exists()) == (2, False), said


def test_a_file_with_too_few_prompts_is_told_what_asks_it_without_a_study(call: Call) -> None:
    rows = "".join(f"{n}+{n + 1}=,{2 * n + 1}\n" for n in range(30))
    Path("mine.csv").write_text(f"prompt,answer\n{rows}")
    answers = ("--model", "zoo:abacus-llama", "--edit", "induction", "--minutes", "5")
    code, _, said = call("init", *answers, "--task", "mine.csv", "--out", "mine.yaml")
    assert (code, Path("mine.yaml").exists()) == (2, False)
    assert "the smallest study of `lesion init` needs 128" in said
    assert "lesion measure zoo:abacus-llama --task 'file path=mine.csv'" in said


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ({"--edit": "inducton"}, "did you mean 'induction'?"),
        ({"--task": "arithmetc"}, "is not a task"),
        ({"--task": "absent.csv"}, "absent.csv"),
        ({"--model": "zoo:abacus"}, "abacus"),
        ({"--out": "nowhere/mine.yaml"}, "there is no folder"),
    ],
)
def test_a_wrong_answer_is_one_sentence_and_writes_nothing(call: Call, changed: dict[str, str], wanted: str) -> None:
    given = {
        "--model": "zoo:abacus-llama", "--task": "arithmetic", "--edit": "induction", "--minutes": "5",
        "--out": "mine.yaml",
    } | changed  # fmt: skip
    code, _, said = call("init", *(part for pair in given.items() for part in pair))
    assert (code, wanted in said) == (2, True), said
    assert list(Path().iterdir()) == []
