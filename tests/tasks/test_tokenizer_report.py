"""How real tokenizers split numbers, against an independent count."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers.convert_slow_tokenizer import generate_merges

from lesion.tasks.catalogue import make_task
from lesion.tasks.config import ArithmeticConfig
from lesion.tasks.task import Draw, Segment
from lesion.tasks.tokenizers.number_report import alignment, contract_report, pieces, splits, token_buckets
from lesion.tasks.tokenizers.prompt_contract import compile_item

LANE = Draw("confirm", "k", 0, 3)

BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False)
BEFORE = {
    "gpt-neox": BYTES,
    "starcoder": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), BYTES]),
    "falcon": pre_tokenizers.Sequence(
        [
            pre_tokenizers.Punctuation("contiguous"),
            BYTES,
            pre_tokenizers.Digits(individual_digits=False),
            pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated"),
        ]
    ),
}
"""What the GGUF files only name: how text is cut before the merges."""


def from_gguf(path: Path, before: pre_tokenizers.PreTokenizer) -> Tokenizer:
    gguf = pytest.importorskip("gguf", reason="the package gguf, which reads these vocabularies, is not installed")
    fields = gguf.GGUFReader(str(path)).fields

    def texts(name: str) -> list[str]:
        field = fields[f"tokenizer.ggml.{name}"]
        return [bytes(field.parts[i]).decode() for i in field.data]

    vocabulary = {token: i for i, token in enumerate(texts("tokens"))}
    merges = [tuple(merge.split(" ")) for merge in texts("merges")]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = before
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


@pytest.fixture(scope="session", params=["gpt2.json", *[pytest.param(name, marks=pytest.mark.slow) for name in BEFORE]])
def counted(request: pytest.FixtureRequest, data: Path, gpt2: Tokenizer) -> tuple[dict, Tokenizer]:
    known = json.loads((data / "tokenizers" / "number_splits.json").read_text())[request.param]
    if request.param == "gpt2.json":
        return known, gpt2
    path = data / "tokenizers" / f"ggml-vocab-{request.param}.gguf"
    return known, from_gguf(path, BEFORE[request.param])


@pytest.mark.parametrize(("context", "key"), [("bare", ""), ("space", " ")])
def test_splits_agree_with_an_independent_count(counted: tuple[dict, Tokenizer], context: str, key: str):
    known, tokenizer = counted
    made, more = splits(tokenizer, context, 10_000), splits(tokenizer, context, 10_001)
    assert more.single == known[key]["single"]
    assert made.first_not_single == known[key]["first_not_single"]
    assert {str(d): {str(t): n for t, n in c.items()} for d, c in made.by_digits.items()} == known[key]["by_digits"]
    assert (3 in made.mixed_digits) == known[key]["mixed_3digit"]
    assert (4 in made.mixed_digits) == known[key]["mixed_4digit"]
    assert more.by_digits[5] == {known[key]["n10000"]: 1}


def test_gpt2_alone_and_after_a_space_has_the_published_ranges(gpt2: Tokenizer):
    assert splits(gpt2, "bare", 1000).first_not_single == 521
    assert splits(gpt2, "space", 1000).first_not_single == 362
    assert splits(gpt2, "space", 1000).by_digits[3] == {1: 405, 2: 495}


def test_contexts_write_what_they_say(characters: Tokenizer, gpt2: Tokenizer):
    assert splits(characters, "equals", 100).by_digits == {1: {1: 10}, 2: {2: 90}}
    assert splits(characters, "negative", 10).by_digits == {1: {1: 10}}
    assert splits(gpt2, "thousands", 2000).by_digits[4].keys() == {3, 4}
    assert splits(gpt2, "decimal", 100).by_digits[2] == {3: 90}
    assert splits(characters, "bare", 10).first_not_single is None


def test_a_space_that_joins_the_number_is_told_from_one_that_does_not(gpt2: Tokenizer, characters: Tokenizer):
    assert splits(gpt2, "space", 1000).merged == 1000
    assert splits(gpt2, "equals", 1000).merged == 0
    behind = splits(gpt2, "equals", 1000)
    assert behind.by_digits == splits(gpt2, "bare", 1000).by_digits, "behind a sign of its own a number splits as alone"
    assert behind.first_not_single == 521


def test_digits_line_up_from_the_side_that_the_tokenizer_says(counted: tuple[dict, Tokenizer], characters: Tokenizer):
    assert alignment(characters, 4) == "digits"
    assert alignment(characters, 1) == "whole"
    _, tokenizer = counted
    if tokenizer.encode("10").tokens == ["1", "0"]:
        assert alignment(tokenizer, 7) == "digits"
    else:
        assert alignment(tokenizer, 4) == "mixed"


@pytest.mark.parametrize(
    ("pattern", "digits", "expected", "sizes"),
    [
        (r"\d{3}", 7, "left", [3, 3, 1]),
        (r"\d{1,3}(?=(\d{3})*\b)", 7, "right", [1, 3, 3]),
        (r"\d{3}", 6, "even", [3, 3]),
    ],
)
def test_groups_of_three_are_recognised(pattern: str, digits: int, expected: str, sizes: list[int]):
    numbers = {str(n): n for n in range(1000)} | {f"{n:03}": 1000 + n for n in range(100)}
    tokenizer = Tokenizer(models.WordLevel(numbers, unk_token="0"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "isolated")
    assert pieces(tokenizer, int("1234567"[:digits])) == sizes
    assert alignment(tokenizer, digits) == expected


def test_buckets_tell_single_from_multi_token_items(gpt2: Tokenizer):
    for item in make_task(ArithmeticConfig(format="equation", beyond=1999, shots=1)).items(LANE, 0, 100):
        made = compile_item(item, gpt2, None)
        if hasattr(made, "ids"):
            buckets = token_buckets(item, made)
            texts = [text for text, role in item.segments if role in ("operand_1", "operand_2")]
            assert buckets["operand_tokens"] == "+".join(str(len(gpt2.encode(text).ids)) for text in texts)
            assert buckets["answer_tokens"] == str(len(gpt2.encode(item.answer).ids))
            assert (buckets["single"] == "yes") == (buckets["operand_tokens"] == "1+1")
            assert buckets["digits"] == item.buckets["digits"]


def test_a_contract_report_counts_every_item_once(gpt2: Tokenizer):
    items = list(make_task(ArithmeticConfig()).items(LANE, 0, 200))
    joined = [replace(items[0], segments=(Segment("1 2", ""),), answer=digit, wrong="9") for digit in "34"]
    report = contract_report([*items, *joined], gpt2, None)
    assert (report.items, report.compiled) == (202, 200)
    assert report.refused == {"answer_merges_with_prompt": 2}
    assert sum(report.answer_tokens.values()) == report.compiled
    assert "share a token" in report.examples["answer_merges_with_prompt"]
    assert 0.9 < report.single_operands <= 1
    empty = contract_report([], gpt2, None)
    assert empty.single_operands != empty.single_operands  # no data is NaN, never 0


@pytest.mark.slow
def test_phi_3_reads_digit_by_digit_behind_a_mark_of_the_words_beginning(data: Path):
    gguf = pytest.importorskip("gguf", reason="the package gguf, which reads this vocabulary, is not installed")
    fields = gguf.GGUFReader(str(data / "tokenizers" / "ggml-vocab-phi-3.gguf")).fields
    tokens, scores = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.scores"]
    names = [bytes(tokens.parts[i]).decode() for i in tokens.data]
    rated = {name: float(scores.parts[i][0]) for name, i in zip(names, scores.data, strict=True)}
    vocabulary = {name: number for number, name in enumerate(names)}
    merges = generate_merges(vocabulary, rated)
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    assert splits(tokenizer, "bare", 1000).by_digits == {1: {2: 10}, 2: {3: 90}, 3: {4: 900}}
    assert splits(tokenizer, "equals", 1000).by_digits == {1: {1: 10}, 2: {2: 90}, 3: {3: 900}}
    assert splits(tokenizer, "negative", 1000).single == 10
