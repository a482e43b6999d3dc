"""The gates in order, each with what it saw, as small tables."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

from lesion.report.wording.evidence import stability
from lesion.report.wording.words import (
    count,
    level,
    listed,
    model_name,
    outcome_words,
    p_value,
    percent,
    signed,
    unit_of,
)  # fmt: skip
from lesion.runs.manifest.run import Manifest
from lesion.stats.power import UNREACHABLE
from lesion.study.arms.targets import aim
from lesion.study.gates.evidence.model_answers import (
    DetectorAnswer,
    FunctionVectors,
    InstrumentAnswer,
    RankedAnswer,
    TargetAnswer,
)
from lesion.study.gates.gate_verdict import (
    BaselineEvidence,
    DetectionEvidence,
    Evidence,
    FamilyEvidence,
    GateVerdict,
    InstrumentEvidence,
    LookEvidence,
    SpecificityEvidence,
)
from lesion.study.plan import Chosen, Plan, pair_name
from lesion.study.stages.stage_table import STAGES

V = TypeVar("V")
_SIGNS = {"Pass": "✓", "Fail": "✗"}
MOST_RANKED = 30
"""Neurons of a ranking that are shown; the manifest holds all that were kept."""


class Table(NamedTuple):
    """A table of words."""

    caption: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


class Step(NamedTuple):
    """One gate on the timeline."""

    stage: str
    question: str
    attempt: int
    attempts: int
    """How often the run passed this gate in all; between two attempts its stage was done again."""
    outcome: str
    reason: str
    tables: list[Table]
    sign: str
    """A tick, a cross, a question mark; a dash where passing the gate says only that something was asked in vain."""
    answer: str
    """What came out of it then."""


def timeline(manifest: Manifest) -> list[Step]:
    """Every gate of the run in order."""
    attempts = Counter(gate.stage for gate in manifest.gates)
    return [
        Step(
            gate.stage,
            STAGES[gate.stage].question,
            gate.attempt + 1,
            attempts[gate.stage],
            gate.outcome,
            _reason(gate),
            _TABLES[type(gate.evidence)](gate, manifest.plan),
            *_answer(gate),
        )
        for gate in manifest.gates
    ]


def _answer(gate: GateVerdict) -> tuple[str, str]:
    """The sign, and of specificity in how many of the tests that asked it was shown."""
    sign = _SIGNS.get(gate.outcome, "?")
    if gate.outcome != "Pass" or not isinstance(gate.evidence, SpecificityEvidence):
        return sign, ""
    ranks = [rank.status for rank in gate.evidence.specific.values() if rank.status != "not asked"]
    asked, shown = [status for status in ranks if status != "not evaluable"], ranks.count("specific")
    if not asked:
        return ("–", "not evaluable") if ranks else (sign, "")
    if not shown:
        return "–", "not shown"
    return sign, "shown" if shown == len(ranks) else f"shown in {shown} of {len(ranks)} tests"


def _reason(gate: GateVerdict) -> str:
    """What the gate said; where it only lists cells, how many, for they stand in its table."""
    if gate.outcome == "Fail":
        return gate.reason
    if gate.stage == "transfer":
        replicas = gate.saw(FamilyEvidence).family
        return f"{count(len(replicas))} cells are replicated, each with the number of items that it needs there"
    if gate.stage == "discovery":
        family = gate.saw(FamilyEvidence).family
        return f"{count(len(family))} cells go on to confirmation, on items that nothing has seen"
    if isinstance(gate.evidence, SpecificityEvidence):
        ranks = gate.evidence.specific
        kinds = Counter(rank.status for rank in ranks.values())
        return (
            f"of {len(ranks)} cells that ask, {listed([f'{n} {kind}' for kind, n in sorted(kinds.items())]) or 'none'}"
        )
    if isinstance(gate.evidence, LookEvidence):
        verdicts = gate.evidence.verdicts
        found = Counter(cell.verdict for cell in verdicts.values())
        return f"of {len(verdicts)} cells, {listed([f'{kind} in {number}' for kind, number in sorted(found.items())])}"
    return gate.reason


def _instrument(gate: GateVerdict, plan: Plan) -> list[Table]:  # noqa: ARG001  (all tables are made alike)
    answers = gate.saw(InstrumentEvidence).models
    identities = [
        (model_name(model), i.name, _small(i.error), _small(i.tolerance), "holds" if i.holds else "fails")
        for model, answer in answers.items()
        for i in answer.identities
    ]
    proofs = [
        (
            model_name(model),
            "bit-equal" if answer.placebo_bit_equal else "differs",
            str(answer.repeat_flips),
            _small(answer.noise_floor),
            _rounding(answer),
            "; ".join(f"{tier}: {c.refused} of {c.items}" for tier, c in answer.contract.items()),
        )
        for model, answer in answers.items()
    ]
    about = (
        "model",
        "scaling by 1",
        "answers that flip when repeated",
        "noise floor, log-prob",
        "error against float64",
        "prompts refused",
    )
    shown = ("model", "identity", "relative error", "tolerance", "outcome")
    return [
        Table("Placebo, repetition, prompts", about, proofs),
        Table("Identities on the loaded weights", shown, identities),
    ]


def _rounding(answer: InstrumentAnswer) -> str:
    """The engine's error against float64, where it was measured: rounding alone makes effects of this size."""
    floor = answer.engine.floor
    return "not measured" if floor is None else f"{floor:.1e} nats"


def _baseline(gate: GateVerdict, plan: Plan) -> list[Table]:
    cells, unit = gate.saw(BaselineEvidence).cells, unit_of(plan.study)
    pairs = [(model, tier) for model in plan.study.subjects for tier in plan.study.tasks]
    rows = [
        (
            model_name(model),
            tier,
            ", ".join(level(mean, plan.study) for mean in cell.accuracies),
            f"{unit.factor * cell.spread:.2f}",
            f"{cell.n:,}",
            f"{cell.needed_n:,}" if cell.needed_n < UNREACHABLE else "no number suffices",
            str(cell.outcome),
        )
        for model, tier in pairs
        if (cell := cells.get(pair_name(model, tier))) is not None
    ]
    judged = outcome_words(plan.study)
    columns = ("model", "tier", f"{judged} by seed", f"spread, {unit.name}", "items per seed", "needed", "outcome")
    return [Table(f"{judged[0].upper()}{judged[1:]} of the unedited model by seed", columns, rows)] if rows else []


def _detect(gate: GateVerdict, plan: Plan) -> list[Table]:
    seen = gate.saw(DetectionEvidence)
    picked, answers = seen.picked, seen.answers
    keys = {aim(m, name): (m, name) for m in plan.study.subjects for name in plan.study.sweep.named}
    keys = {key: " ".join((model_name(model), name)).rstrip() for key, (model, name) in keys.items() if key in picked}
    rows = [
        (who, ", ".join(picked[key]) or "none", _best(answers.get(key)), _stability(answers.get(key)))
        for key, who in keys.items()
    ]
    ranked = [
        (who, str(place), site, f"{score:.4g}", "yes" if site in picked[key] else "no")
        for key, who in keys.items()
        for place, (site, score) in enumerate(_neurons(answers.get(key))[:MOST_RANKED], 1)
    ]
    told = [Table("What the detector picked", ("model", "sites picked", "highest score", "stability"), rows)]
    if seen.excluded:
        rows = [(who, ", ".join(seen.excluded[key])) for key, who in keys.items() if key in seen.excluded]
        told.append(Table("Heads that pass and that `exclude` leaves out", ("model", "heads"), rows))
    for key, who in keys.items():
        answer = answers.get(key)
        if isinstance(answer, DetectorAnswer) and answer.function_vectors is not None:
            told.append(_vectors(who, answer.function_vectors, picked[key]))
    if ranked:
        told.append(Table("The neurons that write most", ("model", "place", "neuron", "score", "picked"), ranked))
    return told


def _vectors(who: str, found: FunctionVectors, picked: Sequence[str]) -> Table:
    """The largest indirect effects, with intervals, controls, and which of the heads the target has."""
    rows = [
        (head.site, f"{head.effect:+.3f}", f"{head.low:+.3f} to {head.high:+.3f}", f"{head.control:+.3f}",
         "yes" if head.site in found.top else "no", "yes" if head.site in picked else "no")
        for head in found.heads[:MOST_RANKED]
    ]  # fmt: skip
    columns = ("head", "rise of P(answer)", "95 % interval", "control", "counts for overlap", "in the target")
    stable = "" if found.stability is None else f"; the ten largest: {stability.words(found.stability)}"
    return Table(f"Function-vector effects, {who}: largest control {found.control:.3f}{stable}", columns, rows)


def _stability(answer: TargetAnswer | None) -> str:
    return stability.words(answer.stability) if isinstance(answer, DetectorAnswer) else "–"


def _neurons(answer: TargetAnswer | None) -> tuple[tuple[str, float], ...]:
    return answer.ranked if isinstance(answer, RankedAnswer) else ()


def _best(answer: TargetAnswer | None) -> str:
    if answer is None:
        return "named by the study"
    if isinstance(answer, RankedAnswer):
        return "; ".join(f"{score:.3f} ({site})" for site, score in answer.ranked[:1])
    score, site = max((s, f"L{layer}H{head}") for layer, row in enumerate(answer.scores) for head, s in enumerate(row))
    return f"{score:.3f} ({site})"


def _discovery(gate: GateVerdict, plan: Plan) -> list[Table]:
    seen, unit, continuous = gate.saw(FamilyEvidence), unit_of(plan.study), plan.study.continuous
    dropped = seen.dropped
    rows = [
        (
            model_name(c.model),
            c.tier,
            c.short,
            f"{c.items:,}",
            ("–" if c.sd is None else f"{c.sd:.2f}") if continuous else percent(c.psi),
            unit.said(c.delta),
        )
        for c in seen.family
    ]
    varied = "standard deviation of the change, nats" if continuous else "answers that changed"
    columns = ("model", "tier", "edit", "items per seed", varied, f"change, {unit.name} (exploratory)")
    tables = [Table("Chosen for confirmation, with N fixed before the first look", columns, rows)]
    if dropped:
        tables.append(Table("Left out, because N is never lowered", ("why",), [(text,) for text in dropped]))
    return tables


def _confirm(gate: GateVerdict, plan: Plan) -> list[Table]:
    seen, unit = gate.saw(LookEvidence), unit_of(plan.study)
    rows = [
        (model_name(chosen.model), chosen.tier, chosen.edit, cell.verdict, unit.said(cell.delta), f"{cell.n:,}")
        for chosen, cell in _of_members(plan, seen.verdicts)
    ]
    columns = ("model", "tier", "factor", "verdict", f"change, {unit.name}", "items")
    return [Table(f"Verdicts at look {seen.look}", columns, rows)]


def _of_members(plan: Plan, cells: Mapping[str, V]) -> Iterator[tuple[Chosen, V]]:
    """The members that have a value, each with it, in the family's order."""
    return ((chosen, cells[chosen.id]) for chosen in plan.members() if chosen.id in cells)


def _specificity(gate: GateVerdict, plan: Plan) -> list[Table]:
    rows = [
        (
            model_name(chosen.model), chosen.tier, chosen.edit, each.status, f"{each.rank} of {each.sets + 1}",
            f"{each.exist:,}", f"{each.items:,}", p_value(each.p), p_value(each.p_holm),
        )
        for chosen, each in _of_members(plan, gate.saw(SpecificityEvidence).specific)
    ]  # fmt: skip
    columns = ("model", "tier", "edit", "status", "rank", "sets that exist", "items each", "p", "Holm p")
    return [Table("The target's rank among matched sets, on the same items", columns, rows)] if rows else []


_TABLES: dict[type[Evidence], Callable[[GateVerdict, Plan], list[Table]]] = {
    InstrumentEvidence: _instrument,
    BaselineEvidence: _baseline,
    DetectionEvidence: _detect,
    FamilyEvidence: _discovery,
    LookEvidence: _confirm,
    SpecificityEvidence: _specificity,
}


def _small(number: float | None) -> str:
    """A tolerance or an error: bit-equal is 0."""
    if number is None:
        return "–"
    return f"{number:.2g}" if number else signed(0, 0)
