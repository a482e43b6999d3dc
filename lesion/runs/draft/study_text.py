"""The text of a first study: YAML with a comment wherever a person decides."""

from typing import NamedTuple

import yaml

from lesion.runs.draft.answers import WORDS, Wanted, target_of
from lesion.runs.draft.control import Control
from lesion.runs.draft.designs import Design
from lesion.runs.draft.outcome import Beforehand
from lesion.study.stages.matched_sets import Population
from lesion.tasks.config import TaskConfig

_SETS = """\
  # Random sets like the target. Its effect is ranked among them. With fewer than 40 for each edit that is tested,
  # nothing can be called specific. They come from the target's layers (`layer`), or from all layers, where more of
  # them exist (`model`).
"""


class Request(NamedTuple):
    """What a person wants to know, before a design is chosen."""

    wanted: Wanted
    task: TaskConfig
    control: Control
    before: Beforehand


def study_text(request: Request, design: Design, population: Population) -> str:
    """A study file.

    Args:
        request: the answers, the task and its control, and what is judged.
        design: how thorough it is.
        population: where matched sets are drawn from.
    """
    wanted, control, precision = request.wanted, request.control, design.precision(request.before)
    what = WORDS.get(wanted.edit, f"the sites {wanted.edit}")
    done = "ablated" if design.factors == (0.0,) else "ablated or amplified"
    hours = max(0.1, round(2 * wanted.minutes * wanted.workers / 60, 1))
    return f"""\
# Written by `lesion init`. Change what you like before you register; `lesion schema study` lists every key.
name: {_slug(wanted.name)}
question: {_flow(f"What does {wanted.model} lose or gain on this task when {what} are {done}?")}
models: {_flow([wanted.model])}
tasks:
  main: {_given(request.task)}
{_control_tier(control)}sweep:
  # What is edited, as one group{_most(wanted)}.
  target: {_flow(target_of(wanted.edit))}
  # 0 ablates (resample, mean and zero are measured), above 1 amplifies. Confirmation tests 0 and `best` others.
  alphas: {[*design.factors]}
  best: {int(len(design.factors) > 1)}
  items: {design.items}
{_single_heads(design, wanted)}baseline: {{items: {design.items}, spread: {precision.spread}}}
claims:
{_outcome(request.before)}{_examples(request)}{_SETS}  sets: {design.sets}
  set_items: {design.set_items}
  population: {population}
{_asking(control)}verdict:
  # Null: a change of `margin` or more is ruled out. `effect`: the change that the number of items is planned for.
  margin: {precision.margin}
  effect: {precision.effect}
  spread: {precision.spread}
block: {design.items}
{_named_control(control)}budget: {{cpu_hours: {hours}, wall_minutes: {2 * wanted.minutes:g}}}
"""


def _most(wanted: Wanted) -> str:
    if target_of(wanted.edit)["kind"] != "detected":
        return ""
    return ": of all heads that pass the detector, `most` with the highest scores"


def _outcome(before: Beforehand) -> str:
    lines = f"  # {before.words}\n" if before.words else ""
    if before.outcome == "accuracy":
        return lines
    return f"{lines}  outcome: {before.outcome}\n  chance: coverage\n"


def _examples(request: Request) -> str:
    """Own examples for every item, where prompts show examples: few sets of them would decide the baseline."""
    shown = [each for each in (request.task, request.control.task) if each is not None]
    if not any(getattr(each, "shots", 0) for each in shown):
        return ""
    return (
        "  # Every item shows examples of its own, so no set of examples decides the verdict.\n  prefixes: per_item\n"
    )


def _single_heads(design: Design, wanted: Wanted) -> str:
    if design.single_heads or target_of(wanted.edit)["kind"] != "detected":
        return ""
    return "  # `true` also zeroes each head alone on discovery items: a map of all heads, for longer.\n\
  single_heads: false\n"


def _control_tier(control: Control) -> str:
    """The control's tier, or a comment that says what it costs to have none, and how one is added."""
    if control.task is not None and control.tier:
        return f"  {control.tier}: {_given(control.task)}\n"
    said = f"""\
  # {control.words}
  # Without one no claim says what kind of heads these are, and a Null may mean that the edit does nothing anywhere.
"""
    if control.task is None:
        return said
    return f"""\
{said}  # To add one, name a task here that the target must serve, such as
  #   control: {_given(control.task)}
  # and say further down: `positive_control: control` (a line of its own) and `asking: [main]` (under claims).
"""


def _asking(control: Control) -> str:
    return "  # The control asks for no matched sets.\n  asking: [main]\n" if control.tier else ""


def _named_control(control: Control) -> str:
    if not control.tier:
        return ""
    return f"# Ablating the target must harm this task, or no claim says what kind of heads they are.\n\
positive_control: {control.tier}\n"


def _given(task: TaskConfig) -> str:
    return _flow({"task": task.task, **task.model_dump(mode="json", exclude_unset=True)})


def _flow(value: object) -> str:
    """A value as one line of YAML."""
    return yaml.safe_dump([value], default_flow_style=True, width=10_000, sort_keys=False).strip()[1:-1]


def _slug(name: str) -> str:
    kept = "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in name.lower()).strip("-")
    return (kept or "study")[:40]
