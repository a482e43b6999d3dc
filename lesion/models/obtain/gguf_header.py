"""The header of a GGUF file, read without torch: whether it can be true, before any library opens the file.

gguf-py and transformers believe a header's counts and sizes, and cost seconds to import. So the counts are held
against the bytes that are there, and the sizes against limits, first.
"""

import math
import os
import struct
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any

from lesion.errors import InputError
from lesion.models.checks.plausible_config import MOST
from lesion.outside.files import opened

ARCHITECTURES = ("bloom", "falcon", "gemma2", "gemma3", "gpt2", "llama", "mistral", "phi3", "qwen2", "qwen3")
"""Names of families that transformers reads from GGUF and that are known here."""
MOST_KEYS = 10_000
MOST_TENSORS = 100_000
MOST_TEXT_BYTES = 10_000_000
"""Of one text: a name, a chat template."""
MOST_TOKENS = 900_000
MOST_ELEMENTS = 65_536
"""Of an array that is no part of the vocabulary."""

_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""Code of a value's type in the file -> how `struct` reads it."""
_TEXT, _ARRAY = 8, 9
_SIZES = {
    "block_count": MOST["n_layers"], "embedding_length": MOST["d_model"], "feed_forward_length": MOST["d_mlp"],
    "attention.head_count": MOST["n_heads"], "attention.head_count_kv": MOST["n_heads"], "context_length": 2**31,
    "attention.key_length": MOST["d_head"], "attention.value_length": MOST["d_head"],
    "rope.dimension_count": MOST["d_head"], "attention.sliding_window": 2**31, "vocab_size": MOST["vocab_size"],
}  # fmt: skip
_FRACTIONS = ("attention.layer_norm_rms_epsilon", "attention.layer_norm_epsilon", "rope.freq_base")


class _Damaged(Exception):
    """What is wrong with the bytes."""


def require_header(path: Path) -> None:
    """Make sure that a GGUF file's header can be true and names a family that can be converted.

    Raises:
        InputError: when the file is none, is cut off, or tells counts and sizes that no model has.
    """
    with opened(path) as stream:
        if stream.read(4) != b"GGUF":
            raise InputError(f"{path} is not a GGUF file: it does not begin with 'GGUF'; give another file")
        try:
            fields = _Header(stream).read()
        except _Damaged as damaged:
            raise InputError(f"{path} is cut off or damaged ({damaged}); download it again") from damaged
    _plausible(path, fields)


class _Header:
    """A reader of the header's parts, each held against the bytes that are left."""

    def __init__(self, stream: BufferedReader) -> None:
        self.stream = stream
        self.size = os.fstat(stream.fileno()).st_size
        self.order = "<"

    def read(self) -> dict[str, Any]:
        """Values of the metadata by name: numbers and texts, and of an array its first number.

        Raises:
            _Damaged: when the bytes are no header.
        """
        version = self.number("I")
        if version & 0xFFFF == 0:  # written on a machine of the other byte order
            self.order, version = ">", int.from_bytes(struct.pack("<I", version), "big")
        if version not in (2, 3):
            raise _Damaged(f"version {version}; versions 2 and 3 are read")
        tensors, keys = self.number("Q"), self.number("Q")
        self.counted("tensors", tensors, MOST_TENSORS, 24)
        self.counted("keys", keys, MOST_KEYS, 13)
        fields: dict[str, Any] = {}
        for _ in range(keys):
            name = self.text()
            if name in fields:
                raise _Damaged(f"the key {name[:60]!r} stands twice")
            fields[name] = self.value(name)
        names = {self.tensor() for _ in range(tensors)}
        if len(names) < tensors:
            raise _Damaged("two tensors have one name")
        return fields

    def number(self, kind: str) -> Any:
        """The next number."""
        size = struct.calcsize(kind)
        data = self.stream.read(size)
        if len(data) < size:
            raise _Damaged("the header ends early")
        return struct.unpack(self.order + kind, data)[0]

    def counted(self, what: str, count: int, most: int, least_bytes: int) -> None:
        """Refuse a count that the limits or the bytes that are left do not allow."""
        left = (self.size - self.stream.tell()) // least_bytes
        if count > min(most, left):
            why = f"at most {most:,} are read" if count > most else f"there is room for {left:,}"
            raise _Damaged(f"it tells of {count:,} {what}, and {why}")

    def text(self, *, keep: bool = True) -> str:
        """The next text, or its place passed over."""
        length = self.number("Q")
        self.counted("bytes in a text", length, MOST_TEXT_BYTES, 1)
        if not keep:
            self.stream.seek(length, os.SEEK_CUR)
            return ""
        try:
            return self.stream.read(length).decode()
        except UnicodeDecodeError:
            raise _Damaged("a name or text is not UTF-8") from None

    def value(self, name: str) -> Any:
        """The next value of the metadata."""
        kind = self.number("I")
        if kind == _TEXT:
            return self.text()
        if kind != _ARRAY:
            return self.number(self.letter(kind))
        inner, count = self.number("I"), self.number("Q")
        most = MOST_TOKENS if name.startswith("tokenizer.") else MOST_ELEMENTS
        self.counted(f"elements in {name[:60]}", count, most, 8 if inner == _TEXT else 1)
        if inner == _TEXT:
            for _ in range(count):
                self.text(keep=False)
            return []
        letter = self.letter(inner)
        size = struct.calcsize(letter)
        self.counted(f"elements in {name[:60]}", count, most, size)
        numbers = self.stream.read(size * count)
        return list(struct.unpack(f"{self.order}{count}{letter}", numbers)) if most == MOST_ELEMENTS else []

    def letter(self, kind: int) -> str:
        """How `struct` reads numbers of a kind."""
        if kind not in _NUMBERS:
            raise _Damaged(f"a value is of the unknown type {kind}")
        return _NUMBERS[kind]

    def tensor(self) -> str:
        """The name of the next tensor, whose numbers must fit into the file."""
        name, dimensions = self.text(), self.number("I")
        if dimensions > 4:
            raise _Damaged(f"the tensor {name[:60]!r} has {dimensions:,} dimensions, and at most 4 are allowed")
        shape = [int(self.number("Q")) for _ in range(dimensions)]
        self.number("I")
        begins = self.number("Q")
        if math.prod(shape) > 8 * max(self.size - begins, 0):  # no type takes less than a bit a number
            raise _Damaged(f"the tensor {name[:60]!r} of shape {shape} does not fit into {self.size:,} bytes")
        return name


def _plausible(path: Path, fields: Mapping[str, Any]) -> None:
    """Refuse a family that is not converted, and sizes that no model has."""
    kind = fields.get("general.architecture")
    if kind not in ARCHITECTURES:
        shown = repr(kind)[:60] if kind is not None else "none"
        raise InputError(
            f"{path}: architecture {shown} is not a family that is converted from GGUF; known: "
            f"{', '.join(ARCHITECTURES)}; convert the original checkpoint to safetensors instead"
        )
    for name, most in _SIZES.items():
        given = fields.get(f"{kind}.{name}", 1)
        for size in given if isinstance(given, list) else [given]:  # pyright: ignore[reportUnknownVariableType]
            if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= most:
                raise InputError(
                    f"{path}: {kind}.{name} must be a whole number from 1 to {most:,}, not {size!r:.40}; download it "
                    "again"
                )
    for name in _FRACTIONS:
        value = fields.get(f"{kind}.{name}", 1.0)
        if not isinstance(value, float) or not (math.isfinite(value) and value > 0):
            raise InputError(f"{path}: {kind}.{name} must be a number above 0, not {value!r:.40}; download it again")
