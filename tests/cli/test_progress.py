"""Progress is shown where people look, costs nothing where nobody does, and never reaches standard output."""

import io

import pytest
from rich.console import Console

from lesion.progress import shown_by, stage, track
from lesion.report.terminal import progress
from lesion.report.terminal.progress import display_on, left


def worked(console: Console) -> str:
    with shown_by(display_on(console)):
        assert list(track([1, 2, 3], "counting")) == [1, 2, 3]
        with stage("outer", 2) as advance:
            for _ in range(2):
                list(track(range(2), "inner"))
                advance()
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_without_a_display_the_things_come_through():
    assert list(track(iter([1, 2]), "quietly")) == [1, 2]


def test_on_a_terminal_there_is_a_bar_for_a_stage_and_for_a_stage_within():
    shown = worked(Console(file=io.StringIO(), force_terminal=True, width=100))
    assert "counting" in shown
    assert "outer" in shown


def test_redirected_it_is_a_plain_line_now_and_then(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    shown = worked(Console(file=io.StringIO(), width=100))
    assert "counting: 33%, about 0 s left" in shown
    assert "\x1b" not in shown


def test_short_stages_are_silent_where_there_is_no_terminal_and_quiet_is_quiet(monkeypatch: pytest.MonkeyPatch):
    assert worked(Console(file=io.StringIO(), width=100)) == ""
    monkeypatch.setattr(progress, "EVERY", 0.0)
    assert worked(Console(file=io.StringIO(), width=100, quiet=True)) == ""


def test_the_time_left_is_in_seconds_or_minutes():
    assert left(10, 5, 10) == "about 10 s left"
    assert left(600, 1, 3) == "about 20 min left"


def test_a_command_that_is_interrupted_says_so_in_a_line_and_ends_with_130(call, monkeypatch: pytest.MonkeyPatch):
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lesion.models.model.open_model", interrupt)
    code, out, err = call("heads", "tiny:gpt2")
    assert (code, out) == (130, "")
    assert err == "lesion: interrupted: nothing was written\n"
