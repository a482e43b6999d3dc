"""Tier 3: symbol patterns that continue. No symbol stands twice in a block, so a number decodes to one block.

A stratum holds one pattern of one length; items take the patterns, then the lengths, in turn.

- *repeat* `abcdefab` -> `cdef`: a block, then a cue of its first c symbols; the next four are asked. A block shorter
  than six has a cue of one, and goes on from its beginning.
- *copy* `abc>` -> `abc;` and *reverse* `abc<` -> `cba;`.
- *abab* `ababab` -> `abab` and *aab* `aabaab` -> `aaba` (units `aab` and `abb`): a unit, then so many symbols more.
"""

from math import perm
from typing import NamedTuple

from lesion.tasks.config import Pattern, SymbolicConfig
from lesion.tasks.drawing.numbering import Place, Stratum, chosen
from lesion.tasks.drawing.stratified import PlainTask
from lesion.tasks.formats import style_of
from lesion.tasks.problems.alphabet import COPY, REVERSE, SYMBOLS
from lesion.tasks.task import Item, Segment

_ASKED = 4
"""Symbols asked of a pattern that has no end mark."""

_UNITS: dict[Pattern, tuple[str, ...]] = {"abab": ("ab",), "aab": ("aab", "abb")}


class Puzzle(NamedTuple):
    """One problem: different symbols, and what the pattern does with them."""

    pattern: Pattern
    length: int
    variant: int
    """The cue's length less one (repeat), or which unit (aab)."""
    symbols: tuple[str, ...]


class Rendered(NamedTuple):
    """A puzzle as (symbols, role) parts, and the symbols of its answer."""

    parts: tuple[tuple[str, str], ...]
    answer: str


def arranged(number: int, count: int, symbols: str = SYMBOLS) -> tuple[str, ...]:
    """`count` different symbols in order: a bijection from 0 … 45·44·…-1 (for 45 symbols)."""
    left, taken = list(symbols), list[str]()
    for _ in range(count):
        number, place = divmod(number, len(left))
        taken.append(left.pop(place))
    return tuple(taken)


def variants(pattern: Pattern, length: int) -> int:
    """In how many ways one block of symbols can be asked."""
    return max(1, length - _ASKED) if pattern == "repeat" else len(_UNITS.get(pattern, ("",)))


def symbol_count(pattern: Pattern, length: int) -> int:
    """How many different symbols a puzzle has."""
    return 2 if pattern in _UNITS else length


def _around(unit: str, start: int, count: int) -> str:
    return "".join(unit[(start + i) % len(unit)] for i in range(count))


def render(puzzle: Puzzle) -> Rendered:
    """The question and the answer of a puzzle."""
    pattern, length, variant, symbols = puzzle
    block = "".join(symbols)
    if pattern == "copy":
        return Rendered(((block, "block"), (COPY, "mark")), block)
    if pattern == "reverse":
        return Rendered(((block, "block"), (REVERSE, "mark")), block[::-1])
    if pattern == "repeat":
        cue = variant + 1
        return Rendered(((block, "block"), (block[:cue], "cue")), _around(block, cue, _ASKED))
    unit = (
        _UNITS[pattern][variant].replace("a", "0").replace("b", "1").replace("0", symbols[0]).replace("1", symbols[1])
    )
    return Rendered(((unit, "block"), (_around(unit, 0, length), "cue")), _around(unit, length, _ASKED))


class SymbolicTask(PlainTask):
    """Puzzles of a `SymbolicConfig`, in lanes."""

    def __init__(self, config: SymbolicConfig) -> None:
        self.config = config
        lengths = range(config.shortest, config.longest + 1)
        self._kinds: tuple[tuple[Pattern, int], ...] = tuple(
            (pattern, length) for length in lengths for pattern in config.patterns
        )
        self._strata = tuple(
            Stratum(f"symbolic {pattern} {length}", self._size(pattern, length)) for pattern, length in self._kinds
        )
        self._gap = style_of(config.format).gap

    def puzzle(self, stratum: int, number: int) -> Puzzle:
        """Puzzle `number` of a pattern and length: a bijection."""
        pattern, length = self._kinds[stratum]
        number, variant = divmod(number, variants(pattern, length))
        return Puzzle(pattern, length, variant, arranged(number, symbol_count(pattern, length)))

    @staticmethod
    def _size(pattern: Pattern, length: int) -> int:
        return perm(len(SYMBOLS), symbol_count(pattern, length)) * variants(pattern, length)

    def _item(self, place: Place) -> Item:
        puzzle = self.puzzle(place.stratum, place.number)
        other = self._twin(puzzle)
        question, twin = render(puzzle), render(other)
        return Item(
            index=place.item,
            segments=self._segments(question),
            answer=self._reply(question, puzzle.pattern),
            wrong=self._reply(twin, puzzle.pattern),
            buckets={"pattern": puzzle.pattern, "length": str(puzzle.length)},
            twin=self._segments(twin),
        )

    def _twin(self, puzzle: Puzzle) -> Puzzle:
        """One symbol of the answer changed to one that the puzzle does not have, the cue left as it is where it can."""
        shown = {role: text for text, role in render(puzzle).parts}
        answer = set(render(puzzle).answer)
        outside = [place for place, symbol in enumerate(puzzle.symbols) if symbol in answer - set(shown.get("cue", ""))]
        places = outside or [place for place, symbol in enumerate(puzzle.symbols) if symbol in answer]
        unused = [symbol for symbol in SYMBOLS if symbol not in puzzle.symbols]
        text = "".join(puzzle.symbols)
        place = places[chosen(len(places), "place", text, puzzle.variant)]
        symbol = unused[chosen(len(unused), "symbol", text, puzzle.variant)]
        return puzzle._replace(symbols=(*puzzle.symbols[:place], symbol, *puzzle.symbols[place + 1 :]))

    def _segments(self, rendered: Rendered) -> tuple[Segment, ...]:
        first, *rest = rendered.parts
        head = Segment(self._gap.join(first[0]), first[1])
        return (head, *(Segment("".join(self._gap + symbol for symbol in text), role) for text, role in rest))

    def _reply(self, rendered: Rendered, pattern: Pattern) -> str:
        ends = pattern in ("copy", "reverse")
        end = style_of(self.config.format).end if ends else ""
        return "".join(self._gap + symbol for symbol in rendered.answer) + end
