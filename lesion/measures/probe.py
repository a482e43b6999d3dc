"""The sequences on which heads are scored: a prefix (BOS), a block of different ordinary tokens, a gap, the same block.

They are made of *ids*, never of text, which a byte-pair tokenizer could cut elsewhere. No token of a sequence occurs
twice but through the repetition, so that chance matches cannot lower a perfect head's score. Exactly two copies: with
three, a perfect head splits its attention and would score 3/4 (Olsson et al. 2022 use more copies and another score).
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from lesion.errors import InputError
from lesion.identity import Document, generator


class Probe(Document):
    """The sequences that a score is measured on; every default is written out beside the scores."""

    blocks: tuple[int, ...] = (6, 9, 12, 16)
    """Block lengths, in tokens."""
    widest: int = 7
    """Gaps are drawn from 1 … `widest` tokens; besides, every block length is tried without a gap."""
    sequences: int = 32
    """Sequences for every block length, without and again with gaps."""
    seed: int = 0
    """Draws tokens and gaps."""

    def length(self, prefixed: bool) -> int:
        """Tokens of the longest sequence."""
        return int(prefixed) + 2 * max(self.blocks) + self.widest


class Repeats(NamedTuple):
    """Sequences in which a block comes twice, all with the same block length and gap."""

    ids: Int[Tensor, "batch length"]
    start: int
    """Position of the first copy (1 after a BOS)."""
    block: int
    """Tokens of a block."""
    gap: int
    """Tokens between the copies."""

    @property
    def period(self) -> int:
        """Distance between a token of the second copy and the same token of the first."""
        return self.block + self.gap

    @property
    def second(self) -> range:
        """Positions of the second copy."""
        return range(self.start + self.period, self.start + self.period + self.block)


def ordinary_tokens(tokenizer: Tokenizer) -> NDArray[np.int64]:
    """Ids of the ordinary tokens: not added or special, and their text is letters only, but for one space before them.

    For the embedded models these are the 45 symbols; in a byte-pair vocabulary, words and pieces of words. Digits,
    punctuation, single bytes and rows of the embedding beyond the tokenizer's length are left out.

    Raises:
        InputError: when fewer than 16 tokens are ordinary.
    """
    added = tokenizer.get_added_tokens_decoder()
    texts = (
        (number, tokenizer.decode([number])) for number in range(tokenizer.get_vocab_size()) if number not in added
    )
    ordinary = [number for number, text in texts if text.removeprefix(" ").isalpha()]
    if len(ordinary) < 16:
        raise InputError(f"only {len(ordinary)} tokens of the vocabulary are letters; probes need at least 16")
    return np.array(ordinary, dtype=np.int64)


def repeats(
    ordinary: NDArray[np.int64], bos: int | None, block: int, gap: int, sequences: int, rng: np.random.Generator
) -> Repeats:
    """Sequences `[BOS, r_1 … r_B, g_1 … g_G, r_1 … r_B]`; all r and g of a sequence are different ordinary tokens.

    Raises:
        InputError: when there are fewer ordinary tokens than a sequence needs.
    """
    if block + gap > len(ordinary):
        raise InputError(f"a probe of {block}+{gap} different tokens, but only {len(ordinary)} are ordinary")
    drawn = np.stack([rng.choice(ordinary, block + gap, replace=False) for _ in range(sequences)])
    parts = [drawn, drawn[:, :block]]
    if bos is not None:
        parts.insert(0, np.full((sequences, 1), bos, dtype=np.int64))
    return Repeats(torch.as_tensor(np.concatenate(parts, axis=1)), 0 if bos is None else 1, block, gap)


def probes(ordinary: NDArray[np.int64], bos: int | None, probe: Probe) -> Iterator[list[Repeats]]:
    """The conditions of a probe: for every block length once without and once with random gaps.

    The sequences of a condition with gaps are grouped by gap, so that each group has one length.
    """
    for block in probe.blocks:
        rng = generator("head probe", probe.seed, block)
        yield [repeats(ordinary, bos, block, 0, probe.sequences, rng)]
        gaps, counts = np.unique(rng.integers(1, probe.widest + 1, probe.sequences), return_counts=True)
        yield [repeats(ordinary, bos, block, int(g), int(n), rng) for g, n in zip(gaps, counts, strict=True)]
