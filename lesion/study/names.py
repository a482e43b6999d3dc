"""The names that a study may use. A test holds each table against what models, measures and engine really offer."""

from typing import Literal, get_args

Metric = Literal["correct", "answer_logprob", "entropy", "logit_diff"]
"""Per-item numbers that a study can read; `correct` is the one that verdicts are about."""

Detector = Literal["induction", "previous_token", "duplicate_token", "first_token"]
"""Attention-pattern detectors that can pick heads."""

METRICS: tuple[str, ...] = get_args(Metric)
DETECTORS: tuple[str, ...] = get_args(Detector)
