"""Writing an induction circuit into the weights of a GPT2LMHeadModel, head by head, instead of training it.

The stream is [u, -u, C, -C, rest]: u holds one-hot tokens, positions, the token before, and the output. The
mirror image -u keeps the mean at 0, and the large constant C keeps the deviation nearly constant, so that a LayerNorm
whose gain is that deviation changes nothing. Logits then agree with exact arithmetic to about 1e-4 of `GAIN`. What is
left of the width (`rest`) is read by nobody.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from lesion.tasks.problems.alphabet import SYMBOLS
from lesion.training.vocabulary import BOS

TOKENS: tuple[str, ...] = (BOS, *SYMBOLS[:32])
"""Token of each id."""
POSITIONS = 97
GAIN = 20.0
"""Logit of the right token, all others being 0."""
HEAD_SIZE = 130
_SHARP = 60.0
"""Attention score of a match; everything else has 0, so a match takes all but exp(-60) of the attention."""
_CONSTANT = 512.0
CONSTANTS = 32
"""Columns of C, and of -C."""

Part = tuple[slice, slice, Tensor]
"""What queries hold, what keys hold, and the matrix between them, [key, query]."""


class Slots(NamedTuple):
    """Where things stand in u, the first half of the meaningful stream; the second half is its negative."""

    token = slice(0, 33)
    position = slice(33, 33 + POSITIONS)
    previous = slice(130, 163)
    output = slice(163, 196)
    size = 196


REST = 2 * Slots.size + 2 * CONSTANTS
"""First column of the stream that nothing reads."""


def blank_network(layers: int, heads: int, neurons: int = 4) -> GPT2LMHeadModel:
    """A network whose heads and MLPs are all zero; tokens and positions are embedded, the output slot is unembedded.

    Args:
        layers: blocks.
        heads: heads of a block, at least 4; each is `HEAD_SIZE` wide.
        neurons: of a block.
    """
    config = GPT2Config(
        vocab_size=len(TOKENS),
        n_embd=heads * HEAD_SIZE,
        n_layer=layers,
        n_head=heads,
        n_inner=neurons,
        n_positions=POSITIONS,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=0,
        tie_word_embeddings=False,
    )
    network: Any = GPT2LMHeadModel(config)
    network.requires_grad_(False)
    for parameter in network.parameters():
        parameter.zero_()
    _embed(network)
    undo_norms(network)
    network.lm_head.weight[:, Slots.output] = GAIN * torch.eye(len(TOKENS))
    return network.eval()


def previous_token_parts() -> list[Part]:
    """Query p looks for key p - 1."""
    return [(Slots.position, Slots.position, torch.eye(POSITIONS).roll(-1, 0))]


def first_token_parts() -> list[Part]:
    """Every query looks for key position 0."""
    return [(Slots.position, Slots.position, _first_position())]


def induction_parts() -> list[Part]:
    """A token looks for positions whose previous token it is; where there is none, for position 0."""
    at = Slots.position
    return [(Slots.token, Slots.previous, torch.eye(33)), (at, at, 0.5 * _first_position())]


def duplicate_token_parts() -> list[Part]:
    """A token looks for other positions of the same token, not for itself."""
    return [(Slots.token, Slots.token, torch.eye(33)), (Slots.position, Slots.position, -torch.eye(POSITIONS))]


def look(attention: Any, index: int, parts: list[Part]) -> None:
    """Make q·k of a head the sum of `key^T matrix query` over the parts' one-hot entries, times the sharpness.

    Keys are copied into the head's columns as they stand; queries through `matrix`, shape [key, query].
    """
    weight, column = attention.c_attn.weight, 0  # Conv1D: [in, 3 * width], queries, keys, values
    width = weight.shape[0]
    for query, key, matrix in parts:
        columns = slice(index * HEAD_SIZE + column, index * HEAD_SIZE + column + len(matrix))
        weight[query, columns] = _SHARP * HEAD_SIZE**0.5 * matrix.T
        weight[key, slice(width + columns.start, width + columns.stop)] = torch.eye(len(matrix))
        column += len(matrix)


def copy(attention: Any, index: int, slot: slice, strength: float = 1.0) -> None:
    """Make a head write the token it attends to into a slot; BOS is written as nothing."""
    start, width = index * HEAD_SIZE, attention.c_attn.weight.shape[0]
    tokens = torch.eye(33)
    tokens[0] = 0
    attention.c_attn.weight[Slots.token, 2 * width + start : 2 * width + start + 33] = tokens
    mirror(attention.c_proj.weight[start : start + 33], slot, strength * torch.eye(33))


def mirror(matrix: Tensor, slot: slice, values: Tensor) -> None:
    """Write values into u's columns and their negative into -u's."""
    matrix[:, slot] = values
    matrix[:, slot.start + Slots.size : slot.stop + Slots.size] = -values


def _embed(network: Any) -> None:
    """One-hot tokens and positions, mirrored; the constants come with the positions."""
    tokens, positions = network.transformer.wte.weight, network.transformer.wpe.weight
    mirror(tokens, Slots.token, torch.eye(len(TOKENS)))
    mirror(positions, Slots.position, torch.eye(POSITIONS))
    write_constants(network, 2 * Slots.size)


def write_constants(network: Any, start: int) -> None:
    """Write C and -C with every position, into the columns of the stream from `start` on."""
    positions = network.transformer.wpe.weight
    positions[:, start : start + CONSTANTS] = _CONSTANT
    positions[:, start + CONSTANTS : start + 2 * CONSTANTS] = -_CONSTANT


def undo_norms(network: Any) -> None:
    """Give every LayerNorm a gain equal to the deviation that the constants cause."""
    width, epsilon = network.config.n_embd, network.config.layer_norm_epsilon
    deviation = (2 * CONSTANTS * _CONSTANT**2 / width + epsilon) ** 0.5
    norms = [norm for block in network.transformer.h for norm in (block.ln_1, block.ln_2)]
    for norm in (*norms, network.transformer.ln_f):
        norm.weight.fill_(deviation)


def _first_position() -> Tensor:
    """Every query position looks for key position 0."""
    matrix = torch.zeros(POSITIONS, POSITIONS)
    matrix[0] = 1
    return matrix
