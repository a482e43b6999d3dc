"""Croissant metadata of exported items, so that other tools can load them (mlcommons.org/croissant/1.0)."""

import json
from pathlib import Path
from typing import Any

from lesion.identity import file_hash
from lesion.tasks.card import Card, describe
from lesion.tasks.catalogue import make_task
from lesion.tasks.config import TaskConfig
from lesion.tasks.task import Draw, Item

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
    "id": ("sc:Text", "Content hash of prompt, roles, answer and twin."),
    "prompt": ("sc:Text", "What is asked, without BOS."),
    "answer": ("sc:Text", "Exactly what must follow, end mark included."),
    "wrong": ("sc:Text", "The counterfactual twin's answer."),
}
"""The exported columns; each bucket adds one named `bucket_…`."""


def row(item: Item) -> dict[str, Any]:
    """An item as one exported row."""
    plain = {"index": item.index, "id": item.id, "prompt": item.prompt, "answer": item.answer, "wrong": item.wrong}
    return plain | {f"bucket_{key}": value for key, value in item.buckets.items()}


def export(config: TaskConfig, name: str, draw: Draw, count: int, folder: Path) -> Path:
    """Write `NAME.jsonl` with the first `count` items of a lane, and `croissant.json` beside it; its path is returned.

    Raises:
        InputError: when the lane holds fewer items.
    """
    items = make_task(config).items(draw, 0, count)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.jsonl"
    with path.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row(item), ensure_ascii=False) + "\n" for item in items)
    document = metadata(describe(config, name), path.name, file_hash(path))
    beside = folder / "croissant.json"
    beside.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return beside


def metadata(
    card: Card, file: str, sha256: str, license_url: str = "https://opensource.org/license/mit"
) -> dict[str, Any]:
    """The JSON-LD document for a JSONL file of a task's items.

    Args:
        card: The task's card.
        file: The file's name beside the metadata.
        sha256: The file's hash, 64 hexadecimal digits.
        license_url: Under which terms the items stand.
    """
    buckets = {f"bucket_{key}": ("sc:Text", f"Stratum: {key}.") for key in card.buckets}
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": card.name,
        "description": f"{card.about} {card.pool} problems; configuration {card.config_hash}.",
        "version": "1.0.0",
        "license": license_url,
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": file,
                "name": file,
                "contentUrl": file,
                "encodingFormat": "application/jsonlines",
                "sha256": sha256,
            }
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "items",
                "name": "items",
                "key": {"@id": "items/id"},
                "field": [_field(file, name, kind, about) for name, (kind, about) in {**COLUMNS, **buckets}.items()],
            }
        ],
    }


def _field(file: str, name: str, kind: str, about: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"items/{name}",
        "name": name,
        "description": about,
        "dataType": kind,
        "source": {"fileObject": {"@id": file}, "extract": {"column": name}},
    }
