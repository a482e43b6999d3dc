"""What follows from a gate's verdict: the plan goes on, enlarges, or ends. Pure: Plan x GateVerdict -> Plan.

The roadmap's contingencies. Tooling failure: back to the instrument once, then stop. Unstable or unevaluable baseline:
interventions halted, data enlarged, at most `baseline.enlargements` times. Ambiguous cells: as many new items again,
once. Overrun stands in overrun.py. No other exit exists; the run's loop ends when the plan does.
"""

from collections.abc import Callable, Mapping
from itertools import combinations

from lesion.interventions.site import parse_site
from lesion.stats.power import UNREACHABLE
from lesion.stats.verdict.ablation_agreement import COVERED
from lesion.stats.verdict.bfloat16_floor import rounding_floor
from lesion.stats.verdict.cell_verdict import CellVerdict
from lesion.study.arms.targets import NAMED, aim, named_sites
from lesion.study.claims import Ablation
from lesion.study.forecast.reachable_specificity import reaches, words
from lesion.study.gates.evidence.model_answers import InstrumentAnswer, RoundingSample
from lesion.study.gates.gate_verdict import (
    BaselineEvidence,
    DetectionEvidence,
    FamilyEvidence,
    GateVerdict,
    InstrumentEvidence,
    LookEvidence,
    SpecificityEvidence,
)
from lesion.study.gates.specificity import asking
from lesion.study.plan import Ending, Plan, PlanNote, StageName, pair_name
from lesion.study.stages.control_sets import control_sets
from lesion.study.stages.matched_sets import sets_of
from lesion.study.stages.replication import configurations
from lesion.study.stages.set_items import SEEN
from lesion.study.study import Study

TOOLING_RETRIES = 1
DETECTOR_RETRIES = 1
ENOUGH = 0.9
"""Share of a tier's discovery items that must have a reference, so that `primary: auto` means resample."""
SLACK = 1.1
"""An enlargement asks for so many times the items that the observed accuracy needs: that accuracy is an estimate."""


def stop(plan: Plan, reason: str) -> Plan:
    """The plan, ended before its time."""
    return noted(plan, "stopped", reason).model_copy(update={"ending": Ending(outcome="stopped", reason=reason)})


def noted(plan: Plan, topic: str, text: str) -> Plan:
    """The plan with one more note."""
    return plan.model_copy(update={"notes": (*plan.notes, PlanNote(topic=topic, text=text))})


def _told(plan: Plan, verdict: GateVerdict) -> Plan:
    """With a note for every kind of check that failed somewhere and does not stop the study."""
    failed: dict[str, list[str]] = {}
    for check in verdict.evidence.checks:
        if not check.blocks and check.outcome == "Fail":
            failed.setdefault(check.name, []).append(f"{check.about}: {check.said}")
    for name, said in failed.items():
        plan = noted(plan, name.replace(" ", "-"), "; ".join(said) + ".")
    return plan


def _open(plan: Plan, stage: StageName, attempt: int = 0) -> Plan:
    return plan.model_copy(update={"stage": stage, "attempt": attempt})


def after_instrument(plan: Plan, verdict: GateVerdict) -> Plan:
    """On to the baseline; a failed instrument is proved once more, then the study stops."""
    if verdict.outcome == "Pass":
        models = verdict.saw(InstrumentEvidence).models
        plan = _told(plan, verdict).model_copy(update={**_measured(models), "primary": _primary(plan.study, models)})
        return _open(_few_references(plan, models), "baseline")
    if plan.attempt < TOOLING_RETRIES:
        text = f"The instrument failed ({verdict.reason}). It is proved once more before the study stops."
        return _open(noted(plan, "tooling-failure", text), "instrument", plan.attempt + 1)
    return stop(plan, f"the instrument failed twice: {verdict.reason}")


def _primary(study: Study, models: Mapping[str, InstrumentAnswer]) -> dict[str, dict[str, Ablation]]:
    """Model -> tier -> the ablation that decides: what the study says, or what its items' references allow."""
    if study.claims is None:
        return {}
    asked = study.primary
    return {
        model: {
            tier: ("resample" if each.share >= ENOUGH else "mean") if asked == "auto" else asked
            for tier, each in answer.covered.items()
        }
        for model, answer in models.items()
        if answer.covered
    }


def _few_references(plan: Plan, models: Mapping[str, InstrumentAnswer]) -> Plan:
    """A note on every tier where mean and resample ablation cannot be judged."""
    few = [
        f"{model}, {tier}: {each.covered} of {each.items} discovery items have one"
        for model, answer in models.items()
        for tier, each in answer.covered.items()
        if each.share < COVERED
    ]
    if not few:
        return plan
    text = (
        f"Too few items have a reference ({'; '.join(few)}): mean and resample ablation cannot be judged there. Widen "
        "the task's range, or set `claims.primary: zero` and say why."
    )
    return noted(plan, "few-references", text)


def _floors(samples: Mapping[str, RoundingSample]) -> dict[str, float]:
    """Tier -> what rounding alone may do to a paired accuracy difference."""
    return {tier: rounding_floor(each.flips, each.items) for tier, each in samples.items()}


def _measured(models: Mapping[str, InstrumentAnswer]) -> dict[str, object]:
    """What the instrument measured and later stages need: output norms, reference sets' names, rounding's floors."""
    norms = {m: answer.head_norms for m, answer in models.items() if answer.head_norms}
    references = {m: answer.references for m, answer in models.items() if answer.references}
    tenths = {m: answer.norm_tenths for m, answer in models.items() if answer.norm_tenths}
    rounding = {m: _floors(answer.rounding) for m, answer in models.items() if answer.rounding}
    vectors = {aim(m, target): found for m, answer in models.items() for target, found in answer.vectors.items()}
    return {"tenths": tenths, "norms": norms, "references": references, "rounding": rounding, "vectors": vectors}


def after_baseline(plan: Plan, verdict: GateVerdict) -> Plan:
    """On to the target; a baseline that is not stable gets more items, as often as the study allows."""
    if verdict.outcome == "Pass":
        plan, targets = _told(plan, verdict), plan.study.sweep.named
        named = all(isinstance(target, NAMED) for target in targets.values())
        return _aim(plan) if named else _open(plan, "detect")
    if verdict.saw(BaselineEvidence).final:
        return stop(plan, f"the baseline cannot be used: {verdict.reason}")
    if plan.attempt >= plan.study.baseline.enlargements:
        times = plan.study.baseline.enlargements
        reason = f"the baseline is not stable after {times} enlargements: {verdict.reason}"
        return stop(plan, f"{reason}. {ways_out(plan.study)}" if plan.study.lesion == 2 else reason)
    return _enlarged(plan, verdict)


def ways_out(study: Study) -> str:
    """What a study can change when its pool cannot carry the baseline gate, in words."""
    judged = (
        "judge another continuous outcome than "
        f"{study.outcome}" if study.continuous else
        "judge a continuous outcome (`claims.outcome: answer_logprob`, with margin, effect and spreads in nats), which "
        "needs fewer items"
    )  # fmt: skip
    return (
        f"Three ways out: (1) {judged}; (2) ask more problems: a larger range of operands, or another tier; (3) accept "
        "a wider `baseline.spread`, and with it a baseline that differs by as much from seed to seed; the same holds "
        "for effects (`verdict.spread`). Each is another study: change the file and register it anew."
    )


def _enlarged(plan: Plan, verdict: GateVerdict) -> Plan:
    """More items for every cell that did not pass: twice as many, or what its accuracy needs if that is more."""
    items = {model: dict(tiers) for model, tiers in plan.items.items()}
    block = plan.study.block
    cells = verdict.saw(BaselineEvidence).cells
    for model, tier in plan.pairs():
        name = pair_name(model, tier)
        cell = cells.get(name)
        if cell is None or cell.outcome == "Pass":
            continue
        wanted = max(2 * items[model][tier], int(SLACK * cell.needed_n) + 1)
        room = plan.capacity[tier] // block * block
        enough = min(-(-wanted // block) * block, room)
        if enough < cell.needed_n or enough <= items[model][tier]:
            needs = f"{name} needs {wanted:,} items per seed for a stable baseline; a seed holds {room:,}"
            if cell.needed_n >= UNREACHABLE:
                needs = (
                    f"{name}: its example sets differ so much that no number of items makes the baseline stable (seeds "
                    f"differ by {cell.spread:.2g}, {plan.study.baseline.spread:g} is allowed); give every item "
                    "examples of its own (`claims.prefixes: per_item`)"
                )
            return stop(plan, f"{needs}. {ways_out(plan.study)}" if plan.study.lesion == 2 else needs)
        items[model][tier] = enough
    text = f"Interventions are halted and the data enlarged: {verdict.reason}."
    return _open(
        noted(plan, "baseline-enlarged", text).model_copy(update={"items": items}), "baseline", plan.attempt + 1
    )


def _aim(plan: Plan) -> Plan:
    """The study named its sites: every model gets them."""
    every = {
        aim(model, name): named_sites(target, plan.shapes[model].layers, plan.shapes[model].heads)
        for model in plan.models()
        for name, target in plan.study.sweep.named.items()
    }
    return _targeted(plan, every, {})


def after_detect(plan: Plan, verdict: GateVerdict) -> Plan:
    """On to discovery with a target and its controls; a detector that contradicts itself is tried once more."""
    if verdict.outcome == "Ambiguous" and plan.attempt < DETECTOR_RETRIES:
        text = f"The detector contradicts itself ({verdict.reason}). It is tried once more on twice as many sequences."
        return _open(noted(plan, "detector-ambiguous", text), "detect", plan.attempt + 1)
    if verdict.outcome != "Pass":
        return stop(plan, verdict.reason)
    seen = verdict.saw(DetectionEvidence)
    unmapped = {m: "no head of it passes the detector" for m, sites in seen.picked.items() if not sites}
    plan = _told(plan, verdict).model_copy(update={"ranking": seen.ranking, "unmapped": unmapped})
    return _targeted(plan, {m: sites for m, sites in seen.picked.items() if sites}, seen.passing)


def _targeted(plan: Plan, targets: dict[str, tuple[str, ...]], barred: Mapping[str, tuple[str, ...]]) -> Plan:
    """Fix the target and draw the matched sets that discovery measures.

    Where specificity is asked for, these are the first of the sets that the target will be ranked among; else none of
    them holds a head that passed the detector.
    """
    plan = _shared_sites(plan.model_copy(update={"targets": targets}))
    if plan.study.claims is not None and plan.study.claims.sets:
        aims = plan.aims()
        controls = {aim(model, name): sets_of(plan, model, name).sets[:SEEN] for model, name, _ in aims}
        for reach in reaches(plan):
            if not reach.cells:
                plan = noted(plan, "specificity", words(reach))
        return _open(plan.model_copy(update={"controls": controls}), "discovery")
    controls = {
        key: control_sets(plan, model, tuple(map(parse_site, sites)), frozenset(barred.get(key, ())), name)
        for model, name, sites in plan.aims()
        for key in [aim(model, name)]
    }
    for key, sets in controls.items():
        if len(sets) < plan.study.sweep.controls:
            text = f"{key}: no layer-matched control set exists, so no effect can be called specific."
            plan = noted(plan, "no-controls", text)
    return _open(plan.model_copy(update={"controls": controls}), "discovery")


def _shared_sites(plan: Plan) -> Plan:
    """With a note on targets of a model that share sites: their effects are not effects of different sites."""
    for one, other in combinations(plan.aims(), 2):
        if one.model == other.model and (shared := [site for site in one.sites if site in other.sites]):
            text = f"{one.model}: the targets {one.target} and {other.target} share {', '.join(shared)}."
            plan = noted(plan, "shared-sites", text)
    return plan


def after_discovery(plan: Plan, verdict: GateVerdict) -> Plan:
    """On to confirmation of the family, or the end."""
    seen = verdict.saw(FamilyEvidence)
    for text in seen.dropped:
        plan = noted(plan, "cell-refused", f"{text}; the cell is left out, N is never lowered.")
    if verdict.outcome != "Pass":
        return stop(plan, verdict.reason)
    plan = _told(plan, verdict)
    pending = tuple(chosen.id for chosen in seen.family)
    return _open(plan.model_copy(update={"family": seen.family, "pending": pending}), "confirm")


def after_confirm(plan: Plan, verdict: GateVerdict) -> Plan:
    """A second look for ambiguous cells; then matched sets, where a detected effect asks for them."""
    verdicts = verdict.saw(LookEvidence).verdicts
    ambiguous = tuple(name for name, cell in verdicts.items() if cell.verdict == "Ambiguous")
    if plan.study.replication is not None:
        better = tuple(name for name, cell in verdicts.items() if cell.verdict == "Improvement")
        plan = plan.model_copy(update={"improved": plan.improved + better})
    plan = _detected(plan, verdicts)
    if not ambiguous:
        return _ask_specificity(plan, "specificity", _to_other_models)
    return _looked_again(plan, ambiguous)


def _detected(plan: Plan, verdicts: Mapping[str, CellVerdict]) -> Plan:
    """The plan, with the effects that a look detected; in format 1 nobody asks for them."""
    if plan.study.lesion == 1:
        return plan
    found = {name: cell.verdict for name, cell in verdicts.items() if cell.verdict in ("Improvement", "Harm")}
    full = tuple(name for name, cell in verdicts.items() if "ceiling" in cell.tags)
    return plan.model_copy(update={"detected": {**plan.detected, **found}, "full": plan.full + full})


def _ask_specificity(plan: Plan, stage: StageName, then: Callable[[Plan], Plan]) -> Plan:
    """On to the matched sets where a cell with an effect asks for them, else past them."""
    opened = _open(plan.model_copy(update={"pending": ()}), stage)
    return opened if asking(opened) else then(plan.model_copy(update={"pending": ()}))


def after_specificity(plan: Plan, verdict: GateVerdict) -> Plan:
    """On to the other models, with the cells that are specific."""
    ranks = verdict.saw(SpecificityEvidence).specific
    specific = tuple(name for name, each in ranks.items() if each.status == "specific")
    return _to_other_models(_left_out(plan, verdict).model_copy(update={"specific": specific}))


def after_replicate_specificity(plan: Plan, verdict: GateVerdict) -> Plan:
    """The end, with the replicas that are specific."""
    ranks = verdict.saw(SpecificityEvidence).specific
    specific = tuple(name for name, each in ranks.items() if each.status == "specific")
    return _replicated(_left_out(plan, verdict).model_copy(update={"specific": plan.specific + specific}))


def _left_out(plan: Plan, verdict: GateVerdict) -> Plan:
    """With a note on cells whose sets cannot be trusted, and on sets in which nothing changed."""
    seen = verdict.saw(SpecificityEvidence)
    for name, reason in seen.spoiled.items():
        plan = noted(plan, "specificity", f"{name} is not evaluable: {reason}.")
    for name, numbers in seen.inert.items():
        plan = noted(plan, "specificity", f"{name}: in {len(numbers)} matched sets nothing changed; they are left out.")
    return plan


def _looked_again(plan: Plan, ambiguous: tuple[str, ...]) -> Plan:
    text = f"Ambiguous at the first look: {', '.join(ambiguous)}. As many new items again, once."
    return _open(noted(plan, "second-look", text).model_copy(update={"pending": ambiguous}), plan.stage, 1)


def _ended(plan: Plan, reason: str) -> Plan:
    """The plan, complete."""
    return plan.model_copy(update={"pending": (), "ending": Ending(outcome="complete", reason=reason)})


def _to_other_models(plan: Plan) -> Plan:
    """The family is decided: on to the replication, where there is one to do."""
    decided = "every member of the family is decided"
    if plan.study.replication is None:
        return _ended(plan, decided)
    plan = plan.model_copy(update={"configurations": configurations(plan)})
    if plan.other_pairs():
        return _open(plan, "transfer")
    why = (
        "; ".join(f"{model}: {reason}" for model, reason in plan.unmapped.items()) or "it was put off, or left nothing"
    )
    return _ended(noted(plan, "not-replicated", f"Nothing is replicated: {why}."), f"{decided}; nothing is replicated")


def after_transfer(plan: Plan, verdict: GateVerdict) -> Plan:
    """On to the replication, or the end."""
    seen = verdict.saw(FamilyEvidence)
    for text in seen.dropped:
        plan = noted(plan, "cell-refused", f"{text}; the cell is left out, N is never lowered.")
    if verdict.outcome != "Pass":
        plan = noted(plan, "not-replicated", f"{verdict.reason}.")
        return _ended(plan, "every member of the family is decided; nothing could be replicated")
    ready = {"replicas": seen.family, "pending": tuple(chosen.id for chosen in seen.family)}
    return _open(_told(plan, verdict).model_copy(update=ready), "replicate")


def after_replicate(plan: Plan, verdict: GateVerdict) -> Plan:
    """A second look for ambiguous replicas; then matched sets, where a detected effect asks for them."""
    verdicts = verdict.saw(LookEvidence).verdicts
    ambiguous = tuple(name for name, cell in verdicts.items() if cell.verdict == "Ambiguous")
    plan = _detected(plan, verdicts)
    return _looked_again(plan, ambiguous) if ambiguous else _ask_specificity(plan, "replicate_specificity", _replicated)


def _replicated(plan: Plan) -> Plan:
    return _ended(plan, "every member of the family and of the replication is decided")
