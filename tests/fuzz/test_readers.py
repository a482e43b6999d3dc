"""Hostile input for every reader of files from strangers: a sentence each, never a traceback, never a hang.

A quick profile in the test suite; `make fuzz` gives each reader a hundred thousand inputs.
"""

import json
import os
import struct
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lesion.errors import InputError, LesionError, Tampered
from lesion.identity import generator
from lesion.interventions.other_tools.names import read_sites
from lesion.models.obtain.gguf_header import require_header
from lesion.models.sizes import read_sizes
from lesion.models.vocabulary import read_tokenizer, tokenizer_settings
from lesion.models.weights import weights_hash
from lesion.runs.check.certificate import certificate_path, read_certificate
from lesion.runs.folder.find import small_text
from lesion.runs.folder.run_folder import read_begun, read_table, read_unit
from lesion.runs.index.notes import read_note
from lesion.runs.index.tags import marks_path, read_marks
from lesion.runs.manifest.any import read_record
from lesion.runs.manifest.command import read_repeat, read_result
from lesion.runs.manifest.command_results import comparable
from lesion.runs.manifest.run import read_manifest
from lesion.study.format.load import load_study
from lesion.study.rows import ITEMS, PROMPTS, empty
from lesion.tasks.config import PromptFileConfig
from lesion.tasks.problems.gsm8k import read_rows
from lesion.tasks.prompts.prompt_rows import read_prompts

INPUTS = int(os.environ.get("LESION_FUZZ", "60"))
fuzz = settings(max_examples=INPUTS, deadline=None, suppress_health_check=list(HealthCheck), derandomize=INPUTS < 1000)
ROOT = Path(__file__).resolve().parents[2]
STUDY = (ROOT / "studies" / "dry-run.yaml").read_bytes()
NOTE = b"---\ntime: '2026-11-22T16:31:00+00:00'\nkind: anomaly\ntopic: x\nruns: [a]\n---\n\ntext\n"
CONFIG = (ROOT / "lesion" / "models" / "zoo" / "abacus-llama" / "config.json").read_bytes()
NAMES = ["format", "run", "seal", "study", "files", "plan", "tags", "cell", "../x", "__class__"]
TOKENIZER = (ROOT / "lesion" / "models" / "zoo" / "abacus-llama" / "tokenizer.json").read_bytes()
SETTINGS = (ROOT / "lesion" / "models" / "zoo" / "abacus-llama" / "tokenizer_config.json").read_bytes()
BOMBS = [
    b"[" * 100_000, b'{"a":' * 100_000, b"9" * 100_000, b'"' + b"\\u0000" * 1000 + b'"', b"a: &a [*a]\n",
    b"\xff\xfe\x00", b"? " * 20_000, b"!!python/object/apply:os.system ['true']", b"PAR1" * 100, b"1e999999999",
    b"\x00" * 1000,
]  # fmt: skip


def parquet(shape) -> bytes:
    buffer = BytesIO()
    empty(shape).write_parquet(buffer)
    return buffer.getvalue()


def json_like() -> st.SearchStrategy[bytes]:
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    names = st.sampled_from(NAMES)
    tree = st.recursive(leaves, lambda kid: st.lists(kid, max_size=4) | st.dictionaries(names, kid, max_size=6))
    return tree.map(lambda value: json.dumps(value).encode())


def changed(seed: bytes) -> st.SearchStrategy[bytes]:
    """A good file with some bytes of it replaced, taken out or doubled."""
    cut = st.tuples(st.integers(0, len(seed)), st.integers(0, 40), st.binary(max_size=40))
    return st.lists(cut, min_size=1, max_size=4).map(lambda cuts: _apply(seed, cuts))


def _apply(seed: bytes, cuts: list[tuple[int, int, bytes]]) -> bytes:
    for start, length, new in cuts:
        seed = seed[:start] + new + seed[start + length :]
    return seed


def hostile(seed: bytes) -> st.SearchStrategy[bytes]:
    return st.binary(max_size=300) | st.sampled_from(BOMBS) | json_like() | changed(seed)


def many(seed: bytes, name: str, count: int) -> Iterator[bytes]:
    """Hostile inputs without hypothesis, which takes longer to draw one than a reader takes to refuse it."""
    draw = generator("fuzz", name)
    for number in range(count):
        if number % 50 == 0:
            yield BOMBS[number // 50 % len(BOMBS)]
        elif number % 5 == 0:
            yield draw.bytes(int(draw.integers(0, 300)))
        elif number % 5 == 1:
            yield json.dumps(_tree(draw, 0)).encode()
        else:
            cuts = draw.integers(0, [len(seed) + 1, 40, 40], (int(draw.integers(1, 5)), 3)).tolist()
            yield _apply(seed, [(start, length, draw.bytes(new)) for start, length, new in cuts])


def _tree(draw: np.random.Generator, depth: int) -> Any:
    """A random JSON value with the names that readers look for."""
    kind = int(draw.integers(0, 8 if depth < 4 else 6))
    if kind < 6:
        return (None, True, int(draw.integers(-(2**40), 2**40)), float(draw.normal()) * 1e9, "", "x\u0000\ud800")[kind]
    kids = [_tree(draw, depth + 1) for _ in range(int(draw.integers(0, 5)))]
    return kids if kind == 6 else dict(zip(draw.permutation(NAMES)[: len(kids)].tolist(), kids, strict=True))


def answer(read, path: Path) -> str:
    """The sentence with which a reader refuses, or a word that it read; any other error goes on."""
    try:
        read(path)
    except LesionError as error:
        return str(error)
    return "read"


EXAMPLES = ROOT / "tests" / "runs" / "examples"
CALL = b'{"format": 2, "kind": "call", "command": "heads", "run": "x", "parameters": {}, "inputs": {}, "files": {}}'
CIRCUIT = (
    b'{"cfg": {"n_layers": 2, "n_heads": 2}, "nodes": {"a0.h1": {"in_graph": true, "neurons": [true, false]}, '
    b'"m1": true}, "edges": {}}'
)
GGUF = (
    b"GGUF" + struct.pack("<IQQ", 3, 1, 2) + struct.pack("<Q20sIQ5s", 20, b"general.architecture", 8, 5, b"llama")
    + struct.pack("<Q17sII", 17, b"llama.block_count", 4, 2)
    + struct.pack("<Q17sIQQIQ", 17, b"token_embd.weight", 2, 4, 4, 0, 0)
)  # fmt: skip
PAIRS = (
    b'prompt,answer,corrupted_prompt,group,roles\na is, b,c is,g,"{""s"": [0, 1]}"\nd is, e,f is,g,"{""s"": [0, 1]}"\n'
)


def prompts(path: Path) -> object:
    """What a user's own prompts are read as."""
    return read_prompts(PromptFileConfig(path=str(path)), path)


READERS = {
    "model.gguf": (require_header, GGUF),
    "tokenizer.json": (lambda path: read_tokenizer(path.parent), TOKENIZER),
    "tokenizer_config.json": (lambda path: tokenizer_settings(path.parent), SETTINGS),
    "gsm8k.jsonl": (read_rows, b'{"question": "q", "answer": "a #### 1"}\n{"question": "r", "answer": "#### 2"}\n'),
    "pairs.csv": (prompts, PAIRS),
    "pairs.jsonl": (prompts, b'{"prompt": "a is", "answer": " b", "roles": {"s": [0, 1]}}\n'),
    "circuit.json": (lambda path: read_sites(small_text(path)), CIRCUIT),
    "heads.json": (
        lambda path: read_sites(small_text(path)),
        b'{"kind": "heads", "heads": [{"kind": "head", "layer": 0, "index": 1}]}',
    ),
    "manifest.json": (read_manifest, b'{"format": 1, "command": "run", "run": "x"}'),
    "call.json": (read_repeat, CALL),
    "result.json": (lambda path: comparable("measure", read_result(path)), b'{"items": 12, "changes": [{"low": 0.5}]}'),
    "training.json": (read_record, (EXAMPLES / "training-1.json").read_bytes()),
    "begun.json": (read_begun, b'{"study": "x", "study_hash": "x"}'),
    "unit.json": (read_unit, b'{"cell": {"stage": "baseline"}}'),
    "items.parquet": (lambda path: read_table(path, ITEMS), parquet(ITEMS)),
    "prompts.parquet": (lambda path: read_table(path, PROMPTS), parquet(PROMPTS)),
    "certificate.json": (read_certificate, b'{"format": 1, "run": "x"}'),
    "note.md": (read_note, NOTE),
    "study.yaml": (load_study, STUDY),
    "config.json": (lambda path: read_sizes(str(path.parent)), CONFIG),
    "model.safetensors": (lambda path: weights_hash(path.parent), b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "),
}


@pytest.mark.parametrize("name", READERS)
def test_a_reader_answers_hostile_input_with_a_value_or_a_sentence(name: str, tmp_path: Path) -> None:
    read, seed = READERS[name]
    path = tmp_path / name

    @fuzz
    @given(hostile(seed))
    def try_it(data: bytes) -> None:
        path.write_bytes(data)
        assert 0 < len(answer(read, path)) < 5000

    if INPUTS < 1000:
        try_it()
    for data in many(seed, name, INPUTS if INPUTS >= 1000 else 0):
        path.write_bytes(data)
        assert 0 < len(answer(read, path)) < 5000, data
    assert [each.name for each in tmp_path.iterdir()] == [name], "nothing else was written"


def test_marks_of_a_stranger_are_a_value_or_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()

    @fuzz
    @given(hostile(b'{"format": 1, "run": "x", "tags": ["a"]}'))
    def try_it(data: bytes) -> None:
        marks_path(tmp_path, "x").write_bytes(data)
        assert answer(lambda home: read_marks(home, "x"), tmp_path)

    try_it()


@fuzz
@given(st.text(max_size=60) | st.sampled_from(["../x", "a/../../x", "/etc/x", "..", "", "\0", "x" * 300]))
def test_a_name_from_a_manifest_never_leads_outside_the_folder_of_runs(name: str) -> None:
    for where in (marks_path, certificate_path):
        try:
            path = where(Path("home"), name)
        except InputError:
            continue
        assert path.parent == Path("home/runs")


def test_a_table_with_other_columns_or_too_many_rows_is_refused_unread(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "x.parquet"
    pl.DataFrame({"a": [1]}).write_parquet(path)
    with pytest.raises(Tampered, match="other columns"):
        read_table(path, ITEMS)
    path.write_bytes(parquet(ITEMS))
    assert read_table(path, ITEMS).height == 0
    monkeypatch.setattr("lesion.runs.folder.run_folder.MOST_ROWS", -1)
    with pytest.raises(Tampered, match="rows"):
        read_table(path, ITEMS)
