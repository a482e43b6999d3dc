"""What a model really writes after each prompt: greedy text, from which parse rates and digit errors are read.

Teacher forcing tells whether the right answer would be written, and nothing of what is written instead: behind a first
wrong token it goes on from the right one. So a text is decoded for real, under the same intervention, up to the
answer's end mark. An intervention that has no meaning for generated tokens (its source has no value for them) gives no
text.
"""

from collections.abc import Callable

from lesion.engine.attach import Source
from lesion.engine.batch import Batch
from lesion.engine.decode.generate import generate, meaningless
from lesion.interventions.intervention import Intervention
from lesion.measures.prompt_set import Asked
from lesion.models.model import Model
from lesion.models.text_conventions import ends_of
from lesion.progress import track
from lesion.tasks.answers import Unparsed, extract

ROOM = 4
"""Tokens that a text may have beyond the longest right answer, before it is cut off."""
Sources = Callable[[Batch], Source | None]


def spoken(
    model: Model, asked: Asked, do: Intervention | None = None, sources: Sources | None = None
) -> list[str | None]:
    """The text after each prompt, without the end mark; nothing where the intervention has no meaning while writing.

    Args:
        model: the model.
        asked: the items; a text ends with the last token of any of their answers, with a token that ends the model's
            texts, or `ROOM` beyond the longest answer. A last
            token that also stands inside an answer (the line breaks of a worked solution) ends no text.
        do: what is changed, if anything.
        sources: what it adds or puts in place in a batch.

    Raises:
        InterventionError: when the intervention did not act as it must.
    """
    stops = {compiled.answer_ids[-1] for compiled in asked.compiled if len(compiled.answer_ids) > 1} | ends_of(model)
    stops -= {token for compiled in asked.compiled for token in compiled.answer_ids[:-1]}
    longest = max(len(compiled.answer_ids) for compiled in asked.compiled)
    texts: list[str | None] = [None] * len(asked.compiled)
    for batch in track(asked.batches, "writing answers"):
        source = sources(batch) if sources is not None else None
        prompts = [asked.compiled[row] for row in batch.rows]
        if do is not None and meaningless(do, prompts, source):
            continue
        limit = model.sizes.max_positions
        most = longest + ROOM if limit is None else min(longest + ROOM, limit - batch.prompt_length + 1)
        for row, text in zip(batch.rows, generate(model, prompts, most, stops, do, source).texts, strict=True):
            tokens = text.tokens[:-1] if text.stopped else text.tokens
            texts[row] = model.tokenizer.decode(list(tokens), skip_special_tokens=False)
    return texts


def parsed(text: str | None) -> float:
    """1 when a number can be read from a text, 0 when none can, NaN where there is no text."""
    return float("nan") if text is None else float(not isinstance(extract(text), Unparsed))
