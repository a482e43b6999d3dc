"""Layouts: what two items must share so that every position of one plays the same part in the other. Pure."""

from collections.abc import Mapping, Sequence

from lesion.tasks.tokenizers.prompt_contract import Compiled

Layout = tuple[str | int, ...]
"""Lengths of prompt and answer in tokens, then every role with its spans."""


def layout_of(roles: Mapping[str, Sequence[tuple[int, int]]], prompt_length: int, answer_length: int) -> Layout:
    """The layout of a whole prompt.

    Args:
        roles: role -> spans of token positions.
        prompt_length: tokens before the answer.
        answer_length: tokens of the answer.
    """
    spans = [number for name in sorted(roles) for span in roles[name] for number in (name, *span)]
    return (prompt_length, answer_length, *spans)


def problem_layout(item: Compiled) -> Layout:
    """The layout of a question and its answer alone, whatever examples stand before them."""
    start = max((stop for _, stop in item.roles.get("shot", ())), default=0)
    roles = {
        name: [(first - start, stop - start) for first, stop in spans]
        for name, spans in item.roles.items()
        if name not in ("shot", "bos")
    }
    return layout_of(roles, item.prompt_length - start, len(item.answer_ids))
