"""What is done for a cell, in a worker: prove a model, score its heads, or measure a block of items under every arm."""

import math
import time
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import torch
from torch import Tensor

from lesion.engine.attach import Source
from lesion.engine.batch import Batch, batches
from lesion.engine.check import prove
from lesion.engine.choose import Engine, choose
from lesion.engine.reference import run
from lesion.engine.sources import Library, reference_hash
from lesion.identity import canonical_json, seed_from
from lesion.interventions.intervention import Intervention, Mean, Receipt, Scale, replaces
from lesion.interventions.site import head, neuron
from lesion.measures.heads import Probe, ordinary_tokens, robust_score
from lesion.measures.metrics import METRICS, measure
from lesion.measures.neurons import highest, norm_tenths, write_scores
from lesion.measures.output_norms import head_norms
from lesion.models.model import Dtype, Model, open_model
from lesion.runs.block import Block, block_of, frame_of
from lesion.runs.reference import accompanied, library_of, reference_hashes
from lesion.runs.second import misread
from lesion.runs.store import ArmReceipt, Result
from lesion.study.arm import BASELINE, Arm, zeroes
from lesion.study.plan import Cell, Plan, targets_neurons
from lesion.study.rows import ITEMS, PROMPTS
from lesion.study.study import DetectedHeads, RankedNeurons
from lesion.tasks.sense import nonsense
from lesion.tasks.task import Item
from lesion.tasks.tokenization import Compiled, Refused, contradiction

BATCH_ROWS = 256
"""Most rows of a batch; batches never cross a block of the plan."""
THREADS = 1
"""Threads of a worker. The last bits of a result depend on it, so it is fixed and recorded."""
SAMPLE = 64
"""Items per tier on which the instrument stage tries the placebo, the repeat and the prompt contract."""
ROUNDED = 256
"""Discovery items per tier on which a model in bfloat16 is compared with its float32 self."""
DIGITS = 4
"""Significant digits of a head's output norm in the plan: the last bits of a sum must not decide which plan it is."""
OWN = 4
"""Rows of a tier that are given their own activations as their mean."""
RANKED_ITEMS = 256
"""Discovery items on which neurons are ranked, at most."""


@lru_cache(maxsize=4)
def opened(name: str, dtype: Dtype = "float32") -> Model:
    """The model, opened once per worker."""
    return open_model(name, dtype=dtype, threads=THREADS)


@lru_cache(maxsize=4)
def chosen(name: str, memory: int | None = None, dtype: Dtype = "float32") -> Engine:
    """The engine of a model, proved against the reference once per worker; `memory` limits its passes, bytes."""
    return choose(opened(name, dtype), memory=memory)


@lru_cache(maxsize=4)
def plain(name: str, dtype: Dtype = "float32") -> Engine:
    """The reference as an engine."""
    return choose(opened(name, dtype), "reference")


def prepare() -> None:
    """Fix the numerics of this process; must come before the first model is opened."""
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
    torch.set_float32_matmul_precision("highest")


DETERMINISM = {"deterministic_algorithms": "on", "float32_matmul_precision": "highest"}


def work(cell: Cell, plan: Plan, *, memory: int | None = None) -> Result:
    """Do a cell of a plan.

    Args:
        cell: which.
        plan: whose.
        memory: bytes that a pass may take beside weights and clean run; the unit tells of passes that were cut.
    """
    started = time.process_time()
    model = opened(cell.model, plan.study.dtype)
    if cell.stage == "instrument":
        result = Result(None, None, _proof(model, plan), (), 0.0, {})
    elif cell.stage == "detect":
        result = Result(None, None, _target_answer(model, cell, plan), (), 0.0, {})
    else:
        result = _measured(model, cell, plan, memory)
    told = {**result.engine, "weights_hash": model.weights_hash}
    return result._replace(cpu_seconds=time.process_time() - started, engine=told)


class Part(NamedTuple):
    """A batch, and what is done to it."""

    batch: Batch
    asked: Sequence[tuple[Item, Compiled]]
    """What the batch's row numbers count."""
    arms: tuple[Arm, ...]
    library: Library | None
    """Makes what is put in the place of activations, where the arms do that."""

    def sources(self, edits: Sequence[Intervention]) -> dict[Intervention, Source] | None:
        """What is put in place, by edit."""
        return None if self.library is None else self.library.sources(self.batch, edits)


def _parts(model: Model, cell: Cell, plan: Plan, block: Block) -> list[Part]:
    """The cell's batches with the arms that scale, and, of the items that have companions, with those."""
    scaled = tuple(arm for arm in cell.arms if arm.intervention is None or not replaces(arm.intervention))
    parts = [Part(batch, block.asked, scaled, None) for batch in _cut(model, block.asked)]
    others = tuple(arm for arm in cell.arms if arm not in scaled)
    if others:
        library = library_of(model, plan, cell.tier, cell.seed)
        asked = accompanied(library, block.asked)
        parts += [Part(batch, asked, others, library) for batch in _cut(model, asked)]
    return parts


def _cut(model: Model, asked: Sequence[tuple[Item, Compiled]]) -> list[Batch]:
    return batches([compiled for _, compiled in asked], BATCH_ROWS, model.sizes.max_positions)


def _measured(model: Model, cell: Cell, plan: Plan, memory: int | None) -> Result:
    block = block_of(model, cell, plan)
    parts = _parts(model, cell, plan, block)
    engine = chosen(cell.model, memory, plan.study.dtype)
    error = _sample_error(engine, parts, cell)
    before = len(engine.halvings)
    if not error <= engine.choice.tolerance:  # this cell goes the plain way, and its unit says so
        engine = plain(cell.model, plan.study.dtype)
    receipts: dict[str, list[Receipt]] = {}
    tables: list[pl.DataFrame] = []
    for part in parts:
        batch, base = part.batch, engine.clean(part.batch)
        if part.library is None:
            tables.append(_rows(cell, BASELINE.name, batch, base, part.asked))
        edits = [(arm.name, arm.intervention) for arm in part.arms if arm.intervention is not None]
        changes = [edit for _, edit in edits]
        for index, outcome in engine.run(batch, changes, base, part.sources(changes)):
            name = edits[index][0]
            if outcome.receipt is not None:
                receipts.setdefault(name, []).append(outcome.receipt)
            tables.append(_rows(cell, name, batch, outcome.logits, part.asked))
    table = pl.concat(tables) if tables else pl.DataFrame(schema=ITEMS)
    merged = tuple(
        ArmReceipt(arm=arm.name, receipt=_merged(receipts[arm.name])) for arm in cell.arms if arm.name in receipts
    )
    halvings = Counter(engine.halvings[before:])
    facts = {
        "engine": engine.choice.engine,
        "batches": len(parts),
        "sample_error": error,
        **({"memory_limit": memory} if memory is not None else {}),
        **({"halvings": [{**one._asdict(), "times": many} for one, many in halvings.items()]} if halvings else {}),
    }
    return Result(table.sort("index", "arm"), _prompt_rows(cell, block), None, merged, 0.0, facts)


def _sample_error(engine: Engine, parts: Sequence[Part], cell: Cell) -> float:
    """Largest difference of log-probabilities from the reference, on one batch and arm that the cell's hash picks."""
    if engine.fast is None or not parts:
        return 0.0
    number = int(cell.hash()[:8], 16)
    arm = cell.arms[number % len(cell.arms)]
    able = [part for part in parts if arm in part.arms]
    if not able:  # no item of this cell has a companion
        arm, able = BASELINE, list(parts)
    part = able[number % len(able)]
    batch, edit = part.batch, arm.intervention
    sources = None if edit is None else part.sources([edit])
    plain_logits = run(
        engine.model, batch, edit, source=None if sources is None or edit is None else sources[edit]
    ).logits
    quick = engine.clean(batch)
    if edit is not None:
        ((_, outcome),) = engine.run(batch, [edit], None, sources)
        quick = outcome.logits
    return float((quick.double().log_softmax(-1) - plain_logits.double().log_softmax(-1)).abs().max())


def _rows(cell: Cell, arm: str, batch: Batch, logits: Tensor, asked: Sequence[tuple[Item, Compiled]]) -> pl.DataFrame:
    numbers = measure(logits, batch, list(METRICS))
    here = [asked[row][0] for row in batch.rows]
    columns: dict[str, Any] = {
        "stage": cell.stage,
        "model": cell.model,
        "tier": cell.tier,
        "split": cell.split,
        "seed": cell.seed,
        "index": [item.index for item in here],
        "arm": arm,
        "item_id": [item.id[:16] for item in here],
        "correct": numbers["correct"] == 1,
        "ties": np.nan_to_num(numbers["ties"], nan=-1).astype(np.int64),
        **{name: numbers[name] for name in ("margin", "answer_logprob", "entropy", "logit_diff")},
    }
    return pl.DataFrame(columns, schema=ITEMS)


def _merged(receipts: Sequence[Receipt]) -> Receipt:
    """One receipt for all batches of a cell."""
    return Receipt(
        forwards=sum(r.forwards for r in receipts),
        firings=sum(r.firings for r in receipts),
        modules=max(r.modules for r in receipts),
        elements=sum(r.elements for r in receipts),
        l2_change=math.sqrt(sum(r.l2_change**2 for r in receipts)),
        max_logit_change=max(r.max_logit_change or 0.0 for r in receipts),
    )


def _prompt_rows(cell: Cell, block: Block) -> pl.DataFrame:
    rows = [_prompt_row(cell, *pair) for pair in zip(block.items, block.compiled, strict=True)]
    return pl.DataFrame(rows, schema=PROMPTS)


def _prompt_row(cell: Cell, item: Item, compiled: Compiled | Refused) -> dict[str, Any]:
    kept = isinstance(compiled, Compiled)
    return {
        "model": cell.model,
        "tier": cell.tier,
        "split": cell.split,
        "seed": cell.seed,
        "index": item.index,
        "item_id": item.id,
        "prompt": item.prompt,
        "answer": item.answer,
        "wrong": item.wrong,
        "buckets": canonical_json(dict(item.buckets)).decode(),
        "prompt_tokens": compiled.prompt_length if kept else 0,
        "answer_tokens": len(compiled.answer_ids) if kept else 0,
        "prompt_hash": compiled.prompt_hash if kept else "",
        "refused": None if kept else f"{compiled.reason}: {compiled.detail}",
    }


def _target_answer(model: Model, cell: Cell, plan: Plan) -> dict[str, Any]:
    """What picks the target: neuron scores on discovery items, or detector scores of every head."""
    target = plan.study.sweep.target
    if isinstance(target, RankedNeurons):
        return _neurons(model, target, plan)
    return _scores(model, target.detector if isinstance(target, DetectedHeads) else "induction", cell.seed, plan)


def _neurons(model: Model, target: RankedNeurons, plan: Plan) -> dict[str, Any]:
    """The neurons that write most on the first discovery items of a tier."""
    cell = Cell(stage="discovery", model=model.name, tier=target.tier, stop=min(plan.study.sweep.items, RANKED_ITEMS))
    rows = [compiled for _, compiled in block_of(model, cell, plan).asked]
    scores = write_scores(model, batches(rows, BATCH_ROWS, model.sizes.max_positions))
    return {"score": "write", "tier": target.tier, "items": len(rows), "ranked": highest(scores, target.most)}


def _scores(model: Model, detector: str, attempt: int, plan: Plan) -> dict[str, Any]:
    """Detector scores of every head, on two independent sets of sequences that no tier uses."""
    first = Probe(seed=plan.study.seed)
    first = first.model_copy(update={"sequences": first.sequences * (1 + attempt)})
    second = first.model_copy(update={"seed": seed_from("again", plan.study.seed) % 2**31})
    ordinary = ordinary_tokens(model.tokenizer)
    scores, again = (robust_score(model.module, ordinary, model.bos, detector, each) for each in (first, second))
    return {
        "detector": detector,
        "probe": first.model_dump(mode="json"),
        "scores": [[float(s) for s in row] for row in scores],
        "again": [[float(s) for s in row] for row in again],
    }


def _proof(model: Model, plan: Plan) -> dict[str, Any]:
    """Identities on the loaded weights, then placebo, repeat and contract on a sample of every tier."""
    proof = prove(model)
    tiers = {tier: _tier_proof(model, tier, plan) for tier in plan.study.tasks}
    return {
        "weights_hash": model.weights_hash,
        "tokenizer_hash": model.tokenizer_hash,
        "revision": model.revision or "",
        "family": model.family.name,
        "dtype": model.dtype,
        "engine": chosen(model.name, dtype=plan.study.dtype).choice.model_dump(mode="json"),
        "identities": [identity.model_dump(mode="json") for identity in proof.identities],
        "placebo_bit_equal": all(tier["placebo_bit_equal"] for tier in tiers.values()),
        "repeat_flips": sum(tier["repeat_flips"] for tier in tiers.values()),
        "noise_floor": max(tier["noise_floor"] for tier in tiers.values()),
        "contract": {tier: answer["contract"] for tier, answer in tiers.items()},
        "contradictions": [said for answer in tiers.values() for said in answer["contradictions"]],
        "misread": max(answer["misread"] for answer in tiers.values()),
        **({"chat": frame_of(model.name, plan.study.chat.system)._asdict()} if plan.study.chat is not None else {}),
        **({"rounding": _rounding(model, plan)} if model.dtype == "bfloat16" else {}),
        "own_mean": max(answer["own_mean"] for answer in tiers.values()),
        **({"references": reference_hashes(model, plan)} if zeroes(plan.study) else {}),
        **({"norm_tenths": list(norm_tenths(model))} if targets_neurons(plan.study) else {}),
        **({"head_norms": _head_norms(model, plan)} if "head" in plan.study.sweep.kinds else {}),
    }


def _rounding(model: Model, plan: Plan) -> dict[str, dict[str, float]]:
    """By tier: of so many items, how many the unedited model answers otherwise than the same weights in float32.

    The largest difference of their log-probabilities, nats, stands beside it. A float32 copy is held while it is asked.
    """
    whole = open_model(model.name, threads=THREADS)
    told: dict[str, dict[str, float]] = {}
    for tier in plan.study.tasks:
        cell = Cell(stage="discovery", model=model.name, tier=tier, stop=ROUNDED, arms=(BASELINE,))
        rows = [compiled for _, compiled in block_of(model, cell, plan).asked]
        flips, worst = 0, 0.0
        for batch in batches(rows, BATCH_ROWS, model.sizes.max_positions):
            rounded, exact = run(model, batch).logits, run(whole, batch).logits
            correct = [measure(logits, batch, ["correct"])["correct"] for logits in (rounded, exact)]
            flips += int((correct[0] != correct[1]).sum())
            worst = max(worst, float((rounded.log_softmax(-1) - exact.log_softmax(-1)).abs().max()))
        told[tier] = {"items": len(rows), "flips": flips, "nats": worst}
    return told


def _head_norms(model: Model, plan: Plan) -> list[list[float]]:
    """The output norm of every head on the instrument's sample of all tiers."""
    cells = [Cell(stage="discovery", model=model.name, tier=tier, stop=SAMPLE) for tier in plan.study.tasks]
    asked = [compiled for cell in cells for _, compiled in block_of(model, cell, plan).asked]
    norms = head_norms(model, batches(asked, BATCH_ROWS, model.sizes.max_positions)).numpy()
    return [[float(f"{float(norm):.{DIGITS}g}") for norm in layer] for layer in norms]


def _own_mean(model: Model, rows: Sequence[Compiled]) -> float:
    """Largest change of a log-probability when a row is given its own activations as their mean, nats; must be 0."""
    middle, worst = model.sizes.n_layers // 2, 0.0
    for row in rows[:OWN]:
        (batch,) = batches([row], 1, model.sizes.max_positions)
        library, sites = Library(model, (row,)), (head(middle, 0), neuron(middle, 0))
        mean = Mean(sites=sites, reference=reference_hash((row,)), by="layout")
        given = run(model, batch, mean, source=library.sources(batch, [mean])[mean]).logits
        change = (given.log_softmax(-1) - run(model, batch).logits.log_softmax(-1)).abs().max()
        worst = max(worst, float(change))
    return worst


def _tier_proof(model: Model, tier: str, plan: Plan) -> dict[str, Any]:
    cell = Cell(stage="discovery", model=model.name, tier=tier, stop=SAMPLE, arms=(BASELINE,))
    block = block_of(model, cell, plan)
    rows = [c for _, c in block.asked]
    middle = model.sizes.n_layers // 2
    placebos = [Scale(sites=(head(middle, 0),), alpha=1.0), Scale(sites=(neuron(middle, 0),), alpha=1.0)]
    answer: dict[str, Any] = {"placebo_bit_equal": True, "repeat_flips": 0, "noise_floor": 0.0, "misread": 0.0}
    alone = {b.rows[0]: b for b in batches(rows, 1, model.sizes.max_positions)}
    for batch in batches(rows, BATCH_ROWS, model.sizes.max_positions):
        first, again = run(model, batch).logits, run(model, batch).logits
        for placebo in placebos:
            answer["placebo_bit_equal"] &= torch.equal(first, run(model, batch, placebo).logits)
        answer["misread"] = max(answer["misread"], misread(model, rows, batch, measure(first, batch, list(METRICS))))
        answer["repeat_flips"] += int((first.argmax(-1) != again.argmax(-1)).any(-1).sum())
        single = torch.cat([run(model, alone[row]).logits for row in batch.rows])
        change = (first.log_softmax(-1) - single.log_softmax(-1)).abs().max()
        answer["noise_floor"] = max(answer["noise_floor"], float(change))
    reasons = sorted({c.reason for c in block.compiled if isinstance(c, Refused)})
    refused = sum(isinstance(c, Refused) for c in block.compiled)
    read_back = (contradiction(item, one, model.tokenizer, block.bos) for item, one in block.asked)
    sums = plan.study.tasks[tier].task == "arithmetic"
    made = (nonsense(item, sums=sums) for item in block.made)
    answer["own_mean"] = _own_mean(model, rows)
    answer["contradictions"] = sorted({f"{tier}: {said}" for said in (*read_back, *made) if said})
    return answer | {"contract": {"items": len(block.items), "refused": refused, "reasons": reasons}}
