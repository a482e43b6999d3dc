"""GSM8K from a file."""

import json
from pathlib import Path

import huggingface_hub
import polars as pl
import pytest
from huggingface_hub.errors import EntryNotFoundError
from pydantic import ValidationError

from lesion.errors import InputError, Tampered
from lesion.identity import file_hash
from lesion.tasks.answers import extract
from lesion.tasks.config import Gsm8kConfig
from lesion.tasks.problems.gsm8k import Gsm8kTask, read_rows
from lesion.tasks.task import Draw

SHA256 = "3730d312f6e3440559ace48831e51066acaca737f6eabec99bccb9e4b3c39d14"
LANE = Draw("confirm", "k", 0, 1)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    rows = [
        {"question": f"How many are {i} + 1?", "answer": f"{i}+1=<<{i}+1={i + 1}>>{i + 1}\n#### {i + 1:,}"}
        for i in range(990, 1090)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_test_set_has_its_counts_and_its_reference_answers(data: Path):
    path = data / "gsm8k" / "test.jsonl"
    task = Gsm8kTask(Gsm8kConfig(path=str(path), sha256=SHA256, shots=0))
    assert task.pool == 1319
    lines = {
        json.loads(line)["question"].strip(): json.loads(line)["answer"] for line in path.read_text().split("\n")[:-1]
    }
    asked = 0
    for split in ("discovery", "confirm"):
        lane = Draw(split, "k", 0, 1)
        for item in task.items(lane, 0, task.capacity(lane)):
            question = item.segments[0].text.removeprefix("Question: ")
            assert item.answer == f" {lines.pop(question).rpartition('####')[2].strip().replace(',', '')}\n"
            asked += 1
    assert asked == 1319 - len(lines)
    assert len(lines) == 83  # the shots part


def test_direct_and_worked_answers_are_to_the_same_questions(small: Path):
    direct = Gsm8kTask(Gsm8kConfig(path=str(small), shots=0)).items(LANE, 0, 50)
    worked = Gsm8kTask(Gsm8kConfig(path=str(small), shots=0, solution="worked")).items(LANE, 0, 50)
    for one, other in zip(direct, worked, strict=True):
        assert one.prompt == other.prompt
        assert "<<" not in other.answer
        assert extract(one.answer) == extract(other.answer) != extract(other.wrong)
        assert len(one.wrong) == len(one.answer)


def test_no_question_is_also_an_example(small: Path):
    task = Gsm8kTask(Gsm8kConfig(path=str(small), shots=4))
    items = list(task.items(LANE, 0, task.capacity(LANE)))
    shots = {text.partition("\nAnswer:")[0] for text, role in items[0].segments if role == "shot"}
    assert len(shots) == 4
    assert not shots & {item.segments[-2].text for item in items}


def test_another_file_than_the_configured_is_refused(small: Path):
    with pytest.raises(Tampered, match="asks for 0000"):
        read_rows(small, "0" * 64)
    with pytest.raises(InputError, match="there is no GSM8K file"):
        read_rows(small.with_name("missing.jsonl"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1: is not JSON that can be read"),
        ('{"question": "q"}', "line 1: found no JSON object with question and answer"),
        ("[1]", "line 1: found no JSON object with question and answer"),
        ('{"question": "q", "answer": "12"}', "must end with `#### ` and a number"),
        ('{"question": "q", "answer": "#### twelve"}', "must end with `#### ` and a number"),
        ("", "holds no problem"),
    ],
)
def test_a_line_that_is_no_problem_is_named(tmp_path: Path, line: str, message: str):
    path = tmp_path / "bad.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(InputError, match=message):
        read_rows(path)


COMMIT = "0123456789abcdef0123456789abcdef01234567"
HUB = f"org/gsm8k@{COMMIT}"


@pytest.fixture
def hub(small: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """A hub that holds one file, `main/test.jsonl`, and notes what it was asked for."""
    asked: list[tuple[object, ...]] = []

    def download(repo: str, name: str, *, repo_type: str, revision: str) -> str:
        asked.append((repo, name, repo_type, revision))
        if name != "main/test.jsonl":
            raise EntryNotFoundError(f"no {name}")
        return str(small)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return asked


def test_a_file_of_the_hub_gives_the_items_of_the_same_local_file(hub, small: Path):
    config = Gsm8kConfig(hub=HUB, path="main/test.jsonl", sha256=file_hash(small), shots=2)
    from_hub, local = Gsm8kTask(config), Gsm8kTask(Gsm8kConfig(path=str(small), shots=2))
    assert list(from_hub.items(LANE, 0, 20)) == list(local.items(LANE, 0, 20))
    assert hub == [("org/gsm8k", "main/test.jsonl", "dataset", COMMIT)]


def test_a_file_of_the_hub_with_another_hash_is_refused(hub):
    with pytest.raises(Tampered, match="asks for 0000"):
        Gsm8kTask(Gsm8kConfig(hub=HUB, path="main/test.jsonl", sha256="0" * 64))


def test_what_the_hub_does_not_have_is_named(hub):
    with pytest.raises(InputError, match=r"main/none.jsonl of the data set org/gsm8k@0123.* cannot be fetched"):
        Gsm8kTask(Gsm8kConfig(hub=HUB, path="main/none.jsonl", sha256="0" * 64))


@pytest.mark.usefixtures("no_sockets")
def test_a_file_of_the_hub_that_was_never_fetched_cannot_be_had_without_a_network(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match="cannot be fetched"):
        Gsm8kTask(Gsm8kConfig(hub=HUB, path="main/test.jsonl", sha256="0" * 64))


@pytest.mark.parametrize("name", ["org/gsm8k", "org/gsm8k@main", "gsm8k@" + COMMIT, HUB[:-1]])
def test_a_hub_that_is_not_pinned_to_a_commit_is_refused(name: str):
    with pytest.raises(ValidationError, match="not pinned to a commit"):
        Gsm8kConfig(hub=name, path="main/test.jsonl", sha256="0" * 64)


def test_a_hub_without_the_files_hash_is_refused():
    with pytest.raises(ValidationError, match=r"give the sha256 of main/test\.jsonl"):
        Gsm8kConfig(hub=HUB, path="main/test.jsonl")


def test_a_local_configuration_keeps_the_hash_it_had_before_there_was_a_hub():
    known = "c93e5c5264a354a3b52f8eb7a2e67b7fb51b797c92c10d58bf40bbc5d4dadd93"
    assert Gsm8kConfig(path="test.jsonl").hash() == known


def test_parquet_holds_the_same_problems(small: Path):
    table = pl.read_ndjson(small)
    table.write_parquet(small.with_suffix(".parquet"))
    assert read_rows(small.with_suffix(".parquet")) == read_rows(small)
    (small.parent / "bad.parquet").write_text("{}")
    with pytest.raises(InputError, match="cannot be read as a Parquet"):
        read_rows(small.parent / "bad.parquet")
    table.drop("answer").write_parquet(small.with_suffix(".parquet"))
    with pytest.raises(InputError, match="row 1: found no JSON object with question and answer"):
        read_rows(small.with_suffix(".parquet"))


def test_a_file_that_holds_a_problem_twice_is_refused_with_its_lines(tmp_path: Path):
    path = tmp_path / "repeats.jsonl"
    rows = [{"question": f"How many are {i} + 1?", "answer": f"#### {i + 1}"} for i in range(20)]
    again = [*rows, {**rows[3], "question": "how many are  3 + 1? "}, rows[0], rows[3]]
    path.write_text("".join(json.dumps(row) + "\n" for row in again))
    with pytest.raises(InputError, match=r"2 of its 20 problems more than once \(line 1, line 22; line 4, line 21, li"):
        read_rows(path)
