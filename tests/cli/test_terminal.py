"""What a terminal's user meets in every command: JSON where it computes, TAB that completes, tables that fit."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from lesion import cli, errors
from lesion.cli.app import app

GROUP: Any = typer.main.get_command(app)


def every_command(group: Any = GROUP, before: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from every_command(command, f"{before}{name} ")
        yield f"{before}{name}", command


COMMANDS = dict(every_command())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_json_and_says_in_one_line_what_it_does(name: str):
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert "--json" in options
    assert COMMANDS[name].help


@pytest.fixture
def offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """What TAB offers in a folder with a study, a run and a model."""
    for name in ("studies/mine.yaml", "studies/notes.txt", "runs/20261125_0900_mine/manifest.json", "my-model/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / ".hidden").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("_LESION_COMPLETE", "complete_bash")
    monkeypatch.setattr(sys, "argv", ["lesion"])

    def press(line: str) -> list[str]:
        words = line.split(" ")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
        capsys.readouterr()
        with pytest.raises(SystemExit):
            cli.main([])
        return capsys.readouterr().out.split()

    return press


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("lesion doc", ["doctor"]),
        ("lesion doctor zoo:abacus-l", ["zoo:abacus-llama"]),
        ("lesion heads tiny:ll", ["tiny:llama"]),
        ("lesion measure my-", ["my-model/"]),
        ("lesion measure zoo:abacus-llama --task arith", ["arithmetic"]),
        ("lesion tasks show word", ["word_problems"]),
        ("lesion new ar", ["arithmetic"]),
        ("lesion run st", ["studies/"]),
        ("lesion run studies/", ["studies/mine.yaml"]),
        ("lesion plan no/such/", []),
        ("lesion verify runs/2", ["runs/20261125_0900_mine/"]),
        ("lesion show 2026", ["20261125_0900_mine"]),
        ("lesion show runs/20", ["runs/20261125_0900_mine/"]),
        ("lesion bench --family gpt2", ["gpt2"]),
    ],
)
def test_tab_completes_models_tasks_studies_and_runs(offered: Any, line: str, wanted: list[str]):
    assert offered(line) == wanted


def test_tab_offers_every_embedded_model_first_and_nothing_hidden(offered: Any, repository: Path):
    embedded = sorted(f"zoo:{path.parent.name}" for path in repository.glob("lesion/models/zoo/*/config.json"))
    found = offered("lesion doctor ")
    assert found[: len(embedded)] == embedded
    assert set(offered("lesion run ")) == {"studies/", "runs/", "my-model/"}


def test_pressing_tab_imports_nothing_heavy(repository: Path):
    environment = {
        **os.environ,
        "_LESION_COMPLETE": "complete_zsh",
        "_TYPER_COMPLETE_ARGS": "lesion doctor zoo:",
        "PYTHONPATH": str(repository),
    }
    code = (
        "import atexit, sys; sys.argv[0] = 'lesion'; from lesion.cli import main\n"
        "heavy = {'torch', 'transformers', 'altair', 'scipy'}\n"
        "atexit.register(lambda: print(sorted(heavy & set(sys.modules)), file=sys.stderr))\n"
        "main([])"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert "zoo:abacus-llama" in done.stdout.replace("\\", "")
    assert done.stderr.strip() == "[]"


def ends_with(repository: Path) -> Iterator[tuple[str, int]]:
    """Command and exit code, for every command that returns the code of an error instead of raising it."""
    for path in sorted((repository / "lesion" / "cli").rglob("*.py")):
        for function in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(function, ast.FunctionDef) and any(
                "command()" in ast.unparse(d) for d in function.decorator_list
            ):
                for kind in re.findall(r"(\w+)\.exit_code", ast.unparse(function)):
                    yield function.name, getattr(errors, kind).exit_code


def test_the_page_of_exit_codes_names_every_command_that_ends_with_one(repository: Path):
    page = (repository / "docs" / "exit-codes.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\d+) \| (.*)$", page, re.MULTILINE))
    found = set(ends_with(repository))
    assert {("doctor", 1), ("run", 3), ("replay", 4), ("verify", 5), ("run", 6)} <= found
    for command, code in sorted(found):
        assert f"`{command}`" in rows[str(code)], f"{command} may end with {code}: say so in docs/exit-codes.md"
