"""`lesion --help` lists every command once, in a group, with a whole sentence in 80 columns."""

import typer.main

from lesion.cli import COMMANDS
from lesion.cli.app import app
from lesion.cli.common.grouped_help import GROUPS

LISTED = [name for names in GROUPS.values() for name in names]


def test_every_command_stands_in_one_group():
    assert COMMANDS
    there = {name for name, command in typer.main.get_command(app).commands.items() if not command.hidden}  # pyright: ignore
    assert sorted(LISTED) == sorted(there)


def test_no_line_of_the_help_is_cut_off_or_too_long(call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = call("--help")
    assert code == 0
    assert "..." not in out.partition("\n")[2]
    assert max(map(len, out.splitlines())) <= 80
    assert [line for line in out.splitlines() if line.rstrip(":") in GROUPS] == [f"{name}:" for name in GROUPS]
