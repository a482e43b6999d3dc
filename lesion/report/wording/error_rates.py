"""The rule's error rates on a run's page: as `lesion calibrate` found them once, with bounds and origin.

calibrated.json beside this file is that command's answer about the default rule, as it came. A study with other
thresholds is told which of its own differ, and what would ask about them.
"""

import json
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from lesion.report.page.gates import Table
from lesion.report.wording.words import percent
from lesion.study.stages.confirmatory_cells import rule_of
from lesion.study.study import Study

SEEDS = 3
"""Seeds of every simulated study."""
_NAMES = {
    "margin": "margin", "alpha": "alpha", "looks": "looks", "spread": "seed gate", "effect": "effect to be found",
    "power": "power",
}  # fmt: skip


class Promises(NamedTuple):
    """What a page says of the rule's errors."""

    sentences: tuple[str, ...]
    tables: tuple[Table, ...]
    origin: str


@cache
def calibrated() -> dict[str, Any]:
    """The calibration that is shipped."""
    text = (files("lesion.report") / "calibrated.json").read_text(encoding="utf-8")
    rates: dict[str, Any] = json.loads(text)
    return rates


def promises_of(study: Study) -> Promises:
    """The error rates of the study's rule, where it is the one that was simulated; else how it differs."""
    calibration = calibrated()
    own, simulated = vars(rule_of(study)), calibration["rule"]
    differs = [
        f"{_NAMES[name]} {own[name]:g} instead of {simulated[name]:g}"
        for name in _NAMES
        if own[name] != simulated[name]
    ]
    if own["edition"] != simulated["edition"]:
        differs.append("the first rule instead of the second")
    if study.baseline.seeds != SEEDS:
        differs.append(f"{study.baseline.seeds} seeds instead of {SEEDS}")
    origin = (
        f"Computed once, by lesion calibrate (version {calibration['version']}, seed {calibration['seed']}): simulated"
        " studies, by the code that judges real ones. Each rate stands at the setting where it came out worst, with its"
        " exact one-sided 95 % bound. It is part of lesion and not of this run, which did not compute it again."
    )
    if differs:
        sentences = (
            f"This study's rule is not the one that was simulated ({'; '.join(differs)}), so these numbers are not its"
            " own. lesion calibrate --study study.yaml asks about it.",
        )
        return Promises((*sentences, *_sentences(calibration)), _tables(calibration), origin)
    return Promises(
        ("This study's rule is the one that was simulated.", *_sentences(calibration)), _tables(calibration), origin
    )


def _sentences(calibration: dict[str, Any]) -> tuple[str, ...]:
    claims, nulls = _worst(calibration, "(i)"), _worst(calibration, "(ii)")
    margin = 100 * calibration["rule"]["margin"]
    five = next(point for point in calibration["power"] if abs(point["delta"] - calibration["rule"]["effect"]) < 1e-9)
    return (
        f"Where the truth was no difference, at most {percent(claims['bound'])} of studies said Improvement or Harm"
        f" (promised: {percent(claims['limit'])}).",
        f"Where it was the margin of {margin:g} points, at most {percent(nulls['bound'])} said Null (promised:"
        f" {percent(nulls['limit'])}).",
        f"Where it was {100 * five['delta']:g} points, {percent(five['improvement'])} found it (one cell, 20 % of"
        " answers changed).",
    )


def _worst(calibration: dict[str, Any], number: str) -> dict[str, Any]:
    """Of the promises of this number that are an upper limit of .05, the one with the highest bound."""
    rates = [rate for rate in _rates(calibration) if rate["promise"].startswith(f"{number} ")]
    worst: dict[str, Any] = max(rates, key=lambda rate: rate["bound"] / rate["limit"])
    return worst


def _rates(calibration: dict[str, Any]) -> list[dict[str, Any]]:
    """Every promise: what has a key of its own, then the others."""
    return [each for each in calibration.values() if isinstance(each, dict) and "promise" in each] + calibration[
        "others"
    ]


def _tables(calibration: dict[str, Any]) -> tuple[Table, ...]:
    rates = [
        (rate["promise"], f"{rate['rate']:.4f}", f"{rate['bound']:.4f}", f"{rate['side']} {rate['limit']:g}",
         "yes" if rate["holds"] else "NO", f"{rate['studies']:,}" if rate["studies"] else "exact", rate["worst"])
        for rate in _rates(calibration)
    ]  # fmt: skip
    columns = ("promise", "found", "95 % bound", "promised", "holds", "studies", "worst setting")
    power = [
        (f"{100 * point['delta']:g}", *(percent(point[name]) for name in ("improvement", "null", "inconclusive")),
         percent(point["second_look"]))
        for point in calibration["power"]
    ]  # fmt: skip
    heads = ("true difference, points", "Improvement", "Null", "Inconclusive", "needed a second look")
    return (
        Table("What the rule promises, and what simulation found", columns, rates),
        Table("Verdicts by true difference: one cell, 20 % of answers change, the rule's own items", heads, power),
    )
