"""What of a compiled program is needed, by numpy on its own weights: the truth that searches are held against.

This runs the program as it was compiled, without LayerNorm, in float64; it shares no code with the engine and does not
know the network that `lesion.training.compiled.placement` makes. A part of the program, a head or an MLP, is

- *needed under zero* if the program's answer changes on some input when the part's output is 0 at all positions;
- *needed under counterfactual* if it changes on some pair of inputs of equal length when the part's output is the one
  that it has on the other input.

An answer is the output that leads by more than `LEAD`, or none; a number changes if it moves by more than `MOVED`.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lesion.training.compiled.program import Matrix, Part, Program, parts
from lesion.training.vocabulary import BOS

LEAD = 0.1
"""By how much the first output must exceed the second to be an answer; a right answer leads by 1."""
MOVED = 0.05
"""By how much a number must move to be another."""
PAIRS = 1024
"""Pairs of inputs that are tried."""


class Outcome(NamedTuple):
    """What a program says to inputs of one length."""

    outputs: Matrix
    """At the last position, (inputs, outputs)."""
    written: Mapping[Part, Matrix]
    """What each part adds to the stream, (inputs, positions, width)."""


class Needed(NamedTuple):
    """Parts of a program that are needed."""

    zero: frozenset[Part]
    """Under zero ablation."""
    counterfactual: frozenset[Part]
    """Under the other input's activations."""


def run(program: Program, inputs: Sequence[str], replaced: Mapping[Part, Matrix | float] | None = None) -> Outcome:
    """Run a program on inputs of one length, with the outputs of some parts replaced.

    Args:
        program: the program.
        inputs: texts without BOS, all of one length.
        replaced: what stands in the place of a part's output.
    """
    ids = np.array([[program.tokens[BOS], *(program.tokens[letter] for letter in text)] for text in inputs])
    stream = program.embedding[ids] + program.positions[: ids.shape[1]]
    later = np.triu(np.full((ids.shape[1], ids.shape[1]), -np.inf), 1)
    written: dict[Part, Matrix] = {}

    def put(part: Part, made: Matrix) -> Matrix:
        written[part] = made if replaced is None or part not in replaced else np.zeros_like(made) + replaced[part]
        return written[part]

    for number, layer in enumerate(program.layers):
        added = np.zeros_like(stream)
        for index, out in enumerate(layer.out):
            queries, keys = stream @ layer.query[index], stream @ layer.key[index]
            scores = queries @ keys.transpose(0, 2, 1) / np.sqrt(queries.shape[2]) + later
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            weights /= weights.sum(-1, keepdims=True)
            added = added + put((number, index), weights @ (stream @ layer.value[index]) @ out)
        stream = stream + added
        stream = stream + put((number, None), np.maximum(stream @ layer.into, 0) @ layer.back)
    return Outcome(stream[:, -1] @ program.unembedding, written)


def said(program: Program, outputs: Matrix) -> NDArray[np.float64]:
    """The answers that outputs stand for, (inputs,): the place of the output that leads, -1 for none; or the number."""
    if program.numerical:
        return outputs[:, 0]
    order = np.sort(outputs, axis=1)
    leads = order[:, -1] - (order[:, -2] if outputs.shape[1] > 1 else 0.0) > LEAD
    return np.where(leads, outputs.argmax(1), -1).astype(np.float64)


def right(program: Program) -> NDArray[np.bool_]:
    """Whether the program answers each of its inputs as the RASP interpreter does."""
    found = np.zeros(len(program.inputs), np.bool_)
    for some in by_length(program):
        answers = said(program, run(program, [program.inputs[place] for place in some]).outputs)
        for place, answer in zip(some, answers, strict=True):
            wanted = program.answers[place] if program.numerical else program.outputs.index(program.answers[place])
            found[place] = abs(answer - wanted) < (MOVED if program.numerical else 0.5)
    return found


def needed(program: Program, rng: np.random.Generator) -> Needed:
    """The parts that are needed, on all inputs of the program and `PAIRS` random pairs.

    Args:
        program: the program.
        rng: draws the pairs.
    """
    zero, counterfactual = set[Part](), set[Part]()
    for some in by_length(program):
        texts = [program.inputs[place] for place in some]
        most = max(1, PAIRS * len(texts) // len(program.inputs))
        ones, others = rng.integers(0, len(texts), (2, most))
        whole = run(program, texts)
        for part in parts(program):
            if part not in zero and _moves(program, whole.outputs, run(program, texts, {part: 0.0}).outputs):
                zero.add(part)
            if part in counterfactual:
                continue
            again = run(program, [texts[place] for place in ones], {part: whole.written[part][others]})
            if _moves(program, whole.outputs[ones], again.outputs):
                counterfactual.add(part)
    return Needed(frozenset(zero), frozenset(counterfactual))


def by_length(program: Program) -> list[list[int]]:
    """Places of the inputs, those of one length together."""
    lengths = [len(text) for text in program.inputs]
    return [[place for place, one in enumerate(lengths) if one == length] for length in sorted(set(lengths))]


def _moves(program: Program, before: Matrix, after: Matrix) -> bool:
    gap = np.abs(said(program, after) - said(program, before))
    return bool((gap > (MOVED if program.numerical else 0.5)).any())
