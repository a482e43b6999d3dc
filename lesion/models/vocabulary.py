"""A model's tokenizer and its BOS token, read without the weights and without torch."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, cast

from tokenizers import Encoding, Tokenizer

from lesion.errors import InputError
from lesion.models.obtain.hub import hub_folder
from lesion.models.provenance import OpenedModel, opened, watched
from lesion.models.sizes import TINY_VOCABULARY, Source, locate
from lesion.outside.documents import read_object
from lesion.outside.tokenizers import MOST_TOKENIZER_BYTES, read_tokenizer_file

MOST_SETTINGS_BYTES = 20_000_000


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
        tokenizer = read_tokenizer_file(Path(name))
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
    if not path.exists():
        raise InputError(f"{folder} has no tokenizer.json: save the fast tokenizer beside the weights")
    return read_tokenizer_file(path)


def saved_with(folder: Path) -> tuple[str, ...]:
    """Which of `truncation` and `padding` a folder's tokenizer.json was saved with; `read_tokenizer` takes them off."""
    said = read_object(folder / "tokenizer.json", MOST_TOKENIZER_BYTES)
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
    said = tokenizer_settings(folder)
    adds, token = said.get("add_bos_token"), said.get("bos_token")
    if not isinstance(adds, bool) or token is None:
        return added_bos(tokenizer)
    return tokenizer.token_to_id(str(token["content"] if isinstance(token, dict) else token)) if adds else None


def tokenizer_settings(folder: Path) -> dict[str, Any]:
    """What a folder's tokenizer_config.json says; nothing where there is none.

    Raises:
        InputError: when it cannot be read, or one of the fields that are used holds what it cannot mean.
    """
    path = folder / "tokenizer_config.json"
    if not path.exists():
        return {}
    said = read_object(path, MOST_SETTINGS_BYTES)
    for name, value in said.items():
        if name.endswith("_token") and name.count("_") == 1 and not _is_token(value):
            raise InputError(f"{path}: {name} must be a text, or an object with the text `content`; mend the file")
    template = said.get("chat_template")
    several = cast("list[object]", template) if isinstance(template, list) else []
    if not (template is None or isinstance(template, str | list)) or not all(map(_is_template, several)):
        raise InputError(f"{path}: chat_template must be a text, or a list of objects with name and template")
    return said


def _is_token(value: object) -> bool:
    content = cast("dict[str, object]", value).get("content") if isinstance(value, dict) else value
    return value is None or isinstance(content, str)


def _is_template(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    told = cast("dict[str, object]", value)
    return isinstance(told.get("name"), str) and isinstance(told.get("template"), str)


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
