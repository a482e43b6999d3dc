"""What a decoded cell's arms really write: greedy text of every item, and whether a number can be read from it.

The numbers of a row stay those of teacher forcing, `correct` among them: whether greedy decoding gives exactly the
answer. The text says what is written instead. It is decoded by the reference model
under the same intervention, all arms of a cell together.
"""

import polars as pl

from lesion.engine.batch import batches
from lesion.measures.greedy_answers import spoken_many
from lesion.measures.prompt_set import Asked
from lesion.models.model import Model
from lesion.runs.measure.cell_items import BATCH_ROWS, Block
from lesion.study.arms.arm import writes
from lesion.study.gates.evidence.written_answers import number, way
from lesion.study.plan import Cell, Plan
from lesion.study.rows import shape_of


def with_texts(table: pl.DataFrame, model: Model, cell: Cell, plan: Plan, block: Block) -> pl.DataFrame:
    """The rows of a cell with the columns `written` and `parsed`; both are null under arms that write nothing.

    Raises:
        InterventionError: when an intervention did not act while text was written.
    """
    items = [item for item, _ in block.asked]
    compiled = tuple(compiled for _, compiled in block.asked)
    cut = tuple(batches(compiled, BATCH_ROWS, model.sizes.max_positions))
    asked = Asked(tuple(items), compiled, cut, {}, way(plan.study, cell.tier))
    told: dict[str, list[object]] = {"index": [], "arm": [], "written": [], "parsed": []}
    arms = list(filter(writes, cell.arms if items else ()))
    texts = spoken_many(model, asked, [(arm.intervention, None) for arm in arms]) if arms else []
    for arm, spoken in zip(arms, texts, strict=True):
        for item, text in zip(items, spoken, strict=True):
            told["index"].append(item.index)
            told["arm"].append(arm.name)
            told["written"].append(text)
            told["parsed"].append(None if text is None else number(text, asked.written) is not None)
    shape = shape_of(decoded=True)
    columns = pl.DataFrame(told, schema={name: shape[name] for name in told})
    return table.join(columns, on=["index", "arm"], how="left").select(list(shape))
