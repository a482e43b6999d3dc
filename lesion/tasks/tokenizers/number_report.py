"""How a tokenizer splits numbers: alone, after a space or `=`, negative, with separators, with decimals.

A number that is one token can be looked up; one of several must be composed. So accuracy is read by token count at a
fixed digit count and the other way round (`token_buckets`), and a study sees before it runs how its numbers split.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Literal, NamedTuple

from tokenizers import Tokenizer

from lesion.tasks.problems.alphabet import END
from lesion.tasks.task import Item
from lesion.tasks.tokenizers.prompt_contract import Compiled, Refused, compile_item

Context = Literal["bare", "space", "equals", "negative", "thousands", "decimal"]
Alignment = Literal["whole", "digits", "even", "left", "right", "mixed"]

CONTEXTS: dict[Context, Callable[[int], str]] = {
    "bare": str,
    "space": lambda n: f" {n}",
    "equals": lambda n: f"={n}",
    "negative": lambda n: f"-{n}",
    "thousands": lambda n: f"{n:,}",
    "decimal": lambda n: f"{n // 10}.{n % 10}",
}
"""How a number is written in each context."""
BESIDE: frozenset[Context] = frozenset({"equals", "negative"})
"""Where a sign before the number is no part of it: only tokens that hold a digit are counted, the sign's own is not."""

_BATCH = 10_000


class Splits(NamedTuple):
    """How the numbers 0 … `upto`-1 split in one context."""

    context: Context
    upto: int
    single: int
    """Numbers that are one token: the whole text, a space before it included; behind `=` or `-`, the digits."""
    first_not_single: int | None
    """The smallest number that is not one token; None when all are."""
    by_digits: dict[int, dict[int, int]]
    """Numbers by digit count, then by the same count of tokens."""
    merged: int
    """Numbers with a token that holds a digit and a character before the number (a space, `=` or `-`)."""

    @property
    def mixed_digits(self) -> list[int]:
        """Digit counts whose numbers have different token counts: there, positions do not line up."""
        return [digits for digits, tokens in self.by_digits.items() if len(tokens) > 1]


def _batches(numbers: Iterable[int]) -> Iterator[list[int]]:
    rest = iter(numbers)
    while batch := list(islice(rest, _BATCH)):
        yield batch


def splits(tokenizer: Tokenizer, context: Context, upto: int = 10_001) -> Splits:
    """How a tokenizer splits 0 … `upto`-1 (at most 10^7) in a context, no special tokens added."""
    write = CONTEXTS[context]
    by_digits: dict[int, Counter[int]] = {}
    single = merged = 0
    first: int | None = None
    for batch in _batches(range(upto)):
        encodings = tokenizer.encode_batch([write(n) for n in batch], add_special_tokens=False)
        for n, encoding in zip(batch, encodings, strict=True):
            count = sum(any(map(str.isdigit, t)) for t in encoding.tokens) if context in BESIDE else len(encoding.ids)
            by_digits.setdefault(len(str(n)), Counter())[count] += 1
            single += count == 1
            if count > 1 and first is None:
                first = n
            lead = int(context in ("space", "equals", "negative"))
            merged += lead * encoding.tokens[0][-1:].isdigit()
    plain = {digits: dict(sorted(counts.items())) for digits, counts in by_digits.items()}
    return Splits(context, upto, single, first, plain, merged)


def pieces(tokenizer: Tokenizer, number: int) -> list[int]:
    """How many digits each token of a bare number holds, in order."""
    offsets = tokenizer.encode(str(number), add_special_tokens=False).offsets
    return [stop - start for start, stop in offsets if stop > start]


def alignment(tokenizer: Tokenizer, digits: int, sample: int = 10_000) -> Alignment:
    """How the digits of numbers of a length are grouped.

    `whole`: one token; `digits`: one token a digit; `even`: equal groups; `left`: equal groups from the left and a
    shorter last one, 123|4; `right`: the same from the right, 1|234; `mixed`: neither, or not the same for all numbers.
    """
    low, high = 10 ** (digits - 1), 10**digits
    step = max(1, (high - low) // sample)
    found: set[Alignment] = {_grouping(pieces(tokenizer, n)) for n in range(low, high, step)}
    return next(iter(found)) if len(found) == 1 else "mixed"


def _grouping(sizes: list[int]) -> Alignment:
    if len(sizes) == 1:
        return "whole"
    if set(sizes) == {1}:
        return "digits"
    if len(set(sizes)) == 1:
        return "even"
    if len(set(sizes[:-1])) == 1 and sizes[-1] < sizes[0]:
        return "left"
    if len(set(sizes[1:])) == 1 and sizes[0] < sizes[-1]:
        return "right"
    return "mixed"


def token_buckets(item: Item, compiled: Compiled) -> Mapping[str, str]:
    """Strata by tokens: tokens of each operand (`1+2`), of the answer, and whether all of these are single.

    The end mark counts as one of the answer's tokens.
    """
    spans = [compiled.roles[role][-1] for role in sorted(compiled.roles) if role.startswith("operand_")]
    operands = [stop - start for start, stop in spans]
    return {
        **item.buckets,
        "operand_tokens": "+".join(map(str, operands)) or "none",
        "answer_tokens": str(len(compiled.answer_ids)),
        "single": "yes" if operands and max(operands) == 1 else "no",
    }


class ContractReport(NamedTuple):
    """How a task's items fare under the prompt contract of a model."""

    items: int
    compiled: int
    refused: dict[str, int]
    """Refused items by reason."""
    examples: dict[str, str]
    """One detail for each reason."""
    single_operands: float
    """Share of compiled items all of whose operands are one token; NaN when none compiled."""
    single_answers: float
    """Share of compiled items whose answer, its end mark apart, is one token; NaN when none compiled."""
    answer_tokens: dict[int, int]
    """Compiled items by the answer's tokens, end mark included."""


def contract_report(items: Iterable[Item], tokenizer: Tokenizer, bos: int | None) -> ContractReport:
    """Compiles items and counts: what a study looks at before it runs."""
    refused: Counter[str] = Counter()
    answers: Counter[int] = Counter()
    examples: dict[str, str] = {}
    single = single_answer = 0
    for item in items:
        made = compile_item(item, tokenizer, bos)
        if isinstance(made, Refused):
            refused[made.reason] += 1
            examples.setdefault(made.reason, made.detail)
        else:
            answers[len(made.answer_ids)] += 1
            single += token_buckets(item, made)["single"] == "yes"
            single_answer += _value_tokens(tokenizer, made) == 1
    count = sum(answers.values())
    return ContractReport(
        items=count + sum(refused.values()),
        compiled=count,
        refused=dict(refused),
        examples=examples,
        single_operands=single / count if count else float("nan"),
        single_answers=single_answer / count if count else float("nan"),
        answer_tokens=dict(sorted(answers.items())),
    )


def _value_tokens(tokenizer: Tokenizer, compiled: Compiled) -> int:
    """Tokens of an answer, a last token that is nothing but the end mark apart."""
    last = tokenizer.decode([compiled.answer_ids[-1]], skip_special_tokens=False)
    return len(compiled.answer_ids) - (not last.strip().strip(END))
