"""A first study from four answers: model, task, what to edit, how long it may take. The most thorough design that fits.

Designs differ in what they can detect and in the number of matched sets, and they are tried from the most thorough one
on. Nothing has been measured then, so fitting a design to the time is no tuning; the text says what it can detect.

A positive control (`lesion.study.positive_controls`) is part of every design where one is known. Only where no design
with it fits the time is it left out, and the text says what that costs.
"""

from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from lesion.errors import InputError, nearest
from lesion.identity import file_hash
from lesion.interventions.site import parse_site
from lesion.models.vocabulary import Vocabulary, open_vocabulary
from lesion.outside.files import require_regular
from lesion.runs.execute.costs import outlook
from lesion.runs.execute.prepare import prepare_plan
from lesion.study.forecast.reachable_specificity import reaches, words
from lesion.study.format.load import parse_document
from lesion.study.plan import Plan
from lesion.study.positive_controls import REPEATS, asks_the_same, known_control
from lesion.study.stages.matched_sets import Population
from lesion.study.study import Study
from lesion.tasks.catalogue import make_task
from lesion.tasks.config import PromptFileConfig, TaskConfig
from lesion.tasks.formats import suited
from lesion.tasks.spelling import parse_task
from lesion.tasks.task import Draw
from lesion.tasks.tokenizers.prompt_contract import has_space

_WORDS = {
    "induction": "its induction heads", "previous_token": "its previous-token heads",
    "duplicate_token": "its duplicate-token heads", "function_vector": "its function-vector heads",
    "screen": "the heads that a screen ranks highest", "neurons": "the neurons that write most",
}  # fmt: skip
TARGETS = tuple(_WORDS)
"""What may be edited, besides sites by name."""
FILES = (".csv", ".jsonl", ".parquet")


class Wanted(NamedTuple):
    """The four answers."""

    name: str
    """Name of the study: that of its file."""
    model: str
    task: str
    """A task's spelling, or a file of prompts."""
    edit: str
    """One of `TARGETS`, or sites joined by commas."""
    minutes: float
    """How long the run may take."""
    workers: int


class Design(NamedTuple):
    """How thorough a study is."""

    margin: float
    """Equivalence margin, a share."""
    effect: float
    """Difference that is detected with a probability of 0.8, a share."""
    sets: int
    """Matched sets."""
    items: int
    """Discovery items, and baseline items per seed at the start."""
    factors: tuple[float, ...]


DESIGNS = (
    Design(0.03, 0.05, 199, 512, (0.0, 0.5, 1.5, 2.0)),
    Design(0.05, 0.08, 199, 512, (0.0, 2.0)),
    Design(0.05, 0.08, 99, 256, (0.0, 2.0)),
    Design(0.10, 0.15, 99, 256, (0.0,)),
    Design(0.15, 0.20, 59, 128, (0.0,)),
)
"""From the most thorough one to the quickest."""


class Control(NamedTuple):
    """The positive control of a study, or why it has none."""

    tier: str = ""
    """Name of the tier; empty: there is none."""
    task: TaskConfig | None = None
    """Its task, or where there is none an example of one."""
    why: str = ""
    """Why there is none, in a sentence."""


def task_of(text: str) -> TaskConfig:
    """A task from its spelling, or from a file of prompts.

    Raises:
        InputError: when there is neither.
    """
    path = Path(text)
    if path.suffix not in FILES:
        return parse_task(text)
    require_regular(path)
    return PromptFileConfig(path=text, sha256=file_hash(path))


def require_target(text: str) -> None:
    """Make sure that something can be edited under this name.

    Raises:
        InputError: when it cannot.
    """
    if text not in TARGETS:
        try:
            _target(text)
        except InputError as error:
            known = nearest(text, TARGETS)
            raise InputError(f"'{text[:60]}' is nothing to edit; {known}; or sites: L5H1,L6H0") from error


def _target(text: str) -> dict[str, Any]:
    """`sweep.target`."""
    if text == "screen":
        return {"kind": "screened", "tier": "main"}
    if text == "neurons":
        return {"kind": "neurons", "tier": "main"}
    if text in TARGETS:
        return {"kind": "detected", "detector": text}
    return {"kind": "sites", "sites": [str(parse_site(part.strip())) for part in text.split(",")]}


def drafted(wanted: Wanted, home: Path) -> tuple[str, list[str]]:
    """The text of the study, and what a person should know of it.

    Raises:
        InputError: for a model, task or target that is not there, or a pool that no design fits.
    """
    vocabulary = open_vocabulary(wanted.model)
    task = suited(task_of(wanted.task), spaces=has_space(vocabulary.tokenizer))
    _require_enough(wanted, task)
    control = _control(wanted, task, vocabulary)
    if control.tier:
        found = _tried(wanted, task, control, home)
        if found and found[-1].minutes <= wanted.minutes:
            return found[-1].text, found[-1].notes
        shortest = f" (it would take {ceil(found[-1].minutes)})" if found else ""
        control = control._replace(tier="", why=f"No study with one fits {wanted.minutes:g} minutes{shortest}.")
    found = _tried(wanted, task, control, home)
    if not found:
        raise InputError(f"{wanted.task}: too few problems for any design; give a wider range, or more prompts")
    best = found[-1]
    if best.minutes <= wanted.minutes:
        return best.text, best.notes
    longer = wanted._replace(minutes=float(ceil(best.minutes)))
    said = f"No design fits {wanted.minutes:g} minutes; this is the quickest. {best.notes[0]}"
    return _reaching(longer, task, best.design, control)[0], [said, *best.notes[1:]]


class _Tried(NamedTuple):
    """A design that the pools are large enough for."""

    design: Design
    minutes: float
    text: str
    notes: list[str]


def _tried(wanted: Wanted, task: TaskConfig, control: Control, home: Path) -> list[_Tried]:
    """Designs that the pools are large enough for, from the most thorough one to the first that fits the time.

    Raises:
        InputError: where every design is refused.
    """
    refused: list[InputError] = []
    tried: list[_Tried] = []
    for design in DESIGNS:
        try:
            text, plan = _reaching(wanted, task, design, control)
            found = outlook(plan, home, wanted.workers)
        except InputError as error:
            refused.append(error)
            continue
        if not all(pool["enough"] for pool in found["pools"].values()):
            continue
        expected = found["budget"]["wall_minutes"]["expected"]
        notes = [_said(design, expected), *_unreachable(plan), _control_note(control)]
        tried.append(_Tried(design, expected, text, notes))
        if expected <= wanted.minutes:
            return tried
    if len(refused) == len(DESIGNS):
        raise refused[-1]
    return tried


def _control(wanted: Wanted, task: TaskConfig, vocabulary: Vocabulary) -> Control:
    """A task that heads of this kind are known to serve, or why the study has none."""
    repeats = suited(REPEATS, spaces=has_space(vocabulary.tokenizer))
    if wanted.edit not in TARGETS or wanted.edit in ("screen", "neurons"):
        return Control(task=repeats, why="The target is not of a named kind, so no task is known that needs it.")
    kind = _WORDS[wanted.edit].removeprefix("its ")
    known = known_control(wanted.edit, *vocabulary)
    if known is None:
        why = f"No task is known that needs {kind} and that this model's vocabulary can write."
        return Control(task=repeats, why=why)
    if asks_the_same(task, known[1]):
        return Control(why=f"The task itself is the one that {kind} are known to serve.")
    return Control(*known)


def _control_note(control: Control) -> str:
    if control.tier:
        return f"Positive control: ablation must harm `{control.tier}`, or no claim says what kind of heads these are."
    return f"No positive control. {control.why}"


def _reaching(wanted: Wanted, task: TaskConfig, design: Design, control: Control) -> tuple[str, Plan]:
    """A design's study and plan, with sets from the target's layers, or from all layers where more can be shown."""

    def made(population: Population) -> tuple[str, Plan]:
        text = _text(wanted, task, design, population, control)
        return text, prepare_plan(parse_document(text, f"{wanted.name}.yaml", Study), "any")

    within = made("layer")
    if not _unreachable(within[1]):
        return within
    anywhere = made("model")
    more = [sum(reach.least for reach in reaches(plan)) for _, plan in (within, anywhere)]
    return anywhere if more[1] > more[0] else within


def _require_enough(wanted: Wanted, task: TaskConfig) -> None:
    """Refuse a file with too few prompts for every design, and say what asks it without a study."""
    if not isinstance(task, PromptFileConfig):
        return
    least = min(design.items for design in DESIGNS)
    held = make_task(task).capacity(Draw("discovery", "discovery-0", 0, 1))
    if held < least:
        raise InputError(
            f"{task.path}: {held} prompts are for discovery, and the smallest study of `lesion init` needs {least}; add"
            f" prompts, or ask these without a study: lesion measure {wanted.model} --task 'file path={task.path}'"
            f" --items {max(2, held)} --do 'zero L0H0'"
        )


def _unreachable(plan: Plan) -> list[str]:
    """What the study cannot show, whatever comes out."""
    return [words(reach) for reach in reaches(plan) if not reach.cells]


def _said(design: Design, minutes: float) -> str:
    return (
        f"It is planned to detect a change of {100 * design.effect:g} points (power 0.8); a Null would rule out "
        f"{100 * design.margin:g} points or more. It compares with {design.sets} random sets and takes about "
        f"{minutes:.0f} minutes."
    )


def _text(wanted: Wanted, task: TaskConfig, design: Design, population: Population, control: Control) -> str:
    target = _flow(_target(wanted.edit))
    what = _WORDS.get(wanted.edit, f"the sites {wanted.edit}")
    done = "ablated" if design.factors == (0.0,) else "ablated or amplified"
    hours = max(0.1, round(2 * wanted.minutes * wanted.workers / 60, 1))
    tiers = f"  main: {_given(task)}\n"
    asking, before, after = "", "", ""
    if control.task is not None and control.tier:
        tiers += f"  {control.tier}: {_given(control.task)}\n"
        asking = "  # The control asks for no matched sets.\n  asking: [main]\n"
        after = f"# Ablating the target must harm this task, or no claim says what kind of heads they are.\n\
positive_control: {control.tier}\n"
    else:
        before = _without(control)
    return f"""\
# Written by `lesion init`. Change what you like before you register; `lesion schema study` lists every key.
name: {_slug(wanted.name)}
question: {_flow(f"What does {wanted.model} lose or gain on this task when {what} are {done}?")}
models: {_flow([wanted.model])}
tasks:
{tiers}{before}sweep:
  # What is edited, as one group.
  target: {target}
  # 0 ablates (resample, mean and zero are measured), above 1 amplifies. Confirmation tests 0 and `best` others.
  alphas: {[*design.factors]}
  best: {int(len(design.factors) > 1)}
  items: {design.items}
baseline: {{items: {design.items}, spread: {max(0.03, design.margin)}}}
claims:
  # Random sets like the target, among which its effect is ranked. With fewer than 40 for each edit that is tested,
  # nothing can be called specific. They are drawn from the target's layers (`layer`) or from all (`model`: more exist).
  sets: {design.sets}
  population: {population}
{asking}verdict:
  # Null: a change of `margin` or more is ruled out. `effect`: the change that the number of items is planned for.
  margin: {design.margin}
  effect: {design.effect}
  spread: {max(0.03, design.margin)}
{after}budget: {{cpu_hours: {hours}, wall_minutes: {2 * wanted.minutes:g}}}
"""


def _given(task: TaskConfig) -> str:
    return _flow({"task": task.task, **task.model_dump(mode="json", exclude_defaults=True)})


def _without(control: Control) -> str:
    """A comment that says what it costs to have no positive control, and how one is added."""
    said = f"""\
  # No positive control. {control.why}
  # Without one no claim says what kind of heads these are, and a Null may mean that the edit does nothing anywhere.
"""
    if control.task is None:
        return said
    return f"""\
{said}  # To add one, name a task here that the target must serve, such as
  #   control: {_given(control.task)}
  # and say further down: `positive_control: control` (a line of its own) and `asking: [main]` (under claims).
"""


def _flow(value: object) -> str:
    """A value as one line of YAML."""
    return yaml.safe_dump([value], default_flow_style=True, width=10_000, sort_keys=False).strip()[1:-1]


def _slug(name: str) -> str:
    kept = "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in name.lower()).strip("-")
    return (kept or "study")[:40]
