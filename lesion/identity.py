"""What makes a thing itself: canonical JSON, content hashes, and generators seeded from them.

Every document that is written to disk is a frozen `Document`; two documents are the same if and only if their
canonical JSON is the same. No other module makes hashes or random generators of its own.
"""

import ast
import hashlib
import inspect
import json
from functools import cache
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import DataclassSchema, ModelSchema

from lesion.outside.files import opened


class Document(BaseModel):
    """Base of everything that is written to disk: frozen, no unknown keys, no infinities."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)

    def hash(self) -> str:
        """SHA-256 of the canonical JSON, 64 hexadecimal digits."""
        return content_hash(self.model_dump(mode="json"))


class DocumentSchema(GenerateJsonSchema):
    """Makes the JSON Schema of a document, with the docstring under each field as its description.

    pydantic can do so itself, but reads the source when a class is defined: a fifth of a second of every command.
    """

    def model_schema(self, schema: ModelSchema) -> JsonSchemaValue:
        """The schema of a `Document`."""
        return _described(super().model_schema(schema), schema["cls"])

    def dataclass_schema(self, schema: DataclassSchema) -> JsonSchemaValue:
        """The schema of a dataclass in a document."""
        return _described(super().dataclass_schema(schema), schema["cls"])


def _described(found: JsonSchemaValue, kind: type) -> JsonSchemaValue:
    """A schema whose properties have their docstrings as descriptions, where they have no other."""
    for name, text in field_docstrings(kind).items():
        if name in found.get("properties", {}):
            found["properties"][name].setdefault("description", text)
    return found


@cache
def field_docstrings(kind: type) -> dict[str, str]:
    """Field -> the docstring under it, for the fields of a class and of its bases; read from the source."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if "__annotations__" in vars(base) and base is not BaseModel:
            found |= _own_docstrings(base)
    return found


def _own_docstrings(kind: type) -> dict[str, str]:
    try:
        written = ast.parse(dedent(inspect.getsource(kind))).body[0]
    except OSError:  # a class that was typed at a prompt has no source
        return {}
    assert isinstance(written, ast.ClassDef)
    return {
        field.target.id: inspect.cleandoc(text)
        for field, below in pairwise(written.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        if isinstance(text := below.value.value, str)
    }


def canonical_json(value: Any) -> bytes:
    r"""UTF-8 JSON with sorted keys, no spaces and the shortest float that round-trips; NaN and infinity are refused.

    >>> canonical_json({"b": 1, "a": [0.5, "ü"]})
    b'{"a":[0.5,"\xc3\xbc"],"b":1}'

    Raises:
        ValueError: for NaN or infinity.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def content_hash(value: Any) -> str:
    """SHA-256 of `canonical_json(value)`, 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 of a regular file's bytes, 64 hexadecimal digits.

    Raises:
        InputError: when there is no such file, or it is a folder, pipe or device.
    """
    with opened(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def seed_from(*parts: str | int) -> int:
    """A seed in [0, 2^64) that depends on every part and on their order."""
    return int(content_hash(list(parts))[:16], 16)


def generator(*parts: str | int) -> np.random.Generator:
    """A PCG64 generator seeded by `seed_from(*parts)`: the only source of randomness in the laboratory."""
    return np.random.Generator(np.random.PCG64(seed_from(*parts)))
