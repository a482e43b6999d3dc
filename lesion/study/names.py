"""The names of detectors that a study may use. A test compares them with the detectors that exist."""

from typing import Literal, get_args

Pattern = Literal["induction", "previous_token", "duplicate_token", "first_token"]
"""Attention-pattern detectors that can pick heads."""
Detector = Literal[Pattern, "function_vector"]
"""These, and the heads whose mean output makes the model do a word map that nothing teaches."""

PATTERNS: tuple[Pattern, ...] = get_args(Pattern)
