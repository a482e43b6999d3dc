"""A question put as a turn of a conversation: what stands before and after it is the model's own chat template's.

The template is rendered once (`lesion.models.chat`); here its text is put around an item's segments, so that roles,
answer and the prompt contract are those of any other prompt.
"""

from dataclasses import replace
from typing import NamedTuple

from pydantic import Field

from lesion.errors import InputError
from lesion.identity import Document
from lesion.tasks.task import Item, Segment


class Chat(Document):
    """Questions are put through the model's chat template, as one turn of a user whose answer begins."""

    system: str | None = Field(default=None, min_length=1, max_length=10_000)
    """What the system message says; none where there is no such message."""


class Frame(NamedTuple):
    """A chat template's text around a question."""

    before: str
    """From the start, without the BOS."""
    after: str
    """Up to where the answer begins."""
    begins: bool
    """Whether the template begins with the BOS; where it does not, none is put there."""
    trims: bool
    """Whether the template takes white space off a question's ends."""
    template_hash: str
    """SHA-256 of the template's text, 64 hexadecimal digits."""


def framed(item: Item, frame: Frame) -> Item:
    """The item inside the template's text.

    Raises:
        InputError: when the template would change the question.
    """
    if frame.trims and item.prompt != item.prompt.strip():
        raise InputError(
            f"the chat template takes white space off the ends of a question, and {item.prompt[-20:]!r} has some: "
            "choose a format without it, or ask without chat"
        )
    front, back = Segment(frame.before, ""), Segment(frame.after, "")
    twin = (front, *item.twin, back) if item.twin else ()
    return replace(item, segments=(front, *item.segments, back), twin=twin)
