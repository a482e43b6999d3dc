"""Faults in gates, tests and the verdict's rule; put into stats and study."""

import dataclasses

import numpy as np

from lesion.stats import baseline_gate as baseline
from lesion.stats.paired import comparison
from lesion.stats.paired.rows import PairedRows
from lesion.stats.specificity import rank as rank_specificity
from lesion.stats.verdict import cell_measures as evidence
from lesion.stats.verdict import judge as decide
from lesion.stats.verdict.rule import Rule
from lesion.study.gates import ablations, checks, companions
from lesion.study.gates import judge as gates
from lesion.study.gates.evidence import paired_arms as rows_evidence
from lesion.study.gates.gate_verdict import InstrumentEvidence
from lesion.study.selftest import companions as trial_companions
from lesion.study.selftest import gates as trial_gates
from lesion.study.selftest import selftest as trial
from lesion.study.stages import matched_sets
from lesion.study.stages.stage_table import STAGES
from tests.faults.fault import Fault

MCNEMAR, DIFFERENCE = comparison.mcnemar_exact, PairedRows.difference


def no_holm(patch):
    plain = lambda p, family_size=None: np.asarray(p, dtype=np.float64)  # noqa: E731
    for module in (decide, evidence):
        patch.setattr(module, "holm", plain)


def holm_of_those_left(patch):
    plain = decide.holm
    patch.setattr(decide, "holm", lambda p, family_size=None: plain(p))


def sign_turned(patch):
    patch.setattr(PairedRows, "difference", property(lambda self: -DIFFERENCE.fget(self)))


def one_sided(patch):
    for module in (comparison, trial):
        patch.setattr(module, "mcnemar_exact", lambda b, c: MCNEMAR(b, c) / 2)


def always_equivalent(patch):
    patch.setattr(comparison, "tango_equivalence", lambda b, c, n, margin: np.zeros(np.shape(b)))


def absence_is_null(patch):
    """What is not significant is called equivalent."""
    patch.setattr(comparison, "tango_equivalence", lambda b, c, n, margin: np.where(MCNEMAR(b, c) > 0.05, 0.0, 1.0))


def alpha_spent_twice(patch):
    patch.setattr(Rule, "alpha_look", property(lambda self: self.alpha))


def seeds_never_fail(patch):
    patch.setattr(evidence, "seed_gate", lambda *_: np.array(0))


def variance_for_range(patch):
    plain = baseline.seed_gate
    patch.setattr(baseline, "seed_gate", lambda difference, n, *rest: plain(difference // 100, n, *rest))


def passed_or(patch):
    """The earlier attempt's `passed = passed or …`."""

    def best(found):
        return "Pass" if any(check.outcome == "Pass" for check in found) else "Fail"

    for module in (checks, gates, trial_gates):
        patch.setattr(module, "worst", best, raising=False)


def instrument_passes(patch):
    seen = InstrumentEvidence(models={})
    passes = STAGES["instrument"]._replace(gate=lambda plan, facts: ("Pass", "all is well", seen))
    patch.setitem(STAGES, "instrument", passes)


def baseline_passes(patch):
    plain = gates.baseline_gate

    def sound(*arguments, **named):
        gate = plain(*arguments, **named)
        return gate.__class__("Pass", gate.needed_n, gate.cells)

    patch.setattr(gates, "baseline_gate", sound)


def same_seeds_pass(patch):
    plain = gates.baseline_gate

    def blind(correct, n, *, fingerprints=None, **named):
        return plain(correct, n, **named)

    patch.setattr(gates, "baseline_gate", blind)


def placebo_not_read(patch):
    plain = checks.instrument

    def blind(model, answer, kinds):
        return plain(model, answer.model_copy(update={"placebo_bit_equal": True}), kinds)

    for module in (gates, trial_gates):
        patch.setattr(module, "instrument", blind, raising=False)


def nothing_spoils(patch):
    patch.setattr(gates, "spoiled", lambda *_: {})


def companions_always_agree(patch):
    plain = companions.companion
    for module in (companions, trial_companions):
        patch.setattr(module, "companion", lambda *a, **n: dataclasses.replace(plain(*a, **n), answer="agrees"))


def companions_unread(patch):
    patch.setattr(gates, "spoiled_companion", lambda *_: None)


def ablations_always_agree(patch):
    plain = ablations.agreement
    patch.setattr(
        ablations,
        "agreement",
        lambda *a, **n: dataclasses.replace(plain(*a, **n), agrees=True, differing=(), reasons={}),
    )


def ablations_unread(patch):
    patch.setattr(gates, "spoiled_ablations", lambda *_: None)


def own_mean_not_read(patch):
    plain = checks.instrument

    def blind(model, answer, kinds):
        return plain(model, answer.model_copy(update={"own_mean": 0.0}), kinds)

    for module in (gates, trial_gates):
        patch.setattr(module, "instrument", blind)


def one_set_detects(patch):
    plain = checks.detector
    for module in (gates, trial_gates):
        patch.setattr(module, "detector", lambda m, s, again, t: plain(m, s, s, t), raising=False)


def unpaired(patch):
    """Baseline and edited answers are sorted before they are paired."""
    plain = rows_evidence.PairedRows

    def sorted_rows(baseline, edited, **columns):
        return plain(baseline=np.sort(baseline), edited=np.sort(edited), **columns)

    patch.setattr(rows_evidence, "PairedRows", sorted_rows)


def ranks_cannot_fail(patch):
    patch.setattr(rank_specificity, "_rank", lambda cell: 1)


def ranks_uncorrected(patch):
    patch.setattr(rank_specificity, "holm", lambda p, family_size=None: np.asarray(p, dtype=np.float64))


def target_left_out(patch):
    """P = sets at least as extreme / sets."""
    plain = rank_specificity._rank
    patch.setattr(rank_specificity, "_rank", lambda cell: plain(cell) - 1)


def ties_for_the_target(patch):
    patch.setattr(rank_specificity, "TIE", -1e-9)


def sets_share_a_head(patch):
    """The target's own heads are in the pools, too."""
    plain = matched_sets.alike

    def shared(plan, model, target, population):
        own = tuple((site.layer, site.index) for site in target)
        return [group._replace(pool=own + group.pool) for group in plain(plan, model, target, population)]

    patch.setattr(matched_sets, "alike", shared)


RULE_FAULTS = [
    Fault("Holm's correction is left out", "stats.verdict.judge.holm", "run", no_holm, cheap=True),
    Fault("Holm's family is only what is left", "stats.verdict.judge.holm", "run", holm_of_those_left),
    Fault("the sign of the difference is turned", "PairedRows.difference", "run", sign_turned, cheap=True),
    Fault("a one-sided p for a two-sided question", "stats.paired.comparison.mcnemar_exact", "run", one_sided),
    Fault("everything is equivalent", "stats.paired.comparison.tango_equivalence", "run", always_equivalent),
    Fault(
        "what is not significant is called Null", "stats.paired.comparison.tango_equivalence", "run", absence_is_null
    ),
    Fault("alpha is spent whole at each look", "Rule.alpha_look", "run", alpha_spent_twice),
    Fault("the seed gate cannot fail", "stats.verdict.cell_measures.seed_gate", "run", seeds_never_fail),
    Fault(
        "the baseline's spread is a hundredth of the range", "stats.baseline_gate.seed_gate", "run", variance_for_range
    ),
    Fault("a stage passes when any check passes", "study.gates.checks.worst", "run", passed_or),
    Fault("the instrument's gate cannot fail", "study.stages.stage_table.STAGES", "run", instrument_passes, cheap=True),
    Fault("the baseline's gate cannot fail", "study.gates.judge.baseline_gate", "run", baseline_passes),
    Fault("seeds that change nothing pass the baseline", "study.gates.judge.baseline_gate", "run", same_seeds_pass),
    Fault("the placebo is not read", "study.gates.checks.instrument", "run", placebo_not_read),
    Fault("no row spoils a cell", "study.gates.judge.spoiled", "run", nothing_spoils),
    Fault(
        "companions always agree", "stats.specificity.companion.companion", "run", companions_always_agree, cheap=True
    ),
    Fault(
        "ablations always agree",
        "stats.verdict.ablation_agreement.agreement",
        "run",
        ablations_always_agree,
        cheap=True,
    ),
    Fault("no row spoils an ablation", "study.gates.judge.spoiled_ablations", "run", ablations_unread),
    Fault("no row spoils a companion", "study.gates.judge.spoiled_companion", "run", companions_unread),
    Fault("the row's own mean is not read", "study.gates.checks.instrument", "run", own_mean_not_read),
    Fault("one set of sequences suffices for a detector", "study.gates.checks.detector", "run", one_set_detects),
    Fault("the arms are sorted before they are paired", "study.gates.evidence.paired_arms.PairedRows", "run", unpaired),
    Fault(
        "the rank among matched sets cannot fail", "stats.specificity.rank._rank", "run", ranks_cannot_fail, cheap=True
    ),
    Fault("Holm is left out of specificity", "stats.specificity.rank.holm", "run", ranks_uncorrected),
    Fault("the target is left out of its own rank p", "stats.specificity.rank._rank", "run", target_left_out),
    Fault("ties count for the target", "stats.specificity.rank.TIE", "run", ties_for_the_target),
    Fault("a matched set shares a head with the target", "study.stages.matched_sets.alike", "run", sets_share_a_head),
]
