"""The order in which the batched engine holds a batch's tokens: a trie, level by level, every shared token once.

Between two positions at which rows part, a batch holds a fixed number of different sequences; that stretch is a level,
and its tokens lie sequence after sequence. A token sees the tokens before it in its own row, wherever they lie. When an
intervention acts only from position `start` on, every earlier token is the clean run's, and only the tokens from there
on are run. `trie` makes the levels.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Int, Shaped
from torch import Tensor


@dataclass(frozen=True)
class Level:
    """A stretch of positions at which no rows part."""

    start: int
    stop: int
    of: tuple[int, ...]
    """Which of the level's sequences each row has, numbered from 0."""

    @cached_property
    def owners(self) -> tuple[int, ...]:
        """The first row of each sequence."""
        found: dict[int, int] = {}
        for row, sequence in enumerate(self.of):
            found.setdefault(sequence, row)
        return tuple(found[sequence] for sequence in range(len(found)))

    @property
    def count(self) -> int:
        """Different sequences."""
        return len(self.owners)

    @property
    def width(self) -> int:
        """Tokens of a sequence."""
        return self.stop - self.start


@dataclass(frozen=True)
class Layout:
    """Which tokens of a batch are run, and in which order."""

    rows: int
    """Rows of the batch, N."""
    length: int
    """Tokens of a row, T."""
    first: int
    """First position whose logits are read."""
    levels: tuple[Level, ...]
    """From position 0 to T without gaps; in the last one, which holds every read position, each row is on its own."""
    start: int = 0
    """First position that is run: 0, or a position common ≤ start ≤ first with everything before it clean."""

    @cached_property
    def full(self) -> "Layout":
        """The layout that runs everything."""
        return replace(self, start=0)

    @cached_property
    def run(self) -> tuple[Level, ...]:
        """The levels that are run, as far as they are."""
        return tuple(replace(x, start=max(x.start, self.start)) for x in self.levels if x.stop > self.start)

    @cached_property
    def common(self) -> int:
        """Length of the first level where all rows have one sequence there and part later, else 0."""
        front = self.levels[0]
        return front.stop if len(self.levels) > 1 and front.count == 1 else 0

    @property
    def prefix(self) -> int:
        """Tokens of the common prefix that are run: all or none."""
        return self.common if self.start == 0 else 0

    @cached_property
    def tokens(self) -> int:
        """Tokens that are run in one pass."""
        return sum(level.count * level.width for level in self.run)

    @cached_property
    def copied(self) -> int:
        """Tokens whose keys and values a pass copies, so that a sequence has those of its row side by side."""
        since = max(self.common, self.start)
        return sum(
            level.count * (level.stop - self.common)
            for level in self.run
            if level.stop > self.common and (level.start > since or self.start > self.common)
        )

    @cached_property
    def index(self) -> Int[Tensor, "rows length"]:
        """Where each token of each row lies among those that are run; -1 for those that are not."""
        index, offset = torch.full((self.rows, self.length), -1), 0
        for level in self.run:
            places = torch.tensor(level.of)[:, None] * level.width + torch.arange(level.width)
            index[:, level.start : level.stop] = offset + places
            offset += level.count * level.width
        return index

    @cached_property
    def positions(self) -> Int[Tensor, " tokens"]:
        """The position of each token that is run."""
        return self.pack(torch.arange(self.length).expand(self.rows, -1))

    @cached_property
    def times(self) -> Int[Tensor, " tokens"]:
        """For how many rows each token stands."""
        return torch.bincount(self.index[:, self.start :].flatten(), minlength=self.tokens)

    @cached_property
    def read(self) -> Int[Tensor, " reads"]:
        """Where, among the tokens that are run, logits are read: row by row, answer token by answer token."""
        return self.index[:, self.first :].flatten()

    @cached_property
    def among(self) -> Int[Tensor, " tokens"]:
        """Which tokens of the layout that runs everything these are."""
        return self.pack(self.full.index)

    def late(self, start: int) -> "Layout":
        """The layout that runs only what an edit from position `start` on can change."""
        start = min(start, self.first)
        return replace(self, start=start if start >= max(1, self.common) else 0)

    def pack(self, whole: Shaped[Tensor, "rows length *rest"]) -> Shaped[Tensor, "tokens *rest"]:
        """From (row, position) to the tokens that are run; of a shared one, the first row's."""
        return torch.cat([whole[list(x.owners), x.start : x.stop].flatten(0, 1) for x in self.run])

    def path(self, level: Level, since: int, until: int) -> Int[Tensor, "count path"]:
        """Where the tokens at positions since … until of each of a level's sequences lie among those that are run."""
        return self.index[list(level.owners), since:until]
