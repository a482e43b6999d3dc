"""The gate of the detect stage: which sites each target of a study has, on every model. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from lesion.study.arms.targets import NAMED, AllBut, DetectedHeads, RankedNeurons, ScreenedSites, aim, named_sites
from lesion.study.gates.checks import WORST, Check, reasons, worst
from lesion.study.gates.detection.heads import left_out, validity
from lesion.study.gates.detection.heads import passing as every_passing
from lesion.study.gates.evidence.model_answers import DetectorAnswer, RankedAnswer, TargetAnswer
from lesion.study.gates.gate_verdict import DetectionEvidence
from lesion.study.gates.judge import Facts, Judged
from lesion.study.plan import Outcome, Plan
from lesion.study.stages.replication import Stand, mapped

Sites = Mapping[str, tuple[str, ...]]
"""`aim(model, target)` -> sites."""


class _Found(NamedTuple):
    """What was found for one target."""

    outcome: Outcome
    said: str
    picked: Sites
    passing: Sites = {}
    """Every site that passes, the highest score first."""
    ranking: Sites = {}
    checks: tuple[Check, ...] = ()
    mapped: Mapping[str, tuple[Stand, ...]] = {}
    answers: Mapping[str, TargetAnswer] = {}
    excluded: Sites = {}
    """Heads that pass and that the study leaves out."""


def detect_gate(plan: Plan, facts: Facts) -> Judged:
    """Every model has, for each target, a head whose score passes twice, or as many neurons that write as wanted."""
    found = {name: _found(plan, facts, name) for name in plan.study.sweep.named}
    outcome: Outcome = next(each for each in WORST if each in [one.outcome for one in found.values()])
    said = "; ".join(
        f"{name}: {each.said}" if name else each.said for name, each in found.items() if each.outcome == outcome
    )
    parts = [*found.values()]
    evidence = DetectionEvidence(
        picked=_joined([each.picked for each in parts]), passing=_joined([each.passing for each in parts]),
        answers={key: answer for each in parts for key, answer in each.answers.items()},
        checks=tuple(check for each in parts for check in each.checks),
        ranking=_joined([each.ranking for each in parts]) if plan.study.sweep.staged else {},
        excluded=_joined([each.excluded for each in parts]),
        mapped={model: stands for each in parts for model, stands in each.mapped.items()},
    )  # fmt: skip
    return outcome, said, evidence


def _joined(parts: Sequence[Sites]) -> dict[str, tuple[str, ...]]:
    return {key: sites for each in parts for key, sites in each.items()}


def _found(plan: Plan, facts: Facts, name: str) -> _Found:
    """What was found for the target of this name."""
    target = plan.study.sweep.named[name]
    keys = {aim(model, name): model for model in plan.models()}
    if isinstance(target, NAMED):
        shapes = {key: plan.shapes[model] for key, model in keys.items()}
        picked = {key: named_sites(target, each.layers, each.heads) for key, each in shapes.items()}
        kept = "all heads but those" if isinstance(target, AllBut) else "sites"
        return _Found("Pass", f"{kept} that the study names: {', '.join(target.sites)}", picked)
    here = facts._replace(answers={key: answer for key, answer in facts.answers.items() if key in keys})
    if isinstance(target, RankedNeurons):
        return _neurons(target, here.answers_of(RankedAnswer))
    if isinstance(target, ScreenedSites):
        return _screened(target, here.answers_of(RankedAnswer))
    return _heads(plan, target, keys, here.answers_of(DetectorAnswer))


def _heads(plan: Plan, target: DetectedHeads, keys: Mapping[str, str], answers: Mapping[str, DetectorAnswer]) -> _Found:
    """The heads with the highest scores, of those that pass."""
    picked, passing, ranking, excluded = (dict[str, tuple[str, ...]]() for _ in range(4))
    checks: list[Check] = []
    for key, answer in answers.items():
        check = validity(key, target, answer)
        checks.append(check if keys[key] in plan.study.models else replace(check, blocks=False))
        ranked = answer.ranked()
        ranking[key] = tuple(site for _, site in ranked[: plan.study.sweep.staged])
        found, out = every_passing(target, answer), left_out(target, answer)
        passing[key] = tuple(site for site in found if site not in out)
        if out:
            excluded[key] = out
        picked[key] = passing[key][: target.most]
    stands = _mapped(plan, picked, passing)
    picked |= {model: tuple(each.site for each in found) for model, found in stands.items()}
    outcome = worst(checks)
    if outcome == "Pass":
        found = "; ".join(f"{keys[key]}: {', '.join(sites) or 'none'}" for key, sites in picked.items())
        said = f"{target.detector} heads found: {found}"
    else:
        names = ", ".join(keys[key] for key in answers if keys[key] in plan.study.models and not picked[key])
        said = f"no head of {names} has a score of {target.threshold} or more for {target.detector}"
        said += " on both sets of sequences" if outcome == "Ambiguous" else ""
        if excluded or target.detector == "function_vector":
            said = f"no {target.detector} head of {names}: {reasons(checks)}"
    return _Found(outcome, said, picked, passing, ranking, tuple(checks), stands, answers, excluded)


def _mapped(plan: Plan, picked: Sites, passing: Sites) -> dict[str, tuple[Stand, ...]]:
    """On each model of the replication, the heads that stand for the first model's."""
    if plan.study.replication is None:
        return {}
    first, shapes = plan.study.models[0], plan.shapes
    return {
        model: mapped(picked[first], passing[model], shapes[first], shapes[model])
        for model in picked
        if model not in plan.study.models
    }


def _neurons(target: RankedNeurons, answers: Mapping[str, RankedAnswer]) -> _Found:
    """The neurons with the highest scores; fails where too few of them write anything."""
    ranked = {key: [(site, s) for site, s in answer.ranked if s > 0] for key, answer in answers.items()}
    picked = {key: tuple(site for site, _ in rows[: target.most]) for key, rows in ranked.items()}
    outcome: Outcome = "Pass"
    said = f"neurons that write most on {target.tier}: " + "; ".join(
        f"{key}: {', '.join(sites)}" for key, sites in picked.items()
    )
    if short := [key for key, sites in picked.items() if len(sites) < target.most]:
        outcome, said = "Fail", f"fewer than {target.most} neurons of {', '.join(short)} write anything"
    return _Found(outcome, said, picked, picked, answers=answers)


def _screened(target: ScreenedSites, answers: Mapping[str, RankedAnswer]) -> _Found:
    """The sites with the largest expected loss; fails where none has one."""
    ranked = {key: tuple(site for site, loss in answer.ranked if loss > 0) for key, answer in answers.items()}
    picked = {key: sites[: target.most] for key, sites in ranked.items()}
    what = f"{target.of}s that a screen on {target.tier} ranks highest"
    if bare := [key for key, sites in picked.items() if not sites]:
        return _Found(
            "Fail", f"no {target.of} of {', '.join(bare)} loses anything in the screen on {target.tier}", picked
        )
    said = f"{what}: " + "; ".join(f"{key}: {', '.join(sites)}" for key, sites in picked.items())
    return _Found("Pass", said, picked, picked, answers=answers)
