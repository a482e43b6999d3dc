"""A study's thresholds are those of the rule where it names none."""

from lesion.stats.verdict.rule import Rule
from lesion.study.study import VerdictRule


def test_a_study_takes_the_rules_own_thresholds():
    rule, verdict = Rule(), VerdictRule()
    names = ("margin", "alpha", "looks", "effect", "power", "spread")
    assert [getattr(verdict, name) for name in names] == [getattr(rule, name) for name in names]
