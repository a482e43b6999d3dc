"""What names a vector that is added to the stream."""

import hashlib

import numpy as np
from numpy.typing import NDArray


def direction_hash(numbers: NDArray[np.float32]) -> str:
    """SHA-256 of a vector's numbers as little-endian float32, 64 hexadecimal digits."""
    return hashlib.sha256(np.ascontiguousarray(numbers, dtype="<f4").tobytes()).hexdigest()
