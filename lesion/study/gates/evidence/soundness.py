"""What may never be, whatever a study asks for: looked at before a stage is measured, and once more by `lesion verify`.

Discovery's items are never those of the confirmation, a second look asks further items, no comparison set shares a site
with the target, and no item is asked twice. Pure functions of the plan, its cells and the rows.
"""

from collections.abc import Iterable, Iterator, Mapping
from math import inf

import polars as pl

from lesion.interventions.intervention import (
    Central,
    Intervention,
    KnockOut,
    Patch,
    Receipt,
    Resample,
    Scale,
    Steer,
)
from lesion.study.arms.arm import Arm
from lesion.study.arms.condition import UNEDITED
from lesion.study.arms.edits import same_sites
from lesion.study.arms.targets import aim
from lesion.study.gates.evidence.paired_arms import DRIFT
from lesion.study.plan import Cell, Plan, Stage
from lesion.study.rows import ITEM_KEY
from lesion.study.stages.stage_table import STAGES

COMPARED = ("control", "set")
"""How the arms of comparison sets are named."""
LOOKS = ("confirm", "replicate")


def unsound(plan: Plan, stage: Stage) -> Iterator[str]:
    """What is wrong with a stage of a plan, in sentences; nothing of a sound one."""
    for key, sets in plan.controls.items() if not same_sites(plan.study.sweep.edit) else ():
        if shared := {*plan.targets.get(key, ())} & {site for one in sets for site in one}:
            yield f"a control set of {key} shares {', '.join(sorted(shared))} with the target"
    yield from unsound_cells(stage.cells, plan.targets, same=same_sites(plan.study.sweep.edit))
    here = [cell for cell in stage.cells if cell.stage in LOOKS]
    for chosen in plan.present() if stage.attempt else ():
        arm = chosen.arm
        first = [
            cell.start for cell in here
            if (cell.model, cell.tier) == (chosen.model, chosen.tier) and arm in {each.name for each in cell.arms}
        ]  # fmt: skip
        if first and min(first) < chosen.items:
            yield f"the second look of {chosen.id} asks item {min(first)} again, which its first look has asked"


def unsound_cells(
    cells: Iterable[Cell], targets: Mapping[str, tuple[str, ...]], *, same: bool = False
) -> Iterator[str]:
    """Cells that ask the wrong part of the items, or compare the target with a set of which it is a part.

    Args:
        cells: of a stage.
        targets: `aim(model, target)` -> sites.
        same: whether sets are other edits of the target's own sites.
    """
    seen: set[tuple[str, str]] = set()
    for cell in cells:
        wanted, model = STAGES[cell.stage].split, cell.model
        if wanted is not None and cell.split != wanted and (cell.stage, "split") not in seen:
            seen.add((cell.stage, "split"))
            yield f"the {cell.stage} stage asks {cell.split} items of {cell.model}, {cell.tier}; its own are {wanted}'s"
        for arm in cell.arms:
            if not does_as_named(arm) and (model, arm.name) not in seen:
                seen.add((model, arm.name))
                yield f"{arm.name} of {model} does something else than its name says: {arm.intervention}"
            if not arm.name.startswith(COMPARED) or arm.intervention is None or (model, arm.name) in seen:
                continue
            seen.add((model, arm.name))
            if same:
                yield from _unlike_target(arm, cell, targets)
                continue
            if shared := {*map(str, arm.intervention.sites)} & {*targets.get(aim(model, arm.condition.target), ())}:
                yield f"{arm.name} of {model} edits {', '.join(sorted(shared))}, which the target edits"


def _unlike_target(arm: Arm, cell: Cell, targets: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """What is wrong with a set that is another edit of the target's own sites: a vector as long, or other edges."""
    done, about = arm.intervention, f"{arm.name} of {cell.model}"
    if done is None:
        return
    sites = [*map(str, done.sites)]
    if {*sites} != {*targets.get(aim(cell.model, arm.condition.target), sites)}:
        yield f"{about} edits other sites than the target"
    for other in cell.arms:
        if other is not arm and other.role in ("target", arm.role) and _own(other) == _own(arm):
            yield f"{about} does to the same sites what is done to {other.name}"
    alike = [each.intervention for each in cell.arms if each.condition.target == arm.condition.target]
    if len({abs(each.coefficient) for each in alike if isinstance(each, Steer)}) > 1:
        yield f"the vectors of {about} and of its target are not of one length"


def _own(arm: Arm) -> str:
    """What tells an arm from others at the same sites: its vector, or the edges that it cuts."""
    done = arm.intervention
    return done.vector if isinstance(done, Steer) else str(done)


def does_as_named(arm: Arm) -> bool:
    """Whether an arm's intervention is what its condition says: kind and factor."""
    done = arm.intervention
    if done is None:
        return arm.condition == UNEDITED
    if isinstance(done, Scale):
        factor = 1.0 if arm.role == "placebo" else 0.0 if arm.edit == "zero" else arm.amount
        return arm.edit in ("scale", "zero") and done.alpha == factor
    return arm.edit in ("noising", "denoising") if isinstance(done, Patch) else done.kind == arm.edit


def asked_twice(items: pl.DataFrame) -> Iterator[str]:
    """Items that one arm of a stage was asked twice, and items of discovery that the confirmation asks, too."""
    measured = items.select("stage", "model", "tier", "seed", "index", "item_id").unique()
    again = measured.group_by("stage", "model", "tier", "item_id").agg(pl.len().alias("n")).filter(pl.col("n") > 1)
    for row in again.group_by("stage", "model", "tier").agg(pl.len().alias("items")).sort("stage", "model").to_dicts():
        yield f"{row['items']} questions of {row['model']}, {row['tier']} were asked twice in the {row['stage']} stage"
    part = pl.col("stage").replace_strict({row.name: row.split for row in STAGES.values()}, default="")
    parts = measured.with_columns(part.alias("part")).unique(["part", "model", "tier", "item_id"])
    both = parts.group_by("model", "tier", "item_id").agg(pl.col("part").n_unique().alias("n")).filter(pl.col("n") > 1)
    for row in both.group_by("model", "tier").agg(pl.len().alias("items")).sort("model", "tier").to_dicts():
        yield f"{row['items']} questions of {row['model']}, {row['tier']} were asked in discovery and in confirmation"


def doubled_rows(items: pl.DataFrame) -> str:
    """How many rows stand twice under one arm, in words; empty where none does."""
    twice = items.group_by("stage", *ITEM_KEY, "arm").len().filter(pl.col("len") > 1).height
    return f"{twice} rows stand twice under one arm" if twice else ""


def missing_rows(cell: Cell, rows: pl.DataFrame, prompts: pl.DataFrame) -> Iterator[str]:
    """Arms that lack a row of a question that was asked, or have one of a question that was refused, in sentences.

    Arms that put other items' values in place skip items without a reference, so these may lack rows.
    """
    here = prompts.filter(
        (pl.col("model") == cell.model) & (pl.col("tier") == cell.tier) & (pl.col("split") == cell.split)
        & (pl.col("seed") == cell.seed) & pl.col("index").is_between(cell.start, cell.stop - 1)
    )  # fmt: skip
    asked = {*here.filter(pl.col("refused").is_null())["index"]}
    for arm in cell.arms:
        answered = {*rows.filter(pl.col("arm") == arm.name)["index"]}
        if stray := len(answered - asked):
            yield f"{arm.name} has {stray} rows of questions that were refused or not asked"
        if isinstance(arm.intervention, Central | Resample):
            continue
        if lost := len(asked - answered):
            yield f"{arm.name} lacks {lost} rows of questions that were asked"


def foreign_rows(cell: Cell, rows: pl.DataFrame) -> str:
    """Which rows of a unit belong to another cell, in words; empty where all are its own."""
    own = pl.col("index").is_between(cell.start, cell.stop - 1)
    for name in ("stage", "model", "tier", "split", "seed"):
        own &= pl.col(name) == getattr(cell, name)
    strangers = rows.filter(~own).height
    return f"{strangers} rows of a unit of {cell.stage}, seed {cell.seed}, belong to another cell" if strangers else ""


def unsound_receipts(
    cell: Cell, receipts: Iterable[tuple[str, Receipt]], rows: pl.DataFrame, dtype: str = "float32"
) -> Iterator[str]:
    """Receipts of a cell that do not fit its arms: one is missing or too many, or it counts what another arm would.

    An arm that edits k modules fires k times in each pass, so its firings are its passes times its modules; all arms
    of a kind see the same tokens, so elements stand in proportion to the sites; a placebo changes nothing, and what
    changes nothing changes no row.
    """
    given, still = dict(receipts), DRIFT[dtype]
    edits = {arm.name: arm.intervention for arm in cell.arms if arm.intervention is not None}
    answered = {*rows["arm"].unique()}
    if stray := sorted({*given} - {*edits}):
        yield f"{stray[0]} has a receipt and is no arm of its cell"
    if bare := sorted(name for name in edits if name not in given and name in answered):
        yield f"{bare[0]} was measured and has no receipt"
    told = [(name, edits[name], receipt) for name, receipt in given.items() if name in edits]
    for name, edit, receipt in told:
        yield from _unlike(name, edit, receipt, still)
    yield from _uneven(told)
    yield from _borrowed(told, rows, still)
    yield from _silent(told, rows, still)


Told = tuple[str, Intervention, Receipt]


def _unlike(name: str, edit: Intervention, receipt: Receipt, still: float) -> Iterator[str]:
    """What a receipt says that its edit cannot have done."""
    modules = len({(site.layer, site.kind) for site in edit.sites})
    if receipt.firings != receipt.forwards * receipt.modules or receipt.forwards < 1:
        yield f"{name} fired {receipt.firings} times in {receipt.forwards} passes over {receipt.modules} modules"
    elif receipt.modules != modules and all(site.kind in ("head", "neuron") for site in edit.sites):
        yield f"{name} edits {modules} modules by its plan and {receipt.modules} by its receipt"
    moved, placebo = (receipt.max_logit_change or 0.0) > still, getattr(edit, "alpha", None) == 1
    if placebo and (receipt.l2_change or moved):
        yield f"{name} scales by 1, and its receipt says that it changed something"
    if moved and not placebo and not receipt.l2_change:
        yield f"{name} changed logits by {receipt.max_logit_change:.2g}, and no activation by its receipt"


def _borrowed(told: Iterable[Told], rows: pl.DataFrame, still: float) -> Iterator[str]:
    """Arms that do different things, with different answers, and changed activations and logits by the same numbers.

    As many edges are cut in every set by rule, and vectors of one length change the same. Factors as far above 1 as
    below it change the same by rule, two heads that are copies of each other by chance, and so do sets that differ in
    sites that write nothing.
    """
    seen: dict[tuple[float, float | None], tuple[str, Intervention]] = {}
    for name, edit, receipt in told:
        if receipt.l2_change and not isinstance(edit, KnockOut | Steer):
            other, first = seen.setdefault((receipt.l2_change, receipt.max_logit_change), (name, edit))
            if first != edit and not _mirrored(first, edit) and _apart(rows, name, other) > still:
                yield f"{name} has the receipt of {other}"


def _mirrored(one: Intervention, other: Intervention) -> bool:
    """Whether two factors scale a site in common and are as far from 1: 0 and 2."""
    if not (isinstance(one, Scale) and isinstance(other, Scale)):
        return False
    alike = one.positions == other.positions and any(site in other.sites for site in one.sites)
    return alike and abs(abs(one.alpha - 1) - abs(other.alpha - 1)) < 1e-9


def _apart(rows: pl.DataFrame, one: str, other: str) -> float:
    """Largest difference of an answer's log-probability between two arms, nats; infinite where they share no item."""
    mine, its = (
        rows.filter(pl.col("arm") == arm).select("index", pl.col("answer_logprob").alias(name))
        for arm, name in ((one, "mine"), (other, "its"))
    )
    gap = mine.join(its, on="index").select((pl.col("mine") - pl.col("its")).abs().max()).item()
    return inf if gap is None else float(gap)


def _silent(told: Iterable[Told], rows: pl.DataFrame, still: float) -> Iterator[str]:
    """Arms whose receipts say that nothing was changed, and whose answers are others than the baseline's."""
    number = "answer_logprob"
    base = rows.filter(pl.col("arm") == "baseline").select("index", pl.col(number).alias("before"))
    for name, _, receipt in told:
        if not receipt.l2_change and base.height:
            both = rows.filter(pl.col("arm") == name).join(base, on="index", how="inner")
            if both.filter((pl.col(number) - pl.col("before")).abs() > still).height:
                yield f"{name} changed no activation by its receipt, and its answers are others than the baseline's"


_COUNTS = {"mean": "replaced", "median": "replaced", "resample": "replaced", "knock_out": "cut"}
"""Kinds of edit that see other tokens, or count other things, than a scaling does."""


def _uneven(told: Iterable[Told]) -> Iterator[str]:
    """Arms that wrote other numbers of elements for each site than others that see the same tokens."""
    shares: dict[tuple[str, str, str], dict[float, str]] = {}
    for name, edit, receipt in told:
        kinds = {site.kind for site in edit.sites}
        if len(kinds) == 1:
            drawn = isinstance(edit, KnockOut) and edit.keys.startswith("random:")  # a query may have too few others
            where = "cut at random" if drawn else _COUNTS.get(edit.kind, "scaled")
            share = receipt.elements / len(edit.sites)
            shares.setdefault((where, kinds.pop(), edit.positions), {}).setdefault(share, name)
    for each in shares.values():
        if len(each) > 1:
            yield f"{' and '.join(sorted(each.values())[:2])} wrote different numbers of elements for each site"
