"""What makes a thing itself: canonical JSON, content hashes, and generators seeded from them.

Every document that is written to disk is a frozen `Document`; two documents are the same if and only if their
canonical JSON is the same. No other module makes hashes or random generators of its own.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from lesion.outside.files import opened


class Document(BaseModel):
    """Base of everything that is written to disk: frozen, no unknown keys, no infinities."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        validate_default=True,
    )

    def hash(self) -> str:
        """SHA-256 of the canonical JSON, 64 hexadecimal digits."""
        return content_hash(self.model_dump(mode="json"))


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
