"""One text as the model reads it, unedited or edited: every head's attention, and the logits at each token.

`item_view` does the same for an item of a task, with the heads' shares of its answer.
"""

# pyright: reportUnknownMemberType=false

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl
import torch
from jaxtyping import Float
from torch import Tensor

from lesion.engine.batch import batches
from lesion.engine.patterns import patterns
from lesion.errors import InputError
from lesion.interventions.intervention import Scale
from lesion.measures.item_view import held_rows, under
from lesion.models.model import Model
from lesion.tasks.tokenizers.prompt_contract import Compiled, Refused, encode, spelled

MOST_TOKENS = 512
"""Tokens of a text, at most: patterns grow with the square of their number."""


@dataclass(frozen=True, eq=False)
class TextView:
    """One text under one condition."""

    patterns: Float[Tensor, "layers heads query key"]
    """Attention of every head, float32; each row sums to 1 over the keys up to the query."""
    logits: Float[Tensor, "pos vocab"]
    """Logits of the next token at each token, float32, as the model gives them."""


def text_view(model: Model, prompt: Compiled, intervention: Scale | None = None) -> TextView:
    """Read patterns and logits of one text.

    Args:
        model: the model.
        prompt: the text as a prompt without an answer.
        intervention: what is done; nothing reads the unedited model.

    Raises:
        InputError: for a text that is too long to be shown.
        InterventionError: when the model reports no patterns, when a pattern's rows do not sum to 1, or when the
            intervention did not act.
    """
    if len(prompt.ids) > MOST_TOKENS:
        raise InputError(f"the text has {len(prompt.ids)} tokens; at most {MOST_TOKENS} can be shown")
    # The batch reads every token but the last, which would be the answer: so one more stands behind the text.
    last = prompt.ids[-1:]
    read = Compiled((*prompt.ids, *last), {}, last, last, len(prompt.ids), None)
    (batch,) = batches([read], 1, model.sizes.max_positions)
    with under(model, batch, intervention):
        seen = patterns(model, batch.inputs, list(range(model.sizes.n_layers)))
    with under(model, batch, intervention), torch.inference_mode():
        logits = model.module(batch.inputs, use_cache=False).logits
    attention = torch.stack([seen[layer][0].float() for layer in sorted(seen)])
    held_rows(model, attention)
    return TextView(attention, logits[0].float())


def token_table(
    model: Model,
    prompt: Compiled,
    logits: Mapping[str, Float[Tensor, "pos vocab"]],
    versus: tuple[str, str] | None = None,
) -> pl.DataFrame:
    """A row per token of a text: what follows it and what the model expects there.

    Args:
        model: writes the tokens.
        prompt: the text.
        logits: `unedited`, and `edited` where something was done.
        versus: two texts of one token each, whose logits are compared.

    Returns:
        `position`, `token`, `next_logprob` (nats; null at the last token), `likeliest`, `logit_diff` (logits); those
        under the intervention end in `_edited`.

    Raises:
        InputError: where a text of `versus` is not one token.
    """
    ids = torch.tensor(prompt.ids)
    pair = None if versus is None else [_one_token(model, text) for text in versus]
    columns: dict[str, list[Any]] = {
        "position": list(range(len(prompt.ids))), "token": [spelled(model.tokenizer, (i,)) for i in prompt.ids],
    }  # fmt: skip
    for name, found in logits.items():
        end = "" if name == "unedited" else f"_{name}"
        log_probs = found.log_softmax(-1)
        follows = log_probs[:-1].gather(1, ids[1:, None])[:, 0]
        columns[f"next_logprob{end}"] = [*follows.tolist(), None]
        columns[f"likeliest{end}"] = [spelled(model.tokenizer, (int(i),)) for i in found.argmax(-1)]
        if pair is not None:
            columns[f"logit_diff{end}"] = (found[:, pair[0]] - found[:, pair[1]]).tolist()
    return pl.DataFrame(columns)


def _one_token(model: Model, text: str) -> int:
    found = encode(model.tokenizer, text, None)
    if isinstance(found, Refused) or len(found.ids) != 1:
        many = "cannot be written" if isinstance(found, Refused) else f"has {len(found.ids)} tokens"
        raise InputError(f"versus compares single tokens, and {text!r} {many} for {model.name}")
    return int(found.ids[0])
