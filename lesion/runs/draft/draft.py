"""The most thorough study that fits the time: designs are tried from the most thorough one on.

A positive control is part of every design where one is known. Only where no design with it fits the time is it left
out, and the text says what that costs.
"""

from math import ceil
from pathlib import Path
from typing import NamedTuple

from lesion.errors import InputError
from lesion.models.vocabulary import open_vocabulary
from lesion.runs.draft.answers import Wanted, require_enough, task_of
from lesion.runs.draft.control import control_of
from lesion.runs.draft.designs import DESIGNS, Design
from lesion.runs.draft.outcome import Beforehand, outcome_of
from lesion.runs.draft.study_text import Request, study_text
from lesion.runs.execute.costs import outlook
from lesion.runs.execute.prepare import prepare_plan
from lesion.stats.verdict.rule import Outcome
from lesion.study.forecast.reachable_specificity import reaches, words
from lesion.study.format.load import parse_document
from lesion.study.plan import Plan
from lesion.study.stages.matched_sets import Population
from lesion.study.study import Study
from lesion.tasks.formats import suited
from lesion.tasks.tokenizers.prompt_contract import has_space

ROOM = 1.25
"""A control may take so many times the time: forecasts are upper bounds, and a study without one says much less."""


def drafted(wanted: Wanted, home: Path, outcome: Outcome | None = None) -> tuple[str, list[str]]:
    """The text of the study, and what a person should know of it.

    Args:
        wanted: the four answers.
        home: whose earlier runs say how fast this machine is.
        outcome: what is judged. None: the unedited model is asked, and it follows from its answers.

    Raises:
        InputError: for a model, task or target that is not there, or a pool that no design fits.
    """
    vocabulary = open_vocabulary(wanted.model)
    task = suited(task_of(wanted.task), spaces=has_space(vocabulary.tokenizer))
    require_enough(wanted, task, min(design.items for design in DESIGNS))
    control = control_of(wanted, task, vocabulary)
    tiers = {"main": task}
    if control.task is not None and control.tier:
        tiers[control.tier] = control.task
    request = Request(wanted, task, control, Beforehand(outcome) if outcome else outcome_of(wanted.model, tiers))
    if control.tier:
        found = _tried(request, home)
        if found and found[-1].minutes <= ROOM * wanted.minutes:
            return found[-1].text, found[-1].notes
        shortest = f" (it would take {ceil(found[-1].minutes)})" if found else ""
        none = control._replace(tier="", why=f"No study with one fits {wanted.minutes:g} minutes{shortest}.")
        request = request._replace(control=none)
    found = _tried(request, home)
    if not found:
        raise InputError(f"{wanted.task}: too few problems for any design; give a wider range, or more prompts")
    best = found[-1]
    if best.minutes <= wanted.minutes:
        return best.text, best.notes
    longer = request._replace(wanted=wanted._replace(minutes=float(ceil(best.minutes))))
    said = f"No design fits {wanted.minutes:g} minutes; this is the quickest. {best.notes[0]}"
    return _reaching(longer, best.design)[0], [said, *best.notes[1:]]


class _Tried(NamedTuple):
    """A design that the pools are large enough for."""

    design: Design
    minutes: float
    text: str
    notes: list[str]


def _tried(request: Request, home: Path) -> list[_Tried]:
    """Designs that the pools are large enough for, from the most thorough one to the first that fits the time.

    Raises:
        InputError: where every design is refused.
    """
    refused: list[InputError] = []
    tried: list[_Tried] = []
    for design in DESIGNS:
        try:
            text, plan = _reaching(request, design)
            found = outlook(plan, home, request.wanted.workers)
        except InputError as error:
            refused.append(error)
            continue
        if not all(pool["enough"] for pool in found["pools"].values()):
            continue
        expected = found["budget"]["wall_minutes"]["expected"]
        seen = [request.before.words] if request.before.words else []
        notes = [_said(request.before, design, expected), *seen, *_unreachable(plan), request.control.words]
        tried.append(_Tried(design, expected, text, notes))
        if expected <= request.wanted.minutes:
            return tried
    if len(refused) == len(DESIGNS):
        raise refused[-1]
    return tried


def _reaching(request: Request, design: Design) -> tuple[str, Plan]:
    """A design's study and plan, with sets from the target's layers, or from all layers where more can be shown."""

    def made(population: Population) -> tuple[str, Plan]:
        text = study_text(request, design, population)
        return text, prepare_plan(parse_document(text, f"{request.wanted.name}.yaml", Study), "any")

    within = made("layer")
    if not _unreachable(within[1]):
        return within
    anywhere = made("model")
    more = [sum(reach.least for reach in reaches(plan)) for _, plan in (within, anywhere)]
    return anywhere if more[1] > more[0] else within


def _unreachable(plan: Plan) -> list[str]:
    """What the study cannot show, whatever comes out."""
    return [words(reach) for reach in reaches(plan) if not reach.cells]


def _said(before: Beforehand, design: Design, minutes: float) -> str:
    precision = design.precision(before)
    change, ruled_out = (
        (f"{100 * precision.effect:g} points", f"{100 * precision.margin:g} points")
        if before.outcome == "accuracy"
        else (f"{precision.effect:g} nats", f"{precision.margin:g} nats")
    )
    return (
        f"It is planned to detect a change of {change} (power 0.8); a Null would rule out {ruled_out} or more. It "
        f"compares with {design.sets} random sets and takes {_long(minutes)}."
    )


def _long(minutes: float) -> str:
    if minutes < 1:
        return "less than a minute"
    return "about a minute" if minutes < 1.5 else f"about {minutes:.0f} minutes"
