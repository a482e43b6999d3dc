"""The gates: each reads what a stage measured and says Pass, Fail or Ambiguous, with the numbers that it saw.

A gate is a pure function of the plan and the facts. What follows from its verdict is decided in transitions.py.
docs/gates.md explains each check: its quantity, unit, threshold, and why.
"""

from collections.abc import Mapping, Sequence
from math import isfinite
from types import MappingProxyType
from typing import NamedTuple, TypeVar

import polars as pl

from lesion.errors import InputError
from lesion.identity import content_hash
from lesion.stats.baseline_gate import BaselineGate, baseline_gate
from lesion.stats.baseline_gate_nats import baseline_numbers_gate
from lesion.study.arms.condition import condition, member_of
from lesion.study.claims import ABLATIONS, with_own
from lesion.study.gates.ablations import judged, spoiled_ablations
from lesion.study.gates.checks import Check, contract, instrument, quiet, reasons, room, worst
from lesion.study.gates.companions import found_beside, spoiled_companion, tagged
from lesion.study.gates.dissociations import dissociations
from lesion.study.gates.evidence.clusters import clusters
from lesion.study.gates.evidence.model_answers import AnyAnswer, InstrumentAnswer, ModelAnswer
from lesion.study.gates.evidence.paired_arms import confirm_cells, pending, specificity_arms, spoiled
from lesion.study.gates.evidence.written_answers import readings, spoiled_reading
from lesion.study.gates.gate_verdict import (
    BaselineEvidence,
    DiscoveryRow,
    Evidence,
    FamilyEvidence,
    InstrumentEvidence,
    LookEvidence,
    SpecificityEvidence,
)
from lesion.study.gates.specificity import Receipts, ranked
from lesion.study.plan import Chosen, Outcome, Plan, pair_name, swept
from lesion.study.rows import ITEM_KEY
from lesion.study.stages.confirmatory_cells import Discovery, choose, choose_replicas, discovery_table
from lesion.study.stages.discovery_effects import column

A = TypeVar("A", bound=ModelAnswer)


class Facts(NamedTuple):
    """What the gates may read: rows of every stage so far, the questions, and the models' answers."""

    items: pl.DataFrame
    prompts: pl.DataFrame
    answers: Mapping[str, AnyAnswer]
    """Model -> what its instrument cell returned, or `aim(model, target)` -> its detector cell."""
    receipts: Receipts = MappingProxyType({})
    """(model, tier, arm) -> how much the arm changed, for the stages of specificity."""

    def answers_of(self, kind: type[A]) -> dict[str, A]:
        """The answers, as the type that the stage's cells return.

        Raises:
            InputError: when a model returned something else.
        """
        found = {model: answer for model, answer in self.answers.items() if isinstance(answer, kind)}
        if odd := self.answers.keys() - found.keys():
            raise InputError(f"{', '.join(sorted(odd))}: the cell of this stage returned no {kind.__name__}")
        return found


Judged = tuple[Outcome, str, Evidence]


def instrument_gate(plan: Plan, facts: Facts) -> Judged:
    """Identities hold, the placebo is bit-equal, a repeated pass flips nothing, prompts keep the contract."""
    checks: list[Check] = []
    answers = facts.answers_of(InstrumentAnswer)
    for model, answer in answers.items():
        checks += instrument(model, answer, plan.study.sweep.kinds)
        checks += [
            contract(f"{model}, {tier}", sample.refused, sample.items, plan.study.exclusions)
            for tier, sample in answer.contract.items()
        ]
    reason = reasons(checks) or "every identity holds and the placebo changes nothing"
    return worst(checks), reason, InstrumentEvidence(models=answers, checks=tuple(checks))


def _excluded(plan: Plan, facts: Facts) -> list[str]:
    """Model and tier pairs whose prompts break the contract too often."""
    shares = facts.prompts.group_by("model", "tier").agg(pl.col("refused").is_not_null().mean().alias("share"))
    return [
        f"{row['model']}, {row['tier']}: {row['share']:.1%} of the prompts break the contract"
        for row in shares.sort("model", "tier").to_dicts()
        if row["share"] > plan.study.exclusions
    ]


def baseline_gate_of(plan: Plan, facts: Facts) -> Judged:
    """The outcome of every tier varies by less than the preregistered spread over the seeds."""
    if excluded := _excluded(plan, facts):
        return "Fail", "; ".join(excluded), BaselineEvidence(final=True, excluded=tuple(excluded))
    rows = facts.items.filter(pl.col("stage") == "baseline").sort("model", "tier", "seed", "index")
    lanes: dict[str, list[pl.DataFrame]] = {}
    for (model, tier), cell in rows.group_by("model", "tier", maintain_order=True):
        seeds = cell.partition_by("seed", maintain_order=True)
        size = min(lane.height for lane in seeds)
        lanes[pair_name(str(model), str(tier))] = [lane.head(size) for lane in seeds]
    gate, checks = _accuracy(plan, lanes) if not plan.study.continuous else (_numbers(plan, facts, lanes), [])
    evidence = BaselineEvidence(cells=dict(gate.cells), checks=tuple(checks), final=gate.outcome == "Degenerate")
    size, unit = (1, "nats") if plan.study.continuous else (100, "points")
    said = [
        f"{name}: {'means' if plan.study.continuous else 'accuracies'} {', '.join(f'{a:.3f}' for a in cell.accuracies)}"
        f" (spread {size * cell.spread:.2f} {unit}, n {cell.n} per seed, needed {cell.needed_n}): {cell.outcome}"
        for name, cell in gate.cells.items()
        if cell.outcome != "Pass"
    ]
    if gate.outcome == "Pass":
        widest = max(cell.spread for cell in gate.cells.values())
        return "Pass", f"the widest spread over seeds is {size * widest:.2f} {unit}", evidence
    return ("Ambiguous" if gate.outcome == "NotEvaluable" else "Fail"), "; ".join(said), evidence


Lanes = Mapping[str, Sequence[pl.DataFrame]]
"""`model|tier` -> by seed, its baseline rows, as many of each."""


def _prints(lanes: Lanes) -> dict[str, list[str]]:
    """By seed, what it asked and was answered; seeds with the very same numbers have one print."""
    prints: dict[str, list[str]] = {}
    for name, heads in lanes.items():
        first: dict[str, str] = {}
        for lane in heads:
            numbers = lane["answer_logprob"].to_list()
            whole = content_hash([lane["item_id"].to_list(), numbers])
            prints.setdefault(name, []).append(first.setdefault(content_hash(numbers), whole))
    return prints


def _accuracy(plan: Plan, lanes: Lanes) -> tuple[BaselineGate, list[Check]]:
    """The gate on accuracies, with what floor and ceiling leave out of reach."""
    correct = {name: [int(lane["correct"].sum()) for lane in heads] for name, heads in lanes.items()}
    sizes = {name: heads[0].height for name, heads in lanes.items()}
    gate = baseline_gate(correct, sizes, spread=plan.study.baseline.spread, fingerprints=_prints(lanes))
    margin = plan.study.verdict.margin
    return gate, [room(n, sum(c.correct), c.n * len(c.correct), margin) for n, c in gate.cells.items()]


def _numbers(plan: Plan, facts: Facts, lanes: Lanes) -> BaselineGate:
    """The gate on means in nats."""
    asked = facts.prompts.select(*ITEM_KEY, "buckets")
    joined = {
        name: [lane.join(asked, on=ITEM_KEY, how="inner", validate="1:1").sort("index") for lane in heads]
        for name, heads in lanes.items()
    }
    labels = {
        name: [each for lane in heads if (each := clusters(plan.study, lane["buckets"])) is not None]
        for name, heads in joined.items()
    }
    return baseline_numbers_gate(
        {name: [lane[column(plan.study)].to_numpy() for lane in heads] for name, heads in joined.items()},
        spread=plan.study.baseline.spread,
        clusters={name: each if len(each) == len(joined[name]) else None for name, each in labels.items()},
        fingerprints=_prints(lanes),
    )


def discovery_gate(plan: Plan, facts: Facts) -> Judged:
    """Chooses the confirmatory family; fails when no cell's pool can hold the two looks."""
    table = discovery_table(facts.items, plan.study.outcome)
    return _proposed(plan, table, choose(plan, Discovery(table, facts.items, facts.prompts)), "confirmed")


def transfer_gate(plan: Plan, facts: Facts) -> Judged:
    """Sizes the replication's family; fails when no cell's pool can hold the two looks."""
    others = [model for model, _ in plan.other_pairs()]
    table = discovery_table(facts.items, plan.study.outcome).filter(pl.col("model").is_in(others))
    return _proposed(plan, table, choose_replicas(plan, Discovery(table, facts.items, facts.prompts)), "replicated")


def _proposed(plan: Plan, table: pl.DataFrame, chosen: tuple[tuple[Chosen, ...], list[str]], what: str) -> Judged:
    """A family with the items that each member needs, and what its pool cannot hold."""
    family, dropped = chosen
    evidence = FamilyEvidence(
        table=tuple(DiscoveryRow.model_validate(_finite(row)) for row in table.to_dicts()),
        checks=tuple(_controls(plan, table)),
        family=family,
        dropped=tuple(dropped),
    )
    if not family:
        return "Fail", f"no cell can be {what}: " + "; ".join(dropped), evidence
    listed = ", ".join(f"{each.id} (n {each.items} per seed)" for each in family)
    return "Pass", f"to be {what}: {listed}", evidence


def _finite(row: Mapping[str, object]) -> dict[str, object]:
    """A row whose means that are no finite numbers are left out: an arm that gives none ends no study by itself."""
    return {name: None if isinstance(value, float) and not isfinite(value) else value for name, value in row.items()}


def _controls(plan: Plan, table: pl.DataFrame) -> list[Check]:
    """How loud every matched random set is at every factor, on discovery items."""
    margin = plan.study.verdict.margin
    primary = plan.study.primary
    edits = (*swept(plan.study), *(ABLATIONS if primary == "auto" else with_own(primary)))
    many = max(map(len, plan.controls.values()), default=0)
    targets = [*plan.study.sweep.named]
    names = {
        condition("control", edit, member_of(name, number)).name
        for edit in edits
        for name in targets
        for number in range(many)
    }
    return [
        quiet(f"{row['model']}, {row['tier']}, {row['arm']}", row["gained"], row["lost"], row["n"], margin)
        for row in table.to_dicts()
        if row["arm"] in names
    ]


def confirm_gate(plan: Plan, facts: Facts) -> Judged:
    """The verdict of every pending member of the family, by the preregistered rule."""
    return _first_rule(plan, facts) if plan.study.lesion == 1 else _all_ablations(plan, facts)


def _all_ablations(plan: Plan, facts: Facts) -> Judged:
    """Every pending member by its own edit, and by the other ablations on the same items."""
    bad = spoiled(plan, facts.items, facts.prompts)
    for chosen in pending(plan):
        reason = spoiled_ablations(plan, facts.items, chosen)
        reason = reason or spoiled_reading(plan, facts.items, facts.prompts, chosen)
        if chosen.id not in bad and reason:
            bad[chosen.id] = reason
    found = judged(plan, facts.items, facts.prompts, bad)
    compared = dissociations(plan, facts.items, facts.prompts, bad)
    evidence = LookEvidence(
        dissociations=compared.verdicts,
        matrix=compared.matrix,
        look=plan.attempt + 1,
        verdicts=found.verdicts,
        ablations=found.ablations,
        chance=found.chance,
        margins=found.margins,
        readings=readings(plan, facts.items, facts.prompts, bad) if plan.study.decoded else {},
    )
    return _looked(evidence)


def _looked(evidence: LookEvidence) -> Judged:
    """Ambiguous while a member is."""
    verdicts = evidence.verdicts
    ambiguous = [name for name, verdict in verdicts.items() if verdict.verdict == "Ambiguous"]
    said = [f"{name}: {verdict.verdict}" for name, verdict in verdicts.items()]
    said += [
        f"{model}, {name}: {each.verdict}"
        for model, asked in evidence.dissociations.items()
        for name, each in asked.items()
    ]
    return ("Ambiguous" if ambiguous else "Pass"), ", ".join(said), evidence


def _first_rule(plan: Plan, facts: Facts) -> Judged:
    """Format 1: mean and resample stand beside zero, and one random set beside each seed."""
    bad = spoiled(plan, facts.items, facts.prompts)
    for chosen in pending(plan):
        if chosen.id not in bad and (reason := spoiled_companion(plan, facts.items, chosen)):
            bad[chosen.id] = reason
        if chosen.id not in bad and (reason := spoiled_reading(plan, facts.items, facts.prompts, chosen)):
            bad[chosen.id] = reason
    verdicts = confirm_cells(plan, facts.items, facts.prompts, bad)
    beside = found_beside(plan, facts.items, facts.prompts, verdicts)
    verdicts = tagged(verdicts, beside)
    specific = specificity_arms(plan, facts.items, facts.prompts, bad)
    evidence = LookEvidence(
        look=plan.attempt + 1,
        verdicts=verdicts,
        specific=specific,
        companions=beside,
        readings=readings(plan, facts.items, facts.prompts, bad) if plan.study.decoded else {},
    )
    return _looked(evidence)


def specificity_gate(plan: Plan, facts: Facts) -> Judged:
    """The rank of every target with a detected effect among its matched sets."""
    found = ranked(plan, facts.items, facts.receipts)
    evidence = SpecificityEvidence(
        specific=found.specific, sets=found.sets, within=found.within, inert=found.inert, spoiled=found.spoiled
    )
    said = [
        f"{name}: {each.status} (rank {each.rank} of {1 + each.sets}, p {each.p:.3g})"
        for name, each in found.specific.items()
    ]
    said += [f"{name}: not evaluable ({reason})" for name, reason in found.spoiled.items()]
    return "Pass", ", ".join(said), evidence
