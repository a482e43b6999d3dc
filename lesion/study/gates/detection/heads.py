"""Which heads a detector finds, which of them the study leaves out, and whether that is a valid detection. Pure."""

from lesion.study.arms.targets import DetectedHeads
from lesion.study.gates.checks import Check, detector
from lesion.study.gates.evidence.model_answers import DetectorAnswer, FunctionVectors

EXCLUDED = 0.3
"""Score of an attention pattern, in either set of sequences, from which on `exclude` leaves a head out: the threshold
of `lesion heads`."""


def passing(target: DetectedHeads, answer: DetectorAnswer) -> tuple[str, ...]:
    """Heads that the detector finds, the highest score first, before any is left out."""
    if target.threshold is not None and target.detector != "function_vector":
        return tuple(site for least, site in answer.ranked() if least >= target.threshold)
    vectors = answer.function_vectors
    if vectors is None:
        return ()
    return tuple(head.site for head in vectors.heads if head.low > floor(target, vectors))


def floor(target: DetectedHeads, vectors: FunctionVectors) -> float:
    """What the lower end of a function-vector head's interval must exceed: the study's number, or every control."""
    return max(0.0, vectors.control) if target.threshold is None else target.threshold


def left_out(target: DetectedHeads, answer: DetectorAnswer) -> tuple[str, ...]:
    """Heads that the detector finds and the study leaves out, since another detector finds them, too."""
    if target.exclude == "function_vector":
        others = set(answer.function_vectors.top) if answer.function_vectors is not None else set[str]()
    elif answer.excluded is not None:
        tables = (answer.excluded.scores, answer.excluded.again)
        others = {
            f"L{layer}H{head}"
            for table in tables
            for layer, row in enumerate(table)
            for head, score in enumerate(row)
            if score >= EXCLUDED
        }
    else:
        return ()
    return tuple(site for site in passing(target, answer) if site in others)


def validity(about: str, target: DetectedHeads, answer: DetectorAnswer) -> Check:
    """Detector validity: a head passes, and is not left out.

    An attention pattern must pass on two independent sets of sequences; Ambiguous where every head passes only one. A
    function vector must have an interval over word maps above the floor.
    """
    found = passing(target, answer)
    if target.detector == "function_vector":
        check = _vector_validity(about, target, answer)
    else:
        check = detector(about, answer.scores, answer.again, target.threshold or 1.0)
    if found and len(left_out(target, answer)) == len(found):
        said = f"every head that {target.detector} finds is one that `exclude: {target.exclude}` leaves out"
        return Check(check.name, about, "Fail", said, True)
    return check


def _vector_validity(about: str, target: DetectedHeads, answer: DetectorAnswer) -> Check:
    vectors = answer.function_vectors
    if vectors is None or not vectors.heads:
        return Check("detector validity", about, "Fail", "function vectors were not measured", True)
    best = max(vectors.heads, key=lambda head: head.low)
    said = (
        f"the highest lower end of a 95 % interval is {best.low:.3f} ({best.site}, effect {best.effect:+.3f}; it must"
        f" exceed {floor(target, vectors):.3f}; largest control {vectors.control:.3f})"
    )
    return Check("detector validity", about, "Pass" if passing(target, answer) else "Fail", said, True)
