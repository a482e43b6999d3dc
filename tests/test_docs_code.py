"""Every code block of the documentation is run, so that no page shows what does not work.

Python blocks of a page run from top to bottom in a folder of their own. Of shell blocks every line runs: `lesion …` in
this process, after its own parser has read it; the exceptions stand below, each with its reason, and are still parsed.
`RUN` stands for a finished run. Lines of ```text that begin with `lesion` are only shown on the page, and only parsed.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
from typer.exceptions import TyperException

from lesion import cli

ROOT = Path(__file__).parents[1]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
FENCE = re.compile(r"^```(python|sh|text)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`lesion ([^`\n]+)`")
GROUP: Any = typer.main.get_command(cli.app)

ELSEWHERE = {
    "docs/diagnostics.md": "run by tests/test_docs_diagnostics.py",
    "docs/verdict.md": "run by tests/stats/test_docs_verdict.py",
}
"""Pages whose Python another test runs."""
PARSED_ONLY = {
    "calibrate": "simulates twenty thousand studies a setting: some minutes; tests/stats runs it on a small grid",
    "heads --over-training": "trains two models; tests/training runs it on shorter recipes",
    "measure pretrained:": "asks a model that is downloaded; tests marked `pretrained` do",
    "run planted.yaml": "takes as long as the default study; with --dry-run it runs, see below",
    "tasks show gsm8k": "the file that it names is not in the repository; tests/tasks/test_gsm8k.py reads one",
}
"""How commands begin that are parsed and not run, and why."""
SMALLER = {"run": ["--workers", "1"], "replay": ["--workers", "1"]}
"""What is added to commands that would take minutes."""
SLOW = ("docs/tutorial.md", "docs/how-to/own-model.md")
"""Pages whose commands run studies or look into models for half a minute and more."""
NOT_TRIED = ("git clone … && cd lesion",)
"""Lines that no test can run: this one is how a reader came by the files."""


class Block(NamedTuple):
    """A fenced block of a page."""

    page: Path
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}"


def blocks_of(page: Path, *kinds: str) -> list[Block]:
    return [Block(page, kind, text) for kind, text in FENCE.findall(page.read_text(encoding="utf-8")) if kind in kinds]


def pages_with(*kinds: str) -> list[Path]:
    return [page for page in PAGES if blocks_of(page, *kinds)]


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def commands(text: str) -> Iterator[str]:
    """The lines of a shell block, continued ones joined, without comments."""
    for line in text.replace("\\\n", " ").splitlines():
        if words := re.sub(r"(^|\s)#.*", "", line).strip():
            yield words


def parse(line: str) -> None:
    """Let the command line's own parser read a command; it raises on whatever it does not know."""
    command, words = GROUP, shlex.split(line)[1:]
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        name = words.pop(0)
        assert name in command.commands, f"there is no command '{name}': {line}"
        command = command.commands[name]
    command.make_context(line, words)


def run(line: str, folder: Path, run_folder: Path | None) -> None:
    """Run one line as a reader would, in a folder that looks like a checkout."""
    if line.startswith("make "):
        assert re.search(rf"^{line.split()[1]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE), line
        return
    if line.startswith("lesion "):
        parse(line)
        words = [str(run_folder) if word == "RUN" else word for word in shlex.split(line)[1:]]
        if "--dry-run" not in words and any(" ".join(words).startswith(beginning) for beginning in PARSED_ONLY):
            return
        extra = [word for word in SMALLER.get(words[0], []) if word not in words]
        with pytest.raises(SystemExit) as ended:
            cli.main([*words, *extra])
        assert not ended.value.code, f"{line} ended with {ended.value.code}"
        return
    here = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    subprocess.run(["sh", "-euc", line], cwd=folder, env={**os.environ, **here}, check=True, timeout=120)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the repository's studies, recipes and examples, in which we stand."""
    for name in ("studies", "recipes", "examples"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one finished dry run."""
    home = tmp_path_factory.mktemp("finished")
    with pytest.raises(SystemExit) as ended:
        cli.main(["-q", "run", str(ROOT / "studies" / "dry-run.yaml"), "--home", str(home), "--workers", "1"])
    assert not ended.value.code
    return home


@pytest.mark.parametrize("page", [page for page in pages_with("python") if named(page) not in ELSEWHERE], ids=named)
def test_every_python_block_runs_from_top_to_bottom(page: Path, checkout: Path):
    names: dict[str, object] = {}
    for block in blocks_of(page, "python"):
        exec(compile(block.text, named(page), "exec"), names)  # the pages are ours


SHELL_PAGES = [
    pytest.param(page, id=named(page), marks=[pytest.mark.slow] if named(page) in SLOW else [])
    for page in pages_with("sh")
]


@pytest.mark.parametrize("page", SHELL_PAGES)
def test_every_line_of_the_shell_blocks_runs(page: Path, checkout: Path, finished: Path):
    lines = [line for block in blocks_of(page, "sh") for line in commands(block.text)]
    if any(re.search(r"\bRUN\b|runs/", line) for line in lines):
        shutil.copytree(finished / "runs", checkout / "runs")
    for line in lines:
        if line not in NOT_TRIED:
            run(line, checkout, next(iter(sorted(checkout.glob("runs/*/"))), None))


@pytest.mark.parametrize("page", pages_with("text"), ids=named)
def test_commands_that_are_only_shown_are_parsed(page: Path):
    for block in blocks_of(page, "text"):
        for line in commands(block.text):
            if line.startswith("lesion "):
                parse(line)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_and_options_named_in_a_sentence_exist(page: Path):
    for text in INLINE.findall(page.read_text(encoding="utf-8")):
        words, command = text.split(), GROUP
        while hasattr(command, "commands") and words and re.fullmatch("[a-z]+", words[0]):
            assert words[0] in command.commands, f"{named(page)}: there is no 'lesion {text}'"
            command = command.commands[words.pop(0)]
        known = {option for parameter in (*command.params, *GROUP.params) for option in parameter.opts} | {"--help"}
        for option in re.findall(r"(?<!\S)--[a-z-]+", text):
            assert option in known, f"{named(page)}: '{option}' in 'lesion {text}'"


def test_every_exception_is_still_needed():
    lines = [line for page in PAGES for block in blocks_of(page, "sh") for line in commands(block.text)]
    for beginning in PARSED_ONLY:
        assert any(line.startswith(f"lesion {beginning}") for line in lines), beginning
    for line in NOT_TRIED:
        assert line in lines
    for page in ELSEWHERE:
        assert blocks_of(ROOT / page, "python")


@pytest.mark.parametrize("line", ["lesion run x.yaml --no-such", "lesion heads", "lesion doctor m --dtype int3"])
def test_a_wrong_option_would_be_seen(line: str):
    with pytest.raises(TyperException):
        parse(line)


@pytest.mark.parametrize("line", ["lesion dostor zoo:abacus-llama", "make nothing-of-the-kind"])
def test_a_command_that_is_not_there_would_be_seen(line: str, checkout: Path):
    with pytest.raises(AssertionError):
        run(line, checkout, None)


def test_a_command_that_fails_would_be_seen(checkout: Path):
    with pytest.raises(AssertionError, match="ended with 2"):
        run("lesion tasks show arithmetik", checkout, None)
    with pytest.raises(subprocess.CalledProcessError):
        run("cp nothing nowhere", checkout, None)
