"""Prompts that teach a word map by examples, and the same with the examples' answers exchanged, which teach none of it.

The design is that of Todd et al. 2024 (arXiv:2310.15213): `Q: France`, `A: Paris`, …, and one more word. Exchanged
answers keep what kind of word an answer is, and lose the map.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tokenizers import Tokenizer

from lesion.identity import generator
from lesion.tasks.literature.word_maps import WORD_MAPS, Pairs
from lesion.tasks.tokenizers.prompt_contract import Compiled, Refused, encode

SHOTS = 10
"""Examples in a prompt."""
PROMPTS = 8
"""Prompts of each word map and kind."""
LEAST = 4
"""Prompts of a map below which it is left out."""
FEWEST = 2
"""Word maps without which no interval can be given."""
TOO_FEW = (
    "its vocabulary cannot write two of the word maps that function vectors need, or joins answers and prompts; take a "
    "model that reads words"
)
"""Why a model cannot be asked."""
EXAMPLE, QUESTION, ANSWER = "Q: {}\nA: {}\n\n", "Q: {}\nA:", " {}"
"""How an example, the question and its answer are written."""


class MapPrompts(NamedTuple):
    """The prompts of one word map."""

    name: str
    taught: list[Compiled]
    """Examples right."""
    untaught: list[Compiled]
    """Examples with exchanged answers."""
    spare: list[Compiled]
    """Others of the same kind."""


def map_prompts(
    tokenizer: Tokenizer, bos: int | None, prompts: int = PROMPTS, seed: int = 0, shots: int = SHOTS
) -> Iterator[MapPrompts]:
    """The prompts of every word map that the tokenizer can write often enough.

    Args:
        tokenizer: of the model.
        bos: the token that begins a text; none where the model has none.
        prompts: of each kind.
        seed: draws examples and questions.
        shots: examples in each prompt.
    """
    for name, pairs in WORD_MAPS.items():
        kinds = [
            drawn(tokenizer, bos, pairs, prompts, shots, ("function vectors", seed, name, kind), mixed=kind > 0)
            for kind in range(3)
        ]
        if min(map(len, kinds)) >= LEAST:
            yield MapPrompts(name, *kinds)


def drawn(
    tokenizer: Tokenizer, bos: int | None, pairs: Pairs, count: int, shots: int, key: Sequence[str | int], *,
    mixed: bool,
) -> list[Compiled]:  # fmt: skip
    """Prompts of a map, no answer twice; `mixed` gives each example the next one's answer, so that none is right."""
    draw, made = generator(*key), list[Compiled]()
    for _ in range(count):
        every = {pairs[int(i)][1]: pairs[int(i)] for i in draw.permutation(len(pairs))}  # no answer twice
        chosen = list(every.values())[: shots + 1]
        shown, (word, answer) = chosen[:-1], chosen[-1]
        answers = [right for _, right in shown]
        if mixed:
            answers = answers[1:] + answers[:1]
        lines = [EXAMPLE.format(one, other) for (one, _), other in zip(shown, answers, strict=True)]
        one = compiled(tokenizer, bos, "".join(lines) + QUESTION.format(word), ANSWER.format(answer))
        if one is not None:
            made.append(one)
    return made


def compiled(tokenizer: Tokenizer, bos: int | None, prompt: str, answer: str) -> Compiled | None:
    """The prompt and the answer's first token; None where the tokenizer cannot write them, or joins the two."""
    alone, both = (encode(tokenizer, text, bos) for text in (prompt, prompt + answer))
    if isinstance(alone, Refused) or isinstance(both, Refused):
        return None
    if both.ids[: len(alone.ids)] != alone.ids or len(both.ids) == len(alone.ids):
        return None
    ids = (*(() if bos is None else (bos,)), *both.ids[: len(alone.ids) + 1])
    wrong = 0 if ids[-1] else 1
    return Compiled(
        ids=ids, roles={}, answer_ids=ids[-1:], wrong_ids=(wrong,), prompt_length=len(ids) - 1, twin_ids=None
    )
