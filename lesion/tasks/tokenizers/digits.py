"""Digits of an answer as tokens: which ids could stand in the place of each.

A digit is a token of one digit, alone or with the mark of a space before it (`Ġ4` in byte-level vocabularies, `▁4` in
those of SentencePiece). Its rivals are the ten tokens of the same kind. A vocabulary that writes several digits as one
token, as GPT-2 does in `46`, gives an answer no digits of its own, so none are measured.
"""

from collections.abc import Sequence

from tokenizers import Tokenizer

MARKS = ("", "Ġ", "▁")
"""What may stand before the digit in the name of a token."""


def digit_rivals(tokenizer: Tokenizer, answer: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """For each token of an answer the ids of 0 … 9 in its place; empty for one that is no digit.

    Nothing at all where the answer has no digit, a token with several digits, or the vocabulary lacks one of the ten.
    """
    found = [_rivals(tokenizer, tokenizer.id_to_token(token) or "") for token in answer]
    return tuple(each or () for each in found) if None not in found and any(found) else ()


def _rivals(tokenizer: Tokenizer, name: str) -> tuple[int, ...] | None:
    """The ten ids; () where a token holds no digit, None where its digits cannot be told apart."""
    if not any(map(str.isdigit, name)):
        return ()
    for mark in MARKS:
        if name.startswith(mark) and len(name) == len(mark) + 1 and name[-1].isascii():
            ids = [tokenizer.token_to_id(f"{mark}{digit}") for digit in range(10)]
            return None if None in ids else tuple(i for i in ids if i is not None)
    return None
