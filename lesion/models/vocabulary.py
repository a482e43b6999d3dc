"""A model's tokenizer and its BOS token, read without the weights and without torch."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import json
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from tokenizers import Encoding, Tokenizer

from lesion.errors import InputError
from lesion.models.hub import hub_folder
from lesion.models.sizes import TINY_VOCABULARY, Source, locate
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
    if Path(name).is_file() and not name.lower().endswith(".gguf"):
        tokenizer = _parsed(Path(name))
        return Vocabulary(tokenizer, added_bos(tokenizer))
    source = locate(name)
    if source.kind == "tiny":
        from lesion.models.tiny import character_tokenizer  # noqa: PLC0415  (it imports torch)

        return Vocabulary(character_tokenizer(), TINY_VOCABULARY.index("<bos>"))
    folder = _fetched(source)
    tokenizer = read_tokenizer(folder)
    return Vocabulary(tokenizer, read_bos(folder, tokenizer))


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


def saved_with(folder: Path) -> tuple[str, ...]:
    """Which of `truncation` and `padding` a folder's tokenizer.json was saved with; `read_tokenizer` takes them off."""
    said = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    return tuple(name for name in ("truncation", "padding") if said.get(name) is not None)


def tokenizer_hash(folder: Path) -> str:
    """SHA-256 of a folder's tokenizer as the library writes it, 64 hexadecimal digits.

    Raises:
        InputError: when there is none.
    """
    return sha256(read_tokenizer(folder).to_str().encode()).hexdigest()


def read_bos(folder: Path, tokenizer: Tokenizer) -> int | None:
    """The token that the tokenizer itself puts before a text, as `AutoTokenizer.from_pretrained(…)(text)` does.

    `add_bos_token` in tokenizer_config.json decides where it is said, with `bos_token`; else tokenizer.json's own
    post-processor. A `bos_token` that is only named is not put anywhere.

    Raises:
        InputError: when it puts several tokens there.
    """
    path = folder / "tokenizer_config.json"
    said = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    adds, token = said.get("add_bos_token"), said.get("bos_token")
    if not isinstance(adds, bool) or token is None:
        return added_bos(tokenizer)
    return tokenizer.token_to_id(str(token["content"] if isinstance(token, dict) else token)) if adds else None


def added_bos(tokenizer: Tokenizer) -> int | None:
    """The token that a tokenizer's post-processor puts before a text.

    Raises:
        InputError: when it puts several there.
    """
    whole = next(filter(None, (_encoded(tokenizer, text) for text in ("1", "a", "."))), None)
    if whole is None:
        raise InputError("the tokenizer writes none of 1, a and a full stop: nothing can be asked with it")
    added = next((i for i, special in enumerate(whole.special_tokens_mask) if not special), len(whole.ids))
    if added > 1:
        raise InputError(f"the tokenizer puts {added} tokens before a text ({whole.tokens[:added]}); one can be read")
    return whole.ids[0] if added else None


def _encoded(tokenizer: Tokenizer, text: str) -> Encoding | None:
    try:
        return tokenizer.encode(text, add_special_tokens=True)
    except Exception:  # noqa: BLE001  (a vocabulary without the character raises nothing more specific)
        return None


def _parsed(path: Path) -> Tokenizer:
    try:
        found = Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except Exception as error:  # tokenizers raises nothing more specific
        raise InputError(f"{path} is not a tokenizer.json: {str(error)[:200]}") from error
    found.no_truncation()  # saved by a trainer: it would cut prompts, or fill them up
    found.no_padding()
    return found
