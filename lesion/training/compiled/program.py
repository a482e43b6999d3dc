"""A compiled program: weights of a transformer without LayerNorm, whose every head and MLP is known.

tracr (Lindner et al. 2023, arXiv:2301.05062) compiles RASP programs to such weights. docs/compiled/rasp_programs.py
writes them to files; `read_program` reads one.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lesion.errors import InputError

Matrix = NDArray[np.float64]
Part = tuple[int, int | None]
"""A layer and a head of it, or a layer and None: its MLP."""


class Layer(NamedTuple):
    """Weights of a layer without LayerNorm: attention, then an MLP with ReLU."""

    query: Matrix
    """(heads, width, size)."""
    key: Matrix
    """(heads, width, size)."""
    value: Matrix
    """(heads, width, size)."""
    out: Matrix
    """(heads, size, width)."""
    into: Matrix
    """(width, neurons)."""
    back: Matrix
    """(neurons, width)."""


class Program(NamedTuple):
    """A compiled program and what it should answer."""

    name: str
    """Its name, with the number of letters."""
    tokens: Mapping[str, int]
    """Row of each token of the inputs in `embedding`; BOS is one of them."""
    embedding: Matrix
    """(tokens, width)."""
    positions: Matrix
    """(positions, width); BOS has position 0."""
    layers: tuple[Layer, ...]
    """From the first to the last."""
    unembedding: Matrix
    """(width, outputs)."""
    outputs: tuple[str, ...]
    """Token of each output."""
    numerical: bool
    """Whether the one output is a number rather than a choice among the outputs."""
    inputs: tuple[str, ...]
    """Inputs that the program is for, without BOS."""
    answers: tuple[Any, ...]
    """What the RASP interpreter answers at the last position: a token, or a number."""


def read_program(path: Path) -> Program:
    """Read a compiled program.

    Args:
        path: a file that docs/compiled/rasp_programs.py wrote.

    Raises:
        InputError: when it has biases, for which there is no rule here.
    """
    with np.load(path, allow_pickle=False) as file:
        meta = json.loads(str(file["meta"]))
        arrays = {name: np.asarray(file[name], np.float64) for name in file.files if name != "meta"}
    biased = [name for name, array in arrays.items() if name.endswith("|b") and array.any()]
    if biased:
        raise InputError(f"{path.name} has biases ({biased[0]}), which a compiled program lacks")

    def weights(layer: int, name: str) -> Matrix:
        return arrays[f"transformer/layer_{layer}/{name}|w"]

    def by_head(matrix: Matrix) -> Matrix:
        return matrix.reshape(len(matrix), meta["heads"], -1).transpose(1, 0, 2)

    layers = tuple(
        Layer(
            query=by_head(weights(layer, "attn/query")),
            key=by_head(weights(layer, "attn/key")),
            value=by_head(weights(layer, "attn/value")),
            out=weights(layer, "attn/linear").reshape(meta["heads"], -1, len(arrays["unembedding"])),
            into=weights(layer, "mlp/linear_1"),
            back=weights(layer, "mlp/linear_2"),
        )
        for layer in range(meta["layers"])
    )
    return Program(
        name=f"{meta['name']}-{meta['letters']}",
        tokens=meta["tokens"],
        embedding=arrays["token_embed|embeddings"],
        positions=arrays["pos_embed|embeddings"],
        layers=layers,
        unembedding=arrays["unembedding"],
        outputs=tuple(meta["outputs"]),
        numerical=meta["numerical"],
        inputs=tuple(meta["inputs"]),
        answers=tuple(meta["answers"]),
    )


def parts(program: Program) -> tuple[Part, ...]:
    """The heads and MLPs of a program that write something; the others are padding."""
    found: list[Part] = []
    for number, layer in enumerate(program.layers):
        found += [(number, index) for index, out in enumerate(layer.out) if (layer.value[index] @ out).any()]
        found += [(number, None)] if layer.back.any() else []
    return tuple(found)
