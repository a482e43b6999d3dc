"""The formats of documents, for machines and for people: JSON Schema, and the page docs/study-format.md.

Both come from the models and the docstrings under their fields. `make docs` writes them, a test keeps them current.
"""

from collections.abc import Iterator, Mapping
from json import dumps
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from lesion.errors import InputError, nearest
from lesion.study.study import Study

SCHEMAS: Mapping[str, type[BaseModel]] = {"study": Study}
"""The documents that the study room defines; the command line joins those of the rooms above."""

_INTRODUCTION = """\
# The format of a study

<!-- Written by `make docs` from the docstrings in lesion/study/study.py and lesion/tasks/config.py: change those. -->

A study is one YAML file that says everything before the data: question, models, tiers, interventions, thresholds, seeds
and budget. `lesion run STUDY.yaml` reads and checks it before anything is written. `lesion new` lists the shipped
studies, and `lesion new arithmetic --out mine.yaml` writes a copy of one, to be changed. For completion while typing,
put this line on top of a file in `studies/` (elsewhere, name the file that holds what `lesion schema study` prints):

```yaml
# yaml-language-server: $schema=../docs/schema/study.json
```

The smallest study; every other key has the default that is given below, and all defaults stand in the manifest:

```yaml
name: smallest
question: Does zeroing the induction heads change two-digit addition?
models: [zoo:abacus-llama]
tasks:
  tier1: {task: arithmetic}
```

How the file is read: UTF-8, at most 1 MB, 50,000 values and 50 levels. Numbers are written plainly (`1000`, `0.5`,
`1e-3`), never quoted; only `true` and `false` are booleans, and `no` is a word. Refused, with the line: unknown and
repeated keys, NaN and infinity, anchors, aliases, merge keys and tags, tabs as indentation, and more than one document.
"""


def json_schema(kind: str, schemas: Mapping[str, type[BaseModel]] = SCHEMAS) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a kind of document; `schemas` are the kinds that there are.

    Raises:
        InputError: for an unknown kind.
    """
    if kind not in schemas:
        raise InputError(f"there is no schema '{kind}'; {nearest(kind, schemas)}")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schemas[kind].model_json_schema()}


def schema_text(kind: str, schemas: Mapping[str, type[BaseModel]] = SCHEMAS) -> str:
    """The JSON Schema as the text of its file in docs/schema/."""
    return dumps(json_schema(kind, schemas), indent=2, ensure_ascii=False) + "\n"


def format_page() -> str:
    """The text of docs/study-format.md."""
    schema = json_schema("study")
    sections = [("Study", schema), *schema["$defs"].items()]
    return "\n".join([_INTRODUCTION, *(line for name, part in sections for line in _section(name, part))])


def write_pages(root: Path) -> list[Path]:
    """Write docs/schema/*.json and docs/study-format.md below the repository's root."""
    pages = {root / "docs" / "schema" / f"{kind}.json": schema_text(kind) for kind in SCHEMAS}
    pages[root / "docs" / "study-format.md"] = format_page()
    for path, text in pages.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(pages)


def _section(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {name}\n\n{_one_line(schema['description'])}\n"
    for key, field in schema["properties"].items():
        names_the_kind = isinstance(field.get("const"), str)
        default = "required" if names_the_kind or key in schema.get("required", []) else _default(field)
        text = _one_line(field.get("description", ""))
        yield f"- `{key}` ({kind_of(field)}; {default}){': ' + text if text else ''}"
    yield ""


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _default(field: Mapping[str, Any]) -> str:
    value = field.get("default")
    if value is None:
        return "default none"
    return "default as given there" if isinstance(value, dict) else f"default `{dumps(value, ensure_ascii=False)}`"


def kind_of(schema: Mapping[str, Any]) -> str:
    """What may be written, in words.

    >>> kind_of({"type": "integer", "minimum": 1, "maximum": 64})
    'whole number, 1 or more, at most 64'
    """
    match schema:
        case {"$ref": reference}:
            name = reference.removeprefix("#/$defs/")
            return f"[{name}](#{name.lower()})"
        case {"const": _} | {"enum": _}:
            return " or ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
        case {"anyOf": options} | {"oneOf": options}:
            return " or ".join(kind_of(option) for option in options)
        case {"type": "array"}:
            return _limited(f"list of: {kind_of(schema['items'])}", schema)
        case {"type": "object", "additionalProperties": value} | {"type": "object", "patternProperties": value}:
            inner = value if "patternProperties" not in schema else next(iter(schema["patternProperties"].values()))
            return _limited(f"names, each with: {kind_of(inner)}", schema)
        case _:
            words = {"integer": "whole number", "number": "number", "string": "text", "null": "none"}
            return _limited(words.get(schema.get("type", ""), "value"), schema)


def _limited(text: str, schema: Mapping[str, Any]) -> str:
    limits = {
        "minimum": "{} or more",
        "exclusiveMinimum": "above {}",
        "maximum": "at most {}",
        "exclusiveMaximum": "below {}",
        "minItems": "at least {} of them",
        "maxItems": "at most {} of them",
        "minProperties": "at least {} of them",
        "maxProperties": "at most {} of them",
        "minLength": "at least {} characters",
        "maxLength": "at most {} characters",
        "pattern": "matching `{}`",
    }
    return ", ".join([text, *(words.format(schema[key]) for key, words in limits.items() if key in schema)])


if __name__ == "__main__":
    for written in write_pages(Path.cwd()):
        print(written)
