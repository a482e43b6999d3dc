"""Checks that failed without stopping the run: in a sentence while they are few, in a table where they are many.

A matched random set is loud when editing it moves accuracy by the margin or more. A study has dozens of them, so loud
sets stand set by set against the factors.
"""

import re
from typing import NamedTuple

from lesion.report.page.gates import Table
from lesion.report.wording.words import MINUS, model_name
from lesion.runs.manifest.run import Manifest
from lesion.study.arms.condition import EDITS
from lesion.study.plan import PlanNote

MOST_TOLD = 3
"""Failed checks of a kind that a sentence lists; of more it tells the number."""
LOUD = "control quietness"
"""The check of the matched random sets, by the name that its gate gives it."""
_ABOUT = re.compile(r"(?P<model>.+), (?P<tier>[^,]+), (?P<set>control\d+)@(?P<alpha>[^,@]+)")


class Failed(NamedTuple):
    """A check that failed, and where it stands in the manifest."""

    gate: int
    check: int
    about: str
    said: str


class LoudSet(NamedTuple):
    """One matched random set on one tier, at one stage."""

    stage: str
    model: str
    tier: str
    name: str
    by_factor: dict[str, Failed]
    """Factor -> the failed check; factors at which the set was quiet, or that are not decided, are not there."""


def told_note(manifest: Manifest, note: PlanNote) -> str:
    """A note of the plan as a sentence; one that strings many failed checks together is told by their number."""
    for name, failed, tried in _kinds(manifest):
        if note.text == "; ".join(f"{each.about}: {each.said}" for each in failed) + ".":
            if len(failed) <= MOST_TOLD:
                break
            if name == LOUD:
                return (
                    f"{note.topic}: {len(failed)} of {tried} edits of matched random sets moved accuracy on discovery"
                    " items by the margin or more; the table of loud random sets has each."
                )
            where = ", ".join(each.about.replace("|", " ") for each in failed)
            return f"{note.topic}: true in {len(failed)} of {tried} places, with numbers in the manifest: {where}."
    return f"{note.topic}: {note.text}"


def failed_checks(manifest: Manifest) -> list[tuple[str, int, int]]:
    """Kinds of check that failed without stopping the run: name, how many failed, how many were asked."""
    return [(name, len(failed), tried) for name, failed, tried in _kinds(manifest)]


def loud_sets(manifest: Manifest) -> list[LoudSet]:
    """Every matched random set that was loud at some factor, where they are too many for a sentence; in order.

    Every stage counts, with the last of its gates.
    """
    by_stage: dict[str, list[Failed]] = {}
    for name, failed, _ in _kinds(manifest):
        if name == LOUD:
            by_stage[manifest.gates[failed[0].gate].stage] = failed
    loud: dict[tuple[str, str, str, str], LoudSet] = {}
    for stage, failed in by_stage.items():
        for each in failed if len(failed) > MOST_TOLD else []:
            if part := _ABOUT.fullmatch(each.about):
                key = stage, part["model"], part["tier"], part["set"]
                loud.setdefault(key, LoudSet(*key, {})).by_factor[part["alpha"]] = each
    return list(loud.values())


def factors(sets: list[LoudSet]) -> list[str]:
    """The factors at which some set was loud, in ascending order; then the ablations."""
    by_factor = {alpha for each in sets for alpha in each.by_factor}
    named = [name for name in EDITS if name in by_factor]
    return [*sorted(by_factor - set(named), key=float), *named]


def edit_name(edit: str) -> str:
    """A factor or an ablation as the head of a column."""
    return edit if edit in EDITS else f"×{edit.replace('-', MINUS)}"


def loud_table(manifest: Manifest) -> Table:
    """The loud sets as words; no rows where there are few."""
    sets = loud_sets(manifest)
    columns = factors(sets)
    margin = f"{100 * manifest.study.verdict.margin:g}"
    rows = [
        (model_name(each.model), each.tier, each.name,
         *(moved(each.by_factor[alpha].said) if alpha in each.by_factor else "–" for alpha in columns))
        for each in sets
    ]  # fmt: skip
    caption = (
        "Loud random sets: change in accuracy on discovery items, points, with its interval, where it is"
        f" {margin} points or more"
    )
    return Table(caption, ("model", "tier", "set", *map(edit_name, columns)), rows)


def moved(sentence: str) -> str:
    """The change and its interval, of what a check said.

    >>> moved("-67.6 points [-71.5, -63.3], margin 3")
    '−67.6 [−71.5, −63.3]'
    """
    return sentence.partition(", margin")[0].replace(" points", "").replace("-", MINUS)


def _kinds(manifest: Manifest) -> list[tuple[str, list[Failed], int]]:
    """Of every gate and kind of check that does not stop a run: its name, those that failed, how many were asked."""
    kinds: list[tuple[str, list[Failed], int]] = []
    for number, gate in enumerate(manifest.gates):
        checks = gate.evidence.checks
        failed: dict[str, list[Failed]] = {}
        for place, check in enumerate(checks):
            if not check.blocks and check.outcome == "Fail":
                failure = Failed(number, place, check.about, check.said)
                failed.setdefault(check.name, []).append(failure)
        kinds += [(name, each, sum(c.name == name for c in checks)) for name, each in failed.items()]
    return kinds
