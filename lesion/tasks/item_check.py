"""Whether an item makes sense, read from its text alone: what the task that made it may have got wrong.

A sum is done again from the digits in the prompt, the examples must not ask the question, and the twin must be another
question with another answer. The task's own code is not asked.
"""

import re

from lesion.tasks.task import Item

DONE = re.compile(r"(-?\d+)([-+*×])(-?\d+)=(-?\d+)(?!\d)", re.ASCII)
"""A problem with its answer, without spaces."""


def nonsense(item: Item, *, sums: bool) -> str:
    """What makes no sense in an item; empty when all is well.

    Args:
        item: which.
        sums: whether its signs mean whole-number arithmetic, as they do in the task `arithmetic`; those of a task of
            one's own may mean something else.
    """
    asked = "".join(segment.text for segment in item.segments if segment.role != "shot").strip()
    shots = [segment.text.strip() for segment in item.segments if segment.role == "shot"]
    if any(shot.startswith(asked) for shot in shots):
        return f"an example holds the question's own answer: {asked[-40:]!r}"
    if item.answer == item.wrong or item.twin == item.segments:
        return f"the counterfactual twin has the same answer, {item.answer[-40:]!r}"
    if sums:
        return next(filter(None, (_miscalculated(text) for text in (asked + item.answer, *shots))), "")
    return ""


def _miscalculated(text: str) -> str:
    """A problem in plain digits whose answer is wrong, also when its digits are read from the last to the first."""
    found = DONE.match("".join(text.split()))
    if found is None:
        return ""
    a, sign, b, answer = int(found[1]), found[2], int(found[3]), found[4]
    right = a + b if sign == "+" else a - b if sign == "-" else a * b
    turned = ("-" if answer.startswith("-") else "") + answer.lstrip("-")[::-1]
    return "" if right in (int(answer), int(turned)) else f"{found[0]} is not so: it is {right}"
