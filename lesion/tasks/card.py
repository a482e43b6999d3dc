"""A task's card: what it asks, how much of it there is, and examples, as data and as text."""

from collections import Counter
from typing import Any, NamedTuple

from lesion.errors import InputError
from lesion.tasks.catalogue import make_task
from lesion.tasks.config import TaskConfig
from lesion.tasks.task import Draw, Item, Split
from lesion.tasks.tokenizers.prompt_contract import dataset_hash

_KEY = "card"
_SPLITS: tuple[Split, ...] = ("discovery", "confirm")
_SEEDS = 3
_SAMPLE = 1000


class Card(NamedTuple):
    """What a card says."""

    name: str
    about: str
    """The configuration's own sentence."""
    config: dict[str, object]
    """Every parameter, defaults written out."""
    config_hash: str
    pool: int
    """Different problems."""
    capacity: dict[Split, int]
    """Items that each of three seeds holds."""
    sample: int
    """Items that buckets and hash are of: the first of a fixed lane of the discovery part."""
    buckets: dict[str, dict[str, int]]
    """Items of the sample by bucket and value."""
    sample_hash: str
    """Hash of the sample's items in order."""
    examples: tuple[Item, ...]


def describe(config: TaskConfig, name: str, examples: int = 3) -> Card:
    """The card of a task.

    Raises:
        InputError: when the pool is too small for a single item.
    """
    task = make_task(config)
    first = Draw("discovery", _KEY, 0, _SEEDS)
    capacity: dict[Split, int] = {}
    for split in _SPLITS:
        capacity[split] = min(task.capacity(Draw(split, _KEY, seed, _SEEDS)) for seed in range(_SEEDS))
    sample = min(_SAMPLE, task.capacity(first))
    if sample == 0:
        raise InputError(f"task {name}: a pool of {task.pool} problems leaves none for discovery; widen its range")
    items = list(task.items(first, 0, sample))
    buckets = {key: dict(sorted(Counter(item.buckets[key] for item in items).items())) for key in items[0].buckets}
    return Card(
        name=name,
        about=(type(config).__doc__ or "").strip(),
        config=config.model_dump(mode="json"),
        config_hash=config.hash(),
        pool=task.pool,
        capacity=capacity,
        sample=sample,
        buckets=buckets,
        sample_hash=dataset_hash(item.id for item in items),
        examples=tuple(items[:examples]),
    )


def document(card: Card) -> dict[str, Any]:
    """The card as plain data; an example has the columns of an exported item, and its segments with their roles."""
    examples = [{**row(item), "segments": [part._asdict() for part in item.segments]} for item in card.examples]
    return {**card._asdict(), "examples": examples}


def row(item: Item) -> dict[str, Any]:
    """An item as one flat row: what is exported and shown."""
    twin = "".join(segment.text for segment in item.twin)
    plain = {"index": item.index, "id": item.id, "prompt": item.prompt, "answer": item.answer}
    return plain | {"wrong": item.wrong, "twin": twin} | {f"bucket_{key}": value for key, value in item.buckets.items()}


def render(card: Card) -> str:
    """The card as plain text."""
    lines = [
        f"{card.name}: {card.about}",
        "",
        f"problems  {card.pool:,}",
        f"capacity  {card.capacity['discovery']:,} discovery and {card.capacity['confirm']:,} confirmation items for "
        f"each of {_SEEDS} seeds",
        f"config    {card.config_hash}",
        f"sample    {card.sample_hash} ({card.sample} discovery items)",
        "",
        "parameters",
        *(f"  {key}: {value}" for key, value in card.config.items()),
        "",
        f"buckets of the sample ({card.sample} items)",
        *(f"  {key}: " + ", ".join(f"{v} {n}" for v, n in counts.items()) for key, counts in card.buckets.items()),
        "",
        "examples: prompt -> answer (wrong: the answer of the counterfactual, the question with one part changed)",
        *(f"  {item.prompt!r} -> {item.answer!r}   (wrong: {item.wrong!r})" for item in card.examples),
    ]
    return "\n".join(lines) + "\n"
