"""The command line as people and programs use it: exit codes, one JSON document, no traceback, no network."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import main as entry
from lesion import cli
from lesion.errors import LesionError

pytestmark = pytest.mark.smoke


class Answer:
    """What a command said."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        assert self.out.count("\n") == 1, "one document, nothing else"
        return json.loads(self.out)


@pytest.fixture
def lesion(capsys: pytest.CaptureFixture[str]):
    """Run `lesion …` in this process."""

    def call(*arguments: object) -> Answer:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Answer(int(ended.value.code or 0), said.out, said.err)

    return call


@pytest.fixture(scope="module")
def study(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dry-run study with one tier, so that a run takes seconds."""
    text = yaml.safe_load((repository / "studies" / "dry-run.yaml").read_text())
    del text["tasks"]["tier3"]
    path = tmp_path_factory.mktemp("study") / "small.yaml"
    path.write_text(yaml.safe_dump(text))
    return path


def test_help_and_version_answer_without_torch(repository: Path) -> None:
    code = (
        "import sys; from lesion.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\nassert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=repository, check=False)
    assert done.returncode == 0, done.stderr
    for command in ("run", "replay", "verify", "runs", "train", "schema", "note"):
        assert command in done.stdout


@pytest.mark.slow
def test_a_run_says_where_it_is_and_its_replay_matches(lesion, study: Path, tmp_path: Path, no_sockets: None) -> None:
    ran = lesion("run", study, "--home", tmp_path, "--workers", 1, "--json")
    assert ran.code == 0
    document = ran.json
    assert set(document) >= {"run", "rows_hash", "verdicts", "match", "scenario", "outcome", "report"}
    folder = Path(document["run"])
    assert (folder / "report.html").exists()
    assert (folder / "README.md").exists()
    again = lesion("replay", folder / "manifest.json", "--home", tmp_path, "--workers", 1, "--json")
    assert again.code == 0
    assert again.json["match"] == "bit-equal"
    assert again.json["rows_hash"] == document["rows_hash"]
    assert again.json["run"] != document["run"]
    listed = {entry["run"]: entry for entry in lesion("runs", "--home", tmp_path, "--json").json["runs"]}
    assert listed[folder.name]["replayed"]
    assert lesion("verify", folder, "--home", tmp_path).code == 0
    path = sorted((folder / "items").iterdir())[0]
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert lesion("verify", folder, "--home", tmp_path).code == 5
    forged = lesion("replay", folder, "--home", tmp_path, "--json")
    assert forged.code == 5
    assert path.name in forged.json["error"]


def test_main_walks_the_whole_line_in_a_dry_run_without_network(
    no_sockets: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(entry.translate(["--dry-run", "--home", str(tmp_path), "--workers", "1", "--json"]))
    assert not ended.value.code
    document = json.loads(capsys.readouterr().out)
    manifest = json.loads((Path(document["run"]) / "manifest.json").read_text())
    assert manifest["status"] == "dry-run"
    assert [gate["stage"] for gate in manifest["gates"]][:2] == ["instrument", "baseline"]
    assert document["verdicts"]


def test_a_study_that_a_gate_stops_ends_with_3_and_says_why(lesion, study: Path, tmp_path: Path) -> None:
    text = yaml.safe_load(study.read_text())
    text["sweep"]["target"] = {"kind": "detected", "detector": "induction", "threshold": 0.99}
    bad = tmp_path / "headless.yaml"
    bad.write_text(yaml.safe_dump(text))
    ran = lesion("run", bad, "--home", tmp_path, "--workers", 1, "--json")
    assert ran.code == 3
    assert ran.json["outcome"] == "stopped"
    assert "no head" in ran.json["reason"]
    assert "no head" in (Path(ran.json["run"]) / "README.md").read_text()


@pytest.mark.parametrize(
    "arguments",
    [
        ["run"],
        ["run", "no-such-file.yaml"],
        ["run", "x.yaml", "--workers", "0"],
        ["rum"],
        ["replay", "nowhere"],
        ["verify", "nowhere"],
        ["schema", "studdy"],
        ["note", "text", "--kind", "rumour"],
        ["train", "no-such-recipe.yaml"],
        ["--no-such-option"],
    ],
)
def test_bad_arguments_end_with_2_a_sentence_and_nothing_written(
    lesion, arguments: list[str], tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = lesion(*arguments)
    assert answer.code == 2
    assert answer.err.startswith("lesion: ")
    assert "Traceback" not in answer.err
    assert answer.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--device=tpu", "--device-map=auto", "--cuda", "--mps"])
def test_a_device_that_was_never_tested_is_refused_by_name(lesion, option: str, monkeypatch) -> None:
    monkeypatch.setenv("LESION_DEVICE", "cpu")
    answer = lesion("doctor", "tiny:llama", option)
    assert answer.code == 2
    asked = option.removeprefix("--").replace("=", " ") if "device=" in option else option.partition("=")[0]
    assert f"{asked}: this version computes on the processor, or on one CUDA device" in answer.err


@pytest.mark.parametrize("place", [0, 2])
def test_the_device_may_stand_anywhere_and_is_refused_where_there_is_none(lesion, place: int, monkeypatch) -> None:
    monkeypatch.setenv("LESION_DEVICE", "cpu")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    words = ["doctor", "tiny:llama"]
    answer = lesion(*words[:place], "--device", "cuda", *words[place:])
    assert answer.code == 2
    assert "device cuda: torch" in answer.err
    assert "sees none here" in answer.err


@pytest.mark.parametrize("words", [["runs"], ["plan", "studies/dry-run.yaml"], ["names", "L1H0"]])
def test_a_device_that_cannot_be_is_refused_before_anything_else(
    lesion, repository: Path, words: list[str], monkeypatch
) -> None:
    monkeypatch.setenv("LESION_DEVICE", "cpu")
    monkeypatch.chdir(repository)
    assert lesion(*words).code == 0
    answer = lesion(*words, "--device", "mps")
    assert answer.code == 2
    assert "device mps: this version computes on the processor, or on one CUDA device" in answer.err


def test_a_device_without_a_name_is_asked_for(lesion, monkeypatch) -> None:
    monkeypatch.setenv("LESION_DEVICE", "cpu")
    answer = lesion("runs", "--device")
    assert answer.code == 2
    assert "--device needs a name: cpu, cuda" in answer.err


def test_a_training_is_for_the_processor(lesion, repository: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("LESION_DEVICE", "cpu")
    monkeypatch.chdir(tmp_path)
    answer = lesion("--device", "cuda", "train", str(repository / "recipes" / "one-layer.yaml"))
    assert answer.code == 2
    assert "device cuda: a training is repeatable on the processor alone" in answer.err
    assert list(tmp_path.iterdir()) == []


def test_errors_are_json_too(lesion, tmp_path: Path) -> None:
    answer = lesion("run", tmp_path / "none.yaml", "--json")
    assert answer.code == 2
    assert answer.json["exit_code"] == 2


def test_an_interrupt_says_how_to_go_on(lesion, monkeypatch: pytest.MonkeyPatch, study: Path) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lesion.study.format.load.load_study", interrupt)
    answer = lesion("run", study)
    assert answer.code == 130
    assert "same command" in answer.err


def test_schemas_and_notes(lesion, tmp_path: Path) -> None:
    for kind in ("study", "recipe", "training", "marks", "certificate"):
        assert json.loads(lesion("schema", kind).out)["properties"]
    manifest = json.loads(lesion("schema", "manifest").out)
    assert set(manifest["discriminator"]["mapping"]) == {"run", "call", "training"}
    written = lesion("note", "A rationale.", "--topic", "why this", "--home", tmp_path, "--json").json["note"]
    assert Path(written).read_text().endswith("A rationale.\n")


def test_every_kind_of_error_has_its_own_documented_exit_code(repository: Path) -> None:
    page = (repository / "docs" / "exit-codes.md").read_text()
    for kind in LesionError.__subclasses__():
        assert f"{kind.exit_code}" in page


def test_the_command_line_loads_no_heavy_package_before_it_must(repository: Path) -> None:
    heavy = {"numpy", "pydantic", "polars", "scipy", "transformers", "torch", "altair"}
    code = f"import sys, lesion.cli; print(len({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=repository, check=True)
    assert done.stdout.strip() == "0"


def test_looking_at_runs_loads_no_package_for_tables_and_study_files(repository: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from lesion.cli import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit as ended: print(ended.code)\n"
        "print({'polars', 'yaml', 'scipy.special', 'torch'} & set(sys.modules))"
    )
    published = next((repository / "publications" / "real-models").glob("*/manifest.json")).parent
    for words in (["show", published, "--home", tmp_path], ["runs", "--home", tmp_path]):
        command = [sys.executable, "-c", code, *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=repository, check=True)
        assert done.stdout.splitlines()[-2:] == ["0", "set()"], words


def test_quiet_says_nothing_but_errors_and_verbose_shows_the_log(lesion, tmp_path: Path) -> None:
    import logging

    quiet = lesion("note", "Something.", "--home", tmp_path, "-q")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
    assert lesion("-q", "note", "x", "--kind", "rumour").err.startswith("lesion: ")
    assert lesion("note", "Something.", "--home", tmp_path).out
    both = lesion("runs", "-v", "-q", "--home", tmp_path)
    assert both.code == 2
    assert lesion("-v", "runs", "--home", tmp_path).code == 0
    assert logging.getLogger("lesion").handlers[-1].level == logging.INFO
    assert lesion("runs", "--home", tmp_path).code == 0
    assert logging.getLogger("lesion").handlers[-1].level == logging.WARNING


@pytest.mark.slow
def test_the_record_is_listed_tagged_asked_and_packed_from_the_command_line(
    lesion, study: Path, tmp_path: Path
) -> None:
    folder = Path(lesion("run", study, "--home", tmp_path, "--workers", 1, "--json").json["run"])
    name = folder.name
    home = ("--home", tmp_path)
    assert lesion("show", name[:11], *home, "--json").json["run"] == name
    assert lesion("diff", name, folder, *home, "--json").json["grade"] == "bit-equal"
    assert lesion("tag", name, "paper", *home).code == 0
    assert [run["run"] for run in lesion("runs", "--tag", "paper", *home, "--json").json["runs"]] == [name]
    assert lesion("ledger", "--rebuild", *home, "--json").json["runs"] == 1
    assert lesion("query", "select count(*) as n from items", *home, "--json").json["rows"][0]["n"] > 0
    assert lesion("notes", *home).code == 0
    assert lesion("export", folder).code == 2
    assert Path(lesion("export", folder, "--ro-crate", "--json").json["crate"]).exists()
    (folder / "study.yaml").write_text("other")
    assert lesion("export", folder, "--ro-crate", "--to", tmp_path / "again.zip").code == 5
