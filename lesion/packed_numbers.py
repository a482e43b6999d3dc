"""Numbers on their way into a page: 16 bits each (a step is 1/65,535), little-endian, in base64."""

import base64

import numpy as np
from numpy.typing import NDArray

STEPS = 65_535


def packed(numbers: NDArray[np.float32]) -> str:
    """Shares of 0 to 1, of any shape, in C order; what lies outside is put at the nearer end."""
    steps = np.rint(np.clip(numbers, 0, 1) * STEPS).astype("<u2")
    return base64.b64encode(steps.tobytes()).decode()
