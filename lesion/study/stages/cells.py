"""What each stage consists of: cells, one for each block of items, in a fixed order, and which items they ask. Pure."""

from collections.abc import Mapping

from lesion.identity import generator
from lesion.study.arms.arm import BASELINE, Arm, ablated, companions, placebo, scaled
from lesion.study.arms.condition import Role, member_of
from lesion.study.arms.targets import NAMED, aim
from lesion.study.claims import Ablation, with_own
from lesion.study.plan import Aim, Cell, Chosen, Plan, StageName, all_heads, look_items, swept
from lesion.study.stages.edits import DISCOVERY, ablation_arm, edited, exchange_arm, others_of, primary_of
from lesion.study.study import Study
from lesion.tasks.task import Draw


def _blocks(start: int, stop: int, block: int) -> list[tuple[int, int]]:
    return [(first, min(first + block, stop)) for first in range(start, stop, block)]


def instrument_cells(plan: Plan) -> tuple[Cell, ...]:
    """One cell for each model: its proof."""
    return tuple(Cell(stage="instrument", model=model, seed=plan.attempt) for model in plan.study.subjects)


def detect_cells(plan: Plan) -> tuple[Cell, ...]:
    """One cell for each model and target that is looked for: the scores of its heads, or its neurons."""
    return tuple(
        Cell(stage="detect", model=model, seed=plan.attempt, target=name)
        for model in plan.models()
        for name, target in plan.study.sweep.named.items()
        if not isinstance(target, NAMED)
    )


def baseline_cells(plan: Plan) -> tuple[Cell, ...]:
    """The unedited model on confirmation items."""
    study = plan.study
    return tuple(
        Cell(stage="baseline", model=m, tier=t, split="confirm", seed=s, start=a, stop=b, arms=(BASELINE,))
        for m, t in plan.pairs()
        for s in range(study.baseline.seeds)
        for a, b in _blocks(0, plan.items[m][t], study.block)
    )


def discovery_cells(plan: Plan) -> tuple[Cell, ...]:
    """Every factor, ablation and control on discovery items."""
    return _on_discovery_items(plan, "discovery", {pair: _discovery_arms(plan, *pair) for pair in plan.own_pairs()})


def _discovery_arms(plan: Plan, model: str, tier: str) -> tuple[Arm, ...]:
    """Baseline, target and controls at every factor and ablation; then single heads and staged ablations of heads.

    Single heads and staged ablations are zeroed: they are exploratory, and zero needs no pass of reference items.
    """
    study, arms = plan.study, [BASELINE]
    for each in plan.aims(model):
        for alpha in swept(study):
            arms += [*_sets(plan, each, alpha), *_ablations(plan, each, tier, alpha)]
    if study.sweep.maps_heads:
        arms += [scaled("single", (name,), 0.0, study, name) for name in all_heads(plan.shapes[model])]
    if study.sweep.edit.exchange is None and study.sweep.detects:
        arms += _staged(plan, model)
    return tuple(arms)


def _sets(plan: Plan, at: Aim, alpha: float) -> list[Arm]:
    """The target and the controls that every factor has."""
    study, name = plan.study, at.target
    sets = plan.controls[aim(at.model, name)]
    if study.sweep.edit.exchange is not None:
        whose = at.model, name
        target = exchange_arm("target", at.sites, plan, whose)
        return [target, *(exchange_arm("control", each, plan, whose, number) for number, each in enumerate(sets))]
    some = enumerate(sets[: study.sweep.controls])
    controls = (scaled("control", each, alpha, study, member_of(name, number)) for number, each in some)
    return [scaled("target", at.sites, alpha, study, name), *controls]


def _ablations(plan: Plan, at: Aim, tier: str, alpha: float) -> list[Arm]:
    """Where a factor of 0 means an ablation: all three of the target, and the primary one of all controls."""
    primary = primary_of(plan, at.model, tier, alpha)
    if primary is None:
        return []

    def made(role: Role, sites: tuple[str, ...], kind: Ablation, member: object = "") -> Arm:
        return ablation_arm(role, sites, kind, plan, (at.model, tier), DISCOVERY, member_of(at.target, member))

    controls = [made("control", sites, primary, i) for i, sites in enumerate(plan.controls[aim(at.model, at.target)])]
    return [*(made("target", at.sites, kind) for kind in with_own(primary)), *controls]


def _staged(plan: Plan, model: str) -> list[Arm]:
    """More and more heads zeroed together: `staged1@0`, … in the detector's order, `random1@0`, … in a random one."""
    study, ranked = plan.study, plan.ranking.get(model, ())
    every = all_heads(plan.shapes[model])
    drawn = tuple(every[int(i)] for i in generator("staged", study.seed, model).permutation(len(every)))
    orders: dict[Role, tuple[str, ...]] = {"staged": ranked, "random": drawn[: len(ranked)]}
    return [scaled(role, order[:n], 0.0, study, n) for role, order in orders.items() for n in range(1, len(order) + 1)]


def transfer_cells(plan: Plan) -> tuple[Cell, ...]:
    """On each model of the replication what is replicated there, so that it is known how many items that needs."""
    arms = {
        (model, tier): (
            BASELINE,
            *(each for c in plan.configurations if c.tier == tier for each in _sets(plan, at, c.alpha)),
            *(each for c in plan.configurations if c.tier == tier for each in _ablations(plan, at, tier, c.alpha)),
        )
        for model, tier in plan.other_pairs()
        for at in plan.aims(model)
    }
    return _on_discovery_items(plan, "transfer", arms)


def _on_discovery_items(
    plan: Plan, stage: StageName, arms: Mapping[tuple[str, str], tuple[Arm, ...]]
) -> tuple[Cell, ...]:
    return tuple(
        Cell(stage=stage, model=model, tier=tier, start=a, stop=b, arms=each)
        for (model, tier), each in arms.items()
        for a, b in _blocks(0, plan.study.sweep.items, plan.study.block)
    )


def confirm_cells(plan: Plan) -> tuple[Cell, ...]:
    """The pending members of the present family on confirmation items."""
    study = plan.study
    cells: list[Cell] = []
    for model, tier in plan.pairs():
        here = [c for c in plan.present() if (c.model, c.tier) == (model, tier) and c.id in plan.pending]
        if not here:
            continue
        first = min(chosen.items for chosen in here) if plan.attempt else 0
        last = max(look_items(plan, chosen) for chosen in here)
        for seed in range(study.baseline.seeds):
            for start, stop in _blocks(first, last, study.block):
                arms = _confirm_arms(plan, here, seed, start)
                if any(each.intervention is not None for each in arms):
                    cells.append(
                        Cell(
                            stage=plan.stage, model=model, tier=tier, split="confirm", seed=seed,
                            start=start, stop=stop, arms=arms, decoded=tier in study.decoded,
                        )
                    )  # fmt: skip
    return tuple(cells)


def _confirm_arms(plan: Plan, family: list[Chosen], seed: int, start: int) -> tuple[Arm, ...]:
    """Baseline again, the placebo on each seed's first block, and every member that has items in this block.

    A second look leaves out the baseline of a block that the first look asked for another member: its rows are there.
    """
    study, model, tier = plan.study, family[0].model, family[0].tier
    asked = max(c.items for c in plan.present() if (c.model, c.tier) == (model, tier)) if plan.attempt else 0
    arms = [BASELINE] if start >= asked else []
    if start == 0:
        named = dict.fromkeys(chosen.target for chosen in family)
        arms += [placebo(plan.targets[aim(model, name)], study, name) for name in named]
    for chosen in family:
        if (chosen.items if plan.attempt else 0) <= start < look_items(plan, chosen):
            if study.lesion == 2:
                arms += _edits(plan, chosen, seed)
                continue
            arms.append(scaled("target", plan.targets[model], chosen.alpha, study))
            if sets := plan.controls[model]:
                arms.append(scaled("control", sets[seed % len(sets)], chosen.alpha, study))
            if references := plan.references.get(model, {}).get(chosen.tier):
                kinds = companions(chosen.alpha, study)
                arms += [ablated("target", kind, plan.targets[model], references[seed], study) for kind in kinds]
    return tuple(arms)


def _edits(plan: Plan, chosen: Chosen, seed: int) -> list[Arm]:
    """What a member does to its target, and the other ablations on the same items."""
    target, where, name = plan.targets[chosen.aim], (chosen.model, chosen.tier), chosen.target
    others = [ablation_arm("target", target, kind, plan, where, seed, name) for kind in others_of(chosen)]
    return [edited("target", target, chosen, plan, seed), *others]


def confirmation(plan: Plan, seed: int) -> Draw:
    """The lane of one confirmation seed."""
    return Draw("confirm", plan.key, seed, plan.study.baseline.seeds, plan.study.prefixes)


def discovery(study: Study, seed: int = 0) -> Draw:
    """The discovery lane."""
    return Draw("discovery", f"discovery-{study.seed}", seed, 1, study.prefixes)


def draw_of(cell: Cell, plan: Plan) -> Draw:
    """Whose items a cell asks: confirmation lanes are ordered by the plan's key, discovery by the study's seed."""
    if cell.split == "confirm":
        return confirmation(plan, cell.seed)
    return discovery(plan.study, cell.seed)
