"""The hand model: an induction transformer whose weights are written down, not learned, so that every answer is known.

A GPT2LMHeadModel of 2 layers with 4 heads over 33 tokens (BOS and 32 letters) and 97 positions:

1. L0H2 attends to the previous position and copies its token into a slot of its own (previous-token head).
2. L1H1 looks for positions whose *previous* token is the current one and copies the token there to the output
   (induction head); the unembedding multiplies it by `GAIN`. Where there is none it rests on BOS and writes nothing.
3. L1H3 attends to earlier copies of the current token (duplicate-token head) and L0H0 to position 0 (first-token
   head); both write nothing. The other heads attend evenly and write nothing. The MLPs are zero.

LayerNorm is undone: the stream is [u, -u, C, -C] with a large C, so its mean is 0 and its deviation nearly constant
and equal to the gain. Logits then agree with exact arithmetic to about 1e-4 of 20. On repeated blocks the loss in
the second copy is ln(1 + 32 exp(-20 a)) when L1H1 is scaled by a, and ln 33 when L1H1 or L0H2 is zeroed.
"""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from lesion.tasks.problems.alphabet import SYMBOLS
from lesion.training.folder import save_network
from lesion.training.vocabulary import BOS, characters_tokenizer

TOKENS: tuple[str, ...] = (BOS, *SYMBOLS[:32])
"""Token of each id."""
POSITIONS = 97
GAIN = 20.0
"""Logit of the right token, all others being 0."""

_LAYERS, _HEADS, _SIZE = 2, 4, 130
_WIDTH = _HEADS * _SIZE
_SHARP = 60.0
"""Attention score of a match; everything else has 0, so a match takes all but exp(-60) of the attention."""
_CONSTANT, _CONSTANTS = 512.0, 32


class _Slots(NamedTuple):
    """Where things stand in u, the first half of the meaningful stream; the second half is its negative."""

    token = slice(0, 33)
    position = slice(33, 33 + POSITIONS)
    previous = slice(130, 163)
    output = slice(163, 196)
    size = 196


def hand_network() -> GPT2LMHeadModel:
    """The hand model as an ordinary Hugging Face module, in evaluation mode."""
    config = GPT2Config(
        vocab_size=len(TOKENS),
        n_embd=_WIDTH,
        n_layer=_LAYERS,
        n_head=_HEADS,
        n_inner=4,
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
    _undo_norms(network, config.layer_norm_epsilon)
    _write_heads(network)
    network.lm_head.weight[:, _Slots.output] = GAIN * torch.eye(len(TOKENS))
    return network.eval()


def write_hand_model(folder: Path) -> None:
    """Save the hand model with its tokenizer, to be opened like any other model's folder."""
    network = hand_network()
    save_network(network, dict(network.named_parameters()), characters_tokenizer(TOKENS, POSITIONS), folder)


def _embed(network: Any) -> None:
    """One-hot tokens and positions, mirrored; the constants come with the positions."""
    tokens, positions = network.transformer.wte.weight, network.transformer.wpe.weight
    _mirror(tokens, _Slots.token, torch.eye(len(TOKENS)))
    _mirror(positions, _Slots.position, torch.eye(POSITIONS))
    positions[:, 2 * _Slots.size : 2 * _Slots.size + _CONSTANTS] = _CONSTANT
    positions[:, 2 * _Slots.size + _CONSTANTS : 2 * _Slots.size + 2 * _CONSTANTS] = -_CONSTANT


def _mirror(matrix: Tensor, slot: slice, values: Tensor) -> None:
    """Write values into u's columns and their negative into -u's."""
    matrix[:, slot] = values
    matrix[:, slot.start + _Slots.size : slot.stop + _Slots.size] = -values


def _undo_norms(network: Any, epsilon: float) -> None:
    """Gains equal to the deviation that the constants cause."""
    deviation = (2 * _CONSTANTS * _CONSTANT**2 / _WIDTH + epsilon) ** 0.5
    norms = [norm for block in network.transformer.h for norm in (block.ln_1, block.ln_2)]
    for norm in (*norms, network.transformer.ln_f):
        norm.weight.fill_(deviation)


def _write_heads(network: Any) -> None:
    first, second = (block.attn for block in network.transformer.h)
    at = _Slots.position
    _look(first, 2, [(at, at, torch.eye(POSITIONS).roll(-1, 0))])  # query p looks for key p - 1
    _copy(first, 2, _Slots.previous)
    _look(first, 0, [(at, at, _first_position())])
    _look(second, 1, [(_Slots.token, _Slots.previous, torch.eye(33)), (at, at, 0.5 * _first_position())])
    _copy(second, 1, _Slots.output)
    _look(second, 3, [(_Slots.token, _Slots.token, torch.eye(33)), (at, at, -torch.eye(POSITIONS))])  # but not itself


def _first_position() -> Tensor:
    """Every query position looks for key position 0."""
    matrix = torch.zeros(POSITIONS, POSITIONS)
    matrix[0] = 1
    return matrix


def _look(attention: Any, index: int, parts: list[tuple[slice, slice, Tensor]]) -> None:
    """Make q·k the sum over parts of `key^T matrix query` over the slots' one-hot entries, times the sharpness.

    Keys are copied into the head's columns as they stand; queries through `matrix`, shape [key, query].
    """
    weight, column = attention.c_attn.weight, 0  # Conv1D: [in, 3 * width], queries, keys, values
    for query, key, matrix in parts:
        columns = slice(index * _SIZE + column, index * _SIZE + column + len(matrix))
        weight[query, columns] = _SHARP * _SIZE**0.5 * matrix.T
        weight[key, slice(_WIDTH + columns.start, _WIDTH + columns.stop)] = torch.eye(len(matrix))
        column += len(matrix)


def _copy(attention: Any, index: int, slot: slice) -> None:
    """Make a head write the token it attends to into a slot; BOS is written as nothing."""
    start = index * _SIZE
    tokens = torch.eye(33)
    tokens[0] = 0
    attention.c_attn.weight[_Slots.token, 2 * _WIDTH + start : 2 * _WIDTH + start + 33] = tokens
    _mirror(attention.c_proj.weight[start : start + 33], slot, torch.eye(33))
