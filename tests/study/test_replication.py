"""What is replicated, at which heads, and what follows: fixed by rule, and indifferent to a head's index."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lesion.errors import InputError
from lesion.stats.meta_analysis import Predicted
from lesion.stats.verdict.cell_verdict import CellVerdict
from lesion.stats.verdict.rule import Verdict
from lesion.study.forecast.forecast import Anatomy, Basis, Lengths, forecast
from lesion.study.format.load import parse_document
from lesion.study.gates.gate_verdict import GateVerdict
from lesion.study.plan import Chosen, Plan, Shape, StageName, new_plan
from lesion.study.results import ReplicationResults, findings
from lesion.study.stages.overrun import afford
from lesion.study.stages.replication import configurations, mapped
from lesion.study.stages.stage_table import amend, next_stage
from lesion.study.study import Study
from tests.study.made import cell_verdict, gate

TEXT = """\
name: other-models
question: Does it hold elsewhere?
models: [tiny:llama]
tasks:
  tier1: {task: arithmetic}
  tier2: {task: arithmetic, beyond: 199}
  tier3: {task: symbolic}
sweep: {target: {kind: detected}, alphas: [0.0, 2.0], best: 1}
replication: {models: [tiny:gpt2, tiny:gpt_neox], best: 2}
positive_control: tier3
"""
FIRST, SECOND, THIRD = "tiny:llama", "tiny:gpt2", "tiny:gpt_neox"
WIDE, FLAT = Shape(layers=4, heads=4, neurons=8), Shape(layers=2, heads=6, neurons=8)


def study(text: str = TEXT) -> Study:
    return parse_document(text, "other.yaml", Study)


def decided(deltas: dict[tuple[str, float], float], improved: tuple[str, ...] = ()) -> Plan:
    """A plan whose family is decided, with these changes in discovery."""
    shapes = {FIRST: WIDE, SECOND: FLAT, THIRD: WIDE}
    plan = new_plan(study(), "key", shapes, dict.fromkeys(("tier1", "tier2", "tier3"), 10**6))
    family = tuple(
        Chosen(model=FIRST, tier=tier, alpha=alpha, items=512, psi=0.1, delta=delta)
        for (tier, alpha), delta in deltas.items()
    )
    sites = {FIRST: ("L2H1", "L2H3"), SECOND: ("L1H0", "L1H5"), THIRD: ("L2H0",)}
    return plan.model_copy(
        update={
            "stage": "confirm", "family": family, "improved": improved, "targets": sites,
            "controls": dict.fromkeys(sites, (("L0H0",),)), "pending": tuple(c.id for c in family),
        }
    )  # fmt: skip


CHANGES = {
    ("tier1", 0.0): -0.2, ("tier1", 2.0): -0.01, ("tier2", 0.0): -0.4, ("tier2", 2.0): 0.02, ("tier3", 0.0): -0.99,
}  # fmt: skip


def said(plan: Plan, stage: StageName, **kinds: Verdict) -> GateVerdict:
    """A gate's verdict in which every pending cell has a verdict: Null, or what `kinds` says of its tier."""
    tiers = {chosen.id: chosen.tier for chosen in plan.members()}
    return gate(stage, verdicts={name: cell_verdict(kinds.get(tiers[name], "Null")) for name in plan.pending})


def outcome(plan: Plan, cells: dict[str, CellVerdict], replicas: dict[str, CellVerdict]) -> ReplicationResults:
    """What the replication found, when its own and the family's looks saw these."""
    told = findings(plan, [gate("confirm", verdicts=cells), gate("replicate", verdicts=replicas)]).replication
    assert told is not None
    return told


def test_where_nothing_improved_large_changes_and_factors_that_might_improve_are_replicated_in_turn():
    chosen = configurations(decided(CHANGES))
    assert [(c.tier, c.alpha) for c in chosen] == [("tier3", 0.0), ("tier2", 0.0), ("tier2", 2.0)]
    assert [c.why for c in chosen] == ["positive control", "largest change in discovery", "room for an improvement"]


def test_a_factor_whose_tier_is_at_the_ceiling_has_no_room_for_an_improvement():
    chosen = configurations(decided(CHANGES).model_copy(update={"full": (f"{FIRST}|tier2|target@2",)}))
    assert [(c.tier, c.alpha) for c in chosen[1:]] == [("tier2", 0.0), ("tier1", 2.0)]


def test_a_study_of_format_1_replicates_the_largest_changes_alone():
    plan = decided(CHANGES)
    first = plan.study.model_copy(update={"lesion": 1, "claims": None})
    chosen = configurations(plan.model_copy(update={"study": first}))
    assert [(c.tier, c.alpha) for c in chosen] == [("tier3", 0.0), ("tier2", 0.0), ("tier1", 0.0)]


def test_a_specific_source_is_replicated_only_by_what_is_specific_too():
    plan = decided(CHANGES)
    replicas = tuple(Chosen(model=m, tier="tier3", alpha=0.0, items=512, psi=0.1, delta=0.0) for m in (SECOND, THIRD))
    source = f"{FIRST}|tier3|target@0"
    plan = plan.model_copy(update={"configurations": configurations(plan)[:1], "replicas": replicas})
    harmed = {c.id: cell("Harm", -0.5) for c in replicas}
    for specific, answer in (
        ((), "replicated"), ((source,), "not replicated"), ((source, replicas[0].id), "partly replicated"),
        ((source, replicas[0].id, replicas[1].id), "replicated"),
    ):  # fmt: skip
        told = outcome(plan.model_copy(update={"specific": specific}), {source: cell("Harm", -0.9)}, harmed)
        assert told.configurations[0].answer == answer


def test_five_models_have_a_mean_with_a_prediction_interval_from_the_widths_of_their_intervals():
    plan = decided(CHANGES)
    models = [f"tiny:{name}" for name in ("a", "b", "c", "d")]
    replicas = tuple(Chosen(model=m, tier="tier3", alpha=0.0, items=512, psi=0.1, delta=0.0) for m in models)
    plan = plan.model_copy(update={"configurations": configurations(plan)[:1], "replicas": replicas})
    changes = {c.id: cell("Harm", delta) for c, delta in zip(replicas, (-0.5, -0.3, -0.4, -0.6), strict=True)}
    told = outcome(plan, {f"{FIRST}|tier3|target@0": cell("Harm", -0.7)}, changes)
    found = told.configurations[0].pooled
    assert isinstance(found, Predicted)
    assert found.models == 5
    assert found.delta == pytest.approx(-0.5, abs=1e-6)
    assert found.predicted_low < found.low < -0.5 < found.high < found.predicted_high


def test_improvements_come_before_larger_losses():
    chosen = configurations(decided(CHANGES, improved=(f"{FIRST}|tier2|target@2",)))
    assert [(c.tier, c.alpha, c.why) for c in chosen[1:]] == [("tier2", 2.0, "improvement")]


def test_when_the_family_is_decided_the_plan_goes_to_the_other_models_and_only_there():
    plan = decided(CHANGES)
    after = amend(plan, said(plan, "confirm", tier3="Harm"))
    stage = next_stage(after)
    assert stage is not None
    assert (stage.name, {cell.model for cell in stage.cells}) == ("transfer", {SECOND, THIRD})
    arms = {cell.tier: [arm.name for arm in cell.arms] for cell in stage.cells if cell.model == SECOND}
    assert arms["tier2"] == ["baseline", "target@0", "control0@0", "target@2", "control0@2"]
    assert set(arms) == {"tier2", "tier3"}
    rows = [
        Chosen(model=SECOND, tier=c.tier, alpha=c.alpha, items=512, psi=0.1, delta=0.0) for c in after.configurations
    ]
    ready = amend(after, gate("transfer", family=rows))
    last = next_stage(ready)
    assert last is not None
    assert {(cell.stage, cell.model, cell.split) for cell in last.cells} == {("replicate", SECOND, "confirm")}
    end = amend(ready, said(ready, "replicate"))
    assert end.ending is not None
    assert end.ending.outcome == "complete"


def test_an_ambiguous_replica_gets_a_second_look_on_new_items_and_the_family_none():
    plan = decided(CHANGES)
    after = amend(plan, said(plan, "confirm"))
    replica = Chosen(model=SECOND, tier="tier2", alpha=0.0, items=512, psi=0.1, delta=0.0)
    looked = after.model_copy(update={"stage": "replicate", "replicas": (replica,), "pending": (replica.id,)})
    again = amend(looked, said(looked, "replicate", tier2="Ambiguous"))
    stage = next_stage(again)
    assert stage is not None
    assert (stage.name, stage.attempt) == ("replicate", 1)
    assert {(cell.model, cell.start) for cell in stage.cells} == {(SECOND, 512)}


def test_a_model_without_counterparts_is_named_and_left_out():
    plan = decided(CHANGES).model_copy(update={"unmapped": {SECOND: "no head", THIRD: "no head"}})
    end = amend(plan, said(plan, "confirm"))
    assert end.ending is not None
    assert any(note.topic == "not-replicated" and SECOND in note.text for note in end.notes)


def test_an_overrun_puts_the_replication_off_before_any_tier_of_the_study_itself():
    plan = decided(CHANGES)

    def left(of: Plan) -> dict[str, float]:
        return {"cpu_hours": 0.4 * len(of.pairs()), "gpu_hours": 0.0, "wall_minutes": 0.0}

    after = afford(plan, {"cpu_hours": 0.0, "gpu_hours": 0.0, "wall_minutes": 0.0}, left)
    assert after.models() == (FIRST,) or after.pairs() == ((FIRST, "tier1"),)
    generous = plan.model_copy(
        update={
            "study": plan.study.model_copy(update={"budget": plan.study.budget.model_copy(update={"cpu_hours": 1.3})})
        }
    )
    after = afford(generous, {"cpu_hours": 0.0, "gpu_hours": 0.0, "wall_minutes": 0.0}, left)
    assert after.pairs() == tuple((FIRST, tier) for tier in ("tier1", "tier2", "tier3"))


HEADS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3)).map(lambda at: f"L{at[0]}H{at[1]}"), unique=True, max_size=10
)  # fmt: skip


@given(HEADS.filter(bool), HEADS)
def test_every_head_gets_one_counterpart_of_its_own_among_the_first_that_pass(source, ranked):
    stands = mapped(source, ranked, WIDE, WIDE)
    assert len(stands) == min(len(source), len(ranked))
    assert len({each.site for each in stands}) == len(stands)
    assert all(ranked[each.rank - 1] == each.site and each.rank <= 2 * len(source) for each in stands)


@given(HEADS.filter(bool), HEADS, st.permutations(range(4)))
def test_the_index_of_a_head_within_its_layer_is_nothing_to_the_map(source, ranked, order):
    def renamed(site: str) -> str:
        layer, _, index = site.partition("H")
        return f"{layer}H{order[int(index)]}"

    plain = mapped(source, ranked, WIDE, WIDE)
    turned = mapped(source, list(map(renamed, ranked)), WIDE, WIDE)
    assert [renamed(each.site) for each in plain] == [each.site for each in turned]


def test_depth_is_relative_and_decides_among_the_candidates():
    stands = mapped(("L0H0", "L3H2"), ("L1H1", "L0H4"), WIDE, FLAT)
    assert [(each.site, each.rank) for each in stands] == [("L0H4", 2), ("L1H1", 1)]
    assert (stands[0].source_depth, stands[0].depth) == (0.125, 0.25)


def cell(verdict: Verdict, delta: float | None) -> CellVerdict:
    n = 1000
    gained, lost = (0, 0) if delta is None else (max(0, round(n * delta)), max(0, round(-n * delta)))
    ends = {"ci_low": None, "ci_high": None} if delta is None else {"ci_low": delta - 0.02, "ci_high": delta + 0.02}
    return cell_verdict(verdict, delta=delta, gained=gained, lost=lost, n=n, **ends)


@pytest.mark.parametrize(
    ("others", "answer"),
    [
        (("Harm", "Harm"), "replicated"), (("Harm", "Null"), "partly replicated"),
        (("Null", "Inconclusive"), "not replicated"), (("Harm", "Improvement"), "contradicted"),
    ],
)  # fmt: skip
def test_the_answer_compares_verdicts_and_an_opposite_one_contradicts(others, answer):
    plan = decided(CHANGES)
    plan = plan.model_copy(update={"configurations": configurations(plan)[:1]})
    replicas = [Chosen(model=m, tier="tier3", alpha=0.0, items=512, psi=0.1, delta=0.0) for m in (SECOND, THIRD)]
    plan = plan.model_copy(update={"replicas": tuple(replicas)})
    cells = {f"{FIRST}|tier3|target@0": cell("Harm", -0.9)}
    told = outcome(plan, cells, {c.id: cell(kind, -0.5) for c, kind in zip(replicas, others, strict=True)})
    assert told.configurations[0].answer == answer
    assert told.configurations[0].pooled is None, "three models are a table, not a mean"


def test_an_invalid_cell_is_not_pooled():
    plan = decided(CHANGES)
    replica = Chosen(model=SECOND, tier="tier3", alpha=0.0, items=512, psi=0.1, delta=0.0)
    plan = plan.model_copy(update={"configurations": configurations(plan)[:1], "replicas": (replica,)})
    told = outcome(plan, {f"{FIRST}|tier3|target@0": cell("Harm", -0.9)}, {replica.id: cell("Invalid", None)})
    assert told.configurations[0].pooled is None
    assert told.configurations[0].answer == "not replicated"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("models: [tiny:gpt2, tiny:gpt_neox]", "models: [tiny:llama]"), "is a model of the study itself"),
        (("{kind: detected}", "{kind: sites, sites: [L0H1]}"), "maps by detector rank"),
    ],
)
def test_a_replication_that_cannot_be_is_refused(change, words):
    with pytest.raises(InputError, match=words):
        study(TEXT.replace(*change))


def test_staged_ablation_needs_a_ranking():
    text = TEXT.replace("{kind: detected}", "{kind: neurons, tier: tier1}").replace("best: 1}", "best: 1, staged: 4}")
    with pytest.raises(InputError, match="staged needs heads"):
        study(text)


def test_a_study_without_replication_is_the_same_document_as_before_there_was_one():
    plain = study("\n".join(line for line in TEXT.splitlines() if not line.startswith("replication")))
    assert "replication" not in plain.model_dump()
    assert "staged" not in plain.model_dump()["sweep"]


def test_staged_arms_add_one_head_at_a_time_in_the_detectors_order_and_in_a_random_one():
    plan = decided(CHANGES).model_copy(
        update={"stage": "discovery", "ranking": {FIRST: ("L2H1", "L2H3", "L0H0")}, "controls": {FIRST: ()}}
    )
    stage = next_stage(plan)
    assert stage is not None
    arms = {arm.name: arm.intervention for arm in stage.cells[0].arms}
    grown = [[str(site) for site in arms[f"staged{n}@0"].sites] for n in (1, 2, 3)]
    assert grown[0] == ["L2H1"]
    assert set(grown[1]) == {"L2H1", "L2H3"}
    assert set(grown[2]) == {"L2H1", "L2H3", "L0H0"}
    drawn = [set(map(str, arms[f"random{n}@0"].sites)) for n in (1, 2, 3)]
    assert drawn[0] < drawn[1] < drawn[2]


def test_the_forecast_names_both_stages_and_grows_with_the_models():
    few = study(TEXT.replace(", tiny:gpt_neox]", "]"))
    costs: list[float] = []
    for each in (few, study()):
        shapes = dict.fromkeys(each.subjects, WIDE)
        plan = new_plan(each, "key", shapes, dict.fromkeys(each.tasks, 10**6))
        basis = Basis(
            dict.fromkeys(each.subjects, Anatomy(4, 16, 16, 8, 64)),
            dict.fromkeys(each.subjects, dict.fromkeys(each.tasks, Lengths(20, 3, 8))),
        )
        stages = {stage.stage: stage for stage in forecast(plan, basis)}
        assert {"transfer", "replicate"} <= set(stages)
        costs.append(stages["replicate"].flop)
    assert costs[1] == pytest.approx(2 * costs[0])
