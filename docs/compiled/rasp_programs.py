"""Compiles RASP programs to transformer weights with tracr, for docs/compiled/measure.py.

    .bench/tracr/bin/python docs/compiled/rasp_programs.py .bench/programs    # `make compiled` does it

tracr has an environment of its own (benchmarks/requirements-tracr.txt): nothing else here needs it or jax. A program
becomes NAME.npz: weights, and in `meta` the names, all inputs of its domain and the answers that the RASP interpreter
gives. `lesion.training.compiled.program` reads it.

Every program is causal and answers at the last position. Programs that write a sequence (reverse, sort, ...) read
n letters and are asked at one of n dots after them, as a language model would be.
"""

import itertools
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tracr.compiler import compiling, lib
from tracr.rasp import causal_eval, rasp

BOS = "[BOS]"
MOST = 4096
"""Most inputs of a domain that are kept: every k-th of a longer list."""
tokens, indices = rasp.tokens, rasp.indices


class Program(NamedTuple):
    """A program to compile."""

    make: Callable[[int], Any]
    """The program for a number of letters."""
    letters: str = "abc"
    """Letters of the inputs."""
    lengths: tuple[int, ...] = (4, 6)
    """Numbers of letters; one model each."""
    dots: bool = False
    """Whether the answer is written at dots after the letters."""
    only: Callable[[str], bool] = lambda _: True
    """Inputs that the program is for."""
    shorter: bool = False
    """Whether shorter inputs belong to the domain."""
    endings: str = ""
    """Last token of the input where it is no letter."""


def at(where: Callable[[int, int], bool], sop: Any = tokens) -> Any:
    """The value at the one position that a predicate of key index and query index selects."""
    return rasp.Aggregate(rasp.Select(indices, indices, where), sop)


def count(is_in: Callable[[Any], bool], sop: Any = tokens) -> Any:
    """How many of the positions so far hold a value with a property."""
    return rasp.SelectorWidth(rasp.Select(sop, sop, lambda key, _: is_in(key)))


def both(f: Callable[[Any, Any], Any], one: Any, two: Any) -> Any:
    """A function of two values of a position."""
    return rasp.SequenceMap(f, one, two)


def shifted(offset: int, sop: Any = tokens) -> Any:
    """The value `offset` positions earlier."""
    return at(lambda key, query: key == query - offset, sop)


def has(letter: str) -> Any:
    """Whether a letter has occurred."""
    return rasp.Map(lambda many: many > 0, count(lambda key: key == letter))


def share(letter: str) -> Any:
    """The share of positions so far that hold a letter, a number."""
    return lib.make_frac_prevs(tokens == letter)


def most_frequent(_: int) -> Any:
    """The letter that has occurred most often; of equals the first of the alphabet."""
    a, b, c = (count(lambda key, letter=letter: key == letter) for letter in "abc")
    best = both(lambda x, y: f"a{x}" if x >= y else f"b{y}", a, b)
    return both(lambda x, y: x[0] if int(x[1:]) >= y else "c", best, c)


def sort(n: int) -> Any:
    """At the j-th dot, the j-th letter in order: counting sort."""
    place = rasp.Map(lambda index: index - n, indices)
    a, b, c = (both(lambda many, j: j < many, count(lambda key, so=so: key in so), place) for so in ("a", "ab", "abc"))
    return both(
        lambda low, high: low or high,
        both(lambda x, y: "a" if x else "b" if y else "", a, b),
        rasp.Map(lambda x: "c" if x else "d", c),
    )


def induction(_: int) -> Any:
    """The letter after the earlier occurrence of the current one."""
    previous = at(lambda key, query: key == max(query - 1, 0))
    return rasp.Aggregate(rasp.Select(previous, tokens, rasp.Comparison.EQ), tokens)


def palindrome(n: int) -> Any:
    """Whether n letters read the same backwards."""
    facing = at(lambda key, query: key == min(n - 1 - query, query))
    same = both(lambda x, y: x == y, facing, tokens)
    return rasp.Map(lambda many: many == 0, count(lambda key: not key, same))


def ordered(_: int) -> Any:
    """Whether no letter comes before a smaller one of the alphabet."""
    falls = both(lambda x, y: x is not None and x > y, shifted(1), tokens)
    return rasp.Map(lambda many: many == 0, count(bool, falls))


def digit_sum(_: int) -> Any:
    """The sum of all digits so far, modulo 3."""
    ones = rasp.Map(lambda many: many % 3, count(lambda key: key == "1"))
    return both(lambda one, two: (one + 2 * two) % 3, ones, count(lambda key: key == "2"))


def bigrams(_: int) -> Any:
    """How often ab has occurred."""
    return count(lambda pair: pair == "ab", both(lambda x, y: f"{x}{y}", shifted(1), tokens))


def once(text: str) -> bool:
    """All letters differ but for the last, which has occurred before: neither first nor just before."""
    return len(set(text[:-1])) == len(text) - 1 and text[-1] in text[1:-2]


def mapped(f: Callable[[Any], Any], make: Callable[[int], Any]) -> Callable[[int], Any]:
    """A program followed by a function of its value."""
    return lambda n: rasp.Map(f, make(n))


def after(letter: str) -> str:
    """The next letter of abc, in a circle."""
    return "bca"["abc".index(letter)] if letter in set("abc") else "."


def distinct(_: int) -> Any:
    """How many different letters have occurred: positions where a letter is new."""
    return count(lambda many: many == 1, lib.make_hist())


PROGRAMS: dict[str, Program] = {
    "previous_token": Program(lambda _: shifted(1)),
    "two_back": Program(lambda _: shifted(2)),
    "three_back": Program(lambda _: shifted(3)),
    "next_letter": Program(lambda _: rasp.Map(after, tokens)),
    "next_of_previous": Program(lambda _: rasp.Map(after, shifted(1))),
    "first": Program(lambda _: at(lambda key, _: key == 0)),
    "second": Program(lambda _: at(lambda key, _: key == 1)),
    "length": Program(lambda _: lib.make_length(), lengths=(6,), shorter=True),
    "length_parity": Program(mapped(lambda n: n % 2 == 1, lambda _: lib.make_length()), lengths=(6,), shorter=True),
    "count_a": Program(lambda _: lib.make_count(tokens, "a")),
    "parity_of_a": Program(mapped(lambda many: many % 2 == 1, lambda _: count(lambda key: key == "a"))),
    "histogram": Program(lambda _: lib.make_hist()),
    "duplicate": Program(mapped(lambda many: many > 1, lambda _: lib.make_hist())),
    "any_duplicate": Program(mapped(bool, lambda _: count(lambda many: many > 1, lib.make_hist())), "abcde", (3, 4)),
    "distinct": Program(distinct, "abcd", (4, 5)),
    "count_less_frequent": Program(lambda _: lib.make_count_less_freq(1)),
    "share_of_a": Program(lambda _: share("a")),
    "pair_balance": Program(lambda _: lib.make_pair_balance(tokens, "(", ")"), "()"),
    "majority_of_a": Program(
        lambda _: both(lambda many, place: 2 * many > place + 1, count(lambda key: key == "a"), indices), lengths=(4, 5)
    ),
    "more_a_than_b": Program(lambda _: rasp.numerical(rasp.LinearSequenceMap(share("a"), share("b"), 1, -1)) > 0.01),
    "dyck": Program(lambda _: lib.make_shuffle_dyck(["()"]), "()", (4, 6)),
    "shuffle_dyck": Program(lambda _: lib.make_shuffle_dyck(["()", "{}"]), "(){}", (4,)),
    "detect_ab": Program(lambda _: lib.detect_pattern(tokens, "ab")),
    "detect_abc": Program(lambda _: lib.detect_pattern(tokens, "abc")),
    "bigrams_ab": Program(bigrams),
    "smallest": Program(lambda _: both(lambda x, y: "a" if x else "b" if y else "c", has("a"), has("b"))),
    "largest": Program(lambda _: both(lambda x, y: "c" if x else "b" if y else "a", has("c"), has("b"))),
    "most_frequent": Program(most_frequent),
    "rank": Program(lambda _: rasp.SelectorWidth(rasp.Select(tokens, tokens, rasp.Comparison.LT))),
    "same_as_previous": Program(lambda _: both(lambda x, y: x == y, shifted(1), tokens)),
    "same_as_first": Program(lambda _: both(lambda x, y: x == y, at(lambda key, _: key == 0), tokens)),
    "first_or_previous": Program(lambda _: both(min, at(lambda key, _: key == 0), shifted(1))),
    "before_first_a": Program(lambda _: count(lambda seen: not seen, has("a"))),
    "induction": Program(induction, "abcde", (4, 5), only=once),
    "palindrome": Program(palindrome, lengths=(4, 5)),
    "is_sorted": Program(ordered),
    "digit_sum": Program(digit_sum, "012"),
    "add_first_two": Program(
        lambda _: both(lambda x, y: (int(x) + int(y)) % 4, at(lambda k, _: k == 0), at(lambda k, _: k == 1)),
        "0123",
        (3, 4),
    ),
    "pointer": Program(
        lambda n: rasp.Aggregate(
            rasp.Select(indices, rasp.Map(lambda x: int(x) if x.isdigit() else n, tokens), rasp.Comparison.EQ), tokens
        ),
        lengths=(4,),
        endings="0123",
    ),
    "reverse": Program(lambda n: at(lambda key, query: key == 2 * n - 1 - query), lengths=(3, 5), dots=True),
    "copy": Program(lambda n: at(lambda key, query: key == query - n and key < n), lengths=(3, 5), dots=True),
    "rotate": Program(
        lambda n: at(lambda key, query: query >= n and key == (query - n + 1) % n), lengths=(3, 5), dots=True
    ),
    "sort": Program(sort, lengths=(3, 4), dots=True),
    "sort_unique": Program(
        sort, "abcd", (3,), dots=True, only=lambda text: len(set(text.strip("."))) == len(text.strip("."))
    ),
    "reverse_next": Program(
        lambda n: rasp.Map(after, at(lambda key, query: key == 2 * n - 1 - query)), lengths=(3, 4), dots=True
    ),
}  # fmt: skip


def domain(program: Program, n: int) -> list[str]:
    """All inputs of a program, thinned to `MOST`."""
    found: list[str] = []
    for length in range(1 if program.shorter else n, n + 1):
        for letters in itertools.product(program.letters, repeat=length):
            text = "".join(letters)
            ends: Iterable[str] = ["." * (j + 1) for j in range(n)] if program.dots else program.endings or [""]
            found += [text + end for end in ends if program.only(text + end)]
    return found[:: -(-len(found) // MOST)]


def token_of(value: Any) -> str:
    """The token that says a value: a letter, a digit, T or F."""
    if isinstance(value, (bool, np.bool_)):
        return "T" if value else "F"
    return str(value)


def compiled(name: str, n: int, folder: Path) -> str:
    """Compile one program for n letters, hold its answers against the interpreter's, and save it."""
    program = PROGRAMS[name]
    sop = program.make(n)
    inputs = domain(program, n)
    longest = max(map(len, inputs))
    vocabulary = sorted(set("".join(inputs)))
    model = compiling.compile_rasp_to_model(
        sop, set(vocabulary), longest, causal=True, compiler_bos=BOS, compiler_pad="[PAD]"
    )
    number = rasp.is_numerical(sop)
    answers = [causal_eval.evaluate(sop, list(text))[-1] for text in inputs]
    for text, answer in list(zip(inputs, answers, strict=True))[:: max(1, len(inputs) // 16)]:
        said = model.apply([BOS, *text]).decoded[-1]
        same = abs(said - answer) < 1e-3 if number else said == answer
        if not same:
            raise SystemExit(f"{name}, {n}: tracr's model answers {said} to {text}, the interpreter {answer}")
    outputs, unembedding = unembedded(model, sop, number)
    configuration = model.model_config
    meta = {
        "name": name,
        "letters": n,
        "tokens": {token: model.input_encoder.encoding_map[token] for token in [BOS, *vocabulary]},
        "outputs": outputs,
        "numerical": number,
        "layers": configuration.num_layers,
        "heads": configuration.num_heads,
        "inputs": inputs,
        "answers": [answer if number else token_of(answer) for answer in map(plain, answers)],
        "labels": model.residual_labels,
    }
    arrays = {
        f"{module}|{part}": np.asarray(array) for module, parts in model.params.items() for part, array in parts.items()
    }
    np.savez_compressed(folder / f"{name}-{n}.npz", meta=json.dumps(meta), unembedding=unembedding, **arrays)
    return f"{configuration.num_layers} layers, {configuration.num_heads} heads, {len(inputs)} inputs"


def plain(value: Any) -> Any:
    """A Python value of a numpy one."""
    return value.item() if isinstance(value, np.generic) else value


def unembedded(model: Any, sop: Any, number: bool) -> tuple[list[str], np.ndarray]:
    """Tokens of the output and the matrix from the stream to them, (width, outputs), by the labels of the stream."""
    labels = model.residual_labels
    if number:
        column = np.zeros((len(labels), 1))
        column[labels.index(sop.label)] = 1
        return ["1"], column
    values = list(model.output_encoder.encoding_map)
    matrix = np.zeros((len(labels), len(values)))
    for place, value in enumerate(values):
        matrix[labels.index(f"{sop.label}:{value}"), place] = 1
    return [token_of(value) for value in values], matrix


def main() -> None:
    """Compile all programs into a folder; those that tracr refuses are told."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[2:] or PROGRAMS:
        for n in PROGRAMS[name].lengths:
            print(f"{name}-{n}: {compiled(name, n, folder)}", flush=True)


if __name__ == "__main__":
    main()
