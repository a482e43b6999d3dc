"""Where a finding about a document belongs in its file, and what would have been allowed there.

pydantic's location of an error also names the branches of unions; only the document's JSON Schema tells which parts are
keys of the file, and it holds the names, descriptions and choices that a good message needs.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, cast

from pydantic.json_schema import GenerateJsonSchema

from lesion.identity import Document, DocumentSchema
from lesion.study.format.yaml_reader import Path, Value

Schema = Mapping[str, Any]


class Place(NamedTuple):
    """A path in the file and the schema of what is allowed there."""

    path: Path
    schema: Schema

    def __str__(self) -> str:
        """For people: `sweep.alphas[2]`, or `the document`."""
        text = "".join(f"[{part}]" if isinstance(part, int) else f".{part[:60]}" for part in self.path)
        return text.removeprefix(".") or "the document"

    @property
    def keys(self) -> list[str]:
        """The keys that a mapping may have here."""
        return list(self.schema.get("properties", {}))

    @property
    def tags(self) -> list[str]:
        """The names of a union's branches."""
        return list(self.schema.get("discriminator", {}).get("mapping", {}))

    @property
    def choices(self) -> list[Any]:
        """The values that are allowed here, where they are listed."""
        return [self.schema["const"]] if "const" in self.schema else self.schema.get("enum", [])

    @property
    def meaning(self) -> str:
        """The field's docstring in brackets, for the end of a sentence."""
        description = " ".join(self.schema.get("description", "").split())
        return f" ({description})" if description else ""


@lru_cache(maxsize=16)
def schema_of(model: type[Document], *, meanings: bool = False) -> dict[str, Any]:
    """The JSON Schema of a document; `meanings` adds the docstrings under its fields, read from the source."""
    return model.model_json_schema(schema_generator=DocumentSchema if meanings else GenerateJsonSchema)


def locate(loc: tuple[int | str, ...], root: Schema) -> Place:
    """Translate pydantic's location of a finding into the place in the file."""
    place = Place((), _resolve(root, root))
    for part in loc:
        if part in place.tags:
            place = place._replace(schema=_branch(place.schema, str(part), root))
        elif part != "[key]":
            place = _inside(place, part, root)
    return place


def misread(value: Value, root: Schema) -> Iterator[Place]:
    """Places that hold `true` or `1.0` where 1 is a listed choice: Python calls them equal, and so does pydantic."""
    return _misread(value, Place((), _resolve(root, root)), root)


def _misread(value: Value, place: Place, root: Schema) -> Iterator[Place]:
    if isinstance(value, dict):
        if union := place.schema.get("discriminator"):
            place = place._replace(schema=_branch(place.schema, str(value[union["propertyName"]]), root))
        for key, entry in value.items():
            yield from _misread(entry, _inside(place, key, root), root)
    elif isinstance(value, list):
        for number, entry in enumerate(value):
            yield from _misread(entry, _inside(place, number, root), root)
    elif isinstance(value, bool | float) and place.choices and type(value) not in map(type, place.choices):
        yield place


def _inside(place: Place, part: str | int, root: Schema) -> Place:
    """One step into a mapping or a list; what has no description of its own takes that of the list it is in."""
    schema = _resolve(_step(place.schema, part), root)
    if isinstance(part, int) and not schema["description"]:
        schema = {**schema, "description": place.schema.get("description", "")}
    return Place((*place.path, part), schema)


def _step(schema: Schema, part: str | int) -> Schema:
    if isinstance(part, int):
        prefix: list[Schema] = schema.get("prefixItems", [])
        return prefix[part] if part < len(prefix) else _as_schema(schema.get("items"))
    named: dict[str, Schema] = schema.get("patternProperties", {})
    properties: dict[str, Schema] = schema.get("properties", {})
    return properties.get(part) or next(iter(named.values()), _as_schema(schema.get("additionalProperties")))


def _as_schema(value: object) -> Schema:
    return cast("Schema", value) if isinstance(value, dict) else {}


def _branch(schema: Schema, tag: str, root: Schema) -> Schema:
    return _resolve({"$ref": schema["discriminator"]["mapping"][tag]}, root)


def _resolve(schema: Schema, root: Schema) -> Schema:
    """Follow references and look through `X | None`; a field's own description goes before its type's."""
    options = [option for option in schema.get("anyOf", []) if option.get("type") != "null"]
    inner = options[0] if len(options) == 1 else schema
    if reference := inner.get("$ref"):
        inner = root["$defs"][reference.removeprefix("#/$defs/")]
    return {**inner, "description": schema.get("description", inner.get("description", ""))}
