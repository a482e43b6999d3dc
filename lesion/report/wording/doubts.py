"""Where a run could be wrong: what is true of this run alone, in short sentences for the head of its page.

What holds for every run of its kind stands in `caveats.limits`, and each cell's questions in `caveats.open_questions`.
"""

from collections.abc import Callable, Iterator, Sequence

from lesion.report.findings import Finding
from lesion.report.record import Record
from lesion.report.wording.caveats import as_strong_alone, control_questions, examples_words
from lesion.report.wording.checks import LOUD, failed_checks
from lesion.report.wording.evidence.ranks import random_words
from lesion.report.wording.words import count, labelled, listed, model_name, points, tier_name

MOST_TOLD = 10
"""Sentences, at most; what comes after them stands with the open questions."""


def doubts(record: Record) -> list[str]:
    """The sentences, the gravest first; at most `MOST_TOLD`."""
    manifest = record.manifest
    told = [f"The {gate.stage} gate failed: {gate.reason.rstrip('.')}." for gate in manifest.gates
            if gate.outcome == "Fail"]  # fmt: skip
    told += manifest.deviations
    told += control_questions(record)
    told += _of_cells(record)
    told += _of_checks(record)
    if manifest.code.commit is None:
        told.append("The code ran outside a git checkout.")
    elif manifest.code.dirty:
        told.append("The source differed from its commit; the manifest holds the difference.")
    told.append(_reach(record))
    return list(dict.fromkeys(told))[:MOST_TOLD]


def _places(record: Record, findings: Sequence[Finding]) -> str:
    """`resample-ablating on sums up to 99 and repeated symbol patterns`."""
    study, by_edit = record.manifest.study, dict[str, list[str]]()
    for finding in findings:
        whose = f" ({model_name(finding.chosen.model)})" if len(study.subjects) > 1 else ""
        by_edit.setdefault(labelled(finding.chosen), []).append(f"{tier_name(study, finding.chosen.tier)}{whose}")
    return "; ".join(f"{edit} on {listed(places)}" for edit, places in by_edit.items())


def _of_cells(record: Record) -> Iterator[str]:
    """What cells leave open, alike cells in one sentence."""
    for holds, said in _KINDS:
        if here := [finding for finding in record.findings if holds(finding)]:
            yield f"{said}: {_places(record, here)}."
    for finding in record.findings:
        if record.manifest.study.claims is not None and (alone := as_strong_alone(record, finding)):
            heads = listed([f"{name} ({points(delta)} points)" for name, delta in alone[:3]])
            yield (
                "Single heads that change accuracy as much as the whole target, on discovery items: "
                f"{heads}; {_places(record, [finding])}."
            )


def _tagged(tag: str) -> Callable[[Finding], bool]:
    return lambda finding: tag in finding.verdict.tags


def _verdict(name: str) -> Callable[[Finding], bool]:
    return lambda finding: finding.verdict.verdict == name


def _unranked(finding: Finding) -> bool:
    return finding.rank is not None and finding.rank.status == "not evaluable"


_KINDS: tuple[tuple[Callable[[Finding], bool], str], ...] = (
    (_verdict("Invalid"), "The measurement cannot be trusted"),
    (
        lambda finding: finding.dependent,
        "Ablations disagree, so nothing is said about the target's function",
    ),
    (_verdict("Mixed"), "Some kinds of items gain and others lose"),
    (_verdict("Inconclusive"), "Neither an effect nor its absence could be shown"),
    (_verdict("Ambiguous"), "Not decided before the run ended"),
    (_unranked, "Too few random sets to say whether the effect is the target's own"),
    (_tagged("magnitude_unstable"), "The size is not shown to be the same in every seed"),
    (_tagged("floor"), "The unedited model is at chance, so neither Harm nor Null can be shown"),
    (_tagged("few_clusters"), "Too few example sets or templates to speak of others"),
    (_tagged("format_effect"), "The edit changed how answers are written"),
    (_tagged("zero_only"), "Only zeroing shows the effect"),
)


def _of_checks(record: Record) -> Iterator[str]:
    """Checks that failed without stopping the run, by kind."""
    for name, failed, tried in failed_checks(record.manifest):
        if name == LOUD:
            yield (
                f"{failed} of {tried} edits of {random_words(record)} moved accuracy by the margin or more on"
                " discovery items."
            )


def _reach(record: Record) -> str:
    """Which models and examples the findings hold for."""
    study = record.manifest.study
    names = [model_name(model) for model in study.subjects]
    models = f"{count(len(names))} model{'s' if len(names) > 1 else ''}"
    return f"{models[0].upper()}{models[1:]} examined ({listed(names)}); {examples_words(record)}."
