"""`lesion tasks` as people and programs use it."""

import json
from pathlib import Path

import pytest

from lesion import cli
from lesion.tasks.catalogue import TASKS, make_task
from lesion.tasks.config import ArithmeticConfig
from lesion.tasks.task import Draw

pytestmark = pytest.mark.smoke
EXAMPLE = Path(__file__).parents[2] / "examples" / "own_task.py"


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]):
    def call(*arguments: object) -> tuple[int, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main(["tasks", *map(str, arguments)])
        found = capsys.readouterr()
        return int(ended.value.code or 0), found.out or found.err

    return call


def test_the_list_names_every_task_and_what_can_be_set(said):
    code, text = said("--json")
    listed = json.loads(text)["tasks"]
    assert code == 0
    assert {entry["name"] for entry in listed} == set(TASKS)
    assert all(entry["about"] and entry["tier"] and all(entry["settings"].values()) for entry in listed)
    code, words = said()
    assert code == 0
    assert "word_problems" in words
    assert "[templates, low" in words


def test_a_card_takes_settings_as_one_word_or_as_several(said):
    code, text = said("show", "arithmetic high=19 shots=0", "--examples", "2", "--json")
    card = json.loads(text)
    assert code == 0
    assert card["config"]["high"] == 19
    assert card["pool"] == 800
    assert len(card["examples"]) == 2
    assert "".join(part["text"] for part in card["examples"][0]["segments"]) == card["examples"][0]["prompt"]
    assert json.loads(said("show", "arithmetic", "high=19", "shots=0", "--examples", "2", "--json")[1]) == card
    assert "buckets of the sample" in said("show", "arithmetic")[1]


def test_a_task_of_ones_own_has_a_card_too(said):
    code, text = said("show", "own", f"file={EXAMPLE}", "longest=30", "--json")
    assert code == 0
    assert json.loads(text)["pool"] == 210


def test_an_export_holds_the_items_that_a_run_would_ask(said, tmp_path: Path):
    lane = ("--split", "confirm", "--key", "k", "--seed", 1, "--seeds", 3)
    code, text = said("export", "arithmetic", "--out", tmp_path, "--items", 7, *lane, "--json")
    written = json.loads(text)
    assert code == 0
    assert written["rows"] == 7
    ids = [json.loads(line)["id"] for line in Path(written["items"]).read_text(encoding="utf-8").splitlines()]
    assert ids == [item.id for item in make_task(ArithmeticConfig()).items(Draw("confirm", "k", 1, 3), 0, 7)]
    assert json.loads(Path(written["metadata"]).read_text(encoding="utf-8"))["@type"] == "sc:Dataset"


def test_an_export_without_a_number_holds_all_items_of_a_small_lane(said, tmp_path: Path):
    code, text = said("export", "arithmetic", "high=9", "--out", tmp_path, "--json")
    assert code == 0
    held = make_task(ArithmeticConfig(high=9)).capacity(Draw("discovery", "export", 0, 3))
    assert json.loads(text)["rows"] == held < 1000


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("show", "arithmetics"), "did you mean 'arithmetic'"),
        (("show", "gsm8k", "path=nowhere.jsonl"), "there is no GSM8K file"),
        (("shw", "arithmetic"), "Did you mean 'show'"),
        (("export", "arithmetic"), "--out"),
        (("export", "arithmetic", "high=9", "--out", "x", "--items", 1000), "1000 items were asked for"),
        (("export", "arithmetic", "--out", "/dev/null/x"), "cannot be written"),
        (("export", "arithmetic", "--out", "x", "--seed", "3"), "raise --seeds"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_written(said, arguments, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, text = said(*arguments)
    assert code == 2
    assert told in text
    assert list(tmp_path.iterdir()) == []
