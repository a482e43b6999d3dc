"""Items of a task, drawn and compiled for a model: what every diagnostic that needs questions starts from."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lesion.engine.batch import Batch, batches
from lesion.errors import InputError
from lesion.identity import canonical_json, content_hash
from lesion.models.chat_template import open_frame
from lesion.models.model import Model
from lesion.models.provenance import AskedItems, asked, watched
from lesion.tasks.catalogue import make_task
from lesion.tasks.config import TaskConfig
from lesion.tasks.formats import suited
from lesion.tasks.spelling import parse_task
from lesion.tasks.task import Draw, Item
from lesion.tasks.tokenizers.chat_turn import Chat, framed, is_chat
from lesion.tasks.tokenizers.prompt_contract import Compiled, Refused, compile_item, has_space

ROWS = 64
"""Most rows of a batch."""


class Asked(NamedTuple):
    """Questions that keep the prompt contract, in batches."""

    items: tuple[Item, ...]
    """The items that were kept; a batch's rows are places in this list."""
    compiled: tuple[Compiled, ...]
    """Their tokens."""
    batches: tuple[Batch, ...]
    """Rows of equal lengths, in a fixed order."""
    refused: dict[str, int]
    """Items that were not asked, by reason; `too_long` is longer than the model reads."""
    written: str = "compact"
    """How the task writes numbers: `spaced_digits` and `reversed_digits` must be read back before they are numbers."""


def known_task(task: TaskConfig | str, items: int = 0, others: int = 0) -> TaskConfig:
    """A task's configuration; commands ask for it before they open a model.

    Args:
        task: a configuration, or its spelling.
        items: how many will be asked.
        others: how many more will be read, whose values are put in place.

    Raises:
        InputError: when the task is not known, or has too few items.
    """
    config = parse_task(task) if isinstance(task, str) else task
    _require(make_task(config).capacity(_lane(0)), items, others)
    return config


def _lane(seed: int) -> Draw:
    """The discovery items of a seed, as diagnostics draw them."""
    return Draw("discovery", f"diagnostics-{seed}", 0, 1)


def _require(capacity: int, items: int, others: int = 0) -> None:
    if items + others > capacity:
        wanted = f"{items:,} and {others:,} others whose values are put in place" if others else f"{items:,}"
        raise InputError(
            f"this task has {capacity:,} items to ask, not {wanted}: ask for fewer (--items), or widen the task "
            "(operands: low=…, high=…; `lesion tasks` lists the settings)"
        )


def ask(model: Model, task: TaskConfig | str, items: int = 100, seed: int = 0, start: int = 0) -> Asked:
    """Draw items of a task from its discovery split and compile them.

    Args:
        model: whose tokens they become.
        task: a configuration, or its spelling.
        items: how many.
        seed: of the lane, an order of all items.
        start: place of the first in the lane; other places of the same lane are other items.

    Raises:
        InputError: when the task is not known, its lane is too short, or no item can be asked.
    """
    config = suited(parse_task(task) if isinstance(task, str) else task, spaces=has_space(model.tokenizer))
    made = make_task(config)
    draw = _lane(seed)
    _require(made.capacity(draw), start + items)
    kept: list[tuple[Item, Compiled]] = []
    refused: Counter[str] = Counter()
    drawn, bos = list(made.items(draw, start, start + items)), model.bos
    if is_chat(config):
        frame = open_frame(model.name, Chat())
        drawn, bos = [framed(item, frame, turns=True) for item in drawn], frame.bos_id(model.tokenizer)
    details: dict[str, str] = {}
    for item in drawn:
        compiled = _readable(compile_item(item, model.tokenizer, bos), model.sizes.max_positions)
        if isinstance(compiled, Compiled):
            kept.append((item, compiled))
        else:
            refused[compiled.reason] += 1
            details.setdefault(compiled.reason, compiled.detail)
    if not kept:
        told = "; ".join(f"{reason} {count}, e.g. {details[reason]}" for reason, count in refused.items())
        raise InputError(f"no item of this task can be asked of {model.name}: {told or 'none was drawn'}")
    if watched():
        spelled = task if isinstance(task, str) else canonical_json(config.model_dump(mode="json")).decode()
        ordered = content_hash([[item.id for item, _ in kept], [compiled.prompt_hash for _, compiled in kept]])
        asked(AskedItems(model.name, spelled, seed, items, items - len(kept), ordered))
    return Asked(
        tuple(i for i, _ in kept), *batched([c for _, c in kept]), dict(refused), getattr(config, "format", "compact")
    )


def _readable(compiled: Compiled | Refused, most: int | None) -> Compiled | Refused:
    """An item that is not longer than the model reads; its last token need not be read."""
    if most is None or isinstance(compiled, Refused) or len(compiled.ids) - 1 <= most:
        return compiled
    said = f"{len(compiled.ids) - 1} tokens must be read, and this model reads {most}: take fewer shots"
    return Refused("too_long", said)


def batched(compiled: Sequence[Compiled]) -> tuple[tuple[Compiled, ...], tuple[Batch, ...]]:
    """Compiled items and their batches."""
    return tuple(compiled), tuple(batches(compiled, ROWS))


def of(compiled: Sequence[Compiled], items: Sequence[Item] = ()) -> Asked:
    """Items that are compiled already; with their questions, where these are known."""
    return Asked(tuple(items), *batched(compiled), {})


def templates_of(asked: Asked) -> NDArray[Any] | None:
    """The template of every item, (items,), since items of one are not independent; None where a task has none."""
    names = [item.buckets.get("template") for item in asked.items]
    return np.array(names) if names and None not in names else None


def shared_prefix(asked: Asked) -> int:
    """Tokens at the beginning that all prompts share: there another item's activation is the item's own."""
    rows = [compiled.ids[: compiled.prompt_length] for compiled in asked.compiled]
    return next((place for place, tokens in enumerate(zip(*rows, strict=False)) if len(set(tokens)) > 1), 0)
