"""The words of a page that a newcomer does not know, each with its meaning; only those that this run's page may use."""

from collections.abc import Iterator

from lesion.report.record import Record
from lesion.report.wording.evidence.ranks import random_words
from lesion.report.wording.words import MEANINGS, unit_of
from lesion.study.arms.targets import DetectedHeads


def glossary(record: Record) -> list[tuple[str, str]]:
    """(word, meaning), in the order in which the page uses them."""
    return list(_words(record))


def _words(record: Record) -> Iterator[tuple[str, str]]:
    study = record.manifest.study
    yield "Exploratory, confirmatory", "confirmatory: registered before its data and run unchanged; else exploratory"
    detectors = {target.detector for target in study.sweep.named.values() if isinstance(target, DetectedHeads)}
    for detector in sorted(detectors):
        name = detector.replace("_", "-")
        yield (
            "Selected heads",
            f"the heads that the {name} detector picked, edited together. A sentence calls them {name} heads only where"
            " the effect is specific, the ablations agree and the positive control holds",
        )
    if study.sweep.edit.exchange is None:
        yield (
            "Zero-, mean-, resample-ablating",
            "replacing what the target writes: by zeros, by its mean over other items, by its value on another item",
        )
        yield "Ablations disagree", "these three do not give one verdict, so what the target does is not known"
    if study.claims is not None and study.claims.sets:
        yield (
            "Specific",
            f"the effect is larger than that of nearly all sets of as many {random_words(record)}; a p value tells how"
            " often chance alone gives such a rank. Not specific: other parts may do as much",
        )
    for name, meaning in MEANINGS.items():
        yield name, meaning
    yield (
        "Margin",
        f"the largest change that counts as none, here {unit_of(study).plain(study.verdict.margin)}"
        + (" of the headroom (the unedited model minus chance)" if study.headroom else f" {unit_of(study).name}"),
    )
    yield "Points", "percentage points of accuracy"
    yield "Nats", "unit of a log-probability: 0.69 nats less halve the probability"
    yield "Corrected for so many tests", "the intervals and p values allow for all tests of the study (Holm)"
    yield (
        "Gate",
        "a check between two stages, with a threshold fixed before the data. Ambiguous: it could not decide; the"
        " stage is done again, with more items where that helps",
    )
    yield "Discovery, confirmation", "discovery chooses what to test, and how many items; new items then confirm it"
    yield (
        "Positive control",
        "a task that the target is known to serve; if the edit does not harm it, nothing is claimed",
    )
    yield "Receipt", "proof that an edit acted: how often it ran, how much it changed"
