"""A compiled program in a GPT2LMHeadModel, in one stream with other programs, the distractors, and idle heads.

- Each program has columns of its own in the stream, and its heads lie at random places of their layers.
- The unembedding reads the program's output, and of a distractor's output at most `LEAK` of it.
- LayerNorm is undone by a large constant, as in `lesion.training.written_weights`.

So a distractor computes something, from the same letters, that the answer does not need. A layer has one MLP: the
neurons of all programs lie side by side in it.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from lesion.errors import InputError
from lesion.interventions.site import Site, head
from lesion.training.compiled.program import Layer, Matrix, Part, Program, parts
from lesion.training.folder import save_network
from lesion.training.vocabulary import BOS, characters_tokenizer
from lesion.training.written_weights import CONSTANTS, GAIN, POSITIONS, undo_norms, write_constants

ALWAYS = "01"
"""Tokens of every network: a number is the logit of 1 over that of 0, and lesion needs some letter or digit to ask."""
LEAK = 0.01
"""What a distractor writes on an output token at most, as a share of what the program writes."""


class Placed(NamedTuple):
    """A program in a network."""

    network: GPT2LMHeadModel
    """The network."""
    vocabulary: tuple[str, ...]
    """Token of each id: BOS, the inputs' tokens, those of the outputs."""
    nodes: Mapping[Part, Site]
    """Where each part of the program lies, by layer and head, or layer and None for the MLP."""

    def write(self, folder: Path) -> None:
        """Save the network with its tokenizer, to be opened like any other model's folder."""
        positions = int(self.network.config.n_positions)
        tokenizer = characters_tokenizer(self.vocabulary, positions)
        save_network(self.network, dict(self.network.named_parameters()), tokenizer, folder)


def place(
    program: Program, distractors: Sequence[Program] = (), rng: np.random.Generator | None = None, idle: int = 1
) -> Placed:
    """Put a program into a network, with distractors and idle heads.

    Args:
        program: whose output is unembedded.
        distractors: programs that know the program's tokens and lengths.
        rng: draws the places of heads and what distractors leak; none: heads lie in order and nothing leaks.
        idle: heads of each layer that have no weights.

    Raises:
        InputError: when a distractor lacks a token or a position of the program.
    """
    together = (program, *distractors)
    for other in distractors:
        if not set(other.tokens) >= set(program.tokens) or len(other.positions) < len(program.positions):
            raise InputError(f"{other.name} cannot read every input of {program.name}: choose another distractor")
    layers = max(len(one.layers) for one in together)
    heads = sum(len(one.layers[0].out) for one in together) + idle
    widths = [one.embedding.shape[1] for one in together]
    size = max(one.layers[0].query.shape[2] for one in together)
    vocabulary = (BOS, *sorted({*program.tokens, *program.outputs, *ALWAYS} - {BOS}))
    network = _blank(vocabulary, layers, heads, size, sum(widths), _neurons(together))
    starts = np.cumsum([0, *widths])
    for one, start in zip(together, starts[:-1], strict=True):
        _embed(network, one, vocabulary, int(start), sum(widths))
    _unembed(network, together, vocabulary, rng)
    nodes = dict[Part, Site]()
    for layer in range(layers):
        order = iter(range(heads) if rng is None else rng.permutation(heads).tolist())
        neuron = 0
        for one, start in zip(together, starts[:-1], strict=True):
            if layer >= len(one.layers):
                continue
            weights, at = one.layers[layer], slice(int(start), int(start) + one.embedding.shape[1])
            for index in range(len(weights.out)):
                place_ = int(next(order))
                _write_head(network, layer, place_, weights, index, at, sum(widths))
                if one is program:
                    nodes[layer, index] = head(layer, place_)
            _write_mlp(network.transformer.h[layer].mlp, weights, neuron, at, sum(widths))
            neuron += weights.into.shape[1]
        if layer < len(program.layers):
            nodes[layer, None] = Site(kind="mlp_out", layer=layer)
    return Placed(network.eval(), vocabulary, {part: nodes[part] for part in parts(program)})


def _neurons(together: Sequence[Program]) -> int:
    deepest = max(len(one.layers) for one in together)
    return max(
        sum(one.layers[layer].into.shape[1] for one in together if layer < len(one.layers)) for layer in range(deepest)
    )


def _blank(vocabulary: Sequence[str], layers: int, heads: int, size: int, width: int, neurons: int) -> Any:
    """A network of zeros whose norms do nothing; the stream is [u, -u, C, -C, nothing], u being `width` wide."""
    least = 2 * width + 2 * CONSTANTS
    config = GPT2Config(
        vocab_size=len(vocabulary),
        n_embd=heads * max(size, -(-least // heads)),
        n_layer=layers,
        n_head=heads,
        n_inner=neurons,
        n_positions=POSITIONS,
        activation_function="relu",
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
    write_constants(network, 2 * width)
    undo_norms(network)
    return network


def _tensor(matrix: Matrix) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(matrix)).float()


def _mirrored(matrix: Any, rows: Any, at: slice, values: Matrix, width: int) -> None:
    """Write values into u's columns and their negative into -u's."""
    matrix[rows, at] = _tensor(values)
    matrix[rows, slice(at.start + width, at.stop + width)] = -_tensor(values)


def _embed(network: Any, program: Program, vocabulary: Sequence[str], start: int, width: int) -> None:
    at = slice(start, start + program.embedding.shape[1])
    rows = {vocabulary.index(token): row for token, row in program.tokens.items() if token in vocabulary}
    _mirrored(network.transformer.wte.weight, list(rows), at, program.embedding[list(rows.values())], width)
    _mirrored(network.transformer.wpe.weight, slice(0, len(program.positions)), at, program.positions, width)


def _unembed(
    network: Any, together: Sequence[Program], vocabulary: Sequence[str], rng: np.random.Generator | None
) -> None:
    """The program's outputs times `GAIN`, and a little of every distractor's output on every output token."""
    program, matrix = together[0], network.lm_head.weight
    ids = [vocabulary.index(token) for token in program.outputs]
    start = program.embedding.shape[1]
    matrix[ids, :start] = GAIN * _tensor(program.unembedding.T)
    for other in together[1:]:
        end = start + other.embedding.shape[1]
        if rng is not None:
            mixed = rng.uniform(-1, 1, (len(ids), other.unembedding.shape[1]))
            matrix[ids, start:end] = LEAK * GAIN * _tensor(mixed @ other.unembedding.T)
        start = end


def _write_head(network: Any, layer: int, place_: int, weights: Layer, index: int, at: slice, width: int) -> None:
    attention = network.transformer.h[layer].attn
    size, full = weights.query.shape[2], network.config.n_embd
    start = place_ * (full // network.config.n_head)
    sharper = (
        full / network.config.n_head / size
    ) ** 0.5  # transformers divides scores by the root of its own head size
    for part, matrix in enumerate((sharper * weights.query[index], weights.key[index], weights.value[index])):
        attention.c_attn.weight[at, part * full + start : part * full + start + size] = _tensor(matrix)
    _mirrored(attention.c_proj.weight, slice(start, start + size), at, weights.out[index], width)


def _write_mlp(mlp: Any, weights: Layer, neuron: int, at: slice, width: int) -> None:
    neurons = slice(neuron, neuron + weights.into.shape[1])
    mlp.c_fc.weight[at, neurons] = _tensor(weights.into)
    _mirrored(mlp.c_proj.weight, neurons, at, weights.back, width)
