"""What is asked, by whom and how often is tried: looks, parts of the items, comparison sets, receipts, pairing, counts.

A second look that asks the first one's items, a discovery on confirmation items or a comparison with the target itself
would give numbers like any others. So the checks that refuse them are given what they must refuse, and the tests are
given rows in another order, rows in clusters, and more rows than a short number can count.
"""

from collections.abc import Iterator

import numpy as np
import polars as pl

from lesion.errors import LesionError
from lesion.interventions.intervention import Receipt
from lesion.stats.paired import comparison
from lesion.stats.paired.rows import PairedRows
from lesion.stats.verdict.cell_verdict import CellVerdict
from lesion.stats.verdict.judge import judge
from lesion.stats.verdict.rule import Discovered, Rule
from lesion.study.arms.arm import BASELINE, placebo, scaled
from lesion.study.gates.evidence.paired_arms import paired_rows, spoiled
from lesion.study.gates.evidence.soundness import asked_twice, unsound, unsound_receipts
from lesion.study.gates.gate_verdict import LookEvidence
from lesion.study.gates.judge import Facts
from lesion.study.plan import Cell, Chosen, Plan, Stage
from lesion.study.selftest.known_rows import MODEL, known_plan, opposites, questions
from lesion.study.stages import stage_table
from lesion.study.stages.stage_table import next_stage

CHOSEN = Chosen(model=MODEL, tier="tier", alpha=0.5, items=16, psi=0.1, delta=0.0)
LEVEL = 0.01
"""A p below it is one of clusters that agree."""
MANY = 22_000
"""Items of each kind and seed; three seeds of them are more than 16 bits can count."""


def _looking(attempt: int) -> Plan:
    return known_plan().model_copy(update={
        "stage": "confirm", "attempt": attempt, "family": (CHOSEN,), "pending": (CHOSEN.id,),
        "targets": {MODEL: ("L1H0",)}, "controls": {MODEL: (("L1H1",),)},
    })  # fmt: skip


def _asked() -> Iterator[str]:
    """A second look begins where the first one ended; cells and sets that must be refused are."""
    plan = _looking(1)
    stage = next_stage(plan)
    if stage is None or not stage.cells or any(cell.start < CHOSEN.items for cell in stage.cells):
        yield "a second look asks items of the first"
    again = Stage(name="confirm", attempt=1, cells=_cells(plan, 0))
    if not list(unsound(plan, again)):
        yield "a second look that asks items of the first is not refused"
    wrong = Stage(name="discovery", attempt=0, cells=(Cell(stage="discovery", model=MODEL, split="confirm"),))
    if not list(unsound(plan, wrong)):
        yield "a discovery on confirmation items is not refused"
    shared = plan.model_copy(update={"controls": {MODEL: (("L1H0",),)}})
    if stage is not None and not list(unsound(shared, stage)):
        yield "a control set that shares a head with the target is not refused"
    sets = Cell(stage="specificity", model=MODEL, split="confirm", arms=(scaled("set", ("L1H0",), 0.5, plan.study, 0),))
    if not list(unsound(plan, Stage(name="specificity", attempt=0, cells=(sets,)))):
        yield "a matched set that shares a head with the target is not refused"


def _cells(plan: Plan, start: int) -> tuple[Cell, ...]:
    edited = scaled("target", plan.targets[MODEL], CHOSEN.alpha, plan.study)
    return (Cell(stage="confirm", model=MODEL, tier="tier", split="confirm", start=start, arms=(BASELINE, edited)),)


def _repeated() -> Iterator[str]:
    """Rows of items that were asked twice, or in discovery, make their cell Invalid and are named."""
    plan = known_plan().model_copy(update={
        "stage": "confirm", "family": (_all(),), "pending": (_all().id,), "controls": {MODEL: ()},
    })  # fmt: skip
    sound = opposites().with_columns(item_id=pl.format("{} {}", "seed", "index"))
    if list(asked_twice(sound)):
        yield "items of a sound run are said to be asked twice"
    twice = sound.with_columns(item_id=pl.format("{} {}", "seed", pl.col("index") % 16))
    before = sound.filter(pl.col("arm") == "baseline").with_columns(stage=pl.lit("discovery"))
    for what, rows in (("asked twice", twice), ("discovery's", pl.concat([sound, before]))):
        told = _judged(plan, rows)
        if told is None or told.verdict != "Invalid" or "asked" not in told.reason:
            yield f"a cell whose items are {what} is not Invalid"
        if not list(asked_twice(rows)):
            yield f"items that are {what} are not named"


def _judged(plan: Plan, rows: pl.DataFrame) -> CellVerdict | None:
    """What the gate says of the one cell; nothing where it could not judge it."""
    try:
        seen = stage_table.judge(plan, Facts(rows, questions(), {})).saw(LookEvidence)
    except LesionError:
        return None
    return seen.verdicts.get(_all().id)


def _all() -> Chosen:
    return Chosen(model=MODEL, tier="tier", alpha=0.0, items=32, psi=0.1, delta=0.0)


def _diverging() -> Iterator[str]:
    """Edited answers that diverge further than the study allows make their cell Invalid; nearer ones do not."""
    rule = known_plan().study.verdict.model_copy(update={"most_kl": 2.0})
    plan = known_plan().model_copy(update={
        "study": known_plan().study.model_copy(update={"verdict": rule}),
        "stage": "confirm", "family": (_all(),), "pending": (_all().id,),
    })  # fmt: skip
    rows = opposites().with_columns(item_id=pl.format("{} {}", "seed", "index"))
    for nats, invalid in ((1.5, False), (2.5, True), (None, True)):
        spoiled_by = spoiled(plan, rows.with_columns(kl=pl.lit(nats, pl.Float64)), questions())
        if ("diverge" in spoiled_by.get(_all().id, "")) != invalid:
            yield f"of edited answers that diverge by {nats} nats of 2 a cell is {'not ' * invalid}Invalid"


def _order() -> Iterator[str]:
    """Rows are joined by their items, whatever the order in which they stand."""
    plan = known_plan().model_copy(update={"stage": "confirm", "family": (_all(),), "pending": (_all().id,)})
    rows = opposites().sample(fraction=1.0, shuffle=True, seed=3)
    edited = rows.filter(pl.col("arm") == _all().arm).with_columns(correct=pl.col("index") % 3 == 0)
    rows = pl.concat([edited, rows.filter((pl.col("arm") == "baseline") & (pl.col("index") != 5))])
    prefix = pl.concat_str(pl.lit('{"prefix":"'), (pl.col("index") % 4).cast(pl.String), pl.lit('"}'))
    asked = questions().with_columns(buckets=prefix).reverse()
    found = paired_rows(plan, rows, asked, _all(), "target")
    index = np.array([number for _ in range(3) for number in range(32) if number != 5])
    if found.n != index.size or (found.baseline != (index % 2 == 0)).any() or (found.edited != (index % 3 == 0)).any():
        yield "rows are joined by their place and not by their item"
    if found.seed.tolist() != [seed for seed in range(3) for _ in range(31)]:
        yield "paired rows have lost their seeds"
    if found.cluster is None or found.cluster.tolist() != [str(number % 4) for number in index]:
        yield "paired rows have lost their clusters"


def _receipts() -> Iterator[str]:
    """Receipts that do not fit the arms of their cell are named."""
    plan = _looking(0)
    unmoved = placebo(("L1H0",), plan.study)
    edited = scaled("target", ("L1H0",), 0.5, plan.study)
    other = scaled("control", ("L1H1",), 0.5, plan.study, 0)
    cell = Cell(stage="confirm", model=MODEL, arms=(BASELINE, unmoved, edited, other))
    base = opposites().filter(pl.col("arm") == "baseline")
    rows = pl.concat([base, base.with_columns(arm=pl.lit(edited.name), answer_logprob=pl.lit(-1.0))])
    good = Receipt(forwards=2, firings=2, modules=1, elements=64, l2_change=1.0, max_logit_change=1.0)
    still = good.model_copy(update={"l2_change": 0.0, "max_logit_change": 0.0})
    told = {unmoved.name: still, edited.name: good}
    if list(unsound_receipts(cell, told.items(), rows)):
        yield "receipts that fit are said not to"
    wrong = {
        "of another arm": {**told, other.name: good},
        "of the placebo that changed something": {**told, unmoved.name: good},
        "that is not there": {unmoved.name: still},
        "of no arm of the cell": {**told, "other@0": good},
        "with half the firings": {**told, edited.name: good.model_copy(update={"firings": 1})},
        "with more modules than the plan": {**told, edited.name: good.model_copy(update={"firings": 4, "modules": 2})},
        "with half the elements": {**told, edited.name: good.model_copy(update={"elements": 32})},
        "of nothing, for an arm that changed answers": {
            **told,
            edited.name: good.model_copy(update={"l2_change": 0.0, "max_logit_change": 0.0}),
        },
        "that changed logits and nothing else": {**told, edited.name: good.model_copy(update={"l2_change": 0.0})},
    }
    for what, each in wrong.items():
        if not list(unsound_receipts(cell, each.items(), rows)):
            yield f"a receipt {what} passes"


def _clustered() -> Iterator[str]:
    """A gain that two of thirty-six templates carry is no gain of all; one that all carry is."""
    seed, item = np.repeat([0, 1, 2], 1200), np.arange(3600)
    cluster = item % 36
    before = np.zeros(3600, dtype=np.bool_)
    before[1::2] = True
    lone, every = before.copy(), before.copy()
    lone[(cluster == 0) | (cluster == 2)] = True
    every[(item // 36) % 5 == 0] = True
    for what, after, sure in (("two templates of thirty-six", lone, False), ("every template", every, True)):
        rows = PairedRows(before, after, seed, cluster=cluster, item=item)
        found = judge(
            {"cell": rows}, Rule(), look=1, family_size=1, discovered={"cell": Discovered(0.1)}, chance={"cell": 0.0}
        )["cell"]
        if found.p is None or (found.p < LEVEL) != sure:
            yield f"a gain that {what} have is given the p {found.p}"


def _counts() -> Iterator[str]:
    """Counts beyond 16 bits are kept, and so are sums over a cluster."""
    sums, sizes = comparison.totals(np.ones(MANY * 3, dtype=np.int64), np.zeros(MANY * 3, dtype=np.int64))
    if (sums.tolist(), sizes.tolist()) != ([3 * MANY], [3 * MANY]):
        yield f"a cluster of {3 * MANY:,} gains is counted as {sums.tolist()} of {sizes.tolist()}"
    parts = [2 * MANY, MANY, MANY, MANY]
    before = np.repeat([False, True, True, False], parts)
    after = np.repeat([True, False, True, False], parts)
    rows = PairedRows(
        np.tile(before, 3), np.tile(after, 3), np.repeat([0, 1, 2], before.size), item=np.arange(3 * before.size)
    )
    found = judge(
        {"cell": rows}, Rule(), look=1, family_size=1, discovered={"cell": Discovered(0.6)}, chance={"cell": 0.0}
    )["cell"]
    told = found.n, found.gained, found.lost, found.verdict
    if told != (15 * MANY, 6 * MANY, 3 * MANY, "Improvement"):
        yield f"of {15 * MANY:,} items with {6 * MANY:,} gained and {3 * MANY:,} lost, {told} is told"


LOOK_CASES = (_asked, _repeated, _diverging, _order, _receipts, _clustered, _counts)
