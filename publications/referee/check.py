"""One value that a publication tells, beside the same value counted again."""

from typing import Any, NamedTuple

import numpy as np


class Check(NamedTuple):
    """One recorded or printed value, counted again."""

    what: str
    told: str
    again: str
    agrees: bool


def check(what: str, told: Any, again: Any) -> Check:
    """Two values that should be one: words are equal, numbers equal to nine digits (p values to six)."""
    if isinstance(told, str) or isinstance(again, str) or told is None or again is None:
        return Check(what, str(told), str(again), told == again)
    close = bool(np.isclose(float(told), float(again), rtol=1e-6, atol=1e-12))
    return Check(what, f"{float(told):.10g}", f"{float(again):.10g}", close)
