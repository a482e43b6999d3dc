"""The names of detectors that a study may use. A test compares them with the detectors that exist."""

from typing import Literal, get_args

Detector = Literal["induction", "previous_token", "duplicate_token", "first_token"]
"""Attention-pattern detectors that can pick heads."""

DETECTORS: tuple[str, ...] = get_args(Detector)
