"""What a plan will take, before it runs: items, rows, tokens, arithmetic, bytes and minutes, by stage. Pure.

Arithmetic is counted as multiply-adds times two, one whole forward pass for a clean row; per token and layer
2 (4 d a + 3 d m) + 2 a T for width d, heads times d_head a, neurons m and T tokens (grouped keys and ungated MLPs need
less: it is an upper bound), and 2 d V for each logit row. An edited row starts at its lowest edited layer, as the quick
engine does. Minutes follow from a rate (arithmetic per processor second) that the caller names and measured or assumed.
"""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple, get_args

from lesion.interventions.site import parse_site
from lesion.study.arms.arm import Arm, companions
from lesion.study.arms.targets import NAMED, DetectedHeads, aim, named_sites
from lesion.study.claims import ABLATIONS, with_own
from lesion.study.forecast.reachable_specificity import exist
from lesion.study.gates.specificity import ARMS
from lesion.study.plan import Plan, StageName, all_heads, swept
from lesion.study.stages.confirmatory_cells import assumed_n
from lesion.study.stages.matched_sets import WITHIN
from lesion.study.stages.set_items import SEEN
from lesion.study.study import Study
from lesion.tasks.literature.word_maps import WORD_MAPS
from lesion.tasks.literature.word_prompts import PROMPTS

PSI = 0.2
"""Share of changed answers that a forecast assumes; discovery will measure it."""
SD = 1.0
"""Standard deviation of a paired difference that a forecast assumes where an outcome is in nats."""
ROW_BYTES = 40
"""On disk, per row of the item tables; measured on a run of the default study."""
PROOF_ROWS = 4.25
"""Rows that the instrument stage runs for each item: twice plain, a placebo, a quarter of them alone, the engine's."""
PROOF_ITEMS = 64
PROBE_ROWS, PROBE_TOKENS = 48, 84
"""Sequences of a detector, both sets of the standard probe together, and their mean length."""
VECTOR_ROWS = 2 * PROMPTS * len(WORD_MAPS)
"""Function vectors: edited rows for each head. Each computes the last token alone, for what stands before is shared."""
TEXT_PASSES = 3.0
"""Whole passes whose time it takes to write one answer out, in small steps of one token; 1.6 to 3 were measured."""
ASSUMED_RATE = 2e10
"""FLOP per processor second where a run's baseline took no time that could be measured."""
ASSUMED_DEVICE_RATE = 1e13
"""FLOP per second of a CUDA device where no run was measured: a third of what a 24 GB card is sold for, float32."""


class Anatomy(NamedTuple):
    """The sizes of a model that its arithmetic depends on."""

    layers: int
    width: int
    attention: int
    """Heads times width of a head."""
    neurons: int
    vocabulary: int

    @property
    def parameters(self) -> int:
        """Weights, upper bound."""
        block = 4 * self.width * self.attention + 3 * self.width * self.neurons
        return self.layers * block + 2 * self.width * self.vocabulary

    def row(self, tokens: float, logits: float) -> float:
        """FLOP of one whole forward pass."""
        dense = 2 * self.width * (4 * self.attention + 3 * self.neurons) + 2 * self.attention * tokens
        return self.layers * tokens * dense + 2 * logits * self.width * self.vocabulary


class Lengths(NamedTuple):
    """Mean tokens of a tier's items, from a sample."""

    prompt: float
    answer: float
    shared: float
    """Leading tokens that all items of a seed share: few-shot examples, which the quick engine runs once."""

    @property
    def tokens(self) -> float:
        """What a forward pass reads."""
        return self.prompt + self.answer - 1


class Costed(NamedTuple):
    """One stage, or a whole study."""

    stage: StageName | str
    cells: int
    items: int
    rows: int
    """Items times arms."""
    tokens: int
    """Tokens of all rows, shared ones counted each time."""
    flop: float

    @property
    def bytes(self) -> int:
        """Of the row tables on disk."""
        return self.rows * ROW_BYTES


class Basis(NamedTuple):
    """What a forecast is made from."""

    anatomy: Mapping[str, Anatomy]
    """By model."""
    lengths: Mapping[str, Mapping[str, Lengths]]
    """By model and tier."""


def arm_weight(anatomy: Anatomy, arm: Arm) -> float:
    """Share of a whole forward pass that an arm needs: the layers from its lowest edited one on."""
    if arm.intervention is None:
        return 1.0
    lowest = min(site.layer for site in arm.intervention.sites)
    return max(1.0, anatomy.layers - lowest) / anatomy.layers


def forecast(plan: Plan, basis: Basis) -> list[Costed]:
    """Every stage that the plan has not passed yet, the confirmation with its first look, and then its second."""
    stages = [_instrument(plan, basis), _baseline(plan, basis)]
    if _looked_for(plan.study):
        stages.append(_detect(plan, basis))
    looks = [_confirm(plan, basis)]
    stages += [_discovery(plan, basis), *looks, *_specificity("specificity", plan, basis)]
    if plan.study.replication is not None:
        looks.append(_replicate(plan, basis))
        stages += [_transfer(plan, basis), looks[-1], *_specificity("replicate_specificity", plan, basis)]
    if plan.study.verdict.looks == 2:
        stages.append(total(looks)._replace(stage="second look, of every cell"))
    order = list(get_args(StageName))
    return [each for each in stages if each.stage not in order or order.index(each.stage) >= order.index(plan.stage)]


def total(stages: list[Costed]) -> Costed:
    """The sum."""
    return Costed(
        "all",
        sum(each.cells for each in stages),
        sum(each.items for each in stages),
        sum(each.rows for each in stages),
        sum(each.tokens for each in stages),
        sum(each.flop for each in stages),
    )


def expected(plan: Plan, basis: Basis) -> float:
    """FLOP of what is left, the second look left out."""
    return total(ahead(plan, basis)).flop


def ahead(plan: Plan, basis: Basis) -> list[Costed]:
    """The stages that are left, the second look left out: most cells do not need it."""
    return [each for each in forecast(plan, basis) if not each.stage.startswith("second")]


def needs(plan: Plan) -> dict[str, dict[str, int | bool]]:
    """Tier -> items per seed that all looks need at the assumed spread, what a seed holds, and whether it is enough."""
    looks = plan.study.verdict.looks
    need = {tier: _look_items(plan, tier) * looks for tier in plan.capacity}
    return {
        tier: {"needs": need[tier], "holds": held, "enough": need[tier] <= held} for tier, held in plan.capacity.items()
    }


def _confirmed(plan: Plan) -> dict[str, int]:
    """Tier -> items of one look, all seeds together; without the tiers whose pool is too small for all looks."""
    study = plan.study
    each = {tier: _look_items(plan, tier) for tier in plan.capacity}
    return {
        tier: study.baseline.seeds * many
        for tier, many in each.items()
        if many * study.verdict.looks <= plan.capacity[tier]
    }


def _look_items(plan: Plan, tier: str) -> int:
    study = plan.study
    need = assumed_n(study, SD if study.continuous else PSI, tier)
    return -(-need // study.block) * study.block


def _stage(
    stage: StageName, plan: Plan, basis: Basis, rows: Mapping[tuple[str, str], tuple[int, int, float]]
) -> Costed:
    """A stage from (model, tier) -> (cells, items, arms weighted by their share of a pass)."""
    cost = Costed(stage, 0, 0, 0, 0, 0.0)
    for (model, tier), (cells, items, weight) in rows.items():
        lengths = basis.lengths[model][tier]
        arms = round(weight) if stage in ("transfer", "replicate") else _arms(stage, plan, model)
        cost = Costed(
            stage,
            cost.cells + cells,
            cost.items + items,
            cost.rows + round(items * arms),
            cost.tokens + round(items * arms * lengths.tokens),
            cost.flop + items * weight * basis.anatomy[model].row(lengths.tokens, lengths.answer),
        )
    return cost


def _arms(stage: StageName, plan: Plan, model: str) -> float:
    study = plan.study
    if stage == "instrument":
        return PROOF_ROWS
    if stage == "discovery":
        singles = len(all_heads(plan.shapes[model])) if study.sweep.maps_heads else 0
        return 1 + sum(_target_arms(plan, model, name) for name in study.sweep.named) + singles + 2 * study.sweep.staged
    if stage == "confirm" and study.claims is not None:
        each = len(study.sweep.always) + study.sweep.best + (_ablations(study) - 1) * study.sweep.ablates
        return 1 + each * len(study.sweep.named)
    if stage == "confirm":
        cells = (len(study.sweep.always) + study.sweep.best) * (1 + (study.sweep.controls > 0))
        return 1 + cells + sum(len(companions(alpha, study)) for alpha in study.sweep.always)
    return 1


def _ablations(study: Study) -> int:
    """How many ablations of a target are measured: three, and the one that decides where it is another."""
    return len(ABLATIONS if study.primary == "auto" else with_own(study.primary))


def _target_arms(plan: Plan, model: str, name: str) -> int:
    """Arms of one target and its controls on discovery items."""
    study, sets = plan.study, _seen(plan, model, name)
    if study.sweep.edit.exchange is not None:
        return 1 + sets
    ablated = _ablations(study) + sets if study.claims is not None and 0.0 in swept(study) else 0
    return len(swept(study)) * (1 + min(study.sweep.controls, sets)) + ablated


def _seen(plan: Plan, model: str, name: str) -> int:
    """Sets that discovery measures under the primary ablation."""
    claims = plan.study.claims
    if claims is None or not claims.sets:
        return plan.study.sweep.controls
    return min(SEEN, claims.sets, exist(plan, model, claims.population, name)[1])


def _instrument(plan: Plan, basis: Basis) -> Costed:
    rows = dict.fromkeys(plan.pairs(), (0, PROOF_ITEMS, PROOF_ROWS))
    return _stage("instrument", plan, basis, rows)._replace(cells=len(plan.models()))


def _baseline(plan: Plan, basis: Basis) -> Costed:
    seeds, block = plan.study.baseline.seeds, plan.study.block
    rows = {(m, t): (seeds * -(-plan.items[m][t] // block), seeds * plan.items[m][t], 1.0) for m, t in plan.pairs()}
    return _stage("baseline", plan, basis, rows)


def _detect(plan: Plan, basis: Basis) -> Costed:
    many = _looked_for(plan.study)
    flop = many * sum(PROBE_ROWS * basis.anatomy[model].row(PROBE_TOKENS, PROBE_TOKENS) for model in plan.models())
    cells = many * len(plan.models())
    vectors = any(isinstance(each, DetectedHeads) and each.function_vectors for each in plan.study.sweep.named.values())
    for model in plan.models():
        flop += vectors * VECTOR_ROWS * len(all_heads(plan.shapes[model])) * basis.anatomy[model].row(1, 1)
    return Costed("detect", cells, 0, PROBE_ROWS * cells, PROBE_ROWS * PROBE_TOKENS * cells, flop)


def _looked_for(study: Study) -> int:
    """Targets whose sites the study does not name."""
    return sum(not isinstance(target, NAMED) for target in study.sweep.named.values())


def _discovery(plan: Plan, basis: Basis) -> Costed:
    """Group arms may begin at layer 0; a map of single heads starts, on average, half way up."""
    study, rows = plan.study, dict[tuple[str, str], tuple[int, int, float]]()
    for model, tier in plan.own_pairs():
        layers = basis.anatomy[model].layers
        singles = len(all_heads(plan.shapes[model])) if study.sweep.maps_heads else 0
        groups = _arms("discovery", plan, model) - singles
        weight = groups + singles * (layers + 1) / (2 * layers)
        rows[model, tier] = (-(-study.sweep.items // study.block), study.sweep.items, weight)
    return _stage("discovery", plan, basis, rows)


def _confirm(plan: Plan, basis: Basis) -> Costed:
    """One look at the assumed psi; a tier whose pool is too small for both looks is left out, as discovery will do."""
    study = plan.study
    items = _confirmed(plan)
    texts = TEXT_PASSES * (1 + (len(study.sweep.always) + study.sweep.best) * len(study.sweep.named))
    rows = {
        (model, tier): (
            items[tier] // study.block,
            items[tier],
            _arms("confirm", plan, model) + texts * (tier in study.decoded),
        )
        for model, tier in plan.own_pairs()
        if tier in items
    }
    return _stage("confirm", plan, basis, rows)


def _assumed(plan: Plan) -> Counter[str]:
    """Tier -> configurations of the replication: those fixed, or before that as many as there may be, spread evenly."""
    if plan.configurations or plan.study.replication is None:
        return Counter(each.tier for each in plan.configurations)
    control = plan.study.positive_control
    others = [tier for tier in plan.study.tasks if tier != control] or [*plan.study.tasks]
    spread = [others[i % len(others)] for i in range(plan.study.replication.best)]
    return Counter([*([control] if control else []), *spread])


def _others(plan: Plan) -> list[tuple[str, str, int]]:
    """Model, tier and configurations of the replication."""
    assumed = _assumed(plan)
    return [(m, t, assumed[t]) for m, t in plan.pairs() if m not in plan.study.models and assumed[t]]


def _transfer(plan: Plan, basis: Basis) -> Costed:
    study = plan.study
    arms = 1 + study.sweep.controls + (len(ABLATIONS) + SEEN if study.claims is not None else 0)
    cells, items = -(-study.sweep.items // study.block), study.sweep.items
    rows = {(m, t): (cells, items, float(1 + many * arms)) for m, t, many in _others(plan)}
    return _stage("transfer", plan, basis, rows)


def _replicate(plan: Plan, basis: Basis) -> Costed:
    """One look at the assumed psi, each zeroing with its companions."""
    study = plan.study
    items = _confirmed(plan)
    arms = 1 + (study.sweep.controls > 0) + len(study.sweep.ablations)
    if study.claims is not None:
        arms = len(ABLATIONS)
    rows = {
        (m, t): (items[t] // study.block, items[t], float(1 + many * arms))
        for m, t, many in _others(plan)
        if t in items
    }
    return _stage("replicate", plan, basis, rows)


def _specificity(stage: StageName, plan: Plan, basis: Basis) -> list[Costed]:
    """The matched sets of every cell, as if all had an effect: an upper bound. Nothing where none are wanted."""
    study, claims = plan.study, plan.study.claims
    if claims is None or not claims.sets:
        return []
    each = len(study.sweep.always) + study.sweep.best
    members = {(*pair, name): each for pair in plan.own_pairs() for name in study.sweep.named}
    if stage == "replicate_specificity":
        members = {(model, tier, ""): many for model, tier, many in _others(plan)}
    members = {each: many for each, many in members.items() if claims.may_ask(each[2], each[1])}
    cost = Costed(stage, 0, 0, 0, 0, 0.0)
    for (model, tier, name), many in members.items():
        lengths, anatomy = basis.lengths[model][tier], basis.anatomy[model]
        arms = many * (1 + min(claims.sets, exist(plan, model, claims.population, name)[1]))
        if claims.population == "model":
            arms += many * min(WITHIN, claims.sets, exist(plan, model, "layer", name)[1])
        portions = -(-arms // ARMS)
        passes = claims.set_items * (arms * _height(plan, model, name, anatomy) + 2 * portions)
        cost = Costed(
            stage,
            cost.cells + study.baseline.seeds * portions,
            cost.items + claims.set_items,
            cost.rows + claims.set_items * arms,
            cost.tokens + round(claims.set_items * arms * lengths.tokens),
            cost.flop + passes * anatomy.row(lengths.tokens, lengths.answer),
        )
    return [cost]


def _height(plan: Plan, model: str, name: str, anatomy: Anatomy) -> float:
    """Share of a pass that a set needs: the layers from its lowest on, all of them where the target is not known.

    Sets of the target's own layers begin where it does. Of `k` heads from anywhere in `L` layers the lowest is in layer
    `j` or above with probability `((L - j) / L) ** k`.
    """
    target, claims = plan.study.sweep.named[name], plan.study.claims
    shape, layers = plan.shapes[model], anatomy.layers
    known = plan.targets.get(aim(model, name)) or named_sites(target, shape.layers, shape.heads)
    if not known:
        return 1.0
    if claims is not None and claims.population == "model":
        return 1.0 - sum((above / layers) ** len(known) for above in range(1, layers)) / layers
    return (layers - min(parse_site(site).layer for site in known)) / layers


def minutes(flop: float, rate: float, workers: int = 1) -> float:
    """Wall time at a rate (FLOP per processor second), spread evenly over workers."""
    return flop / rate / 60 / workers
