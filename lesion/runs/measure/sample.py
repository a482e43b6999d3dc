"""A sample of every cell, computed by the reference engine: rows of one batch and arm, picked by the cell's hash.

Its logits must be those of the batched engine, else the reference computes the cell. And the rows that the cell writes
must say of these items, found by their hashes, what the plain logits say, read a second time: so a table whose rows
were joined by their place, whose unit is another or whose edit was not the one that was asked for is never written.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import math
from collections.abc import Sequence
from typing import NamedTuple

import polars as pl
from torch import Tensor

from lesion.engine.attach import Source
from lesion.engine.batch import Batch, batches
from lesion.engine.donors import Donors
from lesion.engine.reference import run
from lesion.engine.replacement_activations import Library
from lesion.engine.select_engine import Engine
from lesion.errors import InterventionError
from lesion.interventions.intervention import Intervention
from lesion.runs.measure.recompute_metrics import CLOSE, MOST, numbers_of
from lesion.study.arms.arm import BASELINE, Arm
from lesion.study.gates.evidence.paired_arms import DRIFT
from lesion.study.metric_table import METRICS
from lesion.study.plan import Cell
from lesion.tasks.task import Item
from lesion.tasks.tokenizers.prompt_contract import Compiled

ROWS = 16
"""Rows of the batch that the reference computes again."""


class Part(NamedTuple):
    """A batch, and what is done to it."""

    batch: Batch
    asked: Sequence[tuple[Item, Compiled]]
    """What the batch's row numbers count."""
    arms: tuple[Arm, ...]
    library: Library | Donors | None
    """Makes what is put in the place of activations, where the arms do that."""

    def sources(self, edits: Sequence[Intervention]) -> dict[Intervention, Source] | None:
        """What is put in place, by edit."""
        return None if self.library is None else self.library.sources(self.batch, edits)


class Sample(NamedTuple):
    """One batch and arm of a cell, computed by the reference engine."""

    part: Part
    arm: Arm
    logits: Tensor
    """Of the reference, (rows, answer, vocabulary)."""
    error: float
    """Largest difference of log-probabilities of the batched engine from it, nats; 0 where the reference computes the
    cell."""


def sampled(engine: Engine, parts: Sequence[Part], cell: Cell) -> Sample | None:
    """The sample of a cell, by the reference and by the engine; nothing where no item could be asked."""
    if not parts:
        return None
    number = int(cell.hash()[:8], 16)
    arm = cell.arms[number % len(cell.arms)]
    able = [part for part in parts if arm in part.arms]
    if not able:  # no item of this cell has a reference
        arm, able = BASELINE, list(parts)
    part = _few(engine, able[number % len(able)], number)
    batch, edit = part.batch, arm.intervention
    sources = None if edit is None else part.sources([edit])
    given = None if sources is None or edit is None else sources.get(edit)
    plain = run(engine.model, batch, edit, source=given).logits
    if engine.fast is None:
        return Sample(part, arm, plain, 0.0)
    quick = engine.clean(batch)
    if edit is not None:
        ((_, outcome),) = engine.run(batch, [edit], None, sources)
        quick = outcome.logits
    error = float((quick.double().log_softmax(-1) - plain.double().log_softmax(-1)).abs().max())
    return Sample(part, arm, plain, error)


def _few(engine: Engine, part: Part, number: int) -> Part:
    """Some rows of a batch that follow each other, picked by a number, as a batch of their own."""
    rows = part.batch.rows
    first = number % max(1, len(rows) - ROWS + 1)
    asked = [part.asked[row] for row in rows[first : first + ROWS]]
    (batch,) = batches([compiled for _, compiled in asked], ROWS, engine.model.sizes.max_positions)
    return part._replace(batch=batch, asked=asked)


def reread(sample: Sample, table: pl.DataFrame, dtype: str, *, quick: bool) -> None:
    """Hold what a cell writes of its sample's first items against a second reading of the reference's logits.

    Args:
        sample: the cell's.
        table: its rows.
        dtype: of the weights; passes of other shapes round otherwise, in bfloat16 by much.
        quick: whether the rows come from the batched engine. Then they may be as far from the reference as the sample
        was found
            to be, which the choice of the engine allows; twice that, for rows share their passes with other arms'.

    Raises:
        InterventionError: when a row is not there, or says something else.
    """
    told = {row["item_id"]: row for row in table.filter(pl.col("arm") == sample.arm.name).to_dicts()}
    if sample.arm is BASELINE and not told:
        return  # its rows stand in another cell
    slack, drift = 2 * sample.error if quick else 0.0, DRIFT[dtype]
    close = 2 * slack + (CLOSE if dtype == "float32" else drift)
    for place, row in enumerate(sample.part.batch.rows[:MOST]):
        item, compiled = sample.part.asked[row]
        found = told.get(item.id[:16])
        for name, value in numbers_of(sample.logits[place].double(), compiled, close).items():
            steps = METRICS[name].per_nat
            limit = drift + slack * (len(compiled.answer_ids) if steps == "token" else steps)
            wrote = float("nan") if found is None or found[name] is None else float(found[name])
            if not abs(wrote - value) <= limit and not (found is not None and math.isnan(wrote) and math.isnan(value)):
                raise InterventionError(
                    f"{sample.arm.name}: the row of item {item.id[:16]} says {name} {wrote:.6g}, and a second reading "
                    f"of the reference says {value:.6g} (limit {limit:g}), so its rows are not written"
                )
