"""Zero, mean and resample ablation side by side: what each says, and whether they say the same."""

from lesion.report.findings import Finding
from lesion.report.wording.words import Unit, listed
from lesion.stats.verdict.ablation_agreement import ABLATIONS, agreement
from lesion.stats.verdict.cell_verdict import CellVerdict


def differing(finding: Finding) -> dict[str, str]:
    """The ablations that do not give the primary one's verdict -> why; empty where they agree or are not asked."""
    if finding.primary is None or finding.primary not in finding.ablations:
        return {}
    agreed = agreement(finding.ablations, finding.primary)
    return {name: agreed.reasons[name] for name in agreed.differing}


def cell_words(finding: Finding, name: str, unit: Unit) -> str:
    """One ablation in a table: `−64.2 (−65.2 to −63.2) Harm`; a dash where it was not run."""
    verdict = finding.ablations.get(name)
    if verdict is None:
        return "–" if finding.primary is None else "not run"
    if verdict.delta is None:
        return f"not judged: {verdict.reason}"
    return f"{unit.said(verdict.delta)} ({unit.span(verdict.ci_low, verdict.ci_high)}) {verdict.verdict}"


def changes_words(finding: Finding, name: str, unit: Unit) -> str:
    """The same as a bare change: `−64.2`, with the verdict where it is another than the cell's."""
    verdict = finding.ablations.get(name)
    if verdict is None:
        return "–"
    if verdict.delta is None:
        return "not judged"
    other = "" if verdict.verdict == finding.verdict.verdict else f" {verdict.verdict}"
    return f"{unit.said(verdict.delta)}{other}"


def beside(finding: Finding, unit: Unit) -> str:
    """What the other ablations say, as a sentence with a space before it; empty where a factor scales the target."""
    if finding.primary is None:
        return ""
    others = [name for name in ABLATIONS if name != finding.primary]
    others_words = listed([f"{name} {_short(finding.ablations.get(name), unit)}" for name in others])
    if finding.dependent:
        return f" The other ablations disagree: {others_words}. So nothing is said about what the target does."
    return f" The other ablations agree: {others_words}."


def disagreement(finding: Finding, unit: Unit) -> str:
    """`the other ablations disagree: zero −64.2, mean −2.7`, for a headline."""
    changes = [f"{name} {unit.said(_delta(finding.ablations.get(name)))}" for name in differing(finding)]
    return f"the other ablations disagree: {', '.join(changes)}" if changes else "the other ablations disagree"


def _delta(verdict: CellVerdict | None) -> float | None:
    return None if verdict is None else verdict.delta


def _short(verdict: CellVerdict | None, unit: Unit) -> str:
    if verdict is None:
        return "was not run"
    if verdict.delta is None:
        return f"could not be judged ({verdict.reason})"
    return f"{unit.said(verdict.delta)} {unit.name} ({verdict.verdict}, n = {verdict.n:,})"
