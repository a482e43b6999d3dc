"""The whole report on a tokenizer: every context, the alignment of digits by length, and each task's contract.

What is counted, and how, stands in `tokenizer_report`; here it is put together and made ready to be written down.
"""

from collections.abc import Mapping

from tokenizers import Tokenizer

from lesion.errors import InputError
from lesion.identity import Document
from lesion.tasks.catalogue import make_task
from lesion.tasks.config import ArithmeticConfig, Format, TaskConfig
from lesion.tasks.task import Draw
from lesion.tasks.tokenizers.number_report import CONTEXTS, Alignment, Splits, alignment, contract_report, splits
from lesion.tasks.tokenizers.prompt_contract import Compiled, compile_item, spelled

LARGEST = 10**7
"""The highest number that a report goes up to."""


TRIED: tuple[Format, ...] = ("equation", "question", "compact", "words")
"""Formats that are tried; `chat` needs the model's template and has the tokens of `question`."""
PREFERRED: tuple[Format, ...] = ("equation", "question", "compact")
"""In the order in which they are recommended, where they keep equally many items."""


class ContextReport(Document):
    """How the numbers split in one context."""

    example: str
    """The last number as it is written in this context."""
    single: int
    """Numbers that are one token: the whole text, a space before it included; behind `=` or `-`, the digits alone."""
    first_not_single: int | None
    """Smallest number that is not one token; null when all are. One less is the end of the single-token range."""
    tokens_by_digits: dict[int, dict[int, int]]
    """Numbers by digits of the number, then by the same count of tokens."""
    mixed_digits: tuple[int, ...]
    """Digit counts whose numbers have different token counts: positions do not line up there."""
    merged: int
    """Numbers whose first digits stand in one token with what is before them (a space, `=`, `-`)."""


class TaskReport(Document):
    """How one task's items fare under the prompt contract."""

    items: int
    """Items tried."""
    compiled: int
    """Items that keep the contract."""
    refused: dict[str, int]
    """Items that break it, by reason."""
    examples: dict[str, str]
    """One broken item in words, by reason."""
    single_operands: float | None
    """Share of compiled items all of whose operands are one token; null when none compiled."""
    single_answers: float | None
    """Share of compiled items whose answer, its end mark apart, is one token; null when none compiled."""
    answer_tokens: dict[int, int]
    """Compiled items by tokens of the answer, end mark included."""


class FormatReport(Document):
    """How sums, differences and products of a format fare under the prompt contract."""

    example: str
    """One example with its answer."""
    kept: float
    """Share of items that keep the contract."""
    negatives: float
    """Share of items with a negative answer that keep the contract."""
    separate: float
    """Share of kept items in which every role has tokens of its own, the equals sign among them."""
    operand_tokens: float | None
    """Tokens of an operand, on average; null when none is kept."""
    answer_tokens: float | None
    """Tokens of an answer that hold a digit or letter, on average; null when none is kept."""
    one_answer_token: float | None
    """Share of kept items whose answer is one such token; null when none is kept."""


class TokenReport(Document):
    """How a tokenizer splits numbers."""

    name: str
    """As it was asked for."""
    upto: int
    """The numbers are 0 … `upto`."""
    bos: int | None
    """Token that is put before every prompt; null where there is none."""
    vocabulary: int
    """Tokens."""
    contexts: dict[str, ContextReport | None]
    """By context: bare, after a space, after `=`, negative, thousands separators, decimals; null where the vocabulary
    has no token for a character of it."""
    alignments: dict[int, Alignment]
    """How the digits of bare numbers are grouped, by digits."""
    tasks: dict[str, TaskReport]
    """By task."""
    formats: dict[str, FormatReport] = {}
    """By format of arithmetic."""
    recommended: str = ""
    """The format to take: of those that keep most items with roles of their own, the first of `equation`, `question`,
    `compact`."""


def token_report(
    name: str, tokenizer: Tokenizer, bos: int | None, upto: int, tasks: Mapping[str, TaskConfig], items: int = 200
) -> TokenReport:
    """Everything about a tokenizer that a study of arithmetic should know before it runs.

    Args:
        name: what it is called in the report.
        tokenizer: the tokenizer.
        bos: the token that begins a text, if any.
        upto: the highest number, 0 … 10^7.
        tasks: tasks whose prompt contract is tried, by name.
        items: items of each task.

    Raises:
        InputError: for a highest number outside 0 … 10^7, or a vocabulary without digits.
    """
    if not 0 <= upto <= LARGEST:
        raise InputError(f"numbers go from 0 up to at most {LARGEST:,}, not to {upto:,}")
    if not _readable(tokenizer, "0123456789"):
        raise InputError(f"the vocabulary of {name} has no digits: there are no numbers to split")
    return TokenReport(
        name=name,
        upto=upto,
        bos=bos,
        vocabulary=tokenizer.get_vocab_size(),
        contexts={
            context: _context(splits(tokenizer, context, upto + 1)) if _readable(tokenizer, write(10**6)) else None
            for context, write in CONTEXTS.items()
        },
        alignments={digits: alignment(tokenizer, digits, 2000) for digits in range(1, len(str(upto)) + 1)},
        tasks={title: _task(config, tokenizer, bos, items) for title, config in tasks.items()},
        formats=(formats := {written: _format(written, tokenizer, bos, items) for written in TRIED}),
        recommended=_recommended(formats),
    )


def _recommended(formats: Mapping[str, FormatReport]) -> str:
    """The format with the largest share of items that keep the contract and every role; the first where several do."""
    return max(PREFERRED, key=lambda written: round(formats[written].kept * formats[written].separate, 2))


def _format(written: Format, tokenizer: Tokenizer, bos: int | None, items: int) -> FormatReport:
    config = ArithmeticConfig(operators=("+", "-", "*"), format=written)
    task, draw = make_task(config), Draw("discovery", "tokens", 0, 1)
    drawn = task.items(draw, 0, min(items, task.capacity(draw)))
    pairs = [(item, compile_item(item, tokenizer, bos)) for item in drawn]
    below = [made for item, made in pairs if item.answer.strip().startswith(("-", "minus"))]
    kept = [(item, made) for item, made in pairs if isinstance(made, Compiled)]
    roles = {"operand_1", "operator", "operand_2", "equals"}
    spans = [made.roles[role][-1] for _, made in kept for role in ("operand_1", "operand_2")]
    values = [sum(map(_says, _pieces(tokenizer, made.answer_ids))) for _, made in kept]
    first = pairs[0][0]
    return FormatReport(
        example="".join(part.text for part in first.segments if part.role != "shot") + first.answer,
        kept=len(kept) / len(pairs),
        negatives=sum(isinstance(made, Compiled) for made in below) / len(below),
        separate=sum(roles <= made.roles.keys() for _, made in kept) / len(kept) if kept else 0.0,
        operand_tokens=sum(stop - start for start, stop in spans) / len(spans) if spans else None,
        answer_tokens=sum(values) / len(kept) if kept else None,
        one_answer_token=values.count(1) / len(kept) if kept else None,
    )


def _pieces(tokenizer: Tokenizer, ids: tuple[int, ...]) -> list[str]:
    return [spelled(tokenizer, (token,)) for token in ids]


def _says(piece: str) -> bool:
    """Whether a token is more than a sign, a space or the end mark."""
    return any(map(str.isalnum, piece))


def _readable(tokenizer: Tokenizer, text: str) -> bool:
    """Whether the vocabulary has a token for every character."""
    try:
        tokens = tokenizer.encode(text, add_special_tokens=False).tokens
    except Exception:  # noqa: BLE001  (a vocabulary without an unknown token raises nothing more specific)
        return False
    return getattr(tokenizer.model, "unk_token", None) not in tokens


def _context(found: Splits) -> ContextReport:
    return ContextReport(
        example=CONTEXTS[found.context](found.upto - 1),
        single=found.single,
        first_not_single=found.first_not_single,
        tokens_by_digits=found.by_digits,
        mixed_digits=tuple(found.mixed_digits),
        merged=found.merged,
    )


def _task(config: TaskConfig, tokenizer: Tokenizer, bos: int | None, items: int) -> TaskReport:
    task, draw = make_task(config), Draw("discovery", "tokens", 0, 1)
    drawn = list(task.items(draw, 0, min(items, task.capacity(draw))))
    report = contract_report(drawn, tokenizer, bos)
    return TaskReport(
        items=report.items,
        compiled=report.compiled,
        refused=report.refused,
        examples=report.examples,
        single_operands=report.single_operands if report.compiled else None,
        single_answers=report.single_answers if report.compiled else None,
        answer_tokens=report.answer_tokens,
    )
