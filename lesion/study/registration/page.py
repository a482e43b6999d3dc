"""A registration as Markdown, for people: what it freezes, what it changed, and what had been seen by then."""

from collections.abc import Sequence

from lesion.study.arm import REFERENCE, zeroes
from lesion.study.registration.registration import Registration
from lesion.study.stages.confirmatory_cells import family_size
from lesion.study.stages.replication import REACH
from lesion.study.stages.transitions import DETECTOR_RETRIES, TOOLING_RETRIES
from lesion.study.study import Study


def readable(registration: Registration, told: Sequence[str] = ()) -> str:
    """The page.

    Args:
        registration: what was frozen.
        told: amendments and earlier runs, in sentences; the oldest first.
    """
    study = registration.study
    tiers = "\n".join(f"- **{name}**: {config.model_dump_json()}" for name, config in study.tasks.items())
    hypotheses = "\n".join(f"{i}. {text}" for i, text in enumerate(study.hypotheses, 1)) or "None were written down."
    amended = f"Amends `{registration.amends}`: {registration.reason}" if registration.amends else "It amends nothing."
    return f"""\
# Registration {registration.number}: {study.name}

Registered {registration.time}, at commit `{registration.commit}` ({"clean" if registration.clean else "dirty"} tree).
{amended}

- hash `{registration.hash()}`
- study `{registration.study_hash}`
- previous registration `{registration.previous}`

## What was changed and seen before

{_list(told)}
- What the registrant saw elsewhere, in their own words: {_seen(registration)}

## Question

{study.question}

## Hypotheses

{hypotheses}

## Models

{", ".join(study.models)}

## Tiers

{tiers}

## Intervention

`{study.sweep.model_dump_json()}`

{_beside(study)}

## Family of tests

{family_size(study)} cells are to be confirmed (models x tiers x factors: those always confirmed, and the
{study.sweep.best} best others of discovery). Each look corrects over the whole family by Holm, at
{study.verdict.alpha / study.verdict.looks:g}; it does not shrink at the second look.

## Replication on other models

{_replication(study)}

## Seeds

{study.baseline.seeds} seeds for baseline and confirmation, which the hash above draws; seed {study.seed} for discovery
items, detector sequences and control sets. Blocks of {study.block} items.

## Baseline, rule, exclusions, budget

- baseline `{study.baseline.model_dump_json()}`
- verdict `{study.verdict.model_dump_json()}`
- positive control: {study.positive_control or "none"}
- exclusions: at most {study.exclusions:.3g} of a tier's prompts may break the contract
- budget `{study.budget.model_dump_json()}`

## Contingencies

{_list(contingencies(study))}

The items of the confirmation are drawn by the hash above: they could not be known before this registration.
"""


def _seen(registration: Registration) -> str:
    return registration.seen_elsewhere or "not asked (registered before this was required)"


def _beside(study: Study) -> str:
    """What is run beside a zeroing, and what follows from it."""
    if not zeroes(study):
        return "No mean or resample ablation stands beside this study's cells."
    kinds = " and ".join(study.sweep.ablations)
    return (
        f"Beside every confirmed zeroing, on the same items: {kinds} ablation over the first {REFERENCE} items of the"
        " seed's own lane. They decide no verdict; one that they do not all show by the same test is tagged `zero_only`"
        " and names no heads."
    )


def _replication(study: Study) -> str:
    """What will be tried on other models, and how its heads are found there."""
    if study.replication is None:
        return "None."
    return (
        f"When the family is decided, the positive control and {study.replication.best} cells of {study.models[0]} (its"
        " Improvements; where it has none, those with the largest change in discovery) are tried on"
        f" {', '.join(study.replication.models)}. A head there stands for a head here by detector rank (among the first"
        f" {REACH} times as many that pass) and nearest relative depth, never by index. Every cell has items of its own"
        " number, one family, the same rule; across models: random effects, Cochran's Q and I squared."
    )


def contingencies(study: Study) -> tuple[str, ...]:
    """What will be done when something goes wrong, with the study's own numbers; see docs/gates.md."""
    baseline, verdict = study.baseline, study.verdict
    ambiguous = "as many new items again, once, before a verdict" if verdict.looks > 1 else "Inconclusive at once"
    return (
        f"Tooling failure: the instrument is proved again, {TOOLING_RETRIES} time; if it fails again the study stops.",
        f"Unstable baseline: no intervention; more items, at most {baseline.enlargements} times, until the accuracies"
        f" of the seeds lie within {100 * baseline.spread:g} points; else the study stops.",
        f"Detector that contradicts itself: twice as many sequences, {DETECTOR_RETRIES} time; then the study stops.",
        f"Ambiguous cell: {ambiguous} ({verdict.looks} looks, {verdict.alpha / verdict.looks:g} each).",
        "Pool too small for a cell: the cell is left out and named; N is never lowered.",
        f"Overrun of {study.budget.cpu_hours:g} processor hours, {study.budget.gpu_hours:g} GPU hours or"
        f" {study.budget.wall_minutes:g} minutes, by forecast: the first tier first, the replication and other models"
        " put off; a spent budget ends the run.",
    )


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {' '.join(line.split())}" for line in lines)
