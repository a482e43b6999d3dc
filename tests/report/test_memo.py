"""The memo decides by its facts alone, and can say Not ready."""

import pytest

from publications.memos.memo import (
    Audited,
    PhaseOneFacts,
    PhaseZeroFacts,
    phase0_criteria,
    phase0_memo,
    phase1_criteria,
    phase1_memo,
)

GOOD = PhaseZeroFacts(
    date="2026-11-22", commit=40 * "a", dirty=False, tests_passed=512, tests_failed=0, tests_skipped=3,
    checks_passed=True, dry_run_outcome="complete", dry_run="20261122_1630_dry-run_abcdef0", identities_held=9,
    identities_tried=9, models_proved=("zoo:abacus-llama",), placebo_bit_equal=True,
    replay_of="20261122_1630_arithmetic_7f3a9c2", replay_match="bit-equal",
)  # fmt: skip


def test_ready_when_every_criterion_is_met():
    text = phase0_memo(GOOD)
    assert "**Ready**" in text
    assert "Not ready" not in text
    assert "512 passed, 0 failed, 3 skipped" in text


@pytest.mark.parametrize(
    "change",
    [
        {"commit": None}, {"dirty": True}, {"tests_failed": 1}, {"tests_passed": 0}, {"tests_passed": None},
        {"checks_passed": False}, {"checks_passed": None}, {"dry_run_outcome": "stopped"}, {"dry_run_outcome": None},
        {"identities_held": 8}, {"identities_tried": 0, "identities_held": 0}, {"identities_tried": None},
        {"placebo_bit_equal": False}, {"replay_match": "different"}, {"replay_match": None},
        {"replay_match": "verdict-equal"},
    ],
)  # fmt: skip
def test_any_one_criterion_unmet_or_unseen_means_not_ready(change):
    facts = GOOD.model_copy(update=change)
    text = phase0_memo(facts)
    assert "**Not ready**" in text
    assert "**Ready**" not in text
    assert [c.met for c in phase0_criteria(facts)].count(False) == 1
    assert "## What is missing" in text


def test_facts_that_nobody_gathered_are_told_as_such():
    text = phase0_memo(PhaseZeroFacts(date="2026-11-22", commit=None, dirty=False))
    assert text.count("not looked at") > 5


AUDIT = PhaseOneFacts(
    date="2026-11-23",
    commit=40 * "b",
    dirty=False,
    checks=(
        Audited(name="The instrument holds", command="lesion doctor M --full", result="31 of 31 hold", met=True),
        Audited(name="The same twice", command="lesion measure M", result="identical", met=True),
    ),
    limits=("nothing was run on an accelerator",),
)


def test_the_audit_tells_check_command_result_limits_commit_and_date():
    text = phase1_memo(AUDIT)
    assert "**Ready** for core experiments" in text
    for told in (
        "31 of 31 hold",
        "`lesion doctor M --full`",
        40 * "b",
        "2026-11-23",
        "accelerator",
        "## Review record",
    ):
        assert told in text


@pytest.mark.parametrize(
    "change",
    [
        {"dirty": True},
        {"commit": None},
        {"checks": ()},
        {"checks": (AUDIT.checks[0], AUDIT.checks[1].model_copy(update={"met": False}))},
        {"checks": (AUDIT.checks[0], AUDIT.checks[1].model_copy(update={"result": None}))},
    ],
)
def test_one_check_unmet_or_unseen_means_not_ready_for_experiments(change):
    facts = AUDIT.model_copy(update=change)
    assert "**Not ready** for core experiments" in phase1_memo(facts)
    assert not all(criterion.met for criterion in phase1_criteria(facts))
