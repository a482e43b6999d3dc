"""Every command that computes leaves a sealed record, which is listed, verified, repeated, and holds no secrets."""

import json
import os
import shutil
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from lesion import cli
from lesion.cli.app import app
from lesion.cli.common.recorded import OUTPUTS
from lesion.errors import InputError, Tampered
from lesion.runs.check.verify import verify
from lesion.runs.folder.atomic_io import write_text
from lesion.runs.manifest.any import read_record
from lesion.runs.manifest.command import Call, read_call, read_given
from lesion.runs.manifest.command_results import differences, grade
from lesion.runs.manifest.run import read_manifest
from lesion.runs.manifest.training import read_training

EXAMPLES = Path(__file__).parent / "examples"
PERSON = "wal" + "burga"
"""A user's name, in two pieces: the difference of a dirty tree, which a record holds, may hold this file."""
MEASURE = ("measure", "tiny:llama", "--do", "scale L0H1 0.5", "--task", "arithmetic high=9 shots=0", "--items", "12")


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]):
    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main(list(map(str, arguments)))
        found = capsys.readouterr()
        return int(ended.value.code or 0), found.out, found.err

    return call


@pytest.fixture(scope="module")
def measured_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the record of one measurement, made once."""
    home = tmp_path_factory.mktemp("measured")
    with redirect_stdout(StringIO()), pytest.raises(SystemExit):
        cli.main([*MEASURE, "--home", str(home), "--json", "-q"])
    return home


@pytest.fixture
def measured(measured_home: Path, tmp_path: Path) -> Path:
    """A copy of that record, in `tmp_path`, which a test may spoil."""
    shutil.copytree(measured_home, tmp_path, dirs_exist_ok=True)
    (folder,) = (tmp_path / "runs").iterdir()
    return folder


def sealed_anew(folder: Path, **changes: Any) -> None:
    forged = read_call(folder).model_copy(update=changes).sealed()
    write_text(folder / "manifest.json", forged.model_dump_json(indent=1))


def test_a_command_leaves_its_parameters_models_questions_and_result(measured: Path, said, tmp_path: Path):
    call = read_call(measured)
    assert {path.name for path in measured.iterdir()} == {"manifest.json", "README.md", "result.json"}
    assert call.parameters["seed"] == 0, "a default that nobody gave"
    assert call.parameters["do"] == "scale L0H1 0.5"
    assert not {"home", "as_json"} & set(call.parameters)
    assert call.seeds == {"seed": 0}
    assert call.models[0].name == "tiny:llama"
    assert len(call.models[0].weights_hash) == 64
    assert (call.datasets[0].items, call.datasets[0].tier) == (12, "arithmetic high=9 shots=0")
    assert call.code.commit
    assert call.environment.packages["torch"]
    assert call.cost.cpu_seconds > 0
    assert (tmp_path / call.log).read_text().count("measure") == 2
    _, out, err = said(*MEASURE, "--home", tmp_path, "--json")
    assert json.loads((measured / "result.json").read_text()) == json.loads(out)
    assert err.splitlines()[-1].startswith(f"recorded in {tmp_path / 'runs'}"), "progress may stand before it"
    assert said("verify", measured, "--home", tmp_path)[0] == 0
    assert "scale L0H1 0.5" in said("show", measured.name, "--home", tmp_path)[1]


def test_records_are_listed_by_command_and_counted(measured: Path, said, tmp_path: Path):
    def listed(*options: str) -> list[str]:
        return [run["run"] for run in json.loads(said("runs", *options, "--home", tmp_path, "--json")[1])["runs"]]

    assert listed() == listed("--command", "measure") == [measured.name]
    assert listed("--command", "heads") == []
    spent = json.loads(said("budget", "--home", tmp_path, "--json")[1])["spent"]
    assert spent["measure, exploratory"]["runs"] == 1
    (tmp_path / "ledger.sqlite").unlink()
    assert listed() == [measured.name], "the index comes back from the folders"
    assert said("tag", measured.name, "paper", "--home", tmp_path)[0] == 0
    assert listed("--tag", "paper") == [measured.name]


def test_a_replay_repeats_the_command_and_grades_it(measured: Path, said, tmp_path: Path):
    code, out, _ = said("replay", measured, "--home", tmp_path, "--json")
    document = json.loads(out)
    assert (code, document["match"], document["differences"]) == (0, "bit-equal", [])
    again = read_call(Path(document["run"]))
    assert again.replay_of == read_call(measured).seal
    assert again.parameters == read_call(measured).parameters
    runs = {run["run"]: run for run in json.loads(said("runs", "--home", tmp_path, "--json")[1])["runs"]}
    assert runs[measured.name]["replayed"]
    assert "replay" in runs[again.run]["standings"]


def test_a_replay_of_a_manifest_alone_compares_hashes(measured: Path, said, tmp_path: Path):
    alone = tmp_path / "elsewhere" / "manifest.json"
    alone.parent.mkdir()
    shutil.copy(measured / "manifest.json", alone)
    assert json.loads(said("replay", alone, "--home", tmp_path / "new", "--json")[1])["match"] == "bit-equal"


def test_a_replay_that_differs_ends_with_4_and_says_where(measured: Path, said, tmp_path: Path):
    result = json.loads((measured / "result.json").read_text())
    result["items"] += 1
    write_text(measured / "result.json", json.dumps(result))
    assert said("replay", measured, "--home", tmp_path)[0] == 5, "the result is not the sealed one"
    from lesion.identity import file_hash
    from lesion.runs.manifest.recording import comparable, content_hash

    files = {**read_call(measured).files, "result.json": file_hash(measured / "result.json")}
    sealed_anew(measured, files=files, result_hash=content_hash(comparable("measure", result)))
    shutil.copytree(measured, tmp_path / "new" / "runs" / measured.name)
    code, out, _ = said("replay", tmp_path / "new" / "runs" / measured.name, "--home", tmp_path / "new")
    assert code == 4
    assert "differs: items" in out


def test_a_file_that_was_given_stands_in_the_manifest(said, repository: Path, tmp_path: Path):
    study = tmp_path / "given.yaml"
    study.write_text((repository / "studies" / "dry-run.yaml").read_text())
    assert said("power", study, "--home", tmp_path)[0] == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert read_call(folder).inputs["study"].text == study.read_text()
    study.unlink()
    assert json.loads(said("replay", folder, "--home", tmp_path, "--json")[1])["match"] == "bit-equal"


def test_what_a_stranger_s_record_would_write_goes_elsewhere(measured: Path, said, tmp_path: Path):
    target = tmp_path / "victim.parquet"
    target.write_text("precious")
    sealed_anew(measured, parameters={**read_call(measured).parameters, "rows": str(target)})
    shutil.copytree(measured, tmp_path / "new" / "runs" / measured.name)
    code, _, _ = said("replay", tmp_path / "new" / "runs" / measured.name, "--home", tmp_path / "new")
    assert code == 0
    assert target.read_text() == "precious"


@pytest.mark.parametrize(
    ("change", "said_of_it"),
    [
        ({"command": "rm"}, "no recorded command"),
        ({"parameters": {"model": "tiny:llama", "do": "zero L0H1", "shell": "x"}}, "no parameter 'shell'"),
        ({"parameters": {"model": "tiny:llama", "do": "zero L0H1", "items": "--help"}}, "valid integer"),
        ({"parameters": {"model": "--help", "do": "zero L0H1"}}, "not a model"),
    ],
)
def test_a_record_that_means_harm_is_refused(measured: Path, said, tmp_path: Path, change, said_of_it: str):
    sealed_anew(measured, **change)
    shutil.copytree(measured, tmp_path / "new" / "runs" / measured.name)
    code, _, err = said("replay", tmp_path / "new" / "runs" / measured.name, "--home", tmp_path / "new")
    assert code == 2
    assert said_of_it in err


def test_nothing_is_left_of_help_and_refusals(said, tmp_path: Path):
    home = tmp_path / "home"
    assert said("measure", "tiny:llama", "--do", "zero L9H99", "--home", home)[0] == 2
    assert said("heads", "no-such-model", "--home", home)[0] == 2
    said("heads", "--help", "--home", home)
    assert not home.exists()


def test_a_failure_is_recorded_as_one(said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from lesion.measures.attribution.direct_logit import Attribution

    monkeypatch.setattr(Attribution, "complete", property(lambda _: False))
    code, _, _ = said(
        "attribute", "tiny:gpt2", "--task", "arithmetic high=9 shots=0", "--items", "4", "--home", tmp_path
    )
    assert code == 1
    (folder,) = (tmp_path / "runs").iterdir()
    assert (read_call(folder).outcome, read_call(folder).exit_code) == ("failed", 1)
    assert "failed" in said("runs", "--home", tmp_path)[1]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "result.json").write_text("{}"),
        lambda folder: (folder / "README.md").unlink(),
        lambda folder: (folder / "more.txt").write_text("x"),
        lambda folder: (folder / ".hidden").write_text("x"),
        lambda folder: sealed_anew(folder, result_hash="0" * 64),
        lambda folder: sealed_anew(folder, outcome="failed"),
        lambda folder: (folder / "manifest.json").write_text(
            (folder / "manifest.json").read_text().replace("tiny:llama", "tiny:gpt2", 1)
        ),
    ],
)
def test_every_change_of_a_record_is_named(measured: Path, spoil):
    assert verify(measured) == []
    spoil(measured)
    assert verify(measured)


def test_names_secrets_and_home_folders_are_never_recorded(said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    person = tmp_path / "home" / PERSON
    person.mkdir(parents=True)
    secret = "hf_" + "Zq9" * 9
    for name, value in {"HOME": person, "USER": PERSON, "LOGNAME": PERSON, "HF_TOKEN": secret}.items():
        monkeypatch.setenv(name, str(value))
    from lesion.training.hand_model import write_hand_model

    write_hand_model(person / "model")
    assert said("heads", person / "model", "--detector", "induction", "--home", tmp_path / "record")[0] == 0
    written = [path for path in (tmp_path / "record").rglob("*") if path.is_file()]
    assert len(written) == 6
    private = [PERSON, secret, *([host] if len(host := os.uname().nodename) > 5 else [])]
    assert [(path.name, each) for path in written for each in private if each.encode() in path.read_bytes()] == []
    (folder,) = (tmp_path / "record" / "runs").iterdir()
    assert read_call(folder).parameters["model"] == "~/model"
    assert said("replay", folder, "--home", tmp_path / "record")[0] == 0, "~ is found again"


def test_a_run_records_no_names_and_no_secrets_either(said, tmp_path, monkeypatch, small_text):
    person = tmp_path / "home" / PERSON
    person.mkdir(parents=True)
    secret = "hf_" + "Zq9" * 9
    for name, value in {"HOME": person, "USER": PERSON, "LOGNAME": PERSON, "HF_TOKEN": secret}.items():
        monkeypatch.setenv(name, str(value))
    (person / "small.yaml").write_text(small_text)
    assert said("run", person / "small.yaml", "--home", person / "lab", "--workers", "1", "--json")[0] == 0
    written = [path for path in (person / "lab").rglob("*") if path.is_file()]
    assert len(written) > 20
    private = [PERSON, secret, *([host] if len(host := os.uname().nodename) > 5 else [])]
    assert [(path.name, each) for path in written for each in private if each.encode() in path.read_bytes()] == []
    (folder,) = (path.parent for path in (person / "lab" / "runs").glob("*/manifest.json"))
    assert read_manifest(folder).parameters == {
        "study": "small.yaml",
        "dry_run": False,
        "workers": 1,
        "memory": None,
        "cluster": "",
    }


def test_two_commands_are_compared(measured: Path, said, tmp_path: Path):
    assert said(*MEASURE, "--seed", "1", "--home", tmp_path)[0] == 0
    other = next(path for path in (tmp_path / "runs").iterdir() if path != measured)
    code, out, _ = said("diff", measured, other, "--home", tmp_path, "--json")
    document = json.loads(out)
    assert (code, document["grade"]) == (4, "different")
    assert [change["what"] for change in document["parameters"]] == ["seed"]
    assert document["environment"] == []
    assert any(where.startswith("changes.") for where in document["result"])
    assert "Grade: bit-equal" in said("diff", measured, measured, "--home", tmp_path)[1]


def test_every_command_that_computes_is_recorded():
    readers = {
        "budget", "diff", "export", "get", "import", "ledger", "names", "new", "note", "notes", "plan", "publish",
        "query", "register", "replay", "run", "runs", "schema", "show", "tag", "tasks", "trace", "verify", "view",
    }  # fmt: skip
    elsewhere = {"demo": "is a `run`", "init": "writes what it measured into the study's comments"}
    names = {command.name or command.callback.__name__ for command in app.registered_commands}
    assert names - readers - set(elsewhere) == set(OUTPUTS) - {"tasks export"}


def test_manifests_of_format_1_are_read_and_their_seals_hold():
    run, training = read_record(EXAMPLES / "run-1.json"), read_record(EXAMPLES / "training-1.json")
    assert (run.kind, run.format, run.seeds) == ("run", 3, {"study": 0})
    assert (training.kind, training.code.commit, training.environment.threads) == ("training", run.code.commit, 1)
    assert read_manifest(EXAMPLES / "run-1.json") == run
    assert run.environment.executor is None, "it was not recorded then"
    with pytest.raises(InputError, match="manifest of a run, and a training is needed"):
        read_training(EXAMPLES / "run-1.json")


@pytest.mark.parametrize("name", ["run-1.json", "training-1.json"])
def test_a_changed_manifest_of_format_1_is_seen(name: str, tmp_path: Path):
    text = (EXAMPLES / name).read_text()
    path = tmp_path / name
    path.write_text(text.replace('"cpu_seconds": ', '"cpu_seconds": 1', 1))
    with pytest.raises(Tampered):
        read_record(path)
    path.write_text(text.replace('"format": 1', '"format": 4', 1))
    with pytest.raises(InputError, match="a newer lesion"):
        read_record(path)


def test_results_are_graded():
    first = {"a": 0.5, "n": 3, "noise_floor": 1e-6, "words": ["x"]}

    def graded(**changes: object) -> str:
        from lesion.identity import content_hash

        return grade("measure", content_hash(first), first, {**first, **changes})

    assert graded() == "bit-equal"
    assert graded(a=0.5 + 1e-7) == "noise-floor"
    assert graded(a=0.5 + 1e-5) == graded(n=4) == graded(words=["y"]) == "different"
    assert differences("measure", first, {**first, "words": ["y"]}) == ["words.0"]
    assert grade("measure", "0" * 64, None, first) == "different"


def test_a_record_is_whole_or_not_there(tmp_path: Path, said, monkeypatch: pytest.MonkeyPatch):
    from lesion.runs.manifest import recording

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(recording, "_readme", killed)
    assert said(*MEASURE, "--home", tmp_path)[0] == 130
    assert list((tmp_path / "runs").iterdir()) == []
    assert not isinstance(read_record(EXAMPLES / "run-1.json"), Call)


def test_a_folder_with_a_manifest_of_another_kind_may_be_given_and_has_no_seal(measured: Path, tmp_path: Path):
    paper = tmp_path / "paper"
    paper.mkdir()
    (paper / "manifest.json").write_text('{"paper": 1}')
    assert read_given(paper).seal == ""
    assert read_given(tmp_path).seal == ""
    assert len(read_given(measured).seal) == 64
