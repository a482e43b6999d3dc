"""A study begun from a shipped one: the same study under its own name, in a file that was not there before."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from lesion.runs.execute.costs import basis_of
from lesion.runs.execute.prepare import prepare_plan
from lesion.study.forecast.forecast import forecast
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
    assert "the smallest study of `lesion init` needs 64" in said
    assert "lesion measure zoo:abacus-llama --task 'file path=mine.csv'" in said


def test_the_file_may_be_given_as_an_argument(call: Call) -> None:
    answers = ("--model", "zoo:abacus-llama", "--task", "arithmetic", "--edit", "L0H1,L1H0", "--minutes", "5")
    assert call("init", "own.yaml", *answers)[0] == 0
    assert load_study("own.yaml").name == "own"
    before = Path("own.yaml").read_bytes()
    code, out, said = call("init", "own.yaml", *answers)
    assert (code, out, Path("own.yaml").read_bytes()) == (2, "", before)
    assert said.strip() == (
        "lesion: own.yaml is there already and is left as it is; name another file: lesion init FILE"
    )
    code, _, said = call("init", "one.yaml", "--out", "two.yaml", *answers)
    assert (code, "two files are named" in said, Path("one.yaml").exists()) == (2, True, False)
    assert call("init", "absent/own.yaml", *answers)[0] == 2


ANSWERS = ("--model", "zoo:abacus-llama", "--task", "arithmetic")


@pytest.mark.parametrize("edit", ["induction", "previous_token"])
def test_a_detectors_heads_get_the_repetition_of_blocks_as_positive_control(call: Call, edit: str) -> None:
    code, out, _ = call("init", "mine.yaml", *ANSWERS, "--edit", edit, "--minutes", "1000")
    assert code == 0
    made = load_study("mine.yaml")
    assert made.positive_control == "repeats"
    assert made.tasks["repeats"].model_dump(include={"task", "patterns", "format"}) == {
        "task": "symbolic", "patterns": ("repeat",), "format": "compact",
    }  # fmt: skip
    assert made.claims is not None
    assert made.claims.asking == ("main",), "the control asks for no matched sets"
    assert "Positive control: ablation must harm `repeats`" in out
    assert call("plan", "mine.yaml", "--json")[0] == 0


def test_a_control_that_the_time_does_not_allow_is_left_out_and_its_cost_is_said(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lesion.runs.execute.rate.product_rate", lambda width: 2e8)
    monkeypatch.setattr("lesion.runs.draft.draft.ROOM", 1.0)
    asked = (*ANSWERS, "--edit", "induction", "--home", ".")
    _, out, _ = call("init", "short.yaml", *asked, "--minutes", "1")
    without, with_one = (int(re.findall(said, out)[0]) for said in (r"takes about (\d+)", r"it would take (\d+)"))
    assert 1 < without < with_one
    _, out, _ = call("init", "between.yaml", *asked, "--minutes", str((without + with_one) / 2))
    assert f"(it would take {with_one})" in out
    assert "No design fits" not in out
    assert load_study("between.yaml").positive_control is None
    said = Path("between.yaml").read_text(encoding="utf-8")
    assert "# Without one no claim says what kind of heads these are" in said
    assert "#   control: {task: symbolic, patterns: [repeat]" in said
    call("init", "enough.yaml", *asked, "--minutes", str(with_one + 1))
    assert load_study("enough.yaml").positive_control == "repeats"
    monkeypatch.setattr("lesion.runs.draft.draft.ROOM", 1.25)
    call("init", "nearly.yaml", *asked, "--minutes", str(with_one / 1.2))
    assert load_study("nearly.yaml").positive_control == "repeats", "a forecast is an upper bound"


def test_a_task_does_not_control_itself(call: Call) -> None:
    given = ("--model", "tiny:gpt2", "--task", "symbolic", "--edit", "induction", "--minutes", "1000")
    assert call("init", "same.yaml", *given)[0] == 0
    assert load_study("same.yaml").positive_control is None
    said = "# No positive control. The task itself is the one that induction heads are known to serve."
    assert said in Path("same.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("edit", ["screen", "neurons", "duplicate_token", "L0H1"])
def test_no_control_is_made_up_where_none_is_known(call: Call, edit: str) -> None:
    code, out, said = call("init", "mine.yaml", *ANSWERS, "--edit", edit, "--minutes", "1000")
    assert code == 0, said
    assert load_study("mine.yaml").positive_control is None
    assert "No positive control. " in out
    assert "#   control: {task: symbolic, patterns: [repeat]" in Path("mine.yaml").read_text(encoding="utf-8")


def test_a_design_without_other_factors_confirms_the_ablation_alone(call: Call) -> None:
    call("init", "mine.yaml", *ANSWERS, "--edit", "induction", "--minutes", "1")
    made = load_study("mine.yaml")
    assert made.sweep.best == int(len(made.sweep.alphas) > 1)


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


def test_the_outcome_follows_from_the_unedited_models_answers(call: Call) -> None:
    """The embedded model is right on its own task, and a model without training is right on nothing."""
    code, out, _ = call("init", "right.yaml", *ANSWERS, "--edit", "L0H1", "--minutes", "1000")
    right = load_study("right.yaml")
    assert (code, right.claims.outcome) == (0, "accuracy")
    assert "so the verdict is about the share of right answers" in out
    given = ("--model", "tiny:gpt2", "--task", "arithmetic", "--edit", "L0H1", "--minutes", "1000")
    code, out, said = call("init", "wrong.yaml", *given)
    assert code == 0, said
    wrong = load_study("wrong.yaml")
    assert (wrong.claims.outcome, wrong.claims.chance) == ("answer_logprob", "coverage")
    assert wrong.baseline.spread == wrong.verdict.spread == 0.5
    assert re.search(r"The unedited model answers \d of 32 items of `main` right, so the verdict is about the", out)
    assert re.search(r"nats \(power 0.8\); a Null would rule out [\d.]+ nats or more", out)
    assert "# The unedited model answers" in Path("wrong.yaml").read_text(encoding="utf-8")


def test_a_given_outcome_asks_no_model(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lesion.runs.draft.draft.outcome_of", lambda *_: pytest.fail("the model was asked"))
    answers = (*ANSWERS, "--edit", "L0H1", "--minutes", "1000", "--outcome", "answer_logprob")
    assert call("init", "given.yaml", *answers)[0] == 0
    assert load_study("given.yaml").claims.outcome == "answer_logprob"
    assert "unedited model" not in Path("given.yaml").read_text(encoding="utf-8")


def test_a_quick_design_leaves_out_the_map_of_single_heads(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = (*ANSWERS, "--edit", "induction", "--outcome", "accuracy", "--home", ".")
    call("init", "long.yaml", *answers, "--minutes", "1000")
    monkeypatch.setattr("lesion.runs.execute.rate.product_rate", lambda width: 2e8)
    call("init", "short.yaml", *answers, "--minutes", "1")
    long, short = load_study("long.yaml"), load_study("short.yaml")
    assert (long.sweep.maps_heads, short.sweep.maps_heads) == (True, False)

    def singles(name: str) -> int:
        plan = prepare_plan(load_study(f"{name}.yaml"), "any")
        return sum(stage.rows for stage in forecast(plan, basis_of(plan.study)) if stage.stage == "discovery")

    heads = 4 * 4
    assert singles("long") > heads * long.sweep.items
    assert singles("short") < 3 * heads * short.sweep.items


def test_items_with_examples_get_examples_of_their_own(call: Call) -> None:
    """Few sets of examples for few items had decided the baseline, and stopped a study of a real model at its gate."""
    answers = ("--model", "zoo:abacus-llama", "--edit", "L0H1", "--minutes", "1000", "--outcome", "accuracy")
    assert call("init", "shown.yaml", *answers, "--task", "arithmetic shots=2")[0] == 0
    assert load_study("shown.yaml").claims.prefixes == "per_item"
    assert call("init", "bare.yaml", *answers, "--task", "arithmetic shots=0")[0] == 0
    assert load_study("bare.yaml").claims.prefixes != "per_item"
