"""A model's tokenizer and its BOS token, read without the weights and without torch."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import Tokenizer

from lesion.errors import InputError
from lesion.models.hub import hub_folder
from lesion.models.sizes import TINY_VOCABULARY, Source, locate, read_config
from lesion.models.witness import OpenedModel, opened, watched


class Vocabulary(NamedTuple):
    """A tokenizer and the token that begins a text."""

    tokenizer: Tokenizer
    bos: int | None


def open_vocabulary(name: str) -> Vocabulary:
    """The vocabulary of a model (`zoo:…`, `tiny:…`, a folder, a pinned hub name), or of a tokenizer.json file.

    Raises:
        InputError: when the name is no model and no tokenizer file.
    """
    found = _found(name)
    if watched():
        opened(OpenedModel(name, "", "", "", "", sha256(found.tokenizer.to_str().encode()).hexdigest()))
    return found


def _found(name: str) -> Vocabulary:
    if Path(name).is_file():
        return Vocabulary(_parsed(Path(name)), None)
    source = locate(name)
    if source.kind == "tiny":
        from lesion.models.tiny import character_tokenizer  # noqa: PLC0415  (it imports torch)

        return Vocabulary(character_tokenizer(), TINY_VOCABULARY.index("<bos>"))
    folder = _fetched(source)
    tokenizer = read_tokenizer(folder)
    config = read_config(source) if (folder / "config.json").is_file() else {}
    return Vocabulary(tokenizer, read_bos(folder, config, tokenizer, tokenizer.get_vocab_size()))


def vocabulary_folder(name: str) -> Path | None:
    """Where a model's tokenizer files are; none for a tiny model.

    Raises:
        InputError: when the name is no model.
    """
    source = locate(name)
    return None if source.kind == "tiny" else _fetched(source)


def _fetched(source: Source) -> Path:
    """The folder of a source, its tokenizer files fetched where it is a hub name."""
    if source.kind != "hub":
        return Path(source.where)
    return hub_folder(source.where, source.revision, ["*.json", "*.jinja"])


def read_tokenizer(folder: Path) -> Tokenizer:
    """The fast tokenizer of a model's folder.

    Raises:
        InputError: when there is none.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise InputError(f"{folder} has no tokenizer.json: save the fast tokenizer beside the weights")
    return _parsed(path)


def tokenizer_hash(folder: Path) -> str:
    """SHA-256 of a folder's tokenizer as the library writes it, 64 hexadecimal digits.

    Raises:
        InputError: when there is none.
    """
    return sha256(read_tokenizer(folder).to_str().encode()).hexdigest()


def read_bos(folder: Path, config: Mapping[str, Any], tokenizer: Tokenizer, vocab_size: int) -> int | None:
    """The BOS token: what tokenizer_config.json says (null: none), else what config.json says."""
    path = folder / "tokenizer_config.json"
    said = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if "bos_token" in said:
        token = said["bos_token"]
        text = token["content"] if isinstance(token, dict) else token
        return None if text is None else tokenizer.token_to_id(str(text))
    number = config.get("bos_token_id")
    return number if isinstance(number, int) and 0 <= number < vocab_size else None


def _parsed(path: Path) -> Tokenizer:
    try:
        return Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except Exception as error:  # tokenizers raises nothing more specific
        raise InputError(f"{path} is not a tokenizer.json: {str(error)[:200]}") from error
