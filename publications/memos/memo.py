"""The decision memo of a phase: exit criteria, the evidence for each, and a decision that follows from them alone.

A criterion whose evidence was not gathered is not met: the memo can only say Ready when everything was seen to hold.
"""

from collections.abc import Sequence
from typing import NamedTuple

from lesion.identity import Document
from lesion.report.markdown import escape


class PhaseZeroFacts(Document):
    """What the caller gathered about the project at one commit; nothing (null) where it was not looked at."""

    date: str
    """UTC day, ISO 8601."""
    commit: str | None
    """Git commit, 40 hexadecimal digits."""
    dirty: bool
    """Whether tracked files differed from the commit."""
    tests_passed: int | None = None
    """Tests that passed."""
    tests_failed: int | None = None
    """Tests that failed or could not run."""
    tests_skipped: int | None = None
    """Tests that were skipped, each with a reason."""
    checks_passed: bool | None = None
    """Whether formatter, linter and type checker found nothing."""
    dry_run_outcome: str | None = None
    """Outcome of `main.py --dry-run`: `complete`, `stopped`, or the error."""
    dry_run: str | None = None
    """Name of its run folder."""
    identities_held: int | None = None
    """Identities on the loaded weights that hold, over all models tried."""
    identities_tried: int | None = None
    """Identities tried."""
    models_proved: tuple[str, ...] = ()
    """Names of the models tried."""
    placebo_bit_equal: bool | None = None
    """Whether scaling by 1 gave bit-equal logits everywhere."""
    replay_of: str | None = None
    """Name of the run that was replayed."""
    replay_match: str | None = None
    """How the replay compared: `bit-equal`, `noise-floor`, `verdict-equal` or `different`."""


class Criterion(NamedTuple):
    """One exit criterion, what was seen, and whether it is met."""

    name: str
    evidence: str
    met: bool


def phase0_criteria(facts: PhaseZeroFacts) -> tuple[Criterion, ...]:
    """The exit criteria of phase 0 against the facts."""
    return (
        Criterion("The code is a committed, clean state", _state(facts), facts.commit is not None and not facts.dirty),
        Criterion(
            "Every test passes",
            _tests(facts),
            bool(facts.tests_passed) and facts.tests_failed == 0,
        ),
        Criterion(
            "Formatter, linter and type checker find nothing", _said(facts.checks_passed), facts.checks_passed is True
        ),
        Criterion(
            "The dry run walks the whole line",
            f"{facts.dry_run_outcome} ({facts.dry_run or 'no folder'})" if facts.dry_run_outcome else _NOT_LOOKED,
            facts.dry_run_outcome == "complete",
        ),
        Criterion(
            "The identities hold on the loaded weights",
            _identities(facts),
            bool(facts.identities_tried) and facts.identities_held == facts.identities_tried,
        ),
        Criterion("Scaling by 1 changes no bit", _said(facts.placebo_bit_equal), facts.placebo_bit_equal is True),
        Criterion(
            "A run replays from its manifest alone",
            f"{facts.replay_match} ({facts.replay_of or 'unnamed run'})" if facts.replay_match else _NOT_LOOKED,
            facts.replay_match in ("bit-equal", "noise-floor"),
        ),
    )


def phase0_memo(facts: PhaseZeroFacts) -> str:
    """The memo as Markdown: decision first, then the criteria with their evidence."""
    how = (
        "make test\npython main.py --dry-run\nlesion replay runs/RUN/manifest.json\npython -m publications.memos phase0"
    )
    return decision_memo(
        "phase 0, foundations", "the diagnostic tooling", _stamp(facts.date, facts.commit, facts.dirty),
        phase0_criteria(facts), how,
    )  # fmt: skip


def _stamp(date: str, commit: str | None, dirty: bool) -> str:
    return f"{date}, commit `{commit or 'none'}`{' with uncommitted changes' if dirty else ''}"


def decision_memo(
    title: str, purpose: str, stamp: str, criteria: Sequence[Criterion], how: str, more: Sequence[str] = ()
) -> str:
    """A memo as Markdown: decision, criteria with their evidence, what is missing, how to check; `more` stands last."""
    missing = [criterion for criterion in criteria if not criterion.met]
    decision = f"**Not ready** for {purpose}." if missing else f"**Ready** for {purpose}."
    count = f"{len(criteria) - len(missing)} of {len(criteria)} exit criteria are met"
    rows = [f"| {c.name} | {escape(c.evidence)} | {'met' if c.met else '**not met**'} |" for c in criteria]
    why = [
        "Not met:\n",
        *(f"- {criterion.name}: {escape(criterion.evidence)}" for criterion in missing),
        "\nUntil then, results of later phases stand on an instrument that was not shown to be sound.",
    ]
    blocks = [
        f"# Decision memo: {title}",
        stamp,
        f"## Decision\n\n{decision} {count}; the decision follows from the table and from nothing else.",
        "## Exit criteria\n\n| criterion | evidence | outcome |\n| --- | --- | --- |\n" + "\n".join(rows),
        *(["## What is missing\n\n" + "\n".join(why)] if missing else []),
        f"## How to check\n\n```\n{how}\n```",
        *more,
    ]
    return "\n\n".join(blocks) + "\n"


class Audited(Document):
    """One check of an audit."""

    name: str
    """What must hold."""
    command: str
    """The command that showed it."""
    result: str | None = None
    """What came out, in words; null where it was not looked at."""
    met: bool = False
    """Whether it holds."""


class PhaseOneFacts(Document):
    """What the first audit gathered about the diagnostics at one commit."""

    date: str
    """UTC day, ISO 8601."""
    commit: str | None
    """Git commit, 40 hexadecimal digits."""
    dirty: bool
    """Whether tracked files differed from the commit."""
    checks: tuple[Audited, ...]
    """The checks, in the order in which they were made."""
    limits: tuple[str, ...] = ()
    """What the diagnostics were not tried on, so that an expensive run of it is not ready."""


def phase1_criteria(facts: PhaseOneFacts) -> tuple[Criterion, ...]:
    """The audit's criteria: a committed, clean state and every check."""
    state = Criterion(
        "The code is a committed, clean state",
        _committed(facts.commit, facts.dirty),
        facts.commit is not None and not facts.dirty,
    )
    made = [Criterion(c.name, c.result or _NOT_LOOKED, c.met and c.result is not None) for c in facts.checks]
    return (state, *(made or [Criterion("The diagnostics were checked", _NOT_LOOKED, met=False)]))


def phase1_memo(facts: PhaseOneFacts) -> str:
    """The memo of the first audit checkpoint: decision, criteria, limits, and the review record."""
    stamp = _stamp(facts.date, facts.commit, facts.dirty)
    record = [f"| {c.name} | `{c.command}` | {escape(c.result or _NOT_LOOKED)} |" for c in facts.checks]
    limits = "\n".join(f"- {escape(limit)}" for limit in facts.limits) or "- nothing is known"
    review = "| check | command | result |\n| --- | --- | --- |\n" + "\n".join(record)
    return decision_memo(
        "phase 1, diagnostic tooling (first audit checkpoint)",
        "core experiments",
        stamp,
        phase1_criteria(facts),
        "\n".join(dict.fromkeys([*(c.command for c in facts.checks), "python -m publications.memos phase1"])),
        [f"## Not ready for expensive runs\n\n{limits}", f"## Review record\n\n{stamp}\n\n{review}"],
    )


_NOT_LOOKED = "not looked at"


def _state(facts: PhaseZeroFacts) -> str:
    return _committed(facts.commit, facts.dirty)


def _committed(commit: str | None, dirty: bool) -> str:
    if commit is None:
        return "no commit"
    return f"commit {commit[:12]}{', with uncommitted changes' if dirty else ', clean'}"


def _tests(facts: PhaseZeroFacts) -> str:
    if facts.tests_passed is None or facts.tests_failed is None:
        return _NOT_LOOKED
    return f"{facts.tests_passed} passed, {facts.tests_failed} failed, {facts.tests_skipped or 0} skipped"


def _identities(facts: PhaseZeroFacts) -> str:
    if facts.identities_tried is None:
        return _NOT_LOOKED
    return (
        f"{facts.identities_held} of {facts.identities_tried} hold, on {', '.join(facts.models_proved) or 'no model'}"
    )


def _said(answer: bool | None) -> str:
    return _NOT_LOOKED if answer is None else ("yes" if answer else "no")
