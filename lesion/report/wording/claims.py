"""What was found, cell by cell, without claiming more than the rule allows. In one sentence: headline.py."""

from lesion.report.findings import Finding
from lesion.report.record import Record
from lesion.report.wording.evidence import overlap, ranks
from lesion.report.wording.evidence.ablations import beside
from lesion.report.wording.words import (
    MEANINGS,
    action,
    conditional,
    doing,
    interval,
    level,
    listed,
    model_name,
    p_value,
    percent,
    points,
    target_words,
    tier_name,
    unit_of,
)
from lesion.runs.manifest.run import Manifest
from lesion.study.gates.gate_verdict import InstrumentEvidence

MARKS = {"exploratory": "Exploratory: ", "confirmatory": "", "dry-run": "Dry run, not a finding: "}
"""What must stand before any sentence about a run of that status."""


def status_words(manifest: Manifest) -> str:
    """What the run's status means, in a sentence."""
    if manifest.status == "dry-run":
        return "A tiny study walked down the whole line to test the machinery. Its numbers mean nothing."
    if manifest.registration is None:
        return "The study was not registered before its data, so what follows suggests and does not confirm."
    number = manifest.registration.number
    if manifest.status == "exploratory":
        return f"The study is registered (number {number}), but this run does not confirm it; see the deviations."
    history = "" if not manifest.deviations else " What changed or was seen before that stands under the deviations."
    return f"The study was registered (number {number}) before its confirmation items existed.{history}"


def claim(record: Record, finding: Finding) -> str:
    """One cell as a sentence: what was done, the verdict, the interval, n, and what random heads did."""
    if record.manifest.study.claims is not None:
        return _claim(record, finding)
    chosen, verdict = finding.chosen, finding.verdict
    target = _who(record, finding)
    where = f"on {tier_name(record.manifest.study, chosen.tier)}"
    did = action(chosen.alpha)
    sentence = f"{did[0].upper()}{did[1:]} {target} of {model_name(chosen.model)} {where}: {verdict.verdict}"
    if verdict.verdict == "Invalid":
        return f"{sentence} ({verdict.reason})."
    return (
        f"{sentence}, {points(verdict.delta)} points ({interval(verdict)}, n = {verdict.n:,}"
        f"{conditional(record.manifest.study, chosen.tier)}); {MEANINGS[verdict.verdict]}."
        f" {specificity(finding)}{beside_zero(finding)}{form(finding)}"
    )


def _who(record: Record, finding: Finding) -> str:
    chosen = finding.chosen
    return target_words(record.manifest, chosen.model, chosen.target, licensed=finding.licensed)


def _claim(record: Record, finding: Finding) -> str:
    """The same of a study of format 2: with the baseline and chance, all ablations, and the target's rank."""
    study, chosen, verdict = record.manifest.study, finding.chosen, finding.verdict
    unit = unit_of(study)
    target, verb = _who(record, finding), doing(chosen)
    where = f"on {tier_name(study, chosen.tier)}"
    sentence = f"{verb[0].upper()}{verb[1:]} {target} of {model_name(chosen.model)} {where}: {verdict.verdict}"
    if verdict.delta is None:
        return f"{sentence} ({verdict.reason})."
    ends = f"{100 * verdict.confidence:g} % CI {unit.span(verdict.ci_low, verdict.ci_high)}"
    named = overlap.sentence(record.manifest, chosen.model, chosen.target)
    return (
        f"{sentence}, {unit.said(verdict.delta)} {unit.name}"
        f" ({ends}, n = {verdict.n:,}{conditional(study, chosen.tier)})."
        f" Baseline {baseline_words(record, finding)}.{gap_words(record, finding)}{beside(finding, unit)}"
        f" {ranks.sentence(record, finding)}"
        f"{named}{form(finding)}"
    )


def gap_words(record: Record, finding: Finding) -> str:
    """What part of the way between the two prompts of a pair was patched, with a space before it; else empty."""
    proved = [gate.evidence for gate in record.manifest.gates if isinstance(gate.evidence, InstrumentEvidence)]
    gap = proved[-1].models[finding.chosen.model].gaps.get(finding.chosen.tier) if proved else None
    study, verdict = record.manifest.study, finding.verdict
    if gap is None or verdict.verdict not in ("Improvement", "Harm"):
        return ""
    which = "corrupted" if study.sweep.edit.exchange == "noising" else "clean"
    other = f"the {which} prompts' {level(gap.other, study)}"
    found = [end for end in (verdict.ci_low, verdict.ci_high) if end is not None]
    ends = [part for end in found if (part := gap.share(end)) is not None]
    if not ends:
        return f" How far {other} is away is not known well, so no part of the way is told."
    return f" That is {percent(min(ends))} to {percent(max(ends))} of the way to {other} ({gap.items} discovery items)."


def baseline_words(record: Record, finding: Finding) -> str:
    """`98.5 % (chance 2.1 %)`."""
    study = record.manifest.study
    chance = "" if finding.chance is None else f" (chance {level(finding.chance, study)})"
    return f"{level(finding.verdict.baseline_accuracy, study)}{chance}"


def beside_zero(finding: Finding) -> str:
    """What mean and resample ablation show, as a sentence with a space before it; empty where there are none."""
    if not finding.companions:
        return ""
    ablations = listed([f"{kind} ablation {points(each.delta)} points" for kind, each in finding.companions.items()])
    if any(each.answer == "differs" for each in finding.companions.values()):
        return f" Only zeroing says so: {ablations} on the same items, so no heads are named."
    if unheard := sorted({each.reason for each in finding.companions.values() if each.answer == "unknown"}):
        return (
            " For mean and resample ablation another item of equal layout must stand in."
            f" Mean and resample ablation could not judge it: {'; '.join(unheard)} ({ablations}). No heads are named."
        )
    return f" On the same items: {ablations}."


def form(finding: Finding) -> str:
    """How many answers could be read, as a sentence with a space before it; empty where none were written out."""
    if not finding.readings:
        return ""
    before, after = (percent(finding.readings[arm].rate) for arm in ("baseline", "edited"))
    sentence = f" Parse rate: {before} unedited, {after} edited."
    if "format_effect_only" in finding.verdict.tags:
        return f"{sentence} The change is one of form: among answers that both arms gave readably it is not shown."
    return sentence


def specificity(finding: Finding) -> str:
    """How the target compares with the matched random set, in a sentence."""
    against = finding.specific
    if against is None:
        return "No matched random set exists, so nothing is said about specificity."
    apart = (
        f"apart from the matched random set ({points(random_delta(finding))} points) by {points(against.delta)} points"
        f" ({points(against.ci_low)} to {points(against.ci_high)}), Holm p {p_value(against.p_holm)}."
    )
    if against.holds:
        return f"Specific: {apart}"
    return f"Not shown to be specific: {apart}"


def random_delta(finding: Finding) -> float | None:
    """Accuracy change under the matched random set: the target's, less what sets it apart."""
    if finding.specific is None or finding.verdict.delta is None:
        return None
    return finding.verdict.delta - finding.specific.delta
