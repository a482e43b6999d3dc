"""Cards and Croissant metadata of every kind of task."""

import json
import tracemalloc
from hashlib import sha256
from pathlib import Path

import pytest

from lesion.errors import InputError
from lesion.identity import file_hash
from lesion.tasks.card import describe, render
from lesion.tasks.catalogue import TASKS, make_task
from lesion.tasks.config import (
    AnalogyConfig,
    ArithmeticConfig,
    GreaterThanConfig,
    IoiConfig,
    LetterPatternsConfig,
    MultistepConfig,
    OwnConfig,
    SymbolicConfig,
    TaskConfig,
    WordProblemsConfig,
)
from lesion.tasks.croissant import export, metadata
from lesion.tasks.task import Draw
from lesion.tasks.trusted_code import VARIABLE

CONFIGS = [
    ArithmeticConfig(),
    SymbolicConfig(),
    AnalogyConfig(),
    MultistepConfig(),
    WordProblemsConfig(),
    IoiConfig(),
    GreaterThanConfig(),
    LetterPatternsConfig(),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.task)
def test_a_card_says_what_the_task_is(config: TaskConfig):
    card = describe(config, "tier")
    text = render(card)
    assert card.pool == make_task(config).pool
    assert f"{card.pool:,}" in text
    assert card.sample_hash in text
    assert repr(card.examples[0].prompt) in text
    assert all(sum(counts.values()) == card.sample for counts in card.buckets.values())
    assert describe(config, "tier") == card


def test_every_kind_of_task_can_be_made():
    kinds = {config.task for config in CONFIGS}
    assert kinds | {"gsm8k", "file", "own"} == set(TASKS)


def test_a_pool_without_a_discovery_item_has_no_card():
    with pytest.raises(InputError, match="leaves none for discovery"):
        describe(MultistepConfig(forms=("a-b-c",), low=50, high=50), "tiny")


def test_croissant_names_the_file_and_every_column():
    card = describe(ArithmeticConfig(), "tier1")
    document = metadata(card, "tier1.jsonl", sha256(b"").hexdigest())
    assert json.loads(json.dumps(document)) == document
    assert document["@type"] == "sc:Dataset"
    (file,) = document["distribution"]
    (records,) = document["recordSet"]
    assert file["sha256"] == sha256(b"").hexdigest()
    names = [field["name"] for field in records["field"]]
    assert names[:6] == ["index", "id", "prompt", "answer", "wrong", "twin"]
    assert {f"bucket_{key}" for key in card.buckets} == set(names[6:])
    assert {field["source"]["fileObject"]["@id"] for field in records["field"]} == {file["@id"]}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # the reader's own dependencies
def test_the_formats_own_reader_gives_the_exported_items_back(tmp_path: Path):
    library = pytest.importorskip("mlcroissant", reason="the package mlcroissant, the format's own reader, is missing")
    draw = Draw("confirm", "k", 0, 3)
    path = export(WordProblemsConfig(), "stories", draw, 12, tmp_path / "out").metadata
    dataset = library.Dataset(jsonld=str(path))
    assert not dataset.metadata.ctx.issues.errors
    read = [{key.removeprefix("items/"): value for key, value in row.items()} for row in dataset.records("items")]
    texts = [{key: value.decode() if isinstance(value, bytes) else value for key, value in row.items()} for row in read]
    items = list(make_task(WordProblemsConfig()).items(draw, 0, 12))
    assert [text["id"] for text in texts] == [item.id for item in items]
    assert [text["prompt"] for text in texts] == [item.prompt for item in items]
    assert [text["bucket_template"] for text in texts] == [item.buckets["template"] for item in items]


def test_an_exported_file_has_the_recorded_hash_and_the_twins_prompt(tmp_path: Path):
    written = export(ArithmeticConfig(), "tier1", Draw("discovery", "k", 0, 3), 4, tmp_path)
    assert file_hash(written.items) == written.sha256
    rows = [json.loads(line) for line in written.items.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == written.rows == 4
    assert all(row["twin"] != row["prompt"] and len(row["twin"]) == len(row["prompt"]) for row in rows)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["croissant.json", "tier1.jsonl"]


def test_an_export_that_breaks_off_leaves_the_older_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lane = Draw("discovery", "k", 0, 3)
    before = export(ArithmeticConfig(), "tier1", lane, 4, tmp_path).items.read_bytes()
    monkeypatch.setattr("lesion.tasks.croissant.row", lambda item: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export(ArithmeticConfig(), "tier1", lane, 8, tmp_path)
    assert (tmp_path / "tier1.jsonl").read_bytes() == before


def test_items_are_made_one_at_a_time_however_many_are_exported(tmp_path: Path):
    config, lane = SymbolicConfig(), Draw("discovery", "k", 0, 3)

    def peak(count: int) -> int:
        tracemalloc.start()
        export(config, "many", lane, count, tmp_path)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(1)
    small, large = peak(1000), peak(6000)
    assert large < small + 500_000, "5,000 more items of some 300 bytes would take 1.5 million"


def test_only_a_task_of_ones_own_has_no_licence_unless_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(VARIABLE, file_hash(Path(__file__).parents[2] / "examples" / "own_task.py"))
    path = Path(__file__).parents[2] / "examples" / "own_task.py"
    own = OwnConfig(file=str(path), sha256=file_hash(path))
    lane = Draw("discovery", "k", 0, 3)

    def licence(config: TaskConfig, given: str | None = None) -> object:
        return json.loads(export(config, "x", lane, 1, tmp_path, given).metadata.read_text()).get("license")

    assert licence(own) is None
    assert licence(own, "https://example.org/terms") == "https://example.org/terms"
    assert str(licence(ArithmeticConfig())).endswith("/mit")


def test_an_export_beyond_the_lane_writes_nothing(tmp_path: Path):
    with pytest.raises(InputError, match="holds"):
        export(ArithmeticConfig(high=9), "small", Draw("confirm", "k", 0, 3), 10**6, tmp_path / "out")
    assert not (tmp_path / "out").exists()
