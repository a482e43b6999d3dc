"""What was found, in one sentence and cell by cell, without claiming more than the rule allows."""

from collections.abc import Sequence

from lesion.report.record import Finding, Record
from lesion.report.words import (
    MEANINGS,
    action,
    interval,
    listed,
    model_name,
    p_value,
    percent,
    points,
    target_words,
    task_words,
)
from lesion.runs.manifest import Manifest

MARKS = {"exploratory": "Exploratory: ", "confirmatory": "", "dry-run": "Dry run, not a finding: "}
"""What must stand before any sentence about a run of that status."""
MOST_CELLS = 12
"""Beyond so many cells the sentence counts verdicts instead of naming cells."""
_VERBS = {"Improvement": "improves", "Harm": "harms", "Mixed": "splits"}


def headline(record: Record) -> str:
    """The verdict in one plain sentence; says first what a reader must not overlook (status, a stop)."""
    body = _stopped(record) if record.manifest.outcome == "stopped" else _found(record)
    mark = MARKS[record.manifest.status]
    return f"{mark}{body}." if mark else f"{body[0].upper()}{body[1:]}."


def status_words(manifest: Manifest) -> str:
    """What the run's status means, in a sentence."""
    if manifest.status == "dry-run":
        return "A tiny study walked down the whole line to test the machinery. Its numbers mean nothing."
    if manifest.registration is None:
        return "The study was not registered before its data, so what follows suggests and does not confirm."
    number = manifest.registration.number
    if manifest.status == "exploratory":
        return f"The study is registered (number {number}), but this run does not confirm it; see the deviations."
    told = "" if not manifest.deviations else " What changed or was seen before that stands under the deviations."
    return f"The study was registered (number {number}) before its confirmation items existed.{told}"


def claim(record: Record, finding: Finding) -> str:
    """One cell as a sentence: what was done, the verdict, the interval, n, and what random heads did."""
    chosen, verdict = finding.chosen, finding.verdict
    target = target_words(record.manifest, chosen.model, licensed=finding.licensed)
    where = f"on {chosen.tier} ({task_words(record.manifest.study.tasks[chosen.tier])})"
    did = action(chosen.alpha)
    said = f"{did[0].upper()}{did[1:]} {target} of {model_name(chosen.model)} {where}: {verdict.verdict}"
    if verdict.verdict == "Invalid":
        return f"{said} ({verdict.reason})."
    return (
        f"{said}, {points(verdict.delta)} points ({interval(verdict)}, n = {verdict.n:,}); {MEANINGS[verdict.verdict]}."
        f" {specificity(finding)}{beside_zero(finding)}{form(finding)}"
    )


def beside_zero(finding: Finding) -> str:
    """What mean and resample ablation show, as a sentence with a space before it; empty where there are none."""
    if not finding.companions:
        return ""
    told = listed([f"{kind} ablation {points(each.delta)} points" for kind, each in finding.companions.items()])
    if "zero_only" in finding.verdict.tags:
        return f" Shown by zero only: {told} on the same items, so no heads are named."
    return f" On the same items: {told}."


def form(finding: Finding) -> str:
    """How many answers could be read, as a sentence with a space before it; empty where none were written out."""
    if not finding.readings:
        return ""
    before, after = (percent(finding.readings[arm].rate) for arm in ("baseline", "edited"))
    said = f" Parse rate: {before} unedited, {after} edited."
    if "format_effect_only" in finding.verdict.tags:
        return f"{said} The change is one of form: among answers that both arms gave readably it is not shown."
    return said


def specificity(finding: Finding) -> str:
    """How the target compares with the matched random set, in a sentence."""
    against = finding.specific
    if against is None:
        return "No matched random set exists, so nothing is said about specificity."
    apart = (
        f"apart from the matched random set ({points(_random_delta(finding))} points) by {points(against.delta)} points"
        f" ({points(against.ci_low)} to {points(against.ci_high)}), Holm p {p_value(against.p_holm)}."
    )
    if against.holds:
        return f"Specific: {apart}"
    return f"Not shown to be specific: {apart}"


def _random_delta(finding: Finding) -> float | None:
    """Accuracy change under the matched random set: the target's, less what sets it apart."""
    if finding.specific is None or finding.verdict.delta is None:
        return None
    return finding.verdict.delta - finding.specific.delta


def _found(record: Record) -> str:
    if not record.findings:
        return "no verdict, because no confirmation was reached"
    if len(record.findings) > MOST_CELLS:
        return _counted(record.findings)
    margin = f"{100 * record.manifest.study.verdict.margin:g} points"
    parts = [_model_effects(record, model) for model in record.manifest.study.models]
    effects = "; ".join(part for part in parts if part)
    rest = [
        ("Null", f"an effect of {margin} or more is ruled out for"),
        ("Inconclusive", "undecided remains"),
        ("Ambiguous", "undecided remains"),
        ("Invalid", "not to be trusted is"),
    ]
    told = [f"{words} {_named(record, kind)}" for kind, words in rest if _of(record.findings, kind)]
    return "; ".join([effects or "no effect was shown", *told])


def _counted(findings: Sequence[Finding]) -> str:
    kinds = [f"{kind} in {len(found)}" for kind in MEANINGS if (found := _of(findings, kind))]
    return f"of {len(findings)} cells, {listed(kinds)}"


def _of(findings: Sequence[Finding], kind: str) -> list[Finding]:
    return [finding for finding in findings if finding.verdict.verdict == kind]


def _model_effects(record: Record, model: str) -> str:
    """`zeroing the two induction heads L1H0 + L1H1 of abacus-llama harms tier2 (−10.3 points) and tier3 (…)`."""
    groups: dict[tuple[float, bool], list[Finding]] = {}
    for finding in record.findings:
        if finding.chosen.model == model and finding.verdict.verdict in _VERBS:
            groups.setdefault((finding.chosen.alpha, finding.licensed), []).append(finding)
    told: list[str] = []
    for (alpha, licensed), group in groups.items():
        same = licensed == next(iter(groups))[1]
        who = _called(record, model, licensed=licensed, again=bool(told), same=same)
        effects = [f"{_VERBS[kind]} {_places(record, found)}" for kind in _VERBS if (found := _of(group, kind))]
        told.append(f"{action(alpha)} {who} {listed(effects)}")
    return "; ".join(told)


def _called(record: Record, model: str, *, licensed: bool, again: bool, same: bool) -> str:
    """The target in full at first; then `them`, unless what may be said of them differs."""
    if again and same:
        return "them"
    full = target_words(record.manifest, model, licensed=licensed)
    return full if again else f"{full} of {model_name(model)}"


def _places(record: Record, group: Sequence[Finding]) -> str:
    tasks = record.manifest.study.tasks
    return listed([f"{task_words(tasks[f.chosen.tier])} ({f.chosen.tier}: {_size(record, f)})" for f in group])


def _size(record: Record, finding: Finding) -> str:
    """The effect's size as far as it may be claimed."""
    verdict = finding.verdict
    if verdict.verdict == "Mixed":
        return "some kinds of items gain, others lose"
    if "magnitude_unstable" in verdict.tags:
        return "its size differs between seeds"
    said = f"{points(verdict.delta)} points" + (" in bfloat16" if "bfloat16" in verdict.tags else "")
    control, margin = _random_delta(finding), record.manifest.study.verdict.margin
    if control is not None and abs(control) >= margin:
        said += f", random ones {points(control)}"
    if "material" in verdict.tags:
        return said
    return f"{said}, not shown to exceed {100 * margin:g}"


def _named(record: Record, kind: str) -> str:
    """`zeroing on tier1, and suppressing (×0.75) on tier1 and tier2`; models are named when there are several."""
    groups: dict[tuple[str, float], list[str]] = {}
    for finding in _of(record.findings, kind):
        groups.setdefault((finding.chosen.model, finding.chosen.alpha), []).append(finding.chosen.tier)
    several = len(record.manifest.study.models) > 1
    return listed(
        [
            f"{action(alpha)} on {listed(tiers)}" + (f" ({model_name(model)})" if several else "")
            for (model, alpha), tiers in groups.items()
        ]
    )


def _stopped(record: Record) -> str:
    """The cause in short; the numbers behind it stand beside the sentence."""
    reason = record.manifest.ending.reason.partition(": ")[0].rstrip(".")
    if record.findings:
        decided = [finding for finding in record.findings if finding.verdict.verdict != "Ambiguous"]
        total = len(record.manifest.plan.family)
        return f"the run stopped with {len(decided)} of {total} cells decided ({reason}); so far, {_found(record)}"
    edited = record.items.height and (record.items["arm"] != "baseline").any()
    return f"no verdict: {reason}" + ("" if edited else "; no intervention was run")
