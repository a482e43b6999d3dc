"""The process that reads texts for `lesion view`: it answers, refuses, is ended when it is slow, and starts again."""

import threading

import pytest

from lesion.cli.records.text_reader import TextReader, installed
from lesion.errors import InputError
from lesion.report.view.look import Asked, Busy

MODEL = "tiny:llama"


def test_a_text_is_read_in_another_process_that_is_used_again():
    reader = TextReader([MODEL])
    try:
        first = reader.read(Asked(model=MODEL, text="ab=c"))
        process = reader._process
        assert process is not None
        assert len(first["tokens"]) == len(first["ids"]) >= 4
        with pytest.raises(InputError, match="do not differ"):
            reader.read(Asked(model=MODEL, text="ab=", right="c", wrong="c"))
        assert reader.read(Asked(model=MODEL, text="ab=c")) == first
        assert reader._process is process, "a refusal does not end it"
    finally:
        reader.close()
    assert not process.is_alive()


def test_one_that_takes_too_long_is_ended_and_another_is_started():
    reader = TextReader([MODEL], longest=0.0)
    with pytest.raises(InputError, match="took more than 0 s"):
        reader.read(Asked(model=MODEL, text="ab=c"))
    assert reader._process is None
    reader._longest = 120.0
    try:
        assert reader.read(Asked(model=MODEL, text="ab=c"))["model"] == MODEL
    finally:
        reader.close()


def test_a_process_that_dies_is_a_sentence():
    reader = TextReader([MODEL])
    reader._started()
    assert reader._process is not None
    threading.Timer(0.5, reader._process.kill).start()
    with pytest.raises(InputError, match="is there memory enough"):
        reader.read(Asked(model=MODEL, text="ab=c"))
    reader.close()


def test_a_second_text_is_refused_while_one_is_read():
    reader = TextReader([MODEL])
    with reader._working, pytest.raises(Busy, match="try again"):
        reader.read(Asked(model=MODEL, text="ab=c"))
    assert reader._process is None


def test_an_idle_process_gives_its_memory_back():
    reader = TextReader([MODEL], idle=0.2)
    reader.read(Asked(model=MODEL, text="ab=c"))
    assert reader._rest is not None
    reader._rest.join(10)
    assert reader._process is None


def test_items_are_those_of_the_task_and_code_is_not_run(tmp_path):
    reader = TextReader()
    found = reader.item("zoo:abacus-llama", "arithmetic shots=0", 2)
    assert found.text.endswith("=")
    assert found.right != found.wrong
    with pytest.raises(InputError, match="runs no code of your own"):
        reader.item("zoo:abacus-llama", f"own file={tmp_path / 'mine.py'}", 0)
    with pytest.raises(InputError, match="for looking at; the first is 0"):
        reader.item("zoo:abacus-llama", "arithmetic high=3", 999)
    with pytest.raises(InputError, match="is not a task"):
        reader.item("zoo:abacus-llama", "aritmetic", 0)


def test_models_are_those_of_this_machine(tmp_path):
    assert {"zoo:abacus-llama", "zoo:abacus-gpt2"} <= {*installed()}
    with pytest.raises(InputError, match="a page fetches nothing"):
        TextReader([f"org/name@{40 * 'a'}"])
    with pytest.raises(InputError, match="is not a model"):
        TextReader([str(tmp_path / "absent")])
