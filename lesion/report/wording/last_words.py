"""The three lines that end a run in the terminal: what was found, how sure it is, what to open next."""

from lesion.report.findings import Finding
from lesion.report.record import Record, own
from lesion.report.wording.evidence.ranks import against
from lesion.report.wording.headline import headline
from lesion.report.wording.words import labelled, tier_name


def last_words(record: Record, report: str) -> tuple[tuple[str, str], ...]:
    """What a person can act on: (label, sentence), three of them.

    Args:
        record: the run.
        report: where its page is.
    """
    return ("Found", headline(record)), ("How sure", how_sure(record)), ("Open", report)


def how_sure(record: Record, *, says_status: bool = True) -> str:
    """Status, how specific the effects are, whether ablations agree, and number of answers; a short sentence each.

    Args:
        record: the run.
        says_status: whether to begin with the status; not where it stands above the sentence.
    """
    manifest = record.manifest
    if manifest.status == "dry-run":
        return "not at all: a dry run tests the machinery, and its numbers mean nothing."
    status = (
        "registered before its data"
        if manifest.status == "confirmatory"
        else "exploratory (not registered before its data)"
        if manifest.registration is None
        else "exploratory (departs from its registration)"
    )
    status = status if says_status else ""
    findings = own(record)
    if manifest.outcome == "stopped" or not findings:
        return _sentences(status, "nothing was confirmed")
    return _sentences(status, *_specific(record, findings), _apart(findings), _numbers(record, findings))


def _sentences(*parts: str) -> str:
    """All but the first, which follows a colon, begin with a capital."""
    first, *others = (part for part in parts if part)
    return " ".join(f"{part}." for part in (first, *(f"{part[0].upper()}{part[1:]}" for part in others)))


def _numbers(record: Record, findings: tuple[Finding, ...]) -> str:
    """Answers of the smallest and the largest cell, and over how many cells intervals are corrected."""
    counts = [finding.verdict.n for finding in findings]
    answers = f"{min(counts):,}" if min(counts) == max(counts) else f"{min(counts):,} to {max(counts):,}"
    tests = len(record.manifest.plan.family)
    return f"{answers} answers a test" + (f", corrected for {tests} tests" if tests > 1 else "")


def _specific(record: Record, findings: tuple[Finding, ...]) -> tuple[str, ...]:
    """How many effects exceed what matched sets do, and what the strongest set does where the target is weakest."""
    claims = record.manifest.study.claims
    effects = [finding for finding in findings if finding.verdict.verdict in ("Improvement", "Harm")]
    asked = [f for f in effects if f.rank is not None and f.rank.status in ("specific", "not specific")]
    if not effects or claims is None:
        return ()
    if not claims.sets:
        return ("no random sets were measured, so other parts may do as much",)
    if not asked:
        return ("whether random sets do as much could not be evaluated",)
    yes = sum(f.rank is not None and f.rank.status == "specific" for f in asked)
    weakest = max(asked, key=lambda f: f.rank.p if f.rank is not None else 0.0)
    said = against(record, weakest)
    if len(effects) == 1:
        return (f"the effect is {'' if yes else 'not '}specific: {said}",)
    where = f"{labelled(weakest.chosen)} on {tier_name(record.manifest.study, weakest.chosen.tier)}"
    return f"{yes} of {len(effects)} effects are specific", f"for the least specific ({where}), {said}"


def _apart(findings: tuple[Finding, ...]) -> str:
    """Where ablations disagree."""
    apart = sum(finding.dependent for finding in findings)
    return f"ablations disagree in {apart} of {len(findings)} tests" if apart else ""
