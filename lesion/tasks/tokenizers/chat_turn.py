"""A question put as a turn of a conversation: what stands before and after it is the model's own chat template's.

The template is rendered once (`lesion.models.chat_template`); here its text is put around an item's segments, so that
roles, answer and the prompt contract are those of any other prompt. A study's `chat` puts the whole prompt, its
examples among it, into one turn of the user. The format `chat` makes each example a turn of its own, as chat models are
trained.
"""

from dataclasses import replace
from typing import NamedTuple

from pydantic import Field
from tokenizers import Tokenizer

from lesion.errors import InputError
from lesion.identity import Document
from lesion.tasks.task import Item, Segment


class Chat(Document):
    """Puts each question into the model's chat template, as one turn of a user.

    With the format `chat` each example is a turn of its own.
    """

    system: str | None = Field(default=None, min_length=1, max_length=10_000)
    """Text of the system message; without it there is no system message."""


class Frame(NamedTuple):
    """A chat template's text around a question."""

    before: str
    """From the start, without the BOS."""
    after: str
    """Up to where the answer begins."""
    begins: bool
    """Whether the template begins with the BOS and has it nowhere else; where it does not, none is put there."""
    trims: bool
    """Whether the template takes white space off a question's ends."""
    bos: str
    """The BOS token's text; empty where the tokenizer has none."""
    close: str
    """Ends an answer's turn, e.g. `<|im_end|>`; empty where the template does not write turns that one can cut."""
    turn: str
    """From an answer's end to the next question, in a conversation of several turns."""
    system: str
    """The system prompt that the template adds by itself, or the one that was asked for; empty where there is none."""
    template_hash: str
    """SHA-256 of the template's text, 64 hexadecimal digits."""

    def bos_id(self, tokenizer: Tokenizer) -> int | None:
        """The token to put before a framed prompt, if any."""
        return tokenizer.token_to_id(self.bos) if self.begins else None


def is_chat(config: object) -> bool:
    """Whether a task's examples are turns of a conversation."""
    return getattr(config, "format", None) == "chat"


def framed(item: Item, frame: Frame, *, turns: bool = False) -> Item:
    """The item inside the template's text.

    Args:
        item: the question.
        frame: the template's text.
        turns: whether each example is a turn of its own, as in the format `chat`; then the template ends the answer.

    Raises:
        InputError: when the template would change the question, or has no turns that can be cut.
    """
    if frame.trims and item.prompt != item.prompt.strip():
        raise InputError(
            f"the chat template takes white space off the ends of a question, and {item.prompt[-20:]!r} has some: "
            "choose a format without it, or ask without chat"
        )
    if not turns:
        twin = _around(item.twin, frame) if item.twin else ()
        return replace(item, segments=_around(item.segments, frame), twin=twin)
    if not frame.close:
        raise InputError(
            "the chat template does not write several turns as one after another, which the format chat needs: "
            "choose the format question or equation"
        )
    return replace(
        item,
        segments=_conversation(item.segments, frame),
        answer=item.answer + frame.close,
        wrong=item.wrong + frame.close,
        twin=_conversation(item.twin, frame) if item.twin else (),
    )


def _around(segments: tuple[Segment, ...], frame: Frame) -> tuple[Segment, ...]:
    return (Segment(frame.before, ""), *segments, Segment(frame.after, ""))


def _conversation(segments: tuple[Segment, ...], frame: Frame) -> tuple[Segment, ...]:
    """Each example as a turn of the user and one of the assistant, then the question."""
    shots = [segment for segment in segments if segment.role == "shot"]
    parts: list[Segment] = []
    for asked, answered in zip(shots[::2], shots[1::2], strict=True):
        parts += [asked, Segment(frame.after, ""), answered, Segment(frame.turn, "")]
    return _around((*parts, *segments[len(shots) :]), frame)
