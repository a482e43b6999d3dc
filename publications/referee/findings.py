"""What the runs recorded beside what their rows say: verdicts, intervals, ablations, ranks, baselines."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from publications.referee.check import Check, check
from publications.referee.dissociation import dissociations
from publications.referee.published import Run
from publications.referee.rule import Found, adjusted, judged, rank

ABLATIONS = ("zero", "mean", "resample")


def findings(run: Run) -> Iterator[Check]:
    """Every number and word of a run's results that its rows decide."""
    results = run.manifest["results"]
    yield from _cells(run, results)
    yield from _ablations(run, results)
    yield from _ranks(run, results)
    yield from dissociations(run)


def family_size(run: Run) -> int:
    """Cells that Holm's correction counts: the whole declared family."""
    return len(run.manifest["plan"]["family"])


@cache
def confirmed(run: Run) -> dict[str, Found]:
    """Every valid cell of the confirmation, judged again; looks are judged as they were, with the whole family."""
    cells = run.manifest["results"]["cells"]
    found: dict[str, Found] = {}
    for look in sorted({cell["look"] for cell in cells.values()}):
        here = [name for name, cell in cells.items() if cell["look"] == look and cell["verdict"] != "Invalid"]
        rows = [run.cell(*name.rsplit("|", 2)) for name in here]
        found.update(zip(here, judged(rows, family_size(run), run.settings), strict=True))
    return found


def _cells(run: Run, results: dict[str, Any]) -> Iterator[Check]:
    for name, found in confirmed(run).items():
        told, about, cell = results["cells"][name], f"{run.name}: {name}", run.cell(*name.rsplit("|", 2))
        yield check(f"{about}: verdict", told["verdict"], found.verdict)
        for key, value in (("delta", found.change), ("ci_low", found.low), ("ci_high", found.high)):
            yield check(f"{about}: {key}", told[key], value)
        yield check(f"{about}: p", told["p"], found.p)
        yield check(f"{about}: p_holm", told["p_holm"], found.p_holm)
        yield check(f"{about}: chance", results["chance"][name.rpartition("|")[0]], run.chance(*name.split("|")[:2]))
        yield check(f"{about}: baseline", told["baseline_accuracy"], cell.before.mean())
        for part in told["seeds"]:
            yield check(
                f"{about}: seed {part['name']}", part["delta"], cell.change[cell.seed == int(part["name"])].mean()
            )


def _ablations(run: Run, results: dict[str, Any]) -> Iterator[Check]:
    """Zero, mean and resample on the items of the primary one, each judged in its place; and whether they agree."""
    recorded: dict[str, dict[str, Any]] = results.get("ablations") or {}
    words: dict[str, set[str]] = {name: set() for name in recorded}
    for edit in ABLATIONS:
        here = [name for name in recorded if recorded[name].get(edit, {}).get("delta") is not None]
        cells = [run.cell(*arm_of(run, name, edit), like=name.rpartition("|")[2]) for name in here]
        for name, cell, found in zip(here, cells, judged(cells, family_size(run), run.settings), strict=True):
            told, about = recorded[name][edit], f"{run.name}: {name}, {edit}"
            words[name].add(found.verdict)
            yield check(f"{about}: items", told["n"], cell.before.size)
            yield check(f"{about}: verdict", told["verdict"], found.verdict)
            for key, value in (("delta", found.change), ("ci_low", found.low), ("ci_high", found.high)):
                yield check(f"{about}: {key}", told[key], value)
    for name, seen in words.items():
        told = "disagree" if "ablation_dependent" in results["cells"][name]["tags"] else "agree"
        yield check(f"{run.name}: {name}: the ablations", told, "agree" if len(seen) == 1 else "disagree")


def arm_of(run: Run, name: str, edit: str) -> tuple[str, str, str]:
    """Model, tier and arm of an ablation beside the primary one; zeroing is written as the factor 0 in older rows."""
    model, tier, arm = name.rsplit("|", 2)
    here = run.rows[(run.rows.stage == "confirm") & (run.rows.model == model) & (run.rows.tier == tier)]
    wanted = f"{arm.partition('@')[0]}@{edit}"
    return model, tier, wanted if (here.arm == wanted).any() else wanted.replace("@zero", "@0")


def _ranks(run: Run, results: dict[str, Any]) -> Iterator[Check]:
    """Specificity: the target's effect, every set's, the rank, its p, Holm over all cells that may ask."""
    told = {name: each for name, each in (results.get("specific") or {}).items() if each.get("effects")}
    ours: dict[str, tuple[float, np.ndarray, int]] = {}
    for name in told:
        model, tier, arm = name.rsplit("|", 2)
        target, sets = run.effects(model, tier, arm)
        ours[name] = target, sets, rank(target, sets, results["cells"][name]["verdict"])
    for name, (target, sets, place) in ours.items():
        each, about = told[name], f"{run.name}: {name}, matched sets"
        yield check(f"{about}: number", each["sets"], sets.size)
        yield check(f"{about}: target", each["target"], target)
        yield check(f"{about}: sum of their effects", sum(each["effects"]), sets.sum())
        yield check(f"{about}: strongest", min(each["effects"]), sets.min())
        yield check(f"{about}: rank", each["rank"], place)
        yield check(f"{about}: p", each["p"], place / (1 + sets.size))
    yield from _asked(run, results, told, ours)


def _asked(run: Run, results: dict[str, Any], told: dict[str, Any], ours: dict[str, Any]) -> Iterator[Check]:
    """The corrected rank p and the word that follows from it."""
    control, named = run.study.get("positive_control"), run.study["claims"].get("asking")
    asks = [m for m in results["cells"] if m.split("|")[1] != control and (not named or m.split("|")[1] in named)]
    here = [name for name in told if name in asks and results["cells"][name]["verdict"] in ("Harm", "Improvement")]
    if not here:
        return
    p = adjusted([ours[name][2] / (1 + ours[name][1].size) for name in here], len(asks))
    best = adjusted([1 / (1 + ours[name][1].size) for name in here], len(asks))
    for name, value, least in zip(here, p, best, strict=True):
        level = run.settings.level
        word = "not evaluable" if least >= level else ("specific" if value < level else "not specific")
        yield check(f"{run.name}: {name}, matched sets: Holm p", told[name]["p_holm"], value)
        yield check(f"{run.name}: {name}: specific", told[name]["status"], word)
