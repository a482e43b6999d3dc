"""The formats of documents, for machines and for people: JSON Schema, and the page docs/study-format.md.

Both come from the models and the docstrings under their fields. `make docs` writes them, a test keeps them current.
"""

import re
from collections.abc import Iterator, Mapping
from json import dumps
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from lesion.errors import InputError, nearest
from lesion.identity import DocumentSchema
from lesion.study.study import Study

_REFERENCE = re.compile(r'"#/\$defs/(\w+)"')

SCHEMAS: Mapping[str, type[BaseModel]] = {"study": Study}
"""The documents that the study room defines; the command line joins those of the rooms above."""

_INTRODUCTION = """\
# Study format

<!-- Written by `make docs` from the docstrings in lesion/study and lesion/tasks/config.py: change those. -->

A study is one YAML file with everything that is decided before the data: question, models, tiers, interventions,
thresholds, seeds and budget. `lesion run STUDY.yaml` checks it before anything is written. `lesion new` lists the
shipped studies; `lesion new arithmetic --out mine.yaml` copies one. For completion in an editor, put this line on top
of a file in `studies/` (elsewhere, name a file with the output of `lesion schema study`):

```yaml
# yaml-language-server: $schema=../docs/schema/study.json
```

The smallest study. Every other key has a default, which the manifest records:

```yaml
name: smallest
question: Does zeroing the induction heads change two-digit addition?
models: [zoo:abacus-llama]
tasks:
  tier1: {task: arithmetic}
```

The file is UTF-8, at most 1 MB, 50,000 values and 50 levels deep. Write numbers plainly (`1000`, `0.5`, `1e-3`), never
quoted. Only `true` and `false` are booleans; `no` is a word. Refused, with the line: unknown and repeated keys, NaN and
infinity, anchors, aliases, merge keys and tags, tabs as indentation, and more than one document.
"""


def json_schema(kind: str, schemas: Mapping[str, type[BaseModel]] = SCHEMAS) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a kind of document; `schemas` are the kinds that there are.

    Raises:
        InputError: for an unknown kind.
    """
    if kind not in schemas:
        raise InputError(f"there is no schema '{kind}'; {nearest(kind, schemas)}")
    schema = schemas[kind].model_json_schema(schema_generator=DocumentSchema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def schema_text(kind: str, schemas: Mapping[str, type[BaseModel]] = SCHEMAS) -> str:
    """The JSON Schema as the text of its file in docs/schema/."""
    return dumps(json_schema(kind, schemas), indent=2, ensure_ascii=False) + "\n"


def format_page() -> str:
    """The text of docs/study-format.md."""
    schema = json_schema("study")
    sections = [("Study", schema), *((name, schema["$defs"][name]) for name in _in_reading_order(schema))]
    lines = [_INTRODUCTION, *(line for name, part in sections for line in _section(name, part))]
    return "\n".join(lines).rstrip() + "\n"


def write_pages(root: Path) -> list[Path]:
    """Write docs/schema/*.json and docs/study-format.md below the repository's root."""
    pages = {root / "docs" / "schema" / f"{kind}.json": schema_text(kind) for kind in SCHEMAS}
    pages[root / "docs" / "study-format.md"] = format_page()
    for path, text in pages.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(pages)


def _in_reading_order(schema: Mapping[str, Any]) -> list[str]:
    """Names of the parts as the study's keys mention them; tasks come last."""
    names: list[str] = []
    waiting = [schema]
    while waiting:
        here = [name for name in _REFERENCE.findall(dumps(waiting.pop(0)["properties"])) if name not in names]
        names += dict.fromkeys(here)
        waiting += [schema["$defs"][name] for name in dict.fromkeys(here)]
    return sorted(names, key=lambda name: name.endswith("Config"))


def _section(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {name}\n\n{_one_line(schema['description'])}\n"
    yield "| Key | Value | Default | Meaning |\n|---|---|---|---|"
    for key, field in schema["properties"].items():
        names_the_kind = isinstance(field.get("const"), str)
        default = "required" if names_the_kind or key in schema.get("required", []) else _default(field)
        cells = (f"`{key}`", kind_of(field), default, _one_line(field.get("description", "")))
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    yield ""


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _default(field: Mapping[str, Any]) -> str:
    value = field.get("default")
    if value is None:
        return "none"
    refers = isinstance(value, dict) and field.get("type") != "object"
    return "see there" if refers else f"`{dumps(value, ensure_ascii=False)}`"


def kind_of(schema: Mapping[str, Any]) -> str:
    """What may be written, in words; patterns are left to the JSON Schema and to the error messages.

    >>> kind_of({"type": "integer", "minimum": 1, "maximum": 64})
    'integer, 1 to 64'
    >>> kind_of({"type": "array", "items": {"type": "number", "exclusiveMinimum": 0}, "maxItems": 16})
    'list of number, above 0 (at most 16)'
    """
    match schema:
        case {"$ref": reference}:
            name = reference.removeprefix("#/$defs/")
            return f"[{name}](#{name.lower()})"
        case {"const": _} | {"enum": _}:
            return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
        case {"anyOf": options} | {"oneOf": options}:
            return " or ".join(kind_of(option) for option in options if option.get("type") != "null")
        case {"type": "array"}:
            items = {key: value for key, value in schema["items"].items() if key != "maxLength"}
            return f"list of {kind_of(items)}{_counted(schema, 'minItems', 'maxItems')}"
        case {"type": "object", "additionalProperties": value} | {"type": "object", "patternProperties": value}:
            inner = value if "patternProperties" not in schema else next(iter(schema["patternProperties"].values()))
            return f"names, each with {kind_of(inner)}{_counted(schema, 'minProperties', 'maxProperties')}"
        case _:
            words = {"integer": "integer", "number": "number", "string": "text", "boolean": "`true`, `false`"}
            return ", ".join([words.get(schema.get("type", ""), "value"), *_bounds(schema)])


def _counted(schema: Mapping[str, Any], least: str, most: str) -> str:
    """How many entries a list or mapping may have."""
    limits = [f"at least {schema[least]}"] if schema.get(least, 0) > 1 else []
    limits += [f"at most {schema[most]:,}"] if most in schema else []
    return f" ({', '.join(limits)})" if limits else ""


def _bounds(schema: Mapping[str, Any]) -> Iterator[str]:
    """The ends of a number's range, and the longest text."""
    if "minimum" in schema and "maximum" in schema:
        yield f"{schema['minimum']:,} to {schema['maximum']:,}"
        return
    words = {
        "minimum": "{:,} or more",
        "exclusiveMinimum": "above {:,}",
        "maximum": "at most {:,}",
        "exclusiveMaximum": "below {:,}",
        "maxLength": "at most {:,} characters",
    }
    yield from (text.format(schema[key]) for key, text in words.items() if key in schema)


if __name__ == "__main__":
    for written in write_pages(Path.cwd()):
        print(written)
