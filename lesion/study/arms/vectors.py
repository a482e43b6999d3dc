"""Vectors that a study adds to the stream: where they come from, what was measured, and random ones beside them. Pure.

A vector has length 1; how far it pushes is said by a coefficient, a multiple of the stream's own mean norm. Both are
fixed by the instrument stage, from discovery items or a file, before anything is edited. The controls are vectors of
the same length at the same place, each named by its number and drawn from the plan's key: random directions, or the
vector that the same prompts give when it is drawn for each pair which of its two prompts counts as which.
"""

import base64
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lesion.identity import Document, generator
from lesion.interventions.direction import direction_hash
from lesion.study.arms.targets import Slug
from lesion.tasks.config import TaskConfig

SHUFFLED_FROM = 64
"""Pairs of prompts that vectors of shuffled pairs are made from, at most; the differences are kept in the record."""
DIGITS = 6
"""Significant digits of a coefficient: the last bits of a mean must not decide which plan it is."""


class PairsVector(Document):
    """Mean stream at the last prompt token on clean prompts minus that on their corrupted prompts."""

    of: Literal["pairs"]
    tier: Slug
    """Tier whose first discovery items are read, at most 256. Its items need corrupted prompts."""


class ContrastVector(Document):
    """Mean stream at the last prompt token on the prompts of one task minus that on the prompts of another."""

    of: Literal["contrast"]
    shown: TaskConfig
    """Task whose prompts have what the vector stands for."""
    other: TaskConfig
    """Task whose prompts lack it."""


class FileVector(Document):
    """A vector from a file: .npy, .safetensors, or a control vector in .gguf (repeng, llama.cpp)."""

    of: Literal["file"]
    path: str = Field(min_length=1, max_length=1000)
    """Local file."""
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """Hash of the file. Another file is refused. A study needs it."""
    key: str | None = Field(default=None, max_length=200)
    """Name of the tensor, where the file holds several. Default in .gguf: `direction.N`, N the block before it."""


VectorSource = Annotated[PairsVector | ContrastVector | FileVector, Field(discriminator="of")]


class SteeringVector(Document):
    """A vector as it was found for one target of one model."""

    site: str
    """Where it is added, such as L15.resid_pre."""
    numbers: tuple[float, ...]
    """The vector, of length 1; float32."""
    length: float
    """Its length before that."""
    stream: float
    """Mean norm of the stream at the site, at the last prompt token of discovery items."""
    items: int
    """Items that the vector was made from; 0 for a file."""
    differences: str = Field(default="", exclude_if=lambda kept: not kept)
    """With `control: shuffled`: differences between the streams of the two prompts of each pair, (pairs, d_model) in
    float16, base64."""

    @property
    def name(self) -> str:
        """`direction_hash` of the numbers."""
        return direction_hash(np.array(self.numbers, np.float32))


class Push(Document):
    """What one arm adds."""

    vector: str
    """`direction_hash` of a vector of length 1."""
    coefficient: float
    """Factor on it, in the stream's own unit."""


def written_differences(rows: NDArray[np.floating]) -> str:
    """Differences as a record keeps them, scaled so that the largest number is 1: only directions are used."""
    return base64.b64encode((rows / np.abs(rows).max()).astype("<f2").tobytes()).decode()


def coefficient(found: SteeringVector, strength: float) -> float:
    """Strength times the mean norm of the stream."""
    return float(f"{strength * found.stream:.{DIGITS}g}")


def random_vector(key: str, aim: str, number: int, width: int) -> NDArray[np.float32]:
    """The control vector of this number: a random direction of length 1.

    Args:
        key: of the plan; orders the confirmation items, too.
        aim: model and target, as `lesion.study.arms.targets.aim` names them.
        number: which control.
        width: of the stream.
    """
    drawn = generator("steering set", key, aim, number).standard_normal(width)
    return (drawn / np.linalg.norm(drawn)).astype(np.float32)


def shuffled_vector(key: str, aim: str, number: int, width: int, differences: str) -> NDArray[np.float32]:
    """The control vector of this number: the mean difference when each pair is turned round with probability one half.

    Args:
        key: of the plan.
        aim: model and target.
        number: which control.
        width: of the stream.
        differences: of a `SteeringVector`.
    """
    rows = np.frombuffer(base64.b64decode(differences), "<f2").astype(np.float64).reshape(-1, width)
    turned = generator("shuffled pairs", key, aim, number).integers(0, 2, len(rows)) * 2 - 1
    mean = turned @ rows
    return (mean / np.linalg.norm(mean)).astype(np.float32)
