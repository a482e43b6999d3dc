"""Tasks as people write them."""

from pathlib import Path

import pytest

from lesion.errors import InputError
from lesion.identity import file_hash
from lesion.tasks.catalogue import make_task
from lesion.tasks.config import ArithmeticConfig, OwnConfig, SymbolicConfig
from lesion.tasks.spelling import parse_task
from lesion.tasks.trusted_code import VARIABLE, trust


def test_a_spelling_gives_the_configuration():
    assert parse_task("arithmetic operators=+,- high=999 format=equation") == ArithmeticConfig(
        high=999, format="equation"
    )
    assert parse_task("arithmetic high=999 format=spaced") == parse_task("arithmetic high=999 format=equation")
    assert parse_task("symbolic patterns=repeat longest=8") == SymbolicConfig(longest=8)
    assert parse_task("multistep forms=a+b*c").forms == ("a+b*c",)


def test_an_own_task_takes_the_files_hash_as_found_and_hands_other_settings_to_its_maker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(VARIABLE, "")
    path = tmp_path / "task.py"
    path.write_text("def make(longest): return None\n")
    config = parse_task(f"own file={path} longest=30")
    assert config == OwnConfig(file=str(path), sha256=file_hash(path), parameters={"longest": 30})
    with pytest.raises(InputError, match="there is no file"):
        parse_task("own file=nowhere.py")
    trust(config.sha256)
    with pytest.raises(InputError, match="unexpected keyword argument 'widest'"):
        make_task(parse_task(f"own file={path} longest=3 widest=30"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("arithmetics", "did you mean 'arithmetic'"),
        ("", "is not a task"),
        ("arithmetic hihg=3", "did you mean 'high'"),
        ("arithmetic high", "not a setting"),
        ("arithmetic high=-3", "high: Input should be greater"),
        ("arithmetic operators=/", "operators"),
        ("arithmetic low=5 high=1", "lies below low"),
    ],
)
def test_what_is_not_known_is_refused_with_the_nearest_name(text: str, told: str):
    with pytest.raises(InputError, match=told):
        parse_task(text)
