"""One text in the browser: what a page may ask of a model, who may ask, and the page that draws the answer.

The server itself knows no model. A `Reader` that the command line brings reads one text at a time in a process of its
own. Nothing is written, so the home folder stays as it is; only the machine's time is used, and that is bounded.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import polars as pl
from pydantic import Field

from lesion.errors import InputError, LesionError, nearest
from lesion.identity import Document
from lesion.report.view.home import folder_in, manifest_of
from lesion.runs.folder.run_folder import RunFolder
from lesion.runs.manifest.command import Call

MOST_LETTERS = 4000
"""Letters of a text."""
MOST_TOKENS = 128
"""Tokens of a text: patterns grow with the square of their number."""
MOST_BYTES = 64_000
"""Bytes of a request: a text of all its letters, each escaped."""


class Busy(LesionError):
    """Another text is being read."""


class Asked(Document):
    """A text that a page asks a model to read."""

    model: str = Field(max_length=300)
    text: str = Field(min_length=1, max_length=MOST_LETTERS)
    right: str = Field(default="", max_length=200)
    """What should follow the text; empty: no logit difference."""
    wrong: str = Field(default="", max_length=200)


class Filled(NamedTuple):
    """What stands in the form."""

    text: str = ""
    right: str = ""
    wrong: str = ""
    about: str = ""
    """Where it comes from, in a sentence."""


class Reader(Protocol):
    """What reads texts."""

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models that can be read here."""
        ...

    def item(self, model: str, task: str, number: int) -> Filled:
        """An item of a task, as this model is asked it."""
        ...

    def read(self, asked: Asked) -> Mapping[str, Any]:
        """The document of a text; see `lesion.measures.text_document`."""
        ...


def require_own_page(headers: Mapping[str, str]) -> None:
    """Make sure that a page of this server asks, and not one of another origin.

    A browser sends `Origin` with every POST, and lets no page of another origin send JSON without asking first.

    Raises:
        InputError: when it is another one, or cannot be told.
    """
    origin, host = headers.get("origin", ""), headers.get("host", "")
    if not host or origin != f"http://{host}" or headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise InputError("only the pages of this server may ask a model")
    if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise InputError("a text is asked for as JSON")


def asked_of(reader: Reader, body: bytes) -> Asked:
    """A request's text.

    Raises:
        InputError: when it is none, too long, or names a model that is not here.
    """
    try:
        asked = Asked.model_validate_json(body)
    except ValueError as error:
        raise InputError(f"write a text of at most {MOST_LETTERS:,} letters; answers have at most 200") from error
    require_model(reader, asked.model)
    return asked


def require_reader(reader: Reader | None) -> Reader:
    """The reader of a server that has one.

    Raises:
        InputError: when it has none.
    """
    if reader is None:
        raise InputError("this server reads no models; `lesion view` does")
    return reader


def require_model(reader: Reader, name: str) -> None:
    """Make sure that a model can be read here.

    Raises:
        InputError: when it cannot.
    """
    if name not in reader.models:
        raise InputError(
            f"'{name[:100]}' is not a model of this machine; {nearest(name[:100], reader.models)}; "
            "your own: lesion view --model FOLDER"
        )


def filled(home: Path, reader: Reader, wanted: Mapping[str, str]) -> Filled:
    """The form's text: an item of a task or of a run, where one is asked for.

    Args:
        home: where `runs/` is.
        reader: draws items of tasks.
        wanted: `model`, and `task` or `run` and `tier`, with `item`, its number from 0 on.

    Raises:
        InputError: when there is no such item.
    """
    if wanted.get("run") and wanted.get("tier"):
        return _recorded(home, wanted)
    if not wanted.get("task"):
        return Filled()
    require_model(reader, wanted.get("model", ""))
    return reader.item(wanted["model"], wanted["task"], _number(wanted))


def _number(wanted: Mapping[str, str]) -> int:
    given = wanted.get("item", "") or "0"
    if not given.isascii() or not given.isdigit() or len(given) > 9:
        raise InputError(f"'{given[:40]}' is no number of an item; the first is 0")
    return int(given)


def _recorded(home: Path, wanted: Mapping[str, str]) -> Filled:
    """An item that a run asked its model."""
    name, tier, number = wanted["run"], wanted["tier"], _number(wanted)
    every = _prompts(home, name).filter(pl.col("tier") == tier)
    if wanted.get("model"):
        every = every.filter(pl.col("model") == wanted["model"])
    if number >= every.height:
        raise InputError(f"{name} asked {every.height:,} items of '{tier[:60]}'; the first is 0, so {number} is none")
    row = every.row(number, named=True)
    about = f"Item {number} of {every.height:,} that {name} asked on {tier} ({row['split']}, seed {row['seed']})."
    return Filled(row["prompt"], row["answer"], row["wrong"], about)


def _prompts(home: Path, name: str) -> pl.DataFrame:
    """Every item that a finished run asked, in order."""
    folder = folder_in(home, name)
    if not (folder / "manifest.json").exists() or isinstance(manifest_of(folder), Call):
        raise InputError(f"{name} is not the finished run of a study, so it has no items")
    return RunFolder(folder).prompts().filter(pl.col("refused").is_null())


def tiers_of(home: Path, name: str, models: tuple[str, ...]) -> dict[str, dict[str, int]]:
    """Model -> tier -> items that a run asked, of the models that can be read here.

    Raises:
        InputError: when there is no such run, or none of a study.
    """
    found: dict[str, dict[str, int]] = {}
    for model, tier, many in _prompts(home, name).group_by("model", "tier", maintain_order=True).len().iter_rows():
        if model in models:
            found.setdefault(model, {})[tier] = many
    return found
