"""The three lines that end a run in the terminal: what was found, how sure it is, what to open next."""

from lesion.report.record import Finding, Record, own
from lesion.report.wording.evidence.ranks import among
from lesion.report.wording.headline import headline
from lesion.report.wording.words import p_value


def last_words(record: Record, report: str) -> tuple[tuple[str, str], ...]:
    """What a person can act on: (label, sentence), three of them.

    Args:
        record: the run.
        report: where its page is.
    """
    return ("Found", headline(record)), ("How sure", how_sure(record)), ("Open", report)


def how_sure(record: Record) -> str:
    """Status, number of answers, how specific the effects are, and whether ablations agree; in one sentence."""
    manifest = record.manifest
    if manifest.status == "dry-run":
        return "not at all: a dry run tests the machinery, and its numbers mean nothing."
    status = (
        "registered before its data"
        if manifest.status == "confirmatory"
        else "exploratory, for it was not registered before its data"
        if manifest.registration is None
        else "exploratory, for it departs from its registration"
    )
    findings = own(record)
    if manifest.outcome == "stopped" or not findings:
        return f"{status}; nothing was confirmed."
    parts = status, _numbers(record, findings), _specific(record, findings), _apart(findings)
    return "; ".join(part for part in parts if part) + "."


def _numbers(record: Record, findings: tuple[Finding, ...]) -> str:
    """Answers of the smallest and the largest cell, and over how many cells intervals are corrected."""
    counts = [finding.verdict.n for finding in findings]
    answers = f"{min(counts):,}" if min(counts) == max(counts) else f"{min(counts):,} to {max(counts):,}"
    return f"{answers} answers a cell, intervals corrected over {len(record.manifest.plan.family)} cells"


def _specific(record: Record, findings: tuple[Finding, ...]) -> str:
    """How many effects are shown to exceed what matched sets do; empty where nothing was asked."""
    claims = record.manifest.study.claims
    effects = [finding for finding in findings if finding.verdict.verdict in ("Improvement", "Harm")]
    ranks = [finding.rank for finding in effects if finding.rank is not None and finding.rank.status != "not asked"]
    if not effects or claims is None or not claims.sets:
        return ""
    if not ranks or all(rank.status == "not evaluable" for rank in ranks):
        return "whether matched sets do as much could not be evaluated"
    yes = [rank for rank in ranks if rank.status == "specific"]
    if not yes:
        return f"not shown to do more than {among(record, ranks[0])}"
    worst = max(yes, key=lambda rank: rank.p_holm)
    many = f"{len(yes)} of {len(effects)} effects" if len(effects) > 1 else "the effect"
    one = "" if len(effects) > 1 else "s"
    return f"{many} exceed{one} nearly all of {worst.sets} sets of {among(record, worst)} (p {p_value(worst.p_holm)})"


def _apart(findings: tuple[Finding, ...]) -> str:
    """Where ablations disagree."""
    apart = sum(finding.dependent for finding in findings)
    return f"ablations disagree in {apart}" if apart else ""
