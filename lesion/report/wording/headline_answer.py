"""The headline of a study of format 2: the answer first, in at most `headline.MOST_WORDS` words.

From the fullest form to the shortest. Every form says whether ablations disagree; none names a function then. The
positive control is reported as a control and is no part of the answer.
"""

from collections.abc import Iterator, Sequence

from lesion.report.findings import Finding, positive_control
from lesion.report.record import Record, own
from lesion.report.wording.evidence.ablations import disagreement
from lesion.report.wording.evidence.dissociations import shown
from lesion.report.wording.evidence.ranks import random_words
from lesion.report.wording.words import (
    brief_target,
    count,
    did,
    doing,
    kind_of_task,
    labelled,
    listed,
    model_name,
    target_words,
    tier_name,
    unit_of,
)

VERBS = {"Improvement": "improves", "Harm": "harms", "Mixed": "splits"}


def answers(record: Record) -> Iterator[str]:
    """The sentence from the fullest form to the shortest."""
    findings = own(record)
    effects = [finding for finding in findings if finding.verdict.verdict in VERBS]
    if not findings:
        yield _control_only(record)
    elif not effects:
        yield from _nothing_shown(record, findings)
    else:
        yield from _shown(record, findings, effects)


def _shown(record: Record, findings: Sequence[Finding], effects: Sequence[Finding]) -> Iterator[str]:
    """`ablating two selected heads of abacus-llama harms sums and differences; some random heads do as much`."""
    sets = _joined(_dissociated(record), beyond(record, effects))
    for sized in (True, False):
        said = _clauses(record, effects, sized=sized)
        for brief in (False, True):
            yield _joined(" and ".join(said), sets, _apart(record, findings, brief=brief))
    first, *others = _clauses(record, effects, sized=False)
    more = f"; {len(others)} more effects" if others else ""
    yield _joined(first + more, sets, _apart(record, findings, brief=True))
    yield _joined(_counted(record, findings, effects), sets, _apart(record, findings, brief=True))


def _nothing_shown(record: Record, findings: Sequence[Finding]) -> Iterator[str]:
    """Without an effect: ruled out everywhere, undecided everywhere, or some of both."""
    kinds = {finding.verdict.verdict for finding in findings}
    study = record.manifest.study
    unit = unit_of(study)
    size = "the margin" if study.headroom else f"{unit.plain(study.verdict.margin)} {unit.name}"
    apart = [_apart(record, findings), _apart(record, findings, brief=True)]
    for who, where in _subjects(record, findings):
        for tail in apart:
            if kinds == {"Null"}:
                yield _joined(f"{who} changes {where} by less than {size}", tail)
            elif "Null" in kinds:
                yield _joined(f"no effect of {who} on {where} was shown", _rest(record, findings), tail)
            else:
                yield _joined(f"whether {who} changes {where} stays undecided", tail)
    yield _joined("no effect was shown", _rest(record, findings), apart[1])


def _subjects(record: Record, findings: Sequence[Finding]) -> Iterator[tuple[str, str]]:
    """What was done to what, and on which tasks: in one phrase each."""
    verbs = listed(list(dict.fromkeys(_verb(finding) for finding in findings)))
    named = {(f.chosen.model, f.chosen.target) for f in findings}
    who = _whose(record, [model for model, _ in named], next(iter(named))[1]) if len({n for _, n in named}) == 1 else (
        "the targets")  # fmt: skip
    tiers = list(dict.fromkeys(finding.chosen.tier for finding in findings))
    yield f"{verbs} {who}", _tasks(record, tiers)
    yield f"{verbs} {who}", f"{count(len(tiers))} tasks" if len(tiers) > 1 else "the task"


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
    return f"Positive control on {tier_name(record.manifest.study, control.tier)}: {listed(outcomes)}."


def long_form(record: Record) -> list[str]:
    """Everything that was found, a sentence each, the control last."""
    findings = own(record)
    effects = [finding for finding in findings if finding.verdict.verdict in VERBS]
    clauses = [_effects(record, [finding]) + _after(record, finding) for finding in effects]
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


def _effects(record: Record, effects: Sequence[Finding], *, named: bool = True) -> str:
    """`resample-ablating the two selected heads L1H0 + L1H1 of abacus-llama harms sums up to 99 (−14.6 points)`.

    Where ablations disagree somewhere, `named` is false and the target is not called what the detector seeks.
    """
    groups: dict[tuple[str, str, str, str], list[Finding]] = {}
    for finding in effects:
        chosen = finding.chosen
        key = (chosen.model, chosen.target, doing(chosen), finding.verdict.verdict)
        groups.setdefault(key, []).append(finding)
    clauses: list[str] = []
    for (model, name, done, kind), group in groups.items():
        licensed = named and all(finding.licensed for finding in group)
        who = target_words(record.manifest, model, name, licensed=licensed)
        whose = f"{who} of {model_name(model)}" if not clauses or len({key[:2] for key in groups}) > 1 else "them"
        clauses.append(f"{done} {whose} {VERBS[kind]} {listed([_place(record, each) for each in group])}")
    return "; ".join(clauses)


def _place(record: Record, finding: Finding) -> str:
    tier, unit = finding.chosen.tier, unit_of(record.manifest.study)
    if finding.verdict.verdict == "Mixed":
        size = "some kinds of items gain, others lose"
    elif "magnitude_unstable" in finding.verdict.tags:
        size = "its size is not shown to be the same over seeds"
    else:
        size = f"{unit.said(finding.verdict.delta)} {unit.name}"
    name = tier_name(record.manifest.study, tier)
    return f"{name} ({size})"


def _clauses(record: Record, effects: Sequence[Finding], *, sized: bool) -> list[str]:
    """One clause for each kind of effect on the same tasks; what was done is listed, and so are the models."""
    alike: dict[tuple[str, str, str, str], list[Finding]] = {}
    for finding in effects:
        chosen = finding.chosen
        alike.setdefault((chosen.model, chosen.target, finding.verdict.verdict, _verb(finding)), []).append(finding)
    same: dict[tuple[str, str, str, tuple[str, ...]], list[str]] = {}
    for (model, name, kind, verb), group in alike.items():
        tiers = tuple(dict.fromkeys(finding.chosen.tier for finding in group))
        same.setdefault((model, name, kind, tiers), []).append(verb)
    merged: dict[tuple[str, str, tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for (model, name, kind, tiers), verbs in same.items():
        merged.setdefault((name, kind, tiers, tuple(verbs)), []).append(model)
    size = _size(record, effects) if sized and len(merged) == 1 else ""
    clauses: list[str] = []
    for (name, kind, tiers, verbs), models in merged.items():
        who = "them" if clauses and len({(n, tuple(m)) for (n, *_), m in merged.items()}) == 1 else (
            _whose(record, models, name))  # fmt: skip
        clauses.append(f"{' or '.join(verbs)} {who} {VERBS[kind]} {_tasks(record, tiers)}{size}")
    return clauses


def _verb(finding: Finding) -> str:
    """`ablating`, `amplifying`, `steering`: without the kind of ablation and without the factor."""
    chosen = finding.chosen
    return "ablating" if chosen.ablation is not None else did(chosen.edit).partition(" (")[0]


def _whose(record: Record, models: Sequence[str], name: str) -> str:
    """`two selected heads of abacus-llama`, `the induction heads of both models`.

    Heads are called what the detector seeks only where every effect here allows it and no ablation disagrees.
    """
    here = [f for f in record.findings if f.chosen.model in models and f.chosen.target == name]
    effects = [f for f in here if f.verdict.verdict in VERBS]
    named = bool(effects) and all(f.licensed or f.primary is None for f in effects) and any(f.licensed for f in effects)
    licensed = named and not any(finding.dependent for finding in record.findings)
    what = brief_target(record.manifest, models[0], name, licensed=licensed, several=len(models) > 1)
    if len(models) == 1:
        return f"{what} of {model_name(models[0])}"
    total = len(record.manifest.study.models)
    many = ("both" if total == 2 else f"all {count(total)}") if len(models) == total else count(len(models))
    return f"{what} of {many} models"


def _tasks(record: Record, tiers: Sequence[str]) -> str:
    """Tasks by kind where every tier of the kind is meant (`sums and differences`), else by name."""
    study = record.manifest.study
    asked = {finding.chosen.tier for finding in own(record)}
    said: list[str] = []
    for tier in tiers:
        kind = kind_of_task(study.tasks[tier])
        alike = {each for each in asked if kind_of_task(study.tasks[each]) == kind}
        said.append(kind if alike <= set(tiers) else tier_name(study, tier))
    return listed(list(dict.fromkeys(said)))


def _size(record: Record, effects: Sequence[Finding]) -> str:
    """` (−43.2 points)` or ` (−18.1 to −92.9 points)`; empty where a size may not be claimed."""
    unit = unit_of(record.manifest.study)
    if any(f.verdict.verdict == "Mixed" or "magnitude_unstable" in f.verdict.tags for f in effects):
        return ""
    sizes = sorted((f.verdict.delta for f in effects if f.verdict.delta is not None), key=abs)
    ends = list(dict.fromkeys(unit.said(size) for size in (sizes[:1] + sizes[-1:])))
    return f" ({' to '.join(ends)} {unit.name})" if ends else ""


def beyond(record: Record, effects: Sequence[Finding]) -> str:
    """Whether random sets do as much, as a clause; empty where none were measured."""
    ranks = [finding.rank for finding in effects if finding.rank is not None and finding.rank.status != "not asked"]
    what = random_words(record)
    evaluable = [rank for rank in ranks if rank.status in ("specific", "not specific")]
    if not ranks:
        return ""
    if not evaluable:
        return f"too few {what} to compare"
    yes = sum(rank.status == "specific" for rank in evaluable)
    if yes == len(effects):
        return f"{what} do less"
    if yes:
        return f"{what} do less in {_of_asked(yes, len(ranks))}"
    if all(rank.rank > 1 for rank in evaluable):
        return f"some {what} do as much"
    return f"{what} are not shown to do less"


def _of_asked(yes: int, asked: int) -> str:
    """`the one test that asked`, `two of the three tests that asked`; what is not asked tells nothing."""
    many = "the one test that asked" if asked == 1 else f"the {count(asked)} tests that asked"
    return many if yes == asked else f"{count(yes)} of {many}"


def _dissociated(record: Record) -> str:
    """What came of the study's double dissociations, as a clause; empty where none was asked."""
    found = [each.found.verdict for each in shown(record.manifest)]
    if "Double dissociation" in found:
        many = found.count("Double dissociation")
        return "a double dissociation holds" if many == 1 else f"{count(many)} double dissociations hold"
    if found and set(found) == {"No double dissociation"}:
        return "no double dissociation"
    return "a double dissociation stays undecided" if found else ""


def _apart(record: Record, findings: Sequence[Finding], *, brief: bool = False) -> str:
    """Which ablations disagree; empty where all agree."""
    dependent = [finding for finding in findings if finding.dependent]
    ablated = [finding for finding in findings if finding.primary is not None]
    if not dependent:
        return ""
    if len(dependent) == len(ablated):
        return "ablations disagree"
    if len(dependent) == 1 and not brief:
        return f"ablations disagree on {tier_name(record.manifest.study, dependent[0].chosen.tier)}"
    return f"ablations disagree in {len(dependent)} of {len(ablated)} tests"


def _specific(effects: Sequence[Finding]) -> str:
    """Whether one effect is specific, in words."""
    ranks = [finding.rank for finding in effects if finding.rank is not None]
    if not ranks or ranks[0].status == "not evaluable":
        return "specificity is not evaluable" if ranks else ""
    return ranks[0].status


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
            clauses.append(
                f"{words} for {listed([f'{labelled(f.chosen)} on {tier_name(study, f.chosen.tier)}' for f in here])}"
            )
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
