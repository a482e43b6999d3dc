"""Croissant metadata of exported records, so that other tools can load them (mlcommons.org/croissant/1.0)."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lesion.errors import InputError
from lesion.identity import file_hash
from lesion.tasks.card import Card, describe, row
from lesion.tasks.catalogue import make_task
from lesion.tasks.config import TaskConfig
from lesion.tasks.task import Draw

MIT = "https://opensource.org/license/mit"
_TERMS = (
    "citeAs column equivalentProperty extract field fileProperty fileObject fileSet format includes isLiveDataset "
    "jsonPath key md5 parentField path recordSet references regex repeated replace samplingRate separator source "
    "subField transform"
)

_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    **{term: f"cr:{term}" for term in _TERMS.split()},
}
"""The context that the format's own examples have."""

COLUMNS = {
    "index": ("sc:Integer", "Place of the item in its lane."),
    "id": ("sc:Text", "Content hash of prompt, roles, answer and counterfactual."),
    "prompt": ("sc:Text", "What is asked, without BOS."),
    "answer": ("sc:Text", "Exactly what must follow, end mark included."),
    "wrong": ("sc:Text", "The counterfactual's answer."),
    "twin": ("sc:Text", "The counterfactual's prompt; empty where the task has none."),
}
"""The exported columns; each bucket adds one named `bucket_…`."""


class Exported(NamedTuple):
    """What an export wrote."""

    items: Path
    """One JSON object a line."""
    metadata: Path
    """`croissant.json` beside it."""
    rows: int
    """Items written."""
    sha256: str
    """Hash of the items' file."""


def export(
    config: TaskConfig, name: str, draw: Draw, count: int, folder: Path, license_url: str | None = None
) -> Exported:
    """Write `NAME.jsonl` with the first `count` items of a lane, one at a time, and `croissant.json` beside it.

    Both are written under another name first, so that an export that is cut off leaves older files as they were.

    Args:
        config: The task.
        name: Of the file and the data set.
        draw: Which lane.
        count: Items.
        folder: Where to; it is made.
        license_url: Under which terms the items stand; by default MIT, and nothing for a task of the user's own.

    Raises:
        InputError: when the lane holds fewer items, or the folder cannot be written.
    """
    items = make_task(config).items(draw, 0, count)
    if license_url is None and config.task != "own":
        license_url = MIT
    path, beside = folder / f"{name}.jsonl", folder / "croissant.json"
    _write(path, (json.dumps(row(item), ensure_ascii=False) + "\n" for item in items))
    digest = file_hash(path)
    document = metadata(describe(config, name), path.name, digest, license_url)
    _write(beside, [json.dumps(document, indent=1, ensure_ascii=False) + "\n"])
    return Exported(path, beside, count, digest)


def _write(path: Path, lines: Iterable[str]) -> None:
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8") as stream:
            stream.writelines(lines)
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); choose another folder") from error


def metadata(card: Card, file: str, sha256: str, license_url: str | None = MIT) -> dict[str, Any]:
    """The JSON-LD document for a JSONL file of a task's items.

    Args:
        card: The task's card.
        file: The file's name beside the metadata.
        sha256: The file's hash, 64 hexadecimal digits.
        license_url: Under which terms the items stand; left out when unknown.
    """
    buckets = {f"bucket_{key}": ("sc:Text", f"Stratum: {key}.") for key in card.buckets}
    about = f"{card.about} {card.pool} problems; configuration {card.config_hash}."
    return dataset(card.name, about, file, sha256, {**COLUMNS, **buckets}, ("items", "id"), license_url)


def dataset(
    name: str,
    about: str,
    file: str,
    sha256: str,
    columns: Mapping[str, tuple[str, str]],
    records: tuple[str, str],
    license_url: str | None = MIT,
) -> dict[str, Any]:
    """The JSON-LD document for a file of records: JSONL, or a JSON array of flat objects where it ends in .json.

    Args:
        name: Of the data set.
        about: What it is, in sentences.
        file: The file's name beside the metadata.
        sha256: Its hash, 64 hexadecimal digits.
        columns: Name of a column -> its data type (`sc:Text`, `sc:Integer`, `sc:Float`, …) and what it means.
        records: Name of the record set, and the column that is its key.
        license_url: Under which terms the records stand; left out when unknown.
    """
    lines, (record, key) = not file.endswith(".json"), records
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": name,
        "description": about,
        "version": "1.0.0",
        **({"license": license_url} if license_url else {}),
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": file,
                "name": file,
                "contentUrl": file,
                "encodingFormat": "application/jsonlines" if lines else "application/json",
                "sha256": sha256,
            }
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": record,
                "name": record,
                "key": {"@id": f"{record}/{key}"},
                "field": [_field(file, record, each, *told, lines=lines) for each, told in columns.items()],
            }
        ],
    }


def _field(file: str, record: str, name: str, kind: str, about: str, *, lines: bool) -> dict[str, Any]:
    place = {"column": name} if lines else {"jsonPath": f"$[*].{name}"}
    return {
        "@type": "cr:Field",
        "@id": f"{record}/{name}",
        "name": name,
        "description": about,
        "dataType": kind,
        "source": {"fileObject": {"@id": file}, "extract": place},
    }
