"""Answers that a file gives as token ids: turned into text by the tokenizer that they belong to."""

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from lesion.errors import InputError
from lesion.outside.tokenizers import read_tokenizer_file
from lesion.tasks.prompts.records import IDS, Record


def tokenizer_of(path: str | None, where: str) -> Tokenizer:
    """The tokenizer that a configuration names, a tokenizer.json or its folder.

    Raises:
        InputError: when it names none, or the file is none.
    """
    if path is None:
        raise InputError(
            f"{where}: {IDS[0]} holds token ids, which mean nothing without their tokenizer; give the model's "
            "tokenizer.json as tokenizer=PATH"
        )
    file = Path(path)
    return read_tokenizer_file(file / "tokenizer.json" if file.is_dir() else file)


def answer_of(record: Record, column: str, prompt: str, tokenizer: Tokenizer) -> str:
    """The text that a record's token id stands for, behind its prompt.

    Raises:
        InputError: when it is no whole number, no token of the tokenizer, or a token that the tokenizer would not write
            there: then the ids belong to another tokenizer.
    """
    token, where = _whole(record.cells.get(column)), f"{record.where}: {column}"
    if token is None:
        raise InputError(f"{where} must be a token id, a whole number, found {record.cells.get(column)!r:.40}")
    if not 0 <= token < tokenizer.get_vocab_size():
        raise InputError(
            f"{where} is {token}, and this tokenizer has the ids 0 … {tokenizer.get_vocab_size() - 1}; name the "
            "tokenizer that the ids belong to"
        )
    text = tokenizer.decode([token], skip_special_tokens=False)
    alone, whole = (tokenizer.encode(each, add_special_tokens=False).ids for each in (prompt, prompt + text))
    if whole != [*alone, token]:
        raise InputError(
            f"{where} is {token}, which this tokenizer reads as {text!r} and would not write behind the prompt as one "
            "token; name the tokenizer that the ids belong to"
        )
    return text


def _whole(value: Any) -> int | None:
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value) if len(value) < 12 else None
    return value if type(value) is int else None
