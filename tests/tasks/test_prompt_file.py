"""A user's own prompts: what the file gives becomes items, and what does not do is named with its line."""

import json
from pathlib import Path
from typing import Any

import huggingface_hub
import polars as pl
import pytest

from lesion import cli
from lesion.errors import InputError, Tampered
from lesion.identity import file_hash
from lesion.tasks.config import PromptFileConfig
from lesion.tasks.item_check import nonsense
from lesion.tasks.prompts.prompt_file import PromptFileTask
from lesion.tasks.spelling import parse_task
from lesion.tasks.task import Draw, Item
from lesion.tasks.tokenizers.prompt_contract import Compiled, compile_item

ROWS = [
    {
        "prompt": f"In year {year} the capital of {land} was",
        "answer": f" {city}",
        "corrupted_prompt": f"In year {year} the capital of {other} was",
        "wrong_answer": f" {wrong}",
        "group": str(year),
        "roles": {"land": [28, 28 + len(land)]},
    }
    for year in range(1900, 1940)
    for land, city, other, wrong in (
        ("France", "Paris", "Italy", "Rome"),
        ("Italy", "Rome", "Spain", "Madrid"),
        ("Spain", "Madrid", "France", "Paris"),
    )
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """The rows in the kind of file that the name's end says."""
    if path.suffix == ".csv":
        rows = [{**row, "roles": json.dumps(row["roles"])} if "roles" in row else row for row in rows]
        pl.DataFrame(rows).write_csv(path)
    elif path.suffix == ".parquet":
        pl.DataFrame(rows).write_parquet(path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def items(config: PromptFileConfig, *lanes: Draw) -> list[Item]:
    task = PromptFileTask(config)
    return [item for lane in lanes for item in task.items(lane, 0, task.capacity(lane))]


EVERY = [Draw("discovery", "k", 0, 1), *(Draw("confirm", "k", seed, 3) for seed in range(3))]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_every_prompt_is_asked_once_with_what_its_line_says(tmp_path: Path, kind: str):
    path = write(tmp_path / f"pairs.{kind}", ROWS)
    found = {item.prompt: item for item in items(PromptFileConfig(path=str(path)), *EVERY)}
    assert len(found) == len(ROWS) == PromptFileTask(PromptFileConfig(path=str(path))).pool
    for row in ROWS:
        item = found[row["prompt"]]
        assert (item.answer, item.wrong) == (row["answer"], row["wrong_answer"])
        assert "".join(part.text for part in item.twin) == row["corrupted_prompt"]
        assert item.buckets == {"template": row["group"]}
        land, other = ([part.text for part in text if part.role == "land"] for text in (item.segments, item.twin))
        assert land == [row["prompt"][28:-4]]
        assert other == [row["corrupted_prompt"][28:-4]]
        assert nonsense(item, sums=False) == ""


def test_a_prompt_has_the_same_part_in_every_file_and_order_of_lines(tmp_path: Path):
    whole = PromptFileConfig(path=str(write(tmp_path / "whole.jsonl", ROWS)))
    turned = PromptFileConfig(path=str(write(tmp_path / "turned.csv", ROWS[::-1])))
    some = PromptFileConfig(path=str(write(tmp_path / "some.jsonl", ROWS[::3])))
    assert items(whole, EVERY[0]) == items(turned, EVERY[0])
    chosen_on = {item.prompt for item in items(whole, EVERY[0])}
    assert 30 <= len(chosen_on) <= 66
    assert {item.prompt for item in items(some, EVERY[0])} == chosen_on & {row["prompt"] for row in ROWS[::3]}
    assert not chosen_on & {item.prompt for item in items(some, *EVERY[1:])}


def test_another_key_gives_another_order_of_the_same_prompts(tmp_path: Path):
    config = PromptFileConfig(path=str(write(tmp_path / "pairs.jsonl", ROWS)))
    one, other = (items(config, Draw("confirm", key, 0, 1)) for key in "ab")
    assert [item.prompt for item in one] != [item.prompt for item in other]
    assert {item.id for item in one} == {item.id for item in other}


def test_without_a_wrong_answer_another_prompts_answer_is_drawn(tmp_path: Path):
    rows = [{"prompt": row["prompt"], "answer": row["answer"]} for row in ROWS]
    rows[0]["answer"] = " Lyons"
    for item in items(PromptFileConfig(path=str(write(tmp_path / "plain.csv", rows))), *EVERY):
        assert item.wrong in {" Paris", " Lyons", " Rome", " Madrid"} - {item.answer}
        assert (item.answer, item.wrong) in {(" Paris", " Lyons"), (" Lyons", " Paris")} or item.answer[1] in "RM"
        assert not item.twin


def test_columns_can_have_other_names_and_further_ones_are_strata(tmp_path: Path):
    rows = [{"text": f"{i} is", "label": f"{i % 2}", "kind": i % 3, "note": ""} for i in range(30)]
    spelled = (
        f"file path={write(tmp_path / 'a.csv', rows)} columns=prompt:text,answer:label,kind strata=kind space=true"
    )
    config = parse_task(spelled)
    assert isinstance(config, PromptFileConfig)
    found = items(config, *EVERY)
    assert {item.buckets["kind"] for item in found} == {"0", "1", "2"}
    assert {item.answer for item in found} == {" 0", " 1"}


def test_token_ids_become_the_text_that_their_tokenizer_writes(tmp_path: Path, gpt2, data: Path):
    names = {name: gpt2.encode(name).ids[0] for name in (" Mary", " John")}
    rows = [
        {
            "": i,  # as pandas writes its index
            "clean": f"On day {i} John and Mary went out. John gave a ring to",
            "corrupted": f"On day {i} John and Mary went out. Anna gave a ring to",
            "correct_idx": names[" Mary"],
            "incorrect_idx": names[" John"],
        }
        for i in range(40)
    ]
    path, file = write(tmp_path / "ioi.csv", rows), data / "tokenizers" / "gpt2_tokenizer.json"
    config = PromptFileConfig(path=str(path), tokenizer=str(file))
    for item in items(config, *EVERY):
        assert (item.answer, item.wrong) == (" Mary", " John")
        compiled = compile_item(item, gpt2, None)
        assert isinstance(compiled, Compiled)
        assert (compiled.answer_ids, compiled.wrong_ids) == ((names[" Mary"],), (names[" John"],))
        assert compiled.twin_ids is not None
    write(path, [{**row, "correct_idx": 50_300} for row in rows])
    with pytest.raises(InputError, match=r"line 2: correct_idx is 50300, and this tokenizer has the ids 0 … 50256"):
        items(config, *EVERY)
    write(path, [{**row, "correct_idx": gpt2.encode("e").ids[0]} for row in rows])
    with pytest.raises(InputError, match="reads as 'e' and would not write behind the prompt as one token"):
        items(config, *EVERY)


def test_a_changed_file_is_refused_and_read_again(tmp_path: Path):
    path = write(tmp_path / "pairs.jsonl", ROWS)
    config = PromptFileConfig(path=str(path), sha256=file_hash(path))
    assert len(items(config, *EVERY)) == len(ROWS)
    write(path, ROWS[:-1])
    with pytest.raises(Tampered, match="the configuration asks for"):
        items(config, *EVERY)
    assert len(items(config.model_copy(update={"sha256": None}), *EVERY)) == len(ROWS) - 1


def test_a_file_of_the_hub_gives_the_items_of_the_same_local_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write(tmp_path / "pairs.jsonl", ROWS)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_, **__: str(path))
    there = PromptFileConfig(path="data/pairs.jsonl", hub=f"org/pairs@{'0' * 40}", sha256=file_hash(path))
    assert items(there, *EVERY) == items(PromptFileConfig(path=str(path)), *EVERY)


@pytest.mark.usefixtures("no_sockets")
def test_a_file_of_the_hub_is_refused_offline_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match="cannot be fetched") as refused:
        PromptFileTask(PromptFileConfig(path="pairs.jsonl", hub=f"org/pairs@{'0' * 40}", sha256="0" * 64))
    assert "\n" not in str(refused.value)


def test_the_shipped_example_has_200_pairs_in_50_groups():
    path = Path(__file__).parents[2] / "examples" / "capitals.csv"
    found = items(PromptFileConfig(path=str(path)), *EVERY)
    assert len(found) == 200
    assert len({item.buckets["template"] for item in found}) == 50
    assert all(item.twin and nonsense(item, sums=False) == "" for item in found)


def test_a_lane_that_is_too_short_says_how_many_there_are(tmp_path: Path):
    task = PromptFileTask(PromptFileConfig(path=str(write(tmp_path / "pairs.jsonl", ROWS))))
    with pytest.raises(
        InputError, match=r"100 items were asked for, but seed 0 of 3 holds \d\d of the \d\d prompts for"
    ):
        task.items(Draw("confirm", "k", 0, 3), 0, 100)


GOOD = '{"prompt": "The sky is", "answer": " blue"}\n'
PAIR = '"prompt": "a b is", "answer": " c"'
BROKEN = {
    "empty.csv": ("", "is empty; its first line must name the columns"),
    "blank.csv": ("\nprompt,answer\n", "line 1: is blank"),
    "header.csv": ("prompt,answer\n", "holds no prompt"),
    "twice.csv": ("prompt,answer,answer\na, b, c\n", "line 1: names the column 'answer' twice"),
    "typo.csv": ("prompt,anser\na, b\n", "line 1: the column 'anser' is not known; did you mean 'answer'?"),
    "lacking.csv": ("prompt,group\na,b\n", "line 1: has no answer; a file of prompts needs"),
    "cells.csv": ("prompt,answer\nx is, y\nOne, two, three\n", "line 3: has 3 cells, and the header names 2 columns"),
    "few.csv": ("prompt,answer\nx is\n", "line 2: has 1 cells"),
    "quote.csv": ('prompt,answer\nx is, y\n"z is, y\n', "line 3: is not CSV"),
    "inside.csv": ('prompt,answer\n"x" is, y\n', "line 2: is not CSV"),
    "nul.csv": ("prompt,answer\nx\0 is, y\n", "line 2: holds a NUL character"),
    "latin.csv": (b"prompt,answer\nx is, caf\xe9\n", "line 2: byte 0xe9 is not UTF-8"),
    "noprompt.csv": ("prompt,answer\n , y\n", "line 2: the prompt is empty"),
    "noanswer.csv": ("prompt,answer\nx is,\n", "line 2: the answer is empty"),
    "joined.csv": (
        "prompt,answer\nThe sky is,blue\n",
        "line 2: the prompt ends with 'The sky is' and the answer begins",
    ),
    "same.csv": ("prompt,answer,wrong_answer\nx is, y, y\n", "line 2: the wrong answer is the answer itself"),
    "again.csv": ("prompt,answer\nx is, y\nz is, y\nx  is, w\n", "line 4: the prompt stands already in line 2"),
    "clean.csv": (
        "prompt,answer,corrupted_prompt\nx is, y,x is\n",
        "line 2: the corrupted prompt is the prompt itself",
    ),
    "group.csv": ("prompt,answer,group\nx is, y,a\nz is, w,\n", "line 3: has no group, and line 2 has one"),
    "one.csv": ("prompt,answer\nx is, y\nz is, y\n", "every prompt has the answer ' y'"),
    "roles.csv": ('prompt,answer,roles\nx is, y,"{""a"": [0, 1]"\n', "line 2, roles: is not JSON"),
    "ids.csv": ("clean,corrupted,correct_idx,incorrect_idx\nx,z,5,6\n", "line 2: correct_idx holds token ids"),
    "both.csv": ("prompt,answer,correct_idx\nx, y,5\n", "line 1: gives both answer and correct_idx"),
    "brace.jsonl": (GOOD + "{\n", "line 2: is not JSON that can be read"),
    "list.jsonl": (GOOD + "[1]\n", "line 2: must be a JSON object with prompt and answer, not a list"),
    "key.jsonl": ('{"prompt": "a", "prompt": "b"}\n', "line 1: gives the key 'prompt' twice"),
    "number.jsonl": (GOOD + '{"prompt": "7 is", "answer": 7}\n', "line 2: answer must be text, found a number"),
    "unlike.jsonl": (GOOD + '{"prompt": "7 is"}\n', "line 2: has no answer"),
    "object.jsonl": (f'{{{PAIR}, "roles": [0, 1]}}\n', "line 1: roles must be an object such as"),
    "name.jsonl": (f'{{{PAIR}, "roles": {{"A-b": [0, 1]}}}}\n', "line 1: 'A-b' cannot be a role"),
    "own.jsonl": (f'{{{PAIR}, "roles": {{"answer": [0, 1]}}}}\n', "line 1: 'answer' cannot be a role"),
    "span.jsonl": (f'{{{PAIR}, "roles": {{"s": [0, 1, 2]}}}}\n', "line 1: the span of s must be two whole numbers"),
    "far.jsonl": (
        f'{{{PAIR}, "roles": {{"s": [2, 99]}}}}\n',
        "line 1: the span [2, 99] of s does not lie in the prompt",
    ),
    "over.jsonl": (
        f'{{{PAIR}, "roles": {{"s": [0, 3], "t": [2, 4]}}}}\n',
        "line 1: the roles s [0, 3] and t [2, 4] ov",
    ),
    "other.jsonl": (f'{GOOD}{{{PAIR}, "roles": {{"s": [0, 1]}}}}\n', "line 2: has the roles s, and line 1 has none"),
    "moved.jsonl": (
        f'{{{PAIR}, "corrupted_prompt": "a xyz", "roles": {{"s": [3, 6]}}}}\n',
        "line 1: where the role s stands in the corrupted prompt does not follow",
    ),
    "lone.jsonl": (f'{{{PAIR}, "corrupted_roles": {{"s": [3, 6]}}}}\n', "line 1: gives corrupted_roles and no roles"),
    "torn.parquet": ("PAR1", "cannot be read as a Parquet table"),
    "prompts.json": ("[]", "write one JSON object a line and call it .jsonl"),
    "prompts.txt": ("x", "its name must end with .csv, .jsonl or .parquet"),
}
"""File -> what it holds and what is said of it."""


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_one_sentence_with_its_line_and_exit_code_2(name: str, tmp_path: Path, capsys):
    held, told = BROKEN[name]
    path = tmp_path / name
    path.write_bytes(held if isinstance(held, bytes) else held.encode())
    with pytest.raises(SystemExit) as ended:
        cli.main(["tasks", "show", f"file path={path}"])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert told in said
    assert str(path) in said
    assert len(said.strip().splitlines()) == 1


def test_a_missing_file_a_wrong_column_and_a_bad_stratum_are_named(tmp_path: Path):
    path = write(tmp_path / "pairs.csv", [{"prompt": "a is", "answer": " b", "kind": ""}])
    for spelled, told in (
        ("path=none.csv", "there is no such file"),
        (f"path={tmp_path}", "is a folder"),
        (f"path={path} columns=prompt,answr", "'answr' is no column of prompts; did you mean 'answer'"),
        (f"path={path} columns=prompt,answer:label", "line 1: has no column 'label'"),
        (f"path={path} strata=kind", "line 2: the stratum kind has no value"),
    ):
        with pytest.raises(InputError, match=told):
            PromptFileTask(parse_task(f"file {spelled}"))  # pyright: ignore[reportArgumentType]
    for spelled, told in (("strata=template", "that is the cluster"), ("hub=a/b@main", "not pinned to a commit")):
        with pytest.raises(InputError, match=told):
            parse_task(f"file path={path} {spelled}")
