"""How arithmetic is written: one format is one way to put numbers and signs into text.

`compact` is what the embedded models read. The other formats are for checkpoints whose vocabulary has spaces:
`equation`, `question`, `chat` and `words`. In `reversed_digits` only the answer is written from the lowest digit up
(Lee et al. 2023, "Teaching arithmetic to small transformers").
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

from lesion.tasks.config import ArithmeticConfig, Format, MultistepConfig, TaskConfig
from lesion.tasks.problems.alphabet import END
from lesion.tasks.task import Segment

_ONES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_TEENS = ("thir", "four", "fif", "six", "seven", "eigh", "nine")
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SCALES = ((10**12, "trillion"), (10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred"))


def in_words(number: int) -> str:
    """A number in English words.

    >>> in_words(-1342)
    'minus one thousand three hundred forty-two'
    """
    if number < 0:
        return "minus " + in_words(-number)
    for scale, name in _SCALES:
        if number >= scale:
            rest = f" {in_words(number % scale)}" if number % scale else ""
            return f"{in_words(number // scale)} {name}{rest}"
    if number < 20:
        return _ONES[number] if number < 13 else _TEENS[number - 13] + "teen"
    return _TENS[number // 10 - 2] + (f"-{_ONES[number % 10]}" if number % 10 else "")


def _reversed(number: int) -> str:
    return ("-" if number < 0 else "") + str(abs(number))[::-1]


def _spread(number: int) -> str:
    return " ".join(str(number))


class Style(NamedTuple):
    """One way to write a problem."""

    operand: Callable[[int], str]
    answer: Callable[[int], str]
    gap: str
    """Stands before every part but the first, and before the answer."""
    end: str
    """Ends an answer."""
    signs: Mapping[str, str] = {}
    """Signs that are written otherwise than they are."""
    lead: str = ""
    """Words before the problem."""
    cue: str = ""
    """Written in place of `=`, without a gap before it."""
    tail: str = ""
    """Words after the problem."""


STYLES: dict[Format, Style] = {
    "compact": Style(str, str, "", END),
    "equation": Style(str, str, " ", "\n"),
    "question": Style(str, str, " ", "\n", lead="Q: What is", cue="?\nA:"),
    "chat": Style(str, str, " ", "", lead="What is", cue="?", tail=" Reply with the number only."),
    "words": Style(in_words, in_words, " ", "\n", {"+": "plus", "-": "minus", "*": "times", "=": "equals"}),
    "spaced_digits": Style(_spread, _spread, " ", "\n"),
    "reversed_digits": Style(str, _reversed, "", END),
}


def style_of(layout: Literal["compact", "spaced"]) -> Style:
    """The style of letters and symbols: side by side, or with a space between."""
    return STYLES["compact" if layout == "compact" else "equation"]


def suited(config: TaskConfig, *, spaces: bool) -> TaskConfig:
    """A task whose format is not said, in the format for a model: with spaces where its vocabulary has them.

    Args:
        config: the task; one that says its format, or has none, stays as it is.
        spaces: whether the model's vocabulary can write a space.
    """
    if not spaces or "format" not in type(config).model_fields or "format" in config.model_fields_set:
        return config
    spaced = "equation" if isinstance(config, ArithmeticConfig | MultistepConfig) else "spaced"
    return config.model_copy(update={"format": spaced})


def question(parts: Sequence[tuple[int | str, str]], style: Style) -> tuple[Segment, ...]:
    """The segments of a problem from its (number or sign, role) parts."""
    written = [Segment(style.lead, "")] if style.lead else []
    for part, role in parts:
        if part == "=" and style.cue:
            written.append(Segment(style.cue, role))
        else:
            text = style.operand(part) if isinstance(part, int) else style.signs.get(part, part)
            written.append(Segment((style.gap if written else "") + text, role))
    return (*written, Segment(style.tail, "")) if style.tail else tuple(written)


def working(parts: Sequence[int | str], style: Style) -> str:
    """Steps of a solution, from their numbers and signs: they have no words around them."""
    plain = style._replace(lead="", cue="", tail="")
    return "".join(segment.text for segment in question([(part, "") for part in parts], plain))


def reply(value: int, style: Style) -> str:
    """The answer's text, with the end mark after it; the gap stands before it, except where a turn begins with it."""
    return begun(style) + style.answer(value) + style.end


def begun(style: Style) -> str:
    """What stands before an answer: the gap, and nothing where the answer is a turn of its own."""
    return "" if style.tail else style.gap


def example(asked: Sequence[Segment], answer: str, style: Style) -> tuple[Segment, ...]:
    """A worked example: one segment, or two, question and answer, where the answer is a turn of its own."""
    text = "".join(segment.text for segment in asked)
    return (Segment(text, "shot"), Segment(answer, "shot")) if style.tail else (Segment(text + answer, "shot"),)
