"""Hostile files given to the shipped commands: exit code 2 or 5, one sentence, no traceback, under two seconds each."""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lesion import cli
from lesion.errors import InputError, LesionError
from lesion.models.chat_template import open_frame
from lesion.models.model import open_model
from lesion.models.text_conventions import read_conventions
from lesion.models.vocabulary import open_vocabulary
from lesion.tasks.tokenizers.chat_turn import Chat

ROOT = Path(__file__).resolve().parents[2]
LLAMA = ROOT / "lesion" / "models" / "zoo" / "abacus-llama"
MOST_SECONDS = 2.0
"""Of processor time."""
Make = Callable[[Path], object]


def sparse(path: Path) -> None:
    with path.open("wb") as stream:
        stream.truncate(300_000_000)


FILES: dict[str, Make] = {
    "missing": lambda path: None,
    "a folder": Path.mkdir,
    "a pipe": os.mkfifo,
    "a link to an endless device": lambda path: path.symlink_to("/dev/zero"),
    "a link to itself": lambda path: path.symlink_to(path),
    "empty": Path.touch,
    "300 MB": sparse,
    "not UTF-8": lambda path: path.write_bytes(b'{"a": "\xff\xfe"}'),
    "a million brackets": lambda path: path.write_bytes(b"[" * 1_000_000),
    "deep objects": lambda path: path.write_bytes(b'{"a":' * 5000 + b"1" + b"}" * 5000),
    "a key twice": lambda path: path.write_text('{"kind": "heads", "kind": "heads", "heads": []}'),
    "null": lambda path: path.write_text("null"),
    "a list": lambda path: path.write_text("[1, 2]"),
    "NUL bytes": lambda path: path.write_bytes(b"\0" * 1000),
}
COMMANDS: dict[str, tuple[str, ...]] = {
    "plan": ("plan", "FILE.yaml"),
    "register": ("register", "FILE.yaml", "--seen", "nothing at all of these models"),
    "run": ("run", "FILE.yaml"),
    "power": ("power", "FILE.yaml"),
    "train": ("train", "FILE.yaml"),
    "verify": ("verify", "FILE.json"),
    "show": ("show", "FILE.json"),
    "stats": ("stats", "FILE.json"),
    "replay": ("replay", "FILE.json"),
    "report": ("report", "FILE.json"),
    "export": ("export", "FILE.json", "--ro-crate"),
    "figure": ("figure", "FILE.json", "answers"),
    "names": ("names", "FILE.json"),
    "tokens": ("tokens", "FILE.json"),
    "import": ("import", "FILE.gguf", "--out", "new"),
    "gsm8k": ("tasks", "show", "gsm8k path=FILE.jsonl"),
    "parquet": ("tasks", "show", "gsm8k path=FILE.parquet"),
    "own": ("tasks", "show", "own file=FILE.py"),
}


@pytest.fixture(scope="module", autouse=True)
def warm(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Each command once, so that what it imports is not counted as the time of a refusal."""
    missing = str(tmp_path_factory.mktemp("warm") / "missing")
    for words in COMMANDS.values():
        with pytest.raises(SystemExit):
            cli.main([part.replace("FILE", missing) for part in words])


def timed(words: list[str]) -> tuple[object, float]:
    """The exit code of a command, and the processor seconds that it took."""
    begun = time.process_time()
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    return ended.value.code, time.process_time() - begun


def ends(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a command that must refuse says. On a busy machine one run may take long; then the second one counts."""
    code, used = timed(words)
    said = capsys.readouterr()
    if used >= MOST_SECONDS:
        used = timed(words)[1]
    assert code in (2, 5), said.out[-300:] + said.err[-300:]
    assert used < MOST_SECONDS, f"{used:.1f} s"
    assert "Traceback" not in said.err
    assert 10 < len(said.err.strip()) < 1500, said.err
    return said.err


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LESION_HOME", str(tmp_path / "home"))


SAME_READER = frozenset({"stats", "replay", "report", "export", "figure", "register", "power", "run"})
"""Commands whose files are read as those of `verify`, `show` and `plan` are: a few kinds of file are enough."""
FEW = frozenset({"missing", "a pipe", "a million brackets", "a list"})
PAIRS = [(command, kind) for command in COMMANDS for kind in FILES if command not in SAME_READER or kind in FEW]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("command", "kind"), PAIRS)
def test_a_command_refuses_a_hostile_file_in_a_sentence(command: str, kind: str, tmp_path: Path, capsys) -> None:
    if kind == "a folder" and command in ("show", "verify"):
        pytest.skip("these take a folder")
    (word,) = {part for each in COMMANDS[command] for part in each.replace("=", " ").split() if "FILE" in part}
    path = tmp_path / word
    FILES[kind](path)
    ends([each.replace(word, str(path)) for each in COMMANDS[command]], capsys)
    left = {each.name for each in tmp_path.iterdir()} - {word, "home"}
    assert not left, "a refused command leaves nothing"


def folder(tmp_path: Path, **files: str | bytes) -> Path:
    """A copy of an embedded model in which some files are others; the names have `__` for the dot."""
    place = tmp_path / "model"
    place.mkdir()
    for path in LLAMA.iterdir():
        shutil.copy(path, place / path.name)
    for name, text in files.items():
        data = text.encode() if isinstance(text, str) else text
        (place / name.replace("__", ".")).write_bytes(data)
    return place


CONFIG: dict[str, Any] = json.loads((LLAMA / "config.json").read_text())
ROPE = {"rope_type": "default", "rope_theta": 10000.0}
CONFIGS: dict[str, dict[str, Any]] = {
    "a billion heads": {"num_attention_heads": 10**9, "num_key_value_heads": 10**9},
    "a billion layers": {"num_hidden_layers": 10**9},
    "a thousand layers": {"num_hidden_layers": 1000},
    "a billion wide": {"hidden_size": 10**9},
    "wide": {"hidden_size": 131072},
    "a billion neurons": {"intermediate_size": 10**9},
    "a billion tokens": {"vocab_size": 10**9},
    "ten million tokens": {"vocab_size": 10**7},
    "odd heads": {"head_dim": 7},
    "a negative width": {"head_dim": -16},
    "no heads": {"num_attention_heads": 0},
    "heads of no group": {"num_key_value_heads": 3},
    "an unknown activation": {"hidden_act": "swoosh"},
    "a list of activations": {"hidden_act": ["silu"]},
    "an activation's number": {"hidden_act": 3},
    "text for a number": {"hidden_size": "128"},
    "a list for a number": {"num_hidden_layers": [3]},
    "a fraction": {"num_hidden_layers": 2.5},
    "text for the norm": {"rms_norm_eps": "tiny"},
    "a list for the norm": {"rms_norm_eps": [1e-6]},
    "pad beyond": {"pad_token_id": 10**9},
    "pad as text": {"pad_token_id": "0"},
    "ends as object": {"eos_token_id": {"a": 1}},
    "a list of kinds": {"model_type": ["llama"]},
    "kind a number": {"model_type": 7},
    "an unknown kind": {"model_type": "nobody", "architectures": ["NobodyForCausalLM"]},
    "architectures a word": {"architectures": "LlamaForCausalLM"},
    "architectures of numbers": {"architectures": [7]},
    "no architectures": {"architectures": []},
    "rope a word": {"rope_parameters": "yes"},
    "rope a list": {"rope_parameters": [1]},
    "rope of an unknown type": {"rope_parameters": {**ROPE, "rope_type": "spiral"}},
    "rope type a list": {"rope_parameters": {**ROPE, "rope_type": ["default"]}},
    "rope theta as text": {"rope_parameters": {**ROPE, "rope_theta": "big"}},
    "rope theta below 0": {"rope_parameters": {**ROPE, "rope_theta": -1.0}},
    "rope factor 0": {"rope_parameters": {**ROPE, "rope_type": "linear", "factor": 0}},
    "rope factors missing": {"rope_parameters": {"rope_type": "longrope", "rope_theta": 1e4}},
    "rope factors of text": {"rope_parameters": {**ROPE, "rope_type": "longrope", "short_factor": ["a"]}},
    "old rope a number": {"rope_scaling": 3},
    "no positions": {"max_position_embeddings": 0},
    "positions as text": {"max_position_embeddings": "many"},
    "tied as a list": {"tie_word_embeddings": [True]},
    "a huge integer": {"hidden_size": 10**400},
}  # fmt: skip


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_config_that_cannot_be_true_is_refused_before_anything_is_allocated(kind: str, tmp_path: Path) -> None:
    place = folder(tmp_path, config__json=json.dumps({**CONFIG, **CONFIGS[kind]}))
    begun = time.process_time()
    with pytest.raises(LesionError) as refused:
        open_model(str(place))
    assert time.process_time() - begun < MOST_SECONDS
    assert refused.value.exit_code == 2
    assert 10 < len(str(refused.value)) < 800


TOKENIZER: dict[str, Any] = json.loads((LLAMA / "tokenizer.json").read_text())
BROKEN: dict[str, bytes] = {
    "broken": b'{"add_bos_token": tru',
    "a list": b"[1]",
    "a number": b"7",
    "deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "brackets": b"[" * 1_000_000,
    "not UTF-8": b'{"bos_token": "\xff"}',
    "a key twice": b'{"add_bos_token": true, "add_bos_token": false}',
    "a wrong token": b'{"add_bos_token": true, "bos_token": [1]}',
    "a token of a number": b'{"add_bos_token": true, "bos_token": {"content": 7}}',
    "a template of a number": b'{"chat_template": 7}',
    "templates of numbers": b'{"chat_template": [7]}',
    "templates without names": b'{"chat_template": [{"template": "x"}]}',
    "empty": b"",
}


def refuses(place: Path) -> None:
    """What `lesion tokens` reads of a model's folder is refused."""
    begun = time.process_time()
    with pytest.raises(InputError) as refused:
        read_conventions(str(place), place, open_vocabulary(str(place)))
    assert time.process_time() - begun < MOST_SECONDS
    assert 10 < len(str(refused.value)) < 800


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("name", ["tokenizer_config.json", "tokenizer.json", "generation_config.json", "config.json"])
def test_hostile_files_beside_a_model_are_refused_in_a_sentence(name: str, kind: str, tmp_path: Path) -> None:
    if not name.startswith("tokenizer") and kind.startswith(("a wrong", "a token", "a template", "templates")):
        pytest.skip("says nothing that this file is read for")
    refuses(folder(tmp_path, **{name.replace(".", "__"): BROKEN[kind]}))


@pytest.mark.parametrize("name", ["tokenizer_config.json", "tokenizer.json", "config.json", "generation_config.json",
                                  "model.safetensors", "chat_template.jinja"])  # fmt: skip
@pytest.mark.parametrize("kind", ["a folder", "a pipe", "a link to an endless device", "300 MB"])
def test_files_of_a_model_that_are_no_files_are_refused(name: str, kind: str, tmp_path: Path) -> None:
    place = folder(tmp_path)
    (place / name).unlink(missing_ok=True)
    FILES[kind](place / name)
    if name in ("model.safetensors", "chat_template.jinja"):  # `tokens` reads no weights, and asks without a template
        with pytest.raises(LesionError):
            open_model(str(place)) if name == "model.safetensors" else open_frame(str(place), Chat())
    else:
        refuses(place)


def test_a_tokenizer_of_a_million_merges_is_refused(tmp_path: Path, capsys) -> None:
    merges = [f"a{number} b" for number in range(1_000_000)]
    model = {"type": "BPE", "vocab": {"a": 0}, "merges": merges}
    assert "merges" in ends(["tokens", str(folder(tmp_path, tokenizer__json=json.dumps({"model": model})))], capsys)


def test_a_line_of_a_million_brackets_is_refused_with_its_number(tmp_path: Path, capsys) -> None:
    path = tmp_path / "gsm8k.jsonl"
    path.write_text('{"question": "q", "answer": "#### 1"}\n' + "[" * 1_000_000 + "\n")
    assert "line 2" in ends(["tasks", "show", f"gsm8k path={path}"], capsys)


def test_a_table_of_ten_million_rows_is_refused_by_its_footer(tmp_path: Path, capsys) -> None:
    path = tmp_path / "gsm8k.parquet"
    pl.DataFrame(
        {"question": pl.repeat("q", 10**7, eager=True), "answer": pl.repeat("a", 10**7, eager=True)}
    ).write_parquet(path)
    assert "10,000,000 rows" in ends(["tasks", "show", f"gsm8k path={path}"], capsys)
