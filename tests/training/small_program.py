"""A small program that no compiler wrote: the letter after the previous one, with a part that nobody reads."""

import itertools

import numpy as np

from lesion.training.compiled.program import Layer, Program

LETTERS = "abc"
LENGTH = 3
BOS, TOKEN, PLACE, BACK, OUT, SPARE = 0, slice(1, 4), slice(4, 7), slice(7, 10), slice(10, 13), slice(13, 16)
WIDTH = 16


def _looking(at_key: np.ndarray, value: slice, into: slice, heads: int = 2) -> tuple[np.ndarray, ...]:
    """Head 0 looks from each place for the key that a matrix [query place, key place] names; the other is padding."""
    query, key, read, out = (np.zeros((heads, *shape)) for shape in ((WIDTH, 3), (WIDTH, 3), (WIDTH, 3), (3, WIDTH)))
    query[0, PLACE], key[0, PLACE] = 200 * at_key, np.eye(3)
    read[0, value], out[0, :, into] = np.eye(3), np.eye(3)
    return query, key, read, out


def next_of_previous() -> Program:
    """Layer 0: head 0 brings the previous letter, head 1 to where nobody reads. Layer 1: the MLP takes the next one."""
    first = Layer(*_looking(np.eye(3, k=-1), TOKEN, BACK), np.zeros((WIDTH, 1)), np.zeros((1, WIDTH)))
    for one in first[:3]:
        one[1] = one[0]
    first.out[1, :, SPARE] = np.eye(3)
    into, back = np.zeros((WIDTH, 3)), np.zeros((3, WIDTH))
    into[BACK], back[:, OUT] = np.eye(3), np.roll(np.eye(3), 1, axis=1)
    still = (np.zeros_like(one) for one in first[:4])
    return _program("next_of_previous", (first, Layer(*still, into, back)), lambda text: _after(text[-2]))


def first_letter() -> Program:
    """One head that brings the first letter."""
    looks = np.zeros((3, 3))
    looks[:, 0] = 1
    layer = Layer(*_looking(looks, TOKEN, OUT, 1), np.zeros((WIDTH, 1)), np.zeros((1, WIDTH)))
    return _program("first_letter", (layer,), lambda text: text[0])


def _after(letter: str) -> str:
    return LETTERS[(LETTERS.index(letter) + 1) % 3]


def _program(name, layers, answer) -> Program:
    inputs = ["".join(letters) for letters in itertools.product(LETTERS, repeat=LENGTH)]
    embedding, positions, unembedding = np.zeros((4, WIDTH)), np.zeros((LENGTH + 1, WIDTH)), np.zeros((WIDTH, 3))
    embedding[0, BOS] = 1
    embedding[1:, TOKEN], positions[1:, PLACE], unembedding[OUT] = np.eye(3), np.eye(3), np.eye(3)
    return Program(
        name=f"{name}-{LENGTH}",
        tokens={"[BOS]": 0, **{letter: 1 + place for place, letter in enumerate(LETTERS)}},
        embedding=embedding,
        positions=positions,
        layers=layers,
        unembedding=unembedding,
        outputs=tuple(LETTERS),
        numerical=False,
        inputs=tuple(inputs),
        answers=tuple(map(answer, inputs)),
    )


def saved(program: Program, file) -> None:
    """Write a program as docs/compiled/rasp_programs.py does."""
    import json

    name, letters = program.name.rsplit("-", 1)
    arrays = {
        "token_embed|embeddings": program.embedding,
        "pos_embed|embeddings": program.positions,
        "unembedding": program.unembedding,
    }
    for number, layer in enumerate(program.layers):
        parts = zip(("query", "key", "value"), layer[:3], strict=True)
        arrays |= {f"transformer/layer_{number}/attn/{part}|w": _side_by_side(one) for part, one in parts}
        arrays[f"transformer/layer_{number}/attn/linear|w"] = layer.out.reshape(-1, WIDTH)
        arrays[f"transformer/layer_{number}/mlp/linear_1|w"] = layer.into
        arrays[f"transformer/layer_{number}/mlp/linear_2|w"] = layer.back
        arrays[f"transformer/layer_{number}/mlp/linear_2|b"] = np.zeros(WIDTH)
    meta = {
        "name": name,
        "letters": int(letters),
        "tokens": program.tokens,
        "outputs": program.outputs,
        "numerical": program.numerical,
        "layers": len(program.layers),
        "heads": len(program.layers[0].out),
        "inputs": program.inputs,
        "answers": program.answers,
    }
    np.savez_compressed(file, meta=json.dumps(meta), **arrays)


def _side_by_side(matrix: np.ndarray) -> np.ndarray:
    return matrix.transpose(1, 0, 2).reshape(WIDTH, -1)
