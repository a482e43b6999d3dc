"""Function-vector overlap: which of a target's detected heads are also function-vector heads.

Heads that attend like induction heads may carry tasks (Yin & Steinhardt 2025, arXiv:2502.14010), so a claim about
detected heads names this overlap, or says that it was not measured.
"""

from lesion.report.wording.words import count, listed
from lesion.runs.manifest.run import Manifest
from lesion.study.arms.targets import DetectedHeads, aim
from lesion.study.gates.evidence.model_answers import DetectorAnswer
from lesion.study.gates.gate_verdict import DetectionEvidence, last_evidence


def cell(manifest: Manifest, model: str, name: str) -> str:
    """For a table: `none`, `L18H6, L17H3`, `not measured`; a dash where no detector picked heads."""
    target, seen = manifest.study.sweep.named[name], last_evidence(manifest.gates, "detect", DetectionEvidence)
    if not isinstance(target, DetectedHeads) or seen is None:
        return "–"
    if target.detector == "function_vector":
        return "all"
    answer = seen.answers.get(aim(model, name))
    if not isinstance(answer, DetectorAnswer) or answer.function_vectors is None:
        return "not measured"
    return ", ".join(answer.function_vectors.shared(seen.picked[aim(model, name)])) or "none"


def sentence(manifest: Manifest, model: str, name: str) -> str:
    """The same after a claim, with a space before it; empty where no detector picked heads."""
    told = cell(manifest, model, name)
    if told in ("–", "all"):
        return ""
    if told == "not measured":
        return " Function-vector overlap: not measured."
    many = len(manifest.plan.targets.get(aim(model, name), ()))
    shared = told.split(", ")
    return (
        f" Function-vector overlap: {listed(shared)} of the {count(many)} heads {'is' if len(shared) == 1 else 'are'}"
        f" among the ten with the largest function-vector effects{_left_out(manifest, model, name)}."
    )


def _left_out(manifest: Manifest, model: str, name: str) -> str:
    seen = last_evidence(manifest.gates, "detect", DetectionEvidence)
    sites = seen.excluded.get(aim(model, name), ()) if seen is not None else ()
    return f"; the study leaves out {listed(sites)}, which {'is' if len(sites) == 1 else 'are'}" if sites else ""
