"""What is done for a cell, in a worker: prove a model, score its heads, or measure a block of items under every arm."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from torch import Tensor

from lesion.engine.batch import Batch, batches
from lesion.engine.receipts import merged
from lesion.engine.replacement_activations import Library
from lesion.errors import InputError
from lesion.identity import canonical_json, generator, seed_from
from lesion.interventions.intervention import Receipt, replaces
from lesion.measures.attribution.expected_loss import expected_losses
from lesion.measures.attribution.neurons import highest, write_scores
from lesion.measures.heads.function_vectors import function_vectors
from lesion.measures.heads.repeated_sequences import SHORTEST, StandardProbe, fitted, ordinary_tokens
from lesion.measures.heads.standard_scores import scores_by_sequence
from lesion.measures.metrics import Numbers, measure
from lesion.measures.prompt_set import of
from lesion.models.device import busy_seconds
from lesion.models.model import Dtype, Model
from lesion.runs.folder.run_folder import ArmReceipt, Result
from lesion.runs.measure.cell_items import BATCH_ROWS, Block, block_of
from lesion.runs.measure.proof import proof
from lesion.runs.measure.reference_sets import Lane, covered_by, library_of
from lesion.runs.measure.sample import Part, reread, sampled
from lesion.runs.measure.steering_vectors import added_vectors
from lesion.runs.measure.worker_state import chosen, opened, plain
from lesion.runs.measure.written_answers import with_texts
from lesion.stats.stability import highest as highest_scores
from lesion.stats.stability import stability
from lesion.study.arms.arm import BASELINE, Arm
from lesion.study.arms.condition import Condition
from lesion.study.arms.condition_columns import COLUMNS
from lesion.study.arms.targets import DetectedHeads, RankedNeurons, ScreenedSites
from lesion.study.gates.evidence.model_answers import (
    DetectorAnswer,
    FunctionVectors,
    PatternScores,
    RankedAnswer,
    TargetAnswer,
)
from lesion.study.metric_table import COLUMNS as METRIC_COLUMNS
from lesion.study.metric_table import PER_ARM
from lesion.study.plan import Cell, Plan
from lesion.study.rows import PROMPTS, shape_of
from lesion.tasks.task import Item
from lesion.tasks.tokenizers.prompt_contract import Compiled, Refused

Table = tuple[tuple[float, ...], ...]
"""A number of each head, by layer and head."""
SCREENED_ITEMS = 128
"""Discovery items on which a screen ranks sites, at most."""
RANKED_ITEMS = 256
"""Discovery items on which neurons are ranked, at most."""


def work(cell: Cell, plan: Plan, *, memory: int | None = None) -> Result:
    """Do a cell of a plan.

    Args:
        cell: which.
        plan: whose.
        memory: bytes that a pass may take beside weights and clean run; the unit tells of passes that were cut.
    """
    started, began = time.process_time(), time.perf_counter()
    model = opened(cell.model, plan.study.dtype)
    if cell.stage == "instrument":
        result = Result(None, None, proof(model, plan), (), 0.0, {})
    elif cell.stage == "detect":
        result = Result(None, None, _target_answer(model, cell, plan), (), 0.0, {})
    else:
        result = _measured(model, cell, plan, memory)
    told = {**result.engine, "weights_hash": model.weights_hash}
    held = busy_seconds(began)
    return result._replace(cpu_seconds=time.process_time() - started, gpu_seconds=held, engine=told)


def _parts(model: Model, cell: Cell, plan: Plan, block: Block) -> list[Part]:
    """The cell's batches with the arms that scale, and, of the items that have a reference, those that replace."""
    scaled = tuple(arm for arm in cell.arms if arm.intervention is None or not replaces(arm.intervention))
    parts = [Part(batch, block.asked, scaled, None) for batch in _cut(model, block.asked)]
    if plan.study.sweep.edit.exchange is not None:  # every item that is asked has what its edit needs
        library = Library(model, vectors=added_vectors(plan, model.name, cell.arms))
        return [Part(batch, block.asked, cell.arms, library) for batch in _cut(model, block.asked)]
    others = tuple(arm for arm in cell.arms if arm not in scaled)
    if others:
        library = library_of(model, plan, cell.tier, cell.seed if cell.split == "confirm" else -1)
        asked = covered_by(library, block.asked)
        source = library.donors if isinstance(library, Lane) else library
        parts += [Part(batch, asked, others, source) for batch in _cut(model, asked)]
    return parts


def _cut(model: Model, asked: Sequence[tuple[Item, Compiled]]) -> list[Batch]:
    return batches([compiled for _, compiled in asked], BATCH_ROWS, model.sizes.max_positions)


def _measured(model: Model, cell: Cell, plan: Plan, memory: int | None) -> Result:
    block = block_of(model, cell, plan)
    parts = _parts(model, cell, plan, block)
    engine = chosen(cell.model, memory, plan.study.dtype)
    sample = sampled(engine, parts, cell)
    error = 0.0 if sample is None else sample.error
    before = len(engine.halvings)
    if not error <= engine.choice.tolerance:  # the reference engine computes this cell, and its unit says so
        engine = plain(cell.model, plan.study.dtype)
    receipts: dict[str, list[Receipt]] = {}
    compared = ("kl",) if plan.study.verdict.most_kl is not None else ()
    rows = _Rows(cell, {item.index: item.id[:16] for item, _ in block.asked}, compared)
    for part in parts:
        batch, base = part.batch, engine.clean(part.batch)
        if BASELINE in part.arms:
            rows.add(BASELINE, batch, base, part.asked)
        edits = [(arm, arm.intervention) for arm in part.arms if arm.intervention is not None]
        changes = [edit for _, edit in edits]
        for index, outcome in engine.run(batch, changes, base, part.sources(changes)):
            arm = edits[index][0]
            if outcome.receipt is not None:
                receipts.setdefault(arm.name, []).append(outcome.receipt)
            rows.add(arm, batch, outcome.logits, part.asked, base)
    table = rows.table()
    if sample is not None:
        reread(sample, table, model.dtype, quick=engine.fast is not None)
    if cell.decoded:
        table = with_texts(table, model, cell, plan, block)
    told = tuple(
        ArmReceipt(arm=arm.name, receipt=merged(receipts[arm.name])) for arm in cell.arms if arm.name in receipts
    )
    halvings = Counter(engine.halvings[before:])
    facts = {
        "engine": engine.choice.engine,
        "batches": len(parts),
        "sample_error": error,
        **({"memory_limit": memory} if memory is not None else {}),
        **({"halvings": [{**one._asdict(), "times": many} for one, many in halvings.items()]} if halvings else {}),
    }
    return Result(table.sort("index", "arm"), _prompt_rows(cell, block), None, told, 0.0, facts)


class _Rows:
    """The rows of a cell while they come in, put into one table at the end: a frame for each arm and batch is dear."""

    def __init__(self, cell: Cell, names: Mapping[int, str], compared: Sequence[str]) -> None:
        self.cell = cell
        self.compared = compared
        """Metrics of an edited and the unedited pass that the study wants."""
        self.names = names
        """Index of an item -> the beginning of its content hash."""
        self.conditions: list[Condition] = []
        self.indices: list[int] = []
        self.numbers: dict[str, list[Numbers]] = {metric.name: [] for metric in METRIC_COLUMNS}

    def add(
        self, arm: Arm, batch: Batch, logits: Tensor, asked: Sequence[tuple[Item, Compiled]], base: Tensor | None = None
    ) -> None:
        """Measure a batch under an arm; `base` are the unedited logits of an edited one."""
        names = PER_ARM if base is None else (*PER_ARM, *self.compared)
        found = measure(logits, batch, names, base)
        for name, values in self.numbers.items():
            values.append(found[name] if name in found else np.full(len(batch.rows), np.nan))
        self.indices += [asked[row][0].index for row in batch.rows]
        self.conditions += [arm.condition] * len(batch.rows)

    def table(self) -> pl.DataFrame:
        """One row per item and arm."""
        if not self.conditions:
            return pl.DataFrame(schema=shape_of(decoded=False))
        numbers = {name: np.concatenate(values) for name, values in self.numbers.items()}
        cell, many = self.cell, len(self.conditions)
        columns: dict[str, Any] = {
            **{name: [getattr(cell, name)] * many for name in ("stage", "model", "tier", "split", "seed")},
            "index": self.indices,
            "arm": [condition.name for condition in self.conditions],
            **{name: [getattr(condition, name) for condition in self.conditions] for name in COLUMNS},
            "item_id": [self.names[index] for index in self.indices],
            **{metric.name: _cast(numbers[metric.name], metric.kind) for metric in METRIC_COLUMNS},
        }
        later = [metric.name for metric in METRIC_COLUMNS if metric.of == "both"]
        return pl.DataFrame(columns, schema=shape_of(decoded=False)).with_columns(pl.col(later).fill_nan(None))


def _cast(numbers: Numbers, kind: type[bool | int | float]) -> Numbers | NDArray[np.bool_] | NDArray[np.int64]:
    """Numbers as their column has them: an answer without a number is not right, and a count without one is -1."""
    if kind is bool:
        return numbers == 1
    return np.nan_to_num(numbers, nan=-1).astype(np.int64) if kind is int else numbers


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


def _target_answer(model: Model, cell: Cell, plan: Plan) -> TargetAnswer:
    """What picks the target: neuron scores on discovery items, or detector scores of every head."""
    target = plan.study.sweep.named[cell.target]
    if isinstance(target, RankedNeurons):
        return _neurons(model, target, plan)
    if isinstance(target, ScreenedSites):
        return _screened(model, target, plan)
    return _heads(model, target if isinstance(target, DetectedHeads) else DetectedHeads(), cell.seed, plan)


def _neurons(model: Model, target: RankedNeurons, plan: Plan) -> RankedAnswer:
    """The neurons that write most on the first discovery items of a tier."""
    cell = Cell(stage="discovery", model=model.name, tier=target.tier, stop=min(plan.study.sweep.items, RANKED_ITEMS))
    rows = [compiled for _, compiled in block_of(model, cell, plan).asked]
    scores = write_scores(model, batches(rows, BATCH_ROWS, model.sizes.max_positions))
    ranked = tuple((site, score) for site, score in highest(scores, target.most))
    return RankedAnswer(score="write", tier=target.tier, items=len(rows), ranked=ranked)


def _screened(model: Model, target: ScreenedSites, plan: Plan) -> RankedAnswer:
    """The sites whose loss should cost most of the logit difference, on the first discovery items of a tier."""
    cell = Cell(stage="discovery", model=model.name, tier=target.tier, stop=min(plan.study.sweep.items, SCREENED_ITEMS))
    rows = [compiled for _, compiled in block_of(model, cell, plan).asked]
    if target.by == "corrupted":
        rows = [row for row in rows if row.twin_ids is not None]
    if not rows:
        pairs = "has a corrupted prompt that aligns" if target.by == "corrupted" else "keeps the prompt contract"
        raise InputError(f"sweep.target: no discovery item of {target.tier} {pairs}; see `lesion tokens`")
    where = plan.study.sweep.positions
    losses = expected_losses(chosen(model.name, dtype=plan.study.dtype), of(rows), target.site_kind, target.by, where)
    ranked = sorted(losses.items(), key=lambda each: -each[1])[: target.most]
    return RankedAnswer(score="loss", tier=target.tier, items=len(rows), ranked=tuple((str(s), x) for s, x in ranked))


def _heads(model: Model, target: DetectedHeads, attempt: int, plan: Plan) -> DetectorAnswer:
    """The detector's scores of every head; those of the pattern that is left out; function vectors where asked for."""
    seed, told = plan.study.seed, dict[str, Any]()
    if target.function_vectors:
        told["function_vectors"] = _vectors(model.name, plan.study.dtype, seed)
    if target.exclude is not None and target.exclude != "function_vector":
        _, *sets = _by_sequence(model, target.exclude, attempt, plan)
        first, again = (_table(model, each.mean(0)) for each in sets)
        told["excluded"] = PatternScores(detector=target.exclude, scores=first, again=again)
    if target.detector == "function_vector":
        return DetectorAnswer(
            detector=target.detector, scores=_by_layer(model, told["function_vectors"]), again=(), **told
        )
    probe, *sets = _by_sequence(model, target.detector, attempt, plan)
    first, again = (_table(model, each.mean(0)) for each in sets)
    rng, rule = generator("head stability", seed, target.detector), highest_scores(target.most, target.threshold or 1.0)
    told["stability"] = stability(sets[0], rule, rng, "sequences", again=sets[1].mean(0))
    return DetectorAnswer(
        detector=target.detector, probe=probe.model_dump(mode="json"), scores=first, again=again, **told
    )


@lru_cache(maxsize=4)
def _vectors(name: str, dtype: Dtype, seed: int) -> FunctionVectors:
    """The indirect effects of all heads, measured once for all targets of a study."""
    return function_vectors(chosen(name, dtype=dtype), seed=seed)


def _by_layer(model: Model, found: FunctionVectors) -> Table:
    """The effects of all heads, by layer and head."""
    effects = {head.site: head.effect for head in found.heads}
    sizes = model.sizes
    return tuple(tuple(effects[f"L{i}H{j}"] for j in range(sizes.n_heads)) for i in range(sizes.n_layers))


def _by_sequence(
    model: Model, detector: str, attempt: int, plan: Plan
) -> tuple[StandardProbe, NDArray[np.float64], NDArray[np.float64]]:
    """Detector scores on the standard probe, twice, (sequences, heads); the first probe. No tier uses the sequences.

    The second set's blocks are a third shorter: a head that attends a fixed distance back can pass only one of the two.
    """
    first = fitted(model, len(ordinary_tokens(model.tokenizer)), seed=plan.study.seed)
    first = first.model_copy(update={"sequences": first.sequences * (1 + attempt)})
    other = {"seed": seed_from("again", plan.study.seed) % 2**31, "block": max(SHORTEST, first.block * 2 // 3)}
    probes = (first, first.model_copy(update=other))
    scores, again = (scores_by_sequence(model, [detector], each.seed, each)[detector] for each in probes)
    return first, scores, again


def _table(model: Model, means: NDArray[np.float64]) -> Table:
    """A number of each head, by layer and head."""
    return tuple(tuple(float(s) for s in row) for row in means.reshape(model.sizes.n_layers, model.sizes.n_heads))
