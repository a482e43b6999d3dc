"""The sequences on which heads are scored: a prefix (BOS), a block of different ordinary tokens, and the block again.

`StandardProbe` is the field's: two copies of 50 random tokens, one after the other. It names heads. `Probe` varies
block length and gap, and says how far a named head's score depends on them.

Sequences are made of *ids*, never of text, which a byte-pair tokenizer could cut elsewhere. No token of a sequence
occurs twice but through the repetition, so that chance matches cannot lower a perfect head's score.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from pydantic import Field
from tokenizers import Tokenizer
from torch import Tensor

from lesion.errors import InputError
from lesion.identity import Document, generator
from lesion.models.model import Model

SHORTEST = 3
"""Fewest tokens of a block."""


class StandardProbe(Document):
    """Copies of a block of random tokens without a gap: the sequences that heads are named on."""

    block: int = Field(default=50, ge=SHORTEST)
    """Length of the block, tokens."""
    copies: int = Field(default=2, ge=2)
    """Copies of the block in a sequence."""
    sequences: int = Field(default=24, ge=2)
    """Sequences in each set."""
    seed: int = 0
    """Draws the tokens."""

    def length(self, prefixed: bool) -> int:
        """Tokens of a sequence, with or without a prefix token."""
        return int(prefixed) + self.copies * self.block


def longest_block(ordinary: int, limit: int | None, prefixed: bool, copies: int = 2) -> int:
    """Longest block, in tokens, that a context and a vocabulary hold.

    A context of `limit` tokens (None: no limit) must hold all copies. The vocabulary must have other tokens for every
    copy, because the control's copies share none.
    """
    fits = ordinary // copies
    return fits if limit is None else min(fits, (limit - int(prefixed)) // copies)


class Probe(Document):
    """Variations of the block length and the gap; every default is written out beside the scores."""

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
    """Sequences in which a block comes twice or more often, all with the same block length and gap."""

    ids: Int[Tensor, "batch length"]
    start: int
    """Position of the first copy (1 after a BOS)."""
    block: int
    """Tokens of a block."""
    gap: int
    """Tokens between the copies."""
    copies: int = 2
    """Copies of the block."""

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


def fitted(model: Model, ordinary: int, probe: StandardProbe | None = None, seed: int | None = None) -> StandardProbe:
    """The standard probe as a model can read it.

    Args:
        model: the model.
        ordinary: ordinary tokens of its vocabulary.
        probe: a probe that is wanted as it is; None takes the default, with a shorter block where the model reads less.
        seed: replaces the probe's seed.

    Raises:
        InputError: when the model cannot read the probe that is wanted, or not even blocks of three tokens.
    """
    wanted = probe or StandardProbe()
    longest = longest_block(ordinary, model.sizes.max_positions, model.bos is not None, wanted.copies)
    limit = model.sizes.max_positions
    reads = f"{model.name} reads {'any number of' if limit is None else limit} tokens and has {ordinary} ordinary ones"
    if longest < SHORTEST:
        raise InputError(f"{reads}: too few for {wanted.copies} copies of {SHORTEST} tokens")
    if probe is not None and probe.block > longest:
        raise InputError(f"{reads}: {probe.copies} copies of a block can have at most {longest} tokens each")
    update: dict[str, int] = {"block": min(wanted.block, longest)}
    return wanted.model_copy(update=update if seed is None else {**update, "seed": seed})


def asked_probe(model: Model, block: int | None = None, copies: int = 2, sequences: int | None = None) -> StandardProbe:
    """The standard probe with some of its numbers replaced.

    Args:
        model: the model.
        block: tokens of the block; None: 50, or the longest that the model can read.
        copies: copies of the block.
        sequences: sequences in each set; None: the default.

    Raises:
        InputError: when the model cannot read such a probe.
    """
    default = StandardProbe()
    ordinary = len(ordinary_tokens(model.tokenizer))
    longest = longest_block(ordinary, model.sizes.max_positions, model.bos is not None, copies)
    length = max(SHORTEST, min(default.block, longest)) if block is None else block
    probe = StandardProbe(block=length, copies=copies, sequences=sequences or default.sequences)
    return fitted(model, ordinary, probe)


def standard(ordinary: NDArray[np.int64], bos: int | None, probe: StandardProbe) -> Repeats:
    """The sequences `[BOS, r_1 … r_B, r_1 … r_B, …]` of a standard probe.

    Raises:
        InputError: when there are fewer ordinary tokens than a block needs.
    """
    rng = generator("standard probe", probe.seed, probe.block, probe.copies)
    group = repeats(ordinary, bos, probe.block, 0, probe.sequences, rng)
    more = [group.ids[:, group.start : group.start + probe.block]] * (probe.copies - 2)
    return group._replace(ids=torch.cat([group.ids, *more], dim=1), copies=probe.copies)


def unrepeated(group: Repeats, ordinary: NDArray[np.int64], rng: np.random.Generator) -> Repeats:
    """The same sequences with other tokens in each later copy, so that nothing repeats.

    Raises:
        InputError: when there are too few ordinary tokens.
    """
    needed = group.copies * group.block
    if needed > len(ordinary):
        raise InputError(
            f"a control needs {needed} ordinary tokens, the vocabulary has {len(ordinary)}: use a shorter block"
        )
    ids = group.ids.clone()
    for row in ids:
        first = row[group.start : group.start + group.block].numpy(force=True)
        others = rng.choice(np.setdiff1d(ordinary, first), needed - group.block, replace=False)
        for copy, block in enumerate(np.split(others, group.copies - 1), start=1):
            start = group.start + copy * group.period
            row[start : start + group.block] = torch.as_tensor(block)
    return group._replace(ids=ids)


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
