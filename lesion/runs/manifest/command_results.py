"""Results of two calls of the same command: what may be compared, and a grade for how they agree."""

from collections.abc import Mapping
from typing import Any

from lesion.identity import canonical_json, content_hash
from lesion.runs.manifest.base import Match

Result = dict[str, Any]

TIMES = frozenset({"seconds", "cpu_seconds", "wall_seconds", "gpu_seconds"})
VARIES: Mapping[str, frozenset[str]] = {
    "bench": frozenset({
        "seconds", "processor_seconds", "plain_seconds", "expert_seconds", "ratio_plain", "ratio_expert",
        "ratio_plain_processor", "share_of_floor", "gflops", "plain_peak_bytes", "fast_peak_bytes", "peak_bytes",
        "exponent_prompts", "exponent_interventions", "default_gflops", "onednn_gflops",
    }),
    "memo": frozenset({"memo"}),
    "paper": frozenset({"paper"}),
    "report": frozenset({"report", "opened"}),
    "stats": frozenset({"file"}),
    "tasks export": frozenset({"items", "metadata"}),
    "train": TIMES | {"model"},
    "heads": frozenset({"picture"}),
}  # fmt: skip
"""Command -> keys of its result that are measured time, memory or speed, or say where a file is."""
AGREEMENT = 1e-4
"""Nats: numbers this close agree where a result tells no noise floor; what the engine promises against its oracle."""


def comparable(command: str, result: Any) -> Any:
    """A result without what varies; a number that is none is a word, so that it can be hashed."""
    left_out = VARIES.get(command, frozenset())
    if isinstance(result, dict):
        return {name: comparable(command, value) for name, value in result.items() if name not in left_out}  # pyright: ignore
    if isinstance(result, list | tuple):
        return [comparable(command, value) for value in result]  # pyright: ignore
    if isinstance(result, float) and not abs(result) < float("inf"):
        return str(result)
    return result


def grade(command: str, recorded: str, first: Result | None, second: Result) -> Match:
    """How a repeated result agrees.

    Args:
        command: whose.
        recorded: hash of the first result.
        first: the result itself, where it is at hand; without it only equal hashes can be told from other ones.
        second: the repeated result.
    """
    again = comparable(command, second)
    if content_hash(again) == recorded:
        return "bit-equal"
    if first is None:
        return "different"
    told = [each.get("noise_floor") for each in (first, second)]
    floors = [float(each) if isinstance(each, int | float) else AGREEMENT for each in told]
    return "noise-floor" if _close(comparable(command, first), again, max(floors)) else "different"


def _close(first: Any, second: Any, floor: float) -> bool:
    """Whether two JSON values have the same shape and words, and fractions that differ by at most `floor`."""
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(_close(first[k], second[k], floor) for k in first)  # pyright: ignore
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(_close(*pair, floor) for pair in zip(first, second, strict=True))  # pyright: ignore
    if isinstance(first, float) and isinstance(second, float):
        return abs(first - second) <= floor
    return canonical_json(first) == canonical_json(second)


def differences(command: str, first: Any, second: Any, where: str = "") -> list[str]:
    """Where two results differ, as paths with dots."""
    if not where:
        first, second = comparable(command, first), comparable(command, second)
    if isinstance(first, dict) and isinstance(second, dict):
        names = sorted({*first, *second})  # pyright: ignore
        parts = [(f"{where}.{name}", first.get(name), second.get(name)) for name in names]  # pyright: ignore
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):  # pyright: ignore
        parts = [(f"{where}.{i}", *pair) for i, pair in enumerate(zip(first, second, strict=True))]  # pyright: ignore
    else:
        return [] if canonical_json(first) == canonical_json(second) else [where.removeprefix(".") or "all of it"]
    return [found for path, one, two in parts for found in differences(command, one, two, path)]  # pyright: ignore
