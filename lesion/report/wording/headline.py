"""What was found in one sentence that can be read at a glance, and the whole of it in as many as that takes.

The sentence is the fullest of several that keeps to `MOST_WORDS`. Of a study of format 2 (`headline_answer`): with
sizes, without them, the first effect alone, counts. Of format 1: every cell by name, then tiers without their kinds of
questions, then counts of models, then the commonest effect without sizes, then counts of cells. None claims more than
the rule allows: heads are called what the detector seeks only where every cell that is told of licenses it; a size is
told only where it may be claimed.
"""

from collections.abc import Iterator, Sequence

from lesion.report.findings import Finding
from lesion.report.record import Record, detector_of
from lesion.report.wording.claims import MARKS, random_delta
from lesion.report.wording.headline_answer import answers, long_form
from lesion.report.wording.words import (
    MEANINGS,
    action,
    count,
    kind_words,
    listed,
    model_name,
    points,
    target_words,
    task_words,
)

MOST_WORDS = 25
"""Words of the sentence, at most, wherever one of its forms keeps to them."""
MOST_WORDS_1 = 45
"""The same of a run of format 1, whose forms are longer."""
_VERBS = {"Improvement": "improves", "Harm": "harms", "Mixed": "splits"}


def headline(record: Record) -> str:
    """The verdict in one plain sentence; says first what a reader must not overlook (status, a stop)."""
    mark = MARKS[record.manifest.status]
    sentence, most = "", MOST_WORDS if record.manifest.study.claims is not None else MOST_WORDS_1
    for body in _bodies(record):
        sentence = f"{mark}{body}." if mark else f"{body[0].upper()}{body[1:]}."
        if len(sentence.split()) <= most:
            break
    return sentence


def in_full(record: Record) -> list[str]:
    """Everything that the run found, a sentence each; empty where the headline says it all."""
    if not record.findings:
        return []
    if record.manifest.study.claims is not None:
        return long_form(record)
    clauses = [*_effects(record, brief=False), *_rest(record)]
    whole = "; ".join(clauses)
    return [] if whole.lower() in headline(record).lower() else [f"{text[0].upper()}{text[1:]}." for text in clauses]


def _bodies(record: Record) -> Iterator[str]:
    """The sentence from the fullest form to the shortest, without its mark."""
    if record.manifest.outcome == "stopped":
        yield from _stopped(record)
    elif not record.findings:
        yield "no verdict, because no confirmation was reached"
    else:
        yield from _found(record)


def _found(record: Record) -> Iterator[str]:
    if record.manifest.study.claims is not None:
        yield from answers(record)
        return
    none = "no effect was shown"
    yield "; ".join([*(_effects(record, brief=False) or [none]), *_rest(record)])
    yield "; ".join([*(_effects(record, brief=False) or [none]), *_tally(record)])
    yield "; ".join([*(_effects(record, brief=True) or [none]), *_tally(record)])
    for brief in (False, True):
        yield "; ".join([*(_over_models(record, brief=brief) or [none]), *_tally(record)])
    for brief in (False, True):
        yield "; ".join([*(_over_models(record, brief=brief)[:1] or [none]), _counted(record.findings)])
    yield "; ".join([*(_where(record) or [none]), _counted(record.findings)])
    yield _counted(record.findings)


def _stopped(record: Record) -> Iterator[str]:
    """The cause in short; the numbers behind it stand beside the sentence."""
    reason = record.manifest.ending.reason.partition(": ")[0].rstrip(".")
    if not record.findings:
        edited = record.items.height and (record.items["arm"] != "baseline").any()
        yield f"no verdict: {reason}" + ("" if edited else "; no intervention was run")
        return
    decided = [finding for finding in record.findings if finding.verdict.verdict != "Ambiguous"]
    total = len(record.manifest.plan.family)
    for clause in _found(record):
        yield f"the run stopped with {len(decided)} of {total} cells decided ({reason}); so far, {clause}"


def _of(findings: Sequence[Finding], kind: str) -> list[Finding]:
    return [finding for finding in findings if finding.verdict.verdict == kind]


def _effects(record: Record, *, brief: bool) -> list[str]:
    """One clause for each model with an effect."""
    clauses = [_model_effects(record, model, brief=brief) for model in record.manifest.study.models]
    return [clause for clause in clauses if clause]


def _model_effects(record: Record, model: str, *, brief: bool) -> str:
    """`zeroing the two induction heads L1H0 + L1H1 of abacus-llama harms tier2 (−10.3 points) and tier3 (…)`."""
    groups: dict[tuple[float, bool], list[Finding]] = {}
    for finding in record.findings:
        if finding.chosen.model == model and finding.verdict.verdict in _VERBS:
            groups.setdefault((finding.chosen.alpha, finding.licensed), []).append(finding)
    clauses: list[str] = []
    for (alpha, licensed), group in groups.items():
        same = licensed == next(iter(groups))[1]
        who = _called(record, model, licensed=licensed, again=bool(clauses), same=same)
        effects = [
            f"{_VERBS[kind]} {_places(record, alike, brief=brief)}" for kind in _VERBS if (alike := _of(group, kind))
        ]
        clauses.append(f"{action(alpha)} {who} {listed(effects)}")
    return "; ".join(clauses)


def _called(record: Record, model: str, *, licensed: bool, again: bool, same: bool) -> str:
    """The target in full at first; then `them`, unless what may be said of them differs."""
    if again and same:
        return "them"
    full = target_words(record.manifest, model, licensed=licensed)
    return full if again else f"{full} of {model_name(model)}"


def _places(record: Record, group: Sequence[Finding], *, brief: bool) -> str:
    tasks = record.manifest.study.tasks
    if brief:
        return listed([f"{f.chosen.tier} ({_size(record, f)})" for f in group])
    return listed([f"{task_words(tasks[f.chosen.tier])} ({f.chosen.tier}: {_size(record, f)})" for f in group])


def _size(record: Record, finding: Finding) -> str:
    """The effect's size as far as it may be claimed."""
    verdict = finding.verdict
    if verdict.verdict == "Mixed":
        return "some kinds of items gain, others lose"
    if "magnitude_unstable" in verdict.tags:
        return "its size is not shown to be the same over seeds"
    size = f"{points(verdict.delta)} points" + (" in bfloat16" if "bfloat16" in verdict.tags else "")
    control, margin = random_delta(finding), record.manifest.study.verdict.margin
    if control is not None and abs(control) >= margin:
        size += f", random ones {points(control)}"
    if "material" in verdict.tags:
        return size
    return f"{size}, not shown to exceed {100 * margin:g}"


def _over_models(record: Record, *, brief: bool) -> list[str]:
    """`zeroing the selected heads harms three of four models on tier3 (−85.1 to −40.2 points)`, and so on."""
    return [
        f"{action(alpha)} {_anyones(record, group)} {_VERBS[kind]} {_by_tier(record, group, brief=brief)}"
        for (alpha, kind), group in _by_effect(record)
    ]


def _where(record: Record) -> list[str]:
    """`zeroing the selected heads harms tier1 and tier2 of one-model and tier2 of another`: the commonest effect."""
    groups = _by_effect(record)
    if not groups:
        return []
    (alpha, kind), group = groups[0]
    models = dict.fromkeys(finding.chosen.model for finding in group)
    tiers = {model: listed([f.chosen.tier for f in group if f.chosen.model == model]) for model in models}
    places = listed([f"{there} of {model_name(model)}" for model, there in tiers.items()])
    return [f"{action(alpha)} {_anyones(record, group)} {_VERBS[kind]} {places}"]


def _by_effect(record: Record) -> list[tuple[tuple[float, str], list[Finding]]]:
    """Cells with an effect by factor and verdict, the largest group first."""
    groups: dict[tuple[float, str], list[Finding]] = {}
    for finding in record.findings:
        if finding.verdict.verdict in _VERBS:
            groups.setdefault((finding.chosen.alpha, finding.verdict.verdict), []).append(finding)
    return sorted(groups.items(), key=lambda pair: -len(pair[1]))


def _anyones(record: Record, group: Sequence[Finding]) -> str:
    """The targets of several models: `the induction heads` where every cell licenses it, else `the selected heads`."""
    (kind,) = record.manifest.study.sweep.kinds
    detector = detector_of(record.manifest)
    if detector is None:
        return f"the named {kind_words(kind)}"
    licensed = all(finding.licensed for finding in group)
    return f"the {detector.replace('_', '-') if licensed else 'selected'} {kind}s"


def _by_tier(record: Record, group: Sequence[Finding], *, brief: bool) -> str:
    tasks = record.manifest.study.tasks
    tiers = [tier for tier in tasks if any(f.chosen.tier == tier for f in group)]
    models = len(record.manifest.study.models)
    clauses: list[str] = []
    for tier in tiers:
        here = [finding for finding in group if finding.chosen.tier == tier]
        all_of_them = "both" if models == 2 else f"all {count(models)}"
        share = all_of_them if len(here) == models else f"{count(len(here))} of {count(models)}"
        whom = model_name(here[0].chosen.model) if len(here) == 1 else f"{share} models"
        who = f"{whom} on " if models > 1 else ""
        where = f"{tier} (" if brief else f"{task_words(tasks[tier])} ({tier}: "
        clauses.append(f"{who}{where}{_range(record, here)})")
    return listed(clauses)


def _range(record: Record, group: Sequence[Finding]) -> str:
    """Sizes of several effects from the smallest to the largest, as far as they may be claimed."""
    if len({_size(record, finding) for finding in group}) == 1:
        return _size(record, group[0])
    sized = [f for f in group if f.verdict.verdict != "Mixed" and "magnitude_unstable" not in f.verdict.tags]
    ends = sorted((f.verdict.delta for f in sized if f.verdict.delta is not None), key=abs)
    sizes = (
        [f"{points(ends[0])} to {points(ends[-1])} points"] if len(ends) > 1 else [f"{points(e)} points" for e in ends]
    )
    margin = record.manifest.study.verdict.margin
    moved = [control for f in sized if abs(control := random_delta(f) or 0.0) >= margin]
    sizes += [f"random ones up to {points(max(moved, key=abs))}"] if moved else []
    sizes += (
        [f"not all shown to exceed {100 * margin:g}"] if any("material" not in f.verdict.tags for f in sized) else []
    )
    sizes += ["some of a size not shown to be the same over seeds"] if len(sized) < len(group) else []
    return ", ".join(sizes)


def _rest(record: Record) -> list[str]:
    """Cells without an effect, by name."""
    margin = f"{100 * record.manifest.study.verdict.margin:g} points"
    rest = [
        ("Null", f"an effect of {margin} or more is ruled out for"),
        ("Inconclusive", "undecided remains"),
        ("Ambiguous", "undecided remains"),
        ("Invalid", "not to be trusted is"),
    ]
    return [f"{words} {_named(record, kind)}" for kind, words in rest if _of(record.findings, kind)]


def _tally(record: Record) -> list[str]:
    """The same as counts of cells."""
    margin, total = f"{100 * record.manifest.study.verdict.margin:g} points", len(record.findings)
    rest = [
        (("Null",), f"an effect of {margin} or more is ruled out in"),
        (("Inconclusive", "Ambiguous"), "undecided"),
        (("Invalid",), "not to be trusted"),
    ]
    numbers = [(words, sum(len(_of(record.findings, kind)) for kind in kinds)) for kinds, words in rest]
    return [f"{words} {number} of {total} cells" for words, number in numbers if number]


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


def _counted(findings: Sequence[Finding]) -> str:
    kinds = [f"{len(alike)} {kind}" for kind in MEANINGS if (alike := _of(findings, kind))]
    return f"of {len(findings)} cells, {listed(kinds)}"
