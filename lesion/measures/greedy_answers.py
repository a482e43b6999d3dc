"""What a model really writes after each prompt: greedy text, from which parse rates and digit errors are read.

Teacher forcing tells whether the right answer would be written, and nothing of what is written instead: behind a first
wrong token it goes on from the right one. So a text is decoded for real, under the same intervention, up to the
answer's end mark. An intervention that has no meaning for generated tokens (its source has no value for them) gives no
text.
"""

from collections.abc import Callable, Sequence

from lesion.engine.attach import Source
from lesion.engine.batch import Batch
from lesion.engine.decode.generate import generate_many, meaningless
from lesion.engine.decode.passes import Arm
from lesion.interventions.intervention import Intervention
from lesion.measures.prompt_set import Asked
from lesion.models.model import Model
from lesion.models.text_conventions import ends_of
from lesion.progress import track
from lesion.tasks.answers import Unparsed, extract

ROOM = 4
"""Tokens that a text may have beyond the longest right answer, before it is cut off."""
Sources = Callable[[Batch], Source | None]


def spoken_many(
    model: Model, asked: Asked, arms: Sequence[tuple[Intervention | None, Sources | None]]
) -> list[list[str | None]]:
    """The texts under each of several interventions, decoded together.

    Args:
        model: the model.
        asked: the items; a text ends with the last token of any of their answers, with a token that ends the model's
            texts, or `ROOM` beyond the longest answer. A last
            token that also stands inside an answer (the line breaks of a worked solution) ends no text.
        arms: what is changed, if anything, and what it adds or puts in place in a batch. Where that depends on the
            batch, prompts are decoded batch by batch, else all of them together.

    Raises:
        InterventionError: when an intervention did not act as it must.
    """
    stops = {compiled.answer_ids[-1] for compiled in asked.compiled if len(compiled.answer_ids) > 1} | ends_of(model)
    stops -= {token for compiled in asked.compiled for token in compiled.answer_ids[:-1]}
    most, limit = max(len(compiled.answer_ids) for compiled in asked.compiled) + ROOM, model.sizes.max_positions
    texts: list[list[str | None]] = [[None] * len(asked.compiled) for _ in arms]
    longest = max(batch.prompt_length for batch in asked.batches)
    apart = any(sources is not None for _, sources in arms) or (limit is not None and longest + most - 1 > limit)
    groups: list[tuple[Batch, ...]] = [(batch,) for batch in asked.batches] if apart else [asked.batches]
    for group in track(groups, "writing answers"):
        rows = [row for batch in group for row in batch.rows]
        prompts = [asked.compiled[row] for row in rows]
        given = [Arm(do, sources(group[0]) if sources is not None else None) for do, sources in arms]
        able = [
            number for number, (do, source) in enumerate(given) if do is None or not meaningless(do, prompts, source)
        ]
        here = most if limit is None else min(most, limit - max(batch.prompt_length for batch in group) + 1)
        made = generate_many(model, prompts, here, stops, [given[number] for number in able])
        for number, generation in zip(able, made, strict=True):
            for row, text in zip(rows, generation.texts, strict=True):
                tokens = text.tokens[:-1] if text.stopped else text.tokens
                texts[number][row] = model.tokenizer.decode(list(tokens), skip_special_tokens=False)
    return texts


def parsed(text: str | None) -> float:
    """1 when a number can be read from a text, 0 when none can, NaN where there is no text."""
    return float("nan") if text is None else float(not isinstance(extract(text), Unparsed))
