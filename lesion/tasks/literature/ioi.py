"""Indirect object identification (Wang et al. 2022, "Interpretability in the wild", arXiv 2211.00593).

Two people are named, one of them (the subject, S) acts, and the answer is the other (the indirect object, IO). ABBA
names IO first, BABA S. The wrong answer is S. Three corruptions, each a prompt with the same words but other names:

- `abc`: three names that the prompt does not hold, all different (the paper's p_ABC). No answer follows from it.
- `s2_io`: the second subject is the indirect object, so that the right answer is the wrong one of the prompt.
- `s1_io`: the first two names change places, so that the answer stays and its position does not.

Roles name positions: the twin's names have the roles of the names in whose place they stand.
"""

from collections.abc import Mapping
from math import perm
from string import Formatter

from lesion.tasks.config import IoiConfig
from lesion.tasks.drawing.numbering import Place, Stratum, chosen
from lesion.tasks.drawing.stratified import PlainTask
from lesion.tasks.literature.words import NAMES, OBJECTS, PLACES
from lesion.tasks.task import Item, Segment

GIVING = {
    "arrived": "When{a} and{b} arrived at the{place},{s} handed the{object} to",
    "lunch": "After{a} and{b} had lunch near the{place},{s} passed the{object} to",
    "waiting": "While{a} and{b} were waiting at the{place},{s} showed the{object} to",
    "meeting": "Because{a} and{b} were meeting at the{place},{s} brought the{object} to",
    "visited": "Last week{a} and{b} visited the{place}, and{s} sold the{object} to",
    "cleaned": "Yesterday{a} and{b} cleaned the{place}, and{s} gave the{object} to",
    "talked": "On Monday{a} and{b} talked at the{place}. Later{s} mailed the{object} to",
    "left": "In the evening{a} and{b} left the{place}, and{s} returned the{object} to",
    "worked": "Since{a} and{b} both worked at the{place},{s} lent the{object} to",
    "home": "Before{a} and{b} went home from the{place},{s} offered the{object} to",
    "noon": "At noon{a} and{b} came to the{place}. There{s} threw the{object} to",
    "found": "Once{a} and{b} had found the{place},{s} gave the{object} to",
}
"""Templates of indirect object identification: two names, a place, a name again, an object."""

_SLOTS = {"ABBA": {"a": "io", "b": "s1"}, "BABA": {"a": "s1", "b": "io"}}
"""Order -> who stands in the first two places."""


class IoiTask(PlainTask):
    """Problems of an `IoiConfig`, in lanes."""

    def __init__(self, config: IoiConfig) -> None:
        self.config = config
        self._kinds = tuple((template, order) for template in GIVING for order in config.orders)
        size = perm(len(NAMES), 2) * len(PLACES) * len(OBJECTS)
        self._strata = tuple(Stratum(f"ioi {template} {order}", size) for template, order in self._kinds)

    def _item(self, place: Place) -> Item:
        template, order = self._kinds[place.stratum]
        number, io = divmod(place.number, len(NAMES))
        number, s = divmod(number, len(NAMES) - 1)
        at, thing = divmod(number, len(OBJECTS))
        names = {"io": NAMES[io], "s1": NAMES[s + (s >= io)]}
        words = {**names, "s2": names["s1"], "place": PLACES[at], "object": OBJECTS[thing]}
        return Item(
            index=place.item,
            segments=_written(template, order, words),
            answer=f" {names['io']}",
            wrong=f" {names['s1']}",
            buckets={"template": template, "order": order},
            twin=_written(template, order, {**words, **self._corrupted(names, (template, order, place.number))}),
        )

    def _corrupted(self, names: Mapping[str, str], key: tuple[str, str, int]) -> dict[str, str]:
        """The names of the corrupted prompt, by the place in which they stand."""
        io, s = names["io"], names["s1"]
        if self.config.corruption == "s2_io":
            return {"s2": io}
        if self.config.corruption == "s1_io":
            return {"io": s, "s1": io}
        others = [name for name in NAMES if name not in (io, s)]
        drawn: dict[str, str] = {}
        for slot in ("io", "s1", "s2"):
            drawn[slot] = others.pop(chosen(len(others), "abc", slot, *key))
        return drawn


def _written(template: str, order: str, words: Mapping[str, str]) -> tuple[Segment, ...]:
    """The segments of a prompt; a word has the space before it."""
    slots = {**_SLOTS[order], "s": "s2", "place": "place", "object": "object"}
    parts: list[Segment] = []
    for text, field, _, _ in Formatter().parse(GIVING[template]):
        parts += [Segment(text, "")] if text else []
        if field:
            parts.append(Segment(f" {words[slots[field]]}", slots[field]))
    return tuple(parts)
