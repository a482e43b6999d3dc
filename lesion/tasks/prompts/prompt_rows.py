"""The prompts of a file, checked one by one and against each other. What does not do is named with its line."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from tokenizers import Tokenizer

from lesion.errors import InputError
from lesion.outside.documents import parse_json
from lesion.tasks.config import PromptFileConfig
from lesion.tasks.prompts.records import IDS, Record, read_records
from lesion.tasks.prompts.roles import Spans, moved, read_spans
from lesion.tasks.prompts.token_ids import answer_of, tokenizer_of

MOST_CHARACTERS = 100_000
"""Of a prompt or an answer."""


class PromptRow(NamedTuple):
    """One prompt."""

    prompt: str
    answer: str
    wrong: str
    """The wrong answer; empty where the file gives none."""
    corrupted: str
    """The corrupted prompt; empty where the file gives none."""
    group: str
    """Template or cluster; empty where the file gives none."""
    roles: Spans
    corrupted_roles: Spans
    strata: Mapping[str, str]
    where: str
    """Place in the file."""


def read_prompts(config: PromptFileConfig, path: Path) -> tuple[PromptRow, ...]:
    """All prompts of a file, in its order.

    Raises:
        InputError: for the first thing that does not do, with file and line.
    """
    records = read_records(config, path)
    ids = any(name in records[0].cells for name in IDS)
    tokenizer = tokenizer_of(config.tokenizer, records[0].where) if ids else None
    rows = tuple(_row(record, config, tokenizer) for record in records)
    _unrepeated(rows)
    _alike(rows)
    return rows


def _row(record: Record, config: PromptFileConfig, tokenizer: Tokenizer | None) -> PromptRow:
    where, prompt, corrupted = record.where, record.text("prompt"), record.text("corrupted_prompt")
    if not prompt.strip():
        raise InputError(f"{where}: the prompt is empty; give its text")
    if corrupted == prompt:
        raise InputError(f"{where}: the corrupted prompt is the prompt itself; change it, or leave the column out")
    if tokenizer is None:
        answer, wrong = (_spaced(record.text(name), config) for name in ("answer", "wrong_answer"))
    else:
        answer = answer_of(record, IDS[0], prompt, tokenizer)
        wrong = answer_of(record, IDS[1], prompt, tokenizer) if IDS[1] in record.cells else ""
    if not answer.strip():
        raise InputError(f"{where}: the answer is empty; give its text")
    if wrong == answer:
        raise InputError(f"{where}: the wrong answer is the answer itself, {answer[:40]!r}; give another")
    for text in (answer, wrong) if tokenizer is None else ():
        _require_boundary(prompt, text, where)
    for name, text in (("prompt", prompt), ("corrupted_prompt", corrupted), ("answer", answer)):
        if len(text) > MOST_CHARACTERS:
            raise InputError(f"{where}: {name} has {len(text):,} characters; at most {MOST_CHARACTERS:,} are read")
    roles, twin = _roles(record, prompt, corrupted)
    strata = {name: _level(record, name) for name in config.strata}
    return PromptRow(prompt, answer, wrong, corrupted, record.text("group").strip(), roles, twin, strata, where)


def _spaced(text: str, config: PromptFileConfig) -> str:
    return f" {text}" if config.space and text.strip() and not text[0].isspace() else text


def _require_boundary(prompt: str, answer: str, where: str) -> None:
    """Refuse an answer that would go on with the prompt's last word."""
    if answer and prompt[-1].isalnum() and answer[0].isalnum():
        raise InputError(
            f"{where}: the prompt ends with {prompt[-12:]!r} and the answer begins with {answer[:12]!r}, which is one "
            "word; begin answers with a space, or set space=true"
        )


def _roles(record: Record, prompt: str, corrupted: str) -> tuple[Spans, Spans]:
    given, other = _object(record, "roles"), _object(record, "corrupted_roles")
    if given is None:
        if other is not None:
            raise InputError(f"{record.where}: gives corrupted_roles and no roles; give both")
        return {}, {}
    roles = read_spans(given, prompt, record.where, "roles")
    if not corrupted:
        return roles, {}
    if other is None:
        return roles, moved(roles, prompt, corrupted, record.where)
    twin = read_spans(other, corrupted, record.where, "corrupted_roles")
    if {name: len(spans) for name, spans in twin.items()} != {name: len(spans) for name, spans in roles.items()}:
        raise InputError(f"{record.where}: roles and corrupted_roles must name the same roles, each as often")
    return roles, twin


def _object(record: Record, name: str) -> Any:
    """The value of a column with an object: in a CSV its JSON text."""
    value = record.cells.get(name)
    if isinstance(value, str):
        return parse_json(value, f"{record.where}, {name}") if value.strip() else None
    if isinstance(value, dict):
        found = cast("dict[str, Any]", value)
        return {key: inner for key, inner in found.items() if inner is not None}  # Parquet gives every key to every row
    return value


def _level(record: Record, name: str) -> str:
    value = record.cells.get(name)
    if value is None or isinstance(value, list | dict) or not (said := str(value).strip()):
        raise InputError(f"{record.where}: the stratum {name} has no value; give a text or a number in every line")
    return said[:100]


def _unrepeated(rows: Sequence[PromptRow]) -> None:
    """Refuse a prompt that stands twice: it could be chosen on and tested on."""
    places: dict[str, str] = {}
    for row in rows:
        if (first := places.setdefault(content_of(row.prompt), row.where)) is not row.where:
            raise InputError(
                f"{row.where}: the prompt stands already in {first.rpartition(', ')[2]}; a prompt must not be in "
                "discovery and in confirmation: keep one of the two"
            )


def content_of(prompt: str) -> str:
    """A prompt's text as it is compared and hashed: white space counts as one space."""
    return " ".join(prompt.split())


def _alike(rows: Sequence[PromptRow]) -> None:
    """What one prompt has, every prompt must have."""
    _all_or_none(rows, "group", [bool(row.group) for row in rows])
    _all_or_none(rows, "corrupted_prompt", [bool(row.corrupted) for row in rows])
    _all_or_none(rows, "wrong_answer", [bool(row.wrong) for row in rows])
    first = rows[0]
    for row in rows:
        if row.roles.keys() != first.roles.keys():
            raise InputError(
                f"{row.where}: has the roles {_listed(row.roles)}, and {first.where.rpartition(', ')[2]} has "
                f"{_listed(first.roles)}; every prompt needs the same roles"
            )


def _all_or_none(rows: Sequence[PromptRow], name: str, held: Sequence[bool]) -> None:
    if any(held) and not all(held):
        lacking, having = rows[held.index(False)], rows[held.index(True)]
        raise InputError(
            f"{lacking.where}: has no {name}, and {having.where.rpartition(', ')[2]} has one; give it in every line or "
            "in none"
        )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
