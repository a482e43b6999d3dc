"""What a task is: a bijection from integers to questions, and lanes through it that never meet.

A task's problems are numbered 0 … pool-1 by an injective `problem(number)`. A fixed, task-level permutation cuts the
numbers into three parts: *discovery*, *shots* (few-shot examples) and *confirm*. Within a part, a keyed permutation
orders the numbers, and seed s of S takes every S-th of them. So by construction: item i of a seed does not depend on
how many are drawn, two seeds share no problem, discovery and confirmation share none, and no example is also asked.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from lesion.identity import content_hash

Split = Literal["discovery", "confirm"]
OWN_PREFIX = 0
"""As a number of prefixes: every item has examples of its own."""
RUN = 16
"""Items in a row that share a set of few-shot examples, where a draw has several."""


class Draw(NamedTuple):
    """Which items: the split, the key that orders it, and one seed's lane of `seeds`."""

    split: Split
    key: str
    """Orders the split. A confirmation's key derives from the study's (or its registration's) hash."""
    seed: int
    """Lane number, 0 … seeds-1; it also draws the few-shot examples."""
    seeds: int
    prefixes: int = 1
    """Sets of few-shot examples. Sixteen items in a row share one, then the next begins; 0: every item has its own."""
    prefix: int | None = None
    """The one set that every item gets, whatever its index; None: the item's own."""
    examples: str = ""
    """The key that draws the examples; empty: the draw's own key and seed."""

    @property
    def lane(self) -> tuple[Split, str, int, int]:
        """What decides on the problems: split, key, seed and seeds."""
        return self.split, self.key, self.seed, self.seeds

    def prefix_of(self, index: int) -> int:
        """Number of the example set that item `index` stands behind."""
        if self.prefix is not None:
            return self.prefix
        return index // RUN % self.prefixes if self.prefixes else index

    def examples_key(self, prefix: int) -> str:
        """The key that draws example set `prefix`."""
        key = self.examples or f"{self.key}:{self.seed}"
        return key if self.prefixes == 1 else f"{key}:{prefix}"

    def buckets(self, prefix: int) -> dict[str, str]:
        """`prefix` as a bucket of an item, where several sets are shared by items: `s0p03`."""
        return {"prefix": f"s{self.seed}p{prefix:02d}"} if self.prefixes > 1 else {}


class Segment(NamedTuple):
    """A stretch of the prompt's text and the role it plays (`""` when none)."""

    text: str
    role: str


@dataclass(frozen=True, slots=True)
class Item:
    """One question. The prompt is the concatenated text of `segments`, without any BOS."""

    index: int
    segments: tuple[Segment, ...]
    answer: str
    """Exactly what greedy decoding must give, its end mark included, e.g. `46;`."""
    wrong: str
    """The answer of the counterfactual twin (one operand or symbol changed), as long as `answer`, never equal to it."""
    buckets: Mapping[str, str]
    """Strata, e.g. {"operator": "+", "carry": "one", "pair": "unseen"}; the same keys for every item of a task."""
    twin: tuple[Segment, ...] = ()
    """The counterfactual twin's prompt, with the same roles: the source of patches. Empty when the task has none."""
    signed: bool = False
    """Whether answers of this task may be negative: then a space before a number says that it is not."""

    @property
    def prompt(self) -> str:
        """The whole prompt's text."""
        return "".join(segment.text for segment in self.segments)

    @property
    def id(self) -> str:
        """Content hash of prompt, roles, answer and twin: 64 hexadecimal digits."""
        return content_hash([list(map(list, self.segments)), self.answer, self.wrong, list(map(list, self.twin))])


class Task(Protocol):
    """A way to make and number questions."""

    @property
    def pool(self) -> int:
        """How many different problems there are."""
        ...

    def capacity(self, draw: Draw) -> int:
        """How many items this lane holds."""
        ...

    def items(self, draw: Draw, start: int, stop: int) -> Iterator[Item]:
        """Items `start` … `stop`-1 of the lane, made one at a time.

        Raises:
            InputError: when the lane holds fewer than `stop`.
        """
        ...
