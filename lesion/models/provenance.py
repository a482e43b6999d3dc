"""What a command opens and asks on its way, noted where somebody keeps a record of it: models and ordered questions.

Whoever opens or asks says so here; `seen()` collects it while a record is kept, else it is forgotten. Needs no torch.
"""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple


class OpenedModel(NamedTuple):
    """A model, or a tokenizer alone, that was opened."""

    name: str
    revision: str
    """Commit of a hub model, else empty."""
    family: str
    dtype: str
    weights_hash: str
    """Empty where only the tokenizer was read."""
    tokenizer_hash: str


class AskedItems(NamedTuple):
    """Ordered questions that were drawn."""

    model: str
    task: str
    """As it was spelled, or its configuration as JSON."""
    seed: int
    items: int
    excluded: int
    """Items that could not be asked."""
    dataset_hash: str
    """Over the ordered item ids and prompt hashes."""


class Seen(NamedTuple):
    """All that was noted, each once, in the order in which it came."""

    models: list[OpenedModel]
    asked: list[AskedItems]


_SEEN: ContextVar[Seen | None] = ContextVar("seen", default=None)


@contextmanager
def seen() -> Generator[Seen]:
    """While open, everything that is opened and asked is noted in what this gives."""
    found = Seen([], [])
    token = _SEEN.set(found)
    try:
        yield found
    finally:
        _SEEN.reset(token)


def opened(model: OpenedModel) -> None:
    """Say that a model was opened."""
    kept = _SEEN.get()
    if kept is not None and model not in kept.models:
        kept.models.append(model)


def asked(items: AskedItems) -> None:
    """Say that questions were drawn."""
    kept = _SEEN.get()
    if kept is not None and items not in kept.asked:
        kept.asked.append(items)


def watched() -> bool:
    """Whether somebody keeps a record; hashes need not be made for nobody."""
    return _SEEN.get() is not None
