"""What the attention explorer draws from: `explorer.json` and `explorer.parquet` of a run folder.

A few items of every tier with all heads' attention and shares, before and under the target's intervention. They explain
and prove nothing: no verdict reads them, they are no rows of the run, and a replay does not compare them.
"""

from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import ValidationError

from lesion.errors import Tampered
from lesion.identity import Document, file_hash
from lesion.runs.folder.find import small_text
from lesion.runs.folder.run_folder import read_table

DOCUMENT, TABLE = "explorer.json", "explorer.parquet"
MOST_BYTES = 20_000_000

LOOKS: dict[str, Any] = {
    "model": pl.String,
    "tier": pl.String,
    "index": pl.Int64,
    "arm": pl.String,
    "layer": pl.Int64,
    "head": pl.Int64,
    "direct": pl.Float64,
    "pattern": pl.List(pl.Float32),
}
"""One row per item, condition and head. `direct`: its share of the logit difference, logits. `pattern`: attention from
each position to itself and those before it, row after row: 1 + 2 + … + tokens numbers."""


class Answered(Document):
    """What became of an item under one condition."""

    arm: str
    """`baseline`, or the intervention's name: `target@0`."""
    predicted: str
    """The most likely token at each place of the answer, the right ones standing before it."""
    correct: bool
    """Whether these are the answer's."""
    logit_diff: float
    """Answer minus wrong answer where they first differ, logits."""


class Looked(Document):
    """One item of the explorer."""

    model: str
    tier: str
    index: int
    """Its number in the tier's discovery lane, seed 0."""
    item_id: str
    """The first 16 digits of the item's content hash, as in the run's rows."""
    picked: str
    """What the run's rows say of it, for which it was picked."""
    ids: tuple[int, ...]
    """What the model reads: the prompt, and all but the last token of the answer."""
    tokens: tuple[str, ...]
    """Their text."""
    roles: tuple[str, ...]
    """What each stands for; empty where nothing."""
    prompt_length: int
    """Tokens before the answer."""
    answer: str
    wrong: str
    """The twin's answer, which the logit difference is taken against."""
    answered: tuple[Answered, ...]
    """Under every condition, the unedited one first."""


class Explored(Document):
    """Version 1 of what a run leaves for its explorer."""

    format: Literal[1] = 1
    run: str
    """Name of the run folder."""
    source_hash: str
    """Hash of the package's source that looked."""
    weights: dict[str, str]
    """Model -> SHA-256 of the weights that were read."""
    rule: str
    """How items were picked, in a sentence."""
    items: tuple[Looked, ...]
    refused: dict[str, str]
    """`model|tier` -> why there is nothing of it."""
    table_hash: str
    """SHA-256 of the table of looks."""
    cpu_seconds: float


def read_explored(folder: Path) -> tuple[Explored, pl.DataFrame] | None:
    """What a run left for its explorer; nothing where it left nothing.

    Raises:
        Tampered: when the files are not what a run writes, or do not belong together.
    """
    if not (folder / DOCUMENT).exists():
        return None
    try:
        found = Explored.model_validate_json(small_text(folder / DOCUMENT, MOST_BYTES))
    except ValidationError as error:
        raise Tampered(f"{folder / DOCUMENT}: not what a run leaves for its explorer") from error
    if not (folder / TABLE).is_file() or file_hash(folder / TABLE) != found.table_hash:
        raise Tampered(f"{folder / TABLE}: not the table that {DOCUMENT} was written with")
    return found, read_table(folder / TABLE, LOOKS)
