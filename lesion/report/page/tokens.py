"""How the questions fell into tokens: by model and tier, from the rows of prompts and the instrument gate's evidence.

Rows count the tokens of a whole prompt and of its answer, not of each operand; where a token is one character, every
digit of an operand is a token of its own. `lesion tokens MODEL TASK` counts operands.
"""

import polars as pl

from lesion.report.page.gates import Table
from lesion.report.record import Record
from lesion.report.wording.words import listed, model_name, percent
from lesion.study.gates.evidence.model_answers import ContractSample

MOST_MARKS = 2
"""Tokens beside the text's own that may stand in a prompt whose tokens are its characters."""
_END = r"[;\s]$"
"""An answer's own end, which is a token beside it."""
MOST_LENGTHS = 6
"""Lengths of answers that are told one by one; of more, the shortest and the longest."""


def tokenization(record: Record) -> list[Table]:
    """One row for each model and tier that was asked, and the reasons why prompts were refused, where some were."""
    if not record.prompts.height:
        return []
    columns = (
        "model", "tier", "questions", "tokens of a prompt", "characters a token",
        "tokens of an answer, its end included", "answers of one token, end aside", "refused",
        "refused at the instrument gate",
    )  # fmt: skip
    proofs = record.manifest.proofs()
    rows = [
        _row(record, model, tier, proofs[model].contract.get(tier) if model in proofs else None)
        for model in record.manifest.study.models
        for tier in record.manifest.study.tasks
        if record.prompts.filter(model=model, tier=tier).height
    ]
    tables = [Table("Tokens of prompts and answers", columns, rows)]
    if reasons := _reasons(record):
        tables.append(Table("Why prompts were refused", ("model", "tier", "reason", "questions"), reasons))
    return tables


def _row(record: Record, model: str, tier: str, contract: ContractSample | None) -> tuple[str, ...]:
    here = record.prompts.filter(model=model, tier=tier)
    asked = here.filter(pl.col("refused").is_null())
    refused = f"{here.height - asked.height:,}"
    proved = "–" if contract is None else f"{contract.refused:,} of {contract.items:,}"
    if not asked.height:
        return model_name(model), tier, f"{here.height:,}", "–", "–", "–", "–", refused, proved
    lengths, ends = asked["prompt_tokens"], asked["answer_tokens"]
    middle = f"{lengths.median():g} ({lengths.min()} to {lengths.max()})"
    alone = ends - asked["answer"].str.contains(_END).cast(pl.Int64)
    single = percent(alone.to_list().count(1) / asked.height)
    return model_name(model), tier, f"{here.height:,}", middle, _spelled(asked), _lengths(ends), single, refused, proved


def _spelled(asked: pl.DataFrame) -> str:
    """`exactly 1, and 1 more` (a mark of the beginning) where tokens are characters; else the mean."""
    length = asked["prompt"].str.len_chars().cast(pl.Int64)
    more = asked["prompt_tokens"] - length
    if more.n_unique() == 1 and 0 <= more[0] <= MOST_MARKS:
        return f"exactly 1, and {more[0]} more" if more[0] else "exactly 1"
    return f"{sum(length.to_list()) / sum(asked['prompt_tokens'].to_list()):.2f}"


def _lengths(tokens: pl.Series) -> str:
    """`2 (12.0 %), 3 (80.1 %) and 4 (7.9 %)`."""
    counted = tokens.value_counts(sort=False).sort(tokens.name).rows()
    if len(counted) > MOST_LENGTHS:
        return f"{tokens.median():g} ({counted[0][0]} to {counted[-1][0]})"
    return listed([f"{length} ({percent(number / tokens.len())})" for length, number in counted])


def _reasons(record: Record) -> list[tuple[str, ...]]:
    refused = record.prompts.filter(pl.col("refused").is_not_null())
    counted = refused.group_by("model", "tier", "refused").len().sort("model", "tier", "refused")
    return [(model_name(model), tier, reason, f"{number:,}") for model, tier, reason, number in counted.iter_rows()]
