"""A fast tokenizer from outside: its file is looked at before the library, which trusts it, gets it."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from pathlib import Path
from typing import Any, cast

from tokenizers import Tokenizer

from lesion.errors import InputError
from lesion.outside.documents import parse_json
from lesion.outside.files import read_text

MOST_TOKENIZER_BYTES = 100_000_000
MOST_TOKENS = 900_000
"""Tokens or merges; Gemma has 514,906 merges."""


def read_tokenizer_file(path: Path) -> Tokenizer:
    """The tokenizer of a tokenizer.json, without the truncation and padding that it may have been saved with.

    Raises:
        InputError: when the file is no tokenizer.json, or holds more tokens or merges than any has.
    """
    text = read_text(path, MOST_TOKENIZER_BYTES)
    _require_tokenizer(text, path)
    try:
        found = Tokenizer.from_str(text)
    except Exception as error:  # tokenizers raises nothing more specific
        raise InputError(f"{path} is not a tokenizer.json: {str(error)[:200]}") from error
    found.no_truncation()  # saved by a trainer: it would cut prompts, or fill them up
    found.no_padding()
    return found


def _require_tokenizer(text: str, path: Path) -> None:
    """Refuse what no tokenizer is: other JSON, or more tokens and merges than any has."""
    document = parse_json(text, str(path))
    model: Any = cast("dict[str, Any]", document).get("model") if isinstance(document, dict) else None
    if not isinstance(model, dict):
        raise InputError(f"{path} is not a tokenizer.json: it holds no model; save the fast tokenizer again")
    for part in ("vocab", "merges"):
        held: Any = cast("dict[str, Any]", model).get(part)
        if isinstance(held, dict | list) and len(cast("list[Any]", held)) > MOST_TOKENS:
            raise InputError(f"{path}: holds {len(held):,} {part}; at most {MOST_TOKENS:,} are read")
