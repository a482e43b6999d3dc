"""Reads a task as a person writes it on the command line or in a notebook: `arithmetic high=999 format=equation`.

A word names the kind of task, the others set its configuration's fields; lists are written with commas. What is not
said has the configuration's default. Of a task of the user's own, settings that are no fields go to its maker, and the
file's hash is taken as it is found: `own file=examples/own_task.py longest=30`.
"""

from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import TypeAdapter, ValidationError

from lesion.errors import InputError, nearest
from lesion.identity import file_hash
from lesion.tasks.config import TaskConfig

_ADAPTER: TypeAdapter[TaskConfig] = TypeAdapter(TaskConfig)
_FIELDS = {kind.model_fields["task"].default: kind.model_fields for kind in get_args(get_args(TaskConfig)[0])}


def parse_task(text: str) -> TaskConfig:
    """Read a task's spelling.

    >>> parse_task("arithmetic operators=+,- high=9 shots=1").high
    9

    Raises:
        InputError: for an unknown task or field, or a value that the task does not allow.
    """
    kind, *settings = text.split() or [""]
    if kind not in _FIELDS:
        raise InputError(f"'{kind[:60]}' is not a task; {nearest(kind, _FIELDS)}")
    given: dict[str, Any] = {"task": kind}
    for setting in settings:
        name, equals, value = setting.partition("=")
        fields = [field for field in _FIELDS[kind] if field not in ("task", "parameters")]
        if kind == "own" and equals and name.isidentifier() and name not in fields:
            given.setdefault("parameters", {})[name] = _value(value, listed=False)
            continue
        if name not in fields or not equals:
            raise InputError(f"task {kind}: '{setting[:60]}' is not a setting such as shots=1; {nearest(name, fields)}")
        given[name] = _value(value, listed="tuple" in str(_FIELDS[kind][name].annotation))
    if kind == "own" and "file" in given and "sha256" not in given:
        given["sha256"] = _hash_now(Path(str(given["file"])))
    try:
        return _ADAPTER.validate_python(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError(f"task {text[:80]!r}: {'.'.join(map(str, first['loc'][1:]))}: {first['msg']}") from error


def _hash_now(path: Path) -> str:
    if not path.is_file():
        raise InputError(f"there is no file {path} to make a task from")
    return file_hash(path)


def _value(text: str, *, listed: bool) -> Any:
    if listed:
        return tuple(_value(part, listed=False) for part in text.split(","))
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    return value if isinstance(value, bool | int | float) else text
