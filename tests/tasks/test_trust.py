"""A stranger's Python file runs only after the user has named its hash."""

from pathlib import Path

import pytest

from lesion import cli
from lesion.errors import InputError, Tampered
from lesion.identity import file_hash
from lesion.runs.execute.prepare import UNKNOWN_POOL, prepare_plan
from lesion.study.format.load import parse_document
from lesion.study.study import Study
from lesion.tasks.catalogue import make_task
from lesion.tasks.config import OwnConfig
from lesion.tasks.trusted_code import VARIABLE, is_trusted, trust

EVIL = 'from pathlib import Path\nPath("{mark}").write_text("ran")\ndef make():\n    raise SystemExit("ran")\n'


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A Python file that leaves a mark when it is run, and the mark."""
    monkeypatch.setenv(VARIABLE, "")
    mark, path = tmp_path / "mark", tmp_path / "evil.py"
    path.write_text(EVIL.format(mark=mark))
    return path, mark


def study_of(path: Path) -> str:
    return f"""
name: stranger
question: Does it run?
models: ["tiny:llama"]
tasks:
  tier1: {{task: own, file: "{path}", sha256: "{file_hash(path)}"}}
sweep: {{target: {{kind: sites, sites: [L0H0]}}}}
"""


def test_code_that_nobody_trusts_is_not_run(evil: tuple[Path, Path]) -> None:
    path, mark = evil
    with pytest.raises(InputError, match="--trust-code"):
        make_task(OwnConfig(file=str(path), sha256=file_hash(path)))
    assert not mark.exists()


def test_trusting_one_hash_trusts_no_other(evil: tuple[Path, Path]) -> None:
    path, mark = evil
    trust("0" * 64)
    assert is_trusted("0" * 64)
    with pytest.raises(InputError, match="not trusted"):
        make_task(OwnConfig(file=str(path), sha256=file_hash(path)))
    assert not mark.exists()
    trust(file_hash(path))
    with pytest.raises(SystemExit, match="ran"):
        make_task(OwnConfig(file=str(path), sha256=file_hash(path)))
    assert mark.exists(), "the test's own file does leave a mark when it is run"


def test_what_is_no_hash_is_not_trusted() -> None:
    with pytest.raises(InputError, match="no SHA-256"):
        trust("yes")


def test_a_file_that_changed_after_it_was_trusted_is_refused(evil: tuple[Path, Path]) -> None:
    path, mark = evil
    config = OwnConfig(file=str(path), sha256=file_hash(path))
    trust(config.sha256)
    path.write_text(path.read_text() + "# more\n")
    with pytest.raises(Tampered):
        make_task(config)
    assert not mark.exists()


def test_preparing_a_plan_never_runs_code_even_if_it_is_trusted(evil: tuple[Path, Path]) -> None:
    path, mark = evil
    trust(file_hash(path))
    plan = prepare_plan(parse_document(study_of(path), "x.yaml", Study), "any")
    assert plan.capacity == {"tier1": UNKNOWN_POOL}
    assert not mark.exists()


@pytest.mark.parametrize("command", [["plan"], ["power"], ["register", "--seen", "Nothing of it."], ["run"]])
def test_no_command_runs_what_a_strangers_study_names(
    command: list[str], evil: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, mark = evil
    study = tmp_path / "stranger.yaml"
    study.write_text(study_of(path))
    with pytest.raises(SystemExit):
        cli.main([*command, str(study), *([] if command == ["power"] else ["--home", str(tmp_path / "home")])])
    assert not mark.exists()
    if command == ["run"]:
        assert "--trust-code" in capsys.readouterr().err.replace("\n", " ")


def test_a_file_that_was_typed_on_the_command_line_is_trusted(evil: tuple[Path, Path]) -> None:
    path, mark = evil
    with pytest.raises(SystemExit):
        cli.main(["tasks", "show", "own", f"file={path}"])
    assert mark.exists()
