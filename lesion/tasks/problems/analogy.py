"""Tier 3: letter analogies `abc>de` -> `f;`, in the standard alphabet and in shuffled ones.

A shuffled alphabet stands before the question, so that the letters' order must be read, not remembered (Lewis and
Mitchell 2024, "Using counterfactual tasks to evaluate the generality of analogical reasoning").
"""

from math import perm
from typing import NamedTuple

from lesion.tasks.config import Alphabet, AnalogyConfig
from lesion.tasks.drawing.numbering import Place, Stratum, chosen
from lesion.tasks.drawing.stratified import PlainTask
from lesion.tasks.formats import style_of
from lesion.tasks.problems.alphabet import COPY, END, SYMBOLS
from lesion.tasks.problems.symbolic import arranged
from lesion.tasks.task import Item, Segment


class Analogy(NamedTuple):
    """Two runs in one alphabet; the last letter of the second is asked."""

    kind: Alphabet
    letters: str
    step: int
    source: int
    """Where the first run starts."""
    target: int
    """Where the second run starts."""

    def run(self, start: int, count: int) -> str:
        """`count` letters from a start on."""
        return self.letters[start : start + (count - 1) * self.step + 1 : self.step]


class AnalogyTask(PlainTask):
    """Problems of an `AnalogyConfig`, in lanes."""

    def __init__(self, config: AnalogyConfig) -> None:
        self.config = config
        self._gap = style_of(config.format).gap
        self._kinds: tuple[tuple[Alphabet, int], ...] = tuple((a, s) for s in config.steps for a in config.alphabets)
        self._strata = tuple(
            Stratum(f"analogy {kind} {config.letters} {config.run} {step}", self._size(kind, step))
            for kind, step in self._kinds
        )

    def _starts(self, step: int) -> int:
        return self.config.letters - (self.config.run - 1) * step

    def _size(self, kind: Alphabet, step: int) -> int:
        orders = perm(self.config.letters) if kind == "permuted" else 1
        return orders * self._starts(step) * (self._starts(step) - 1)

    def _analogy(self, stratum: int, number: int) -> Analogy:
        kind, step = self._kinds[stratum]
        number, source = divmod(number, self._starts(step))
        number, target = divmod(number, self._starts(step) - 1)
        known = SYMBOLS[: self.config.letters]
        letters = "".join(arranged(number, self.config.letters, known)) if kind == "permuted" else known
        return Analogy(kind, letters, step, source, target + (target >= source))

    def _item(self, place: Place) -> Item:
        analogy = self._analogy(place.stratum, place.number)
        starts = [s for s in range(self._starts(analogy.step)) if s not in (analogy.source, analogy.target)]
        key = (analogy.letters, analogy.step, analogy.source, analogy.target)
        other = analogy._replace(target=starts[chosen(len(starts), "twin", *key)])
        return Item(
            index=place.item,
            segments=self._question(analogy),
            answer=self._reply(analogy),
            wrong=self._reply(other),
            buckets={"alphabet": analogy.kind, "step": str(analogy.step)},
            twin=self._question(other),
        )

    def _question(self, analogy: Analogy) -> tuple[Segment, ...]:
        shown = analogy.kind == "permuted" or self.config.show_standard
        parts = [(analogy.letters, "alphabet"), (END, "mark")] if shown else []
        parts += [
            (analogy.run(analogy.source, self.config.run), "source"),
            (COPY, "mark"),
            (analogy.run(analogy.target, self.config.run - 1), "target"),
        ]
        texts = ["".join(self._gap + letter for letter in text) for text, _ in parts]
        texts[0] = texts[0].removeprefix(self._gap)
        return tuple(Segment(text, role) for text, (_, role) in zip(texts, parts, strict=True))

    def _reply(self, analogy: Analogy) -> str:
        return self._gap + analogy.run(analogy.target, self.config.run)[-1] + style_of(self.config.format).end
