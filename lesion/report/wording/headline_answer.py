"""The headline of a study of format 2: the answer first, in at most `headline.MOST_WORDS` words.

From the fullest form to the shortest. Every form says whether ablations disagree; none names a function then. The
positive control is reported as a control and is no part of the answer.
"""

from collections.abc import Iterator, Sequence

from lesion.report.record import Finding, Record, own, positive_control
from lesion.report.wording.evidence.ablations import disagreement
from lesion.report.wording.words import doing, labelled, listed, model_name, target_words, task_words, unit_of

VERBS = {"Improvement": "improves", "Harm": "harms", "Mixed": "splits"}


def answers(record: Record) -> Iterator[str]:
    """The sentence from the fullest form to the shortest."""
    findings = own(record)
    effects = [finding for finding in findings if finding.verdict.verdict in VERBS]
    named = not any(finding.dependent for finding in record.findings)
    if not findings:
        yield _control_only(record)
        return
    if not effects:
        yield _joined("no effect was shown", _apart(record, findings), _rest(record, findings))
        yield _joined("no effect was shown", _apart(record, findings, brief=True), _rest(record, findings))
        return
    for full in (True, False):
        clauses = _effects(record, effects, full=full, named=named), _specific(effects), _apart(record, findings)
        yield _joined(*clauses, _rest(record, findings))
    for brief in (False, True):
        clauses = _effects(record, effects, full=False, named=named), _specific(effects)
        yield _joined(*clauses, _apart(record, findings, brief=brief))
    yield _joined(_counted(record, findings, effects), _specific(effects), _apart(record, findings, brief=True))


def control_sentence(record: Record) -> str:
    """How the positive control came out, in a sentence; empty where there is none or it was not reached."""
    control = positive_control(record.manifest)
    if control is None or not record.findings:
        return ""
    unit = unit_of(record.manifest.study)
    outcomes: list[str] = []
    words = {None: "was not measured", "Harm": "holds"}
    for model, verdict in control.verdicts.items():
        cell = next((f for f in record.findings if (f.chosen.model, f.chosen.tier) == (model, control.tier)
                     and f.chosen.alpha == 0), None)  # fmt: skip
        size = f" ({doing(cell.chosen)}: {unit.said(cell.verdict.delta)} {unit.name})" if cell else ""
        outcomes.append(f"{words.get(verdict, 'fails')} in {model_name(model)}{size}")
    return f"Positive control on {control.tier}: {listed(outcomes)}."


def long_form(record: Record) -> list[str]:
    """Everything that was found, a sentence each, the control last."""
    findings = own(record)
    effects = [finding for finding in findings if finding.verdict.verdict in VERBS]
    clauses = [_effects(record, [finding], full=True) + _after(record, finding) for finding in effects]
    clauses += [text for text in (_rest(record, findings, named=True),) if text]
    sentences = [f"{text[0].upper()}{text[1:]}." for text in clauses]
    control = control_sentence(record)
    return [*sentences, *([control] if control else [])]


def _after(record: Record, finding: Finding) -> str:
    unit = unit_of(record.manifest.study)
    parts = [disagreement(finding, unit)] if finding.dependent else []
    parts += [_specific([finding])] if finding.rank is not None else []
    return "".join(f"; {part}" for part in parts if part)


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def _effects(record: Record, effects: Sequence[Finding], *, full: bool, named: bool = True) -> str:
    """`resample-ablating the two selected heads L1H0 + L1H1 of abacus-llama harms tier1 (−14.6 points)`.

    Where ablations disagree somewhere, `named` is false and the target is not called what the detector seeks.
    """
    groups: dict[tuple[str, str, str, str], list[Finding]] = {}
    for finding in effects:
        chosen = finding.chosen
        key = (chosen.model, chosen.target, doing(chosen), finding.verdict.verdict)
        groups.setdefault(key, []).append(finding)
    clauses: list[str] = []
    for (model, name, did, kind), group in groups.items():
        licensed = named and all(finding.licensed for finding in group)
        who = target_words(record.manifest, model, name, licensed=licensed)
        whose = f"{who} of {model_name(model)}" if not clauses or len({key[:2] for key in groups}) > 1 else "them"
        clauses.append(f"{did} {whose} {VERBS[kind]} {listed([_place(record, each, full=full) for each in group])}")
    return "; ".join(clauses)


def _place(record: Record, finding: Finding, *, full: bool) -> str:
    tier, unit = finding.chosen.tier, unit_of(record.manifest.study)
    if finding.verdict.verdict == "Mixed":
        size = "some kinds of items gain, others lose"
    elif "magnitude_unstable" in finding.verdict.tags:
        size = "its size is not shown to be the same over seeds"
    else:
        size = f"{unit.said(finding.verdict.delta)} {unit.name}"
    return f"{task_words(record.manifest.study.tasks[tier])} ({tier}: {size})" if full else f"{tier} ({size})"


def _apart(record: Record, findings: Sequence[Finding], *, brief: bool = False) -> str:
    """Which ablations disagree; empty where all agree."""
    dependent = [finding for finding in findings if finding.dependent]
    ablated = [finding for finding in findings if finding.primary is not None]
    if not dependent:
        return ""
    if len(dependent) == 1 and not brief:
        where = f" on {dependent[0].chosen.tier}" if len(ablated) > 1 else ""
        clause = disagreement(dependent[0], unit_of(record.manifest.study))
        return clause.replace("disagree", f"disagree{where}", 1)
    if len(dependent) == len(ablated):
        return "the other ablations disagree"
    return f"the other ablations disagree in {len(dependent)} of {len(ablated)} cells"


def _specific(effects: Sequence[Finding]) -> str:
    """How many effects are specific, and among what."""
    ranks = [finding.rank for finding in effects if finding.rank is not None]
    evaluable = [rank for rank in ranks if rank.status in ("specific", "not specific")]
    if not ranks:
        return ""
    if not evaluable:
        return "specificity is not evaluable"
    yes = sum(rank.status == "specific" for rank in evaluable)
    if len(effects) == 1:
        return "specific" if yes else "not specific"
    return f"specific: {yes} of {len(effects)}"


def _rest(record: Record, findings: Sequence[Finding], *, named: bool = False) -> str:
    """Cells without an effect."""
    study = record.manifest.study
    unit = unit_of(study)
    margin = f"{unit.plain(study.verdict.margin)} {unit.name}" if not study.headroom else "the margin"
    kinds = (
        (("Null",), f"an effect of {margin} or more is ruled out"),
        (("Inconclusive", "Ambiguous"), "undecided"),
        (("Invalid",), "invalid"),
    )
    clauses: list[str] = []
    for names, words in kinds:
        here = [finding for finding in findings if finding.verdict.verdict in names]
        if here and named:
            clauses.append(f"{words} for {listed([f'{labelled(f.chosen)} on {f.chosen.tier}' for f in here])}")
        elif here:
            clauses.append(f"{words} in {len(here)} of {len(findings)} cells" if names == ("Null",) else
                        f"{len(here)} {words}")  # fmt: skip
    return "; ".join(clauses)


def _counted(record: Record, findings: Sequence[Finding], effects: Sequence[Finding]) -> str:
    kinds = [f"{number} {kind}" for kind in VERBS if (number := sum(f.verdict.verdict == kind for f in effects))]
    targets = {finding.chosen.model for finding in effects}
    whom = model_name(next(iter(targets))) if len(targets) == 1 else f"{len(record.manifest.study.models)} models"
    return f"{listed(kinds)} in {len(findings)} cells of {whom}"


def _control_only(record: Record) -> str:
    sentence = control_sentence(record).rstrip(".")
    return f"{sentence[0].lower()}{sentence[1:]}" if sentence else "no verdict, because no confirmation was reached"
