"""Letter patterns with labels (Crosbie & Shutova 2024, arXiv 2407.07011): does a sequence keep a pattern, by examples?

Every example is a sequence of capital letters with its label, Foo where it keeps the pattern and Bar where its letters
are random. Patterns, A and B two letters and C any: *repetition* A B A B, *recursion* A B B B, *centre-embedding*
A B C B A. A random sequence never keeps the pattern, not even with A = B.

Classes are balanced: items take them in turn, and half of the examples are of each class, in an order that the draw's
key shuffles. So chance is 50 %. The counterfactual has the same examples and a question of the other class: the pattern
broken in its last letter, or mended in its last two. The patterns are those of the public data files of a follow-up
(arXiv 2507.07810); the paper's own text was not at hand. The instruction above the examples is our own.
"""

from typing import NamedTuple

from lesion.tasks.config import LetterPattern, LetterPatternsConfig
from lesion.tasks.drawing.numbering import Permutation, Place, Stratum, chosen, lane
from lesion.tasks.drawing.stratified import FewShotTask
from lesion.tasks.task import Draw, Item, Segment

INSTRUCTION = (
    "Each line holds a sequence of letters and its class. Find the rule, and give the class of the last line.\n\n"
)
_LETTERS = 26
Numbers = tuple[int, ...]
"""A sequence of letters, 0 … 25."""


class Shape(NamedTuple):
    """A pattern: what its last two letters must be, given those before them."""

    head: int
    """Letters before the last two, all free; the first two must differ."""
    last: tuple[int, int]
    """Which letters of the head the last two repeat."""

    def kept(self, head: Numbers) -> Numbers:
        """The last two letters that keep the pattern."""
        return tuple(head[place] for place in self.last)


SHAPES: dict[LetterPattern, Shape] = {
    "repetition": Shape(2, (0, 1)),
    "recursion": Shape(2, (1, 1)),
    "centre_embedding": Shape(3, (1, 0)),
}


class LetterPatternsTask(FewShotTask):
    """Problems of a `LetterPatternsConfig`, in lanes."""

    def __init__(self, config: LetterPatternsConfig) -> None:
        self.config = config
        self._shape = SHAPES[config.pattern]
        rest = _LETTERS ** (self._shape.head - 2)
        sizes = (_LETTERS * (_LETTERS - 1) * rest, _LETTERS**2 * rest * (_LETTERS**2 - 1))
        names = ("kept", "random")
        self._strata = tuple(
            Stratum(f"letters {config.pattern} {name}", size) for name, size in zip(names, sizes, strict=True)
        )

    def examples(self, draw: Draw, prefix: int = 0) -> tuple[Segment, ...]:
        """The labelled sequences of one prefix of a draw, from the *shots* part, in a shuffled order."""
        key, shots = draw.examples_key(prefix), self.config.shots
        drawn = list(lane(self._strata, "shots", key, 0, 1).places(0, shots))
        order = Permutation(shots, "shuffle", "letters", key)
        return tuple(self._example(drawn[order(turn)]) for turn in range(shots))

    def _example(self, place: Place) -> Segment:
        label = self.config.labels[place.stratum]
        return Segment(f"{_spelled(self._sequence(place))}: {label}\n", "shot")

    def _sequence(self, place: Place) -> Numbers:
        """The letters of a problem."""
        if place.stratum == 0:
            number, first = divmod(place.number, _LETTERS)
            number, second = divmod(number, _LETTERS - 1)
            head = (first, second + (second >= first), *_digits(number, self._shape.head - 2))
            return (*head, *self._shape.kept(head))
        number, last = divmod(place.number, _LETTERS**2 - 1)
        head = _digits(number, self._shape.head)
        kept = _LETTERS * self._shape.kept(head)[0] + self._shape.kept(head)[1]
        return (*head, *divmod(last + (last >= kept), _LETTERS))

    def _other(self, stratum: int, letters: Numbers) -> Numbers:
        """A sequence of the other class, as like this one as may be."""
        if stratum == 0:
            return (*letters[:-1], (letters[-1] + 1 + chosen(_LETTERS - 1, "broken", *letters)) % _LETTERS)
        head = letters[: self._shape.head]
        if head[0] == head[1]:
            head = (head[0], (head[1] + 1 + chosen(_LETTERS - 1, "mended", *letters)) % _LETTERS, *head[2:])
        return (*head, *self._shape.kept(head))

    def _item(self, place: Place, examples: tuple[Segment, ...]) -> Item:
        letters = self._sequence(place)
        label, other = (f" {self.config.labels[stratum]}" for stratum in (place.stratum, 1 - place.stratum))
        front = (Segment(INSTRUCTION, ""), *examples)
        return Item(
            index=place.item,
            segments=(*front, *_question(letters)),
            answer=label,
            wrong=other,
            buckets={"class": ("kept", "random")[place.stratum]},
            twin=(*front, *_question(self._other(place.stratum, letters))),
        )


def _question(letters: Numbers) -> tuple[Segment, ...]:
    return Segment(_spelled(letters), "sequence"), Segment(":", "cue")


def _spelled(letters: Numbers) -> str:
    return " ".join(chr(ord("A") + letter) for letter in letters)


def _digits(number: int, count: int) -> Numbers:
    """A number's `count` digits to the base of the alphabet."""
    return tuple(number // _LETTERS**place % _LETTERS for place in range(count))
