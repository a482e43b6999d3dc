"""The order in which the quick way holds a batch's tokens: a shared prefix once, then every row's own tokens.

A batch of N rows of T tokens that share their first P tokens becomes one sequence of P + N * (T - P) tokens. Row n sees
the prefix and its own tokens, never another row's. When an intervention acts only from position `start` on, every
earlier token is the clean run's, and only the tokens from there on are run.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """Which tokens of a batch are run, and in which order."""

    rows: int
    """Rows of the batch, N."""
    length: int
    """Tokens of a row, T."""
    shared: int
    """Length of the shared prefix, P."""
    first: int
    """First position whose logits are read; P ≤ first."""
    start: int = 0
    """First position that is run: 0, or a position P ≤ start ≤ first with everything before it clean."""

    @property
    def own(self) -> int:
        """Tokens of a row after the prefix."""
        return self.length - self.shared

    @property
    def kept(self) -> int:
        """Tokens of a row after the prefix that are not run."""
        return max(0, self.start - self.shared)

    @property
    def prefix(self) -> int:
        """Tokens of the prefix that are run: all or none."""
        return self.shared if self.start == 0 else 0

    @property
    def tokens(self) -> int:
        """Tokens that are run in one pass."""
        return self.prefix + self.rows * (self.own - self.kept)

    @property
    def positions(self) -> Int[Tensor, " tokens"]:
        """The position of each token that is run."""
        own = torch.arange(self.shared + self.kept, self.length).repeat(self.rows)
        return torch.cat([torch.arange(self.prefix), own])

    @property
    def read(self) -> Int[Tensor, " reads"]:
        """Where, among the tokens that are run, logits are read: row by row, answer token by answer token."""
        width = self.own - self.kept
        late = torch.arange(self.first - self.shared - self.kept, width)
        return (self.prefix + torch.arange(self.rows)[:, None] * width + late).flatten()

    def late(self, start: int) -> "Layout":
        """The layout that runs only what an edit from position `start` on can change."""
        start = min(start, self.first)
        return Layout(self.rows, self.length, self.shared, self.first, start if start >= max(1, self.shared) else 0)

    def pack(self, whole: Shaped[Tensor, "rows length *rest"]) -> Shaped[Tensor, "tokens *rest"]:
        """From (row, position) to the tokens that are run; of the prefix, the first row's."""
        own = whole[:, self.shared + self.kept :]
        return torch.cat([whole[0, : self.prefix], own.flatten(0, 1)])

    def among(self, full: "Layout") -> Int[Tensor, " tokens"]:
        """Which tokens of the layout that runs everything these are."""
        own = torch.arange(self.kept, self.own) + torch.arange(self.rows)[:, None] * self.own
        return torch.cat([torch.arange(self.prefix), full.shared + own.flatten()])


def shared_prefix(ids: Int[Tensor, "rows length"], first: int, masks: list[Bool[Tensor, "rows length"]]) -> int:
    """How many leading positions are alike in all rows, tokens and edits both, and lie before the first read one."""
    alike = (ids == ids[:1]).all(0)
    for mask in masks:
        alike = alike & (mask == mask[:1]).all(0)
    differs = torch.nonzero(~alike).flatten()
    return min(first, int(differs[0]) if len(differs) else first)
