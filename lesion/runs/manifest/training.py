"""The manifest of a training: what `lesion train` ran, on what, and the hashes of all that it left behind.

A training may take several sittings, when it was cut off and went on. Each is noted when it begins, in a hidden file of
the model's folder, and stands in the manifest, which is written when the card is: its seal covers the other fields.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from lesion.errors import InputError
from lesion.identity import Document
from lesion.outside.documents import read_json
from lesion.runs.folder.atomic_io import write_bytes, write_text
from lesion.runs.folder.clock import iso, now
from lesion.runs.folder.run_folder import RunFolder
from lesion.runs.manifest.base import Code, Environment, Sealed, kind_of, raw_manifest, read_sealed
from lesion.runs.manifest.environment import read_code, read_environment
from lesion.training.evaluation.card import Card
from lesion.training.evaluation.examine import make_model
from lesion.training.evaluation.report import MOST_REPORT_BYTES
from lesion.training.recipe import Recipe
from lesion.training.trainer import OnProgress, finished

MANIFEST, SITTINGS = "manifest.json", ".sittings.json"


class Sitting(Document):
    """One call of `lesion train` that took steps of this training."""

    recipe_hash: str
    """Hash of the recipe that was asked for."""
    started: str
    """UTC, ISO 8601."""
    code: Code
    environment: Environment
    """On what."""


class TrainingManifest(Sealed):
    """The record of a training, sealed into the folder of the model that it made; `code` is the last sitting's."""

    kind: Literal["training"] = "training"
    recipe: Recipe
    """With every default written out."""
    recipe_text: str
    """The file as it was given."""
    recipe_hash: str
    sittings: tuple[Sitting, ...]
    """In order; more than one where the training was cut off and went on."""
    weights: str
    """SHA-256 of the weights file."""


_SITTINGS = TypeAdapter(tuple[Sitting, ...])


def conduct_training(recipe: Recipe, text: str, folder: Path, on_progress: OnProgress | None = None) -> Card:
    """Train a recipe into a folder, write its card, and seal the folder with a manifest.

    A training that was finished before is not repeated, and gets no manifest when it never had one: nothing is known of
    the code that made it.

    Raises:
        InputError: as `lesion.training.trainer.train` does.
    """
    if finished(recipe, folder) and not (folder / SITTINGS).exists():
        return make_model(recipe, folder, on_progress=on_progress)
    sittings = _begin(recipe, folder)
    card = make_model(recipe, folder, on_progress=on_progress)
    files = dict(RunFolder(folder).files())
    inputs = {"recipe": recipe.model_dump(mode="json"), "recipe_text": text, "weights": card.weights, "files": files}
    made = [sitting.model_dump(mode="json") for sitting in sittings]
    fields = {**inputs, "recipe_hash": recipe.hash(), "sittings": made}
    draft = TrainingManifest.model_validate(fields | _common(fields, iso(now()), card.training.cpu_seconds))
    write_text(folder / MANIFEST, draft.sealed().model_dump_json(indent=1) + "\n")
    (folder / SITTINGS).unlink()
    return card


def _begin(recipe: Recipe, folder: Path) -> tuple[Sitting, ...]:
    """All sittings of this recipe in the folder, with the one that begins now; they are on disk before any step is."""
    path = folder / SITTINGS
    try:
        before = _SITTINGS.validate_python(read_json(path, MOST_REPORT_BYTES)) if path.exists() else ()
    except ValidationError as error:
        raise InputError(f"{path} is damaged; delete it, or give another folder") from error
    sitting = Sitting(
        recipe_hash=recipe.hash(),
        started=iso(now()),
        code=read_code(),
        environment=read_environment(1, recipe.threads, {"threads": str(recipe.threads)}),
    )
    sittings = (*(each for each in before if each.recipe_hash == recipe.hash()), sitting)
    write_bytes(path, _SITTINGS.dump_json(sittings))
    return sittings


def _common(fields: Mapping[str, Any], ended: str, cpu_seconds: float) -> dict[str, Any]:
    """The part that all manifests share, of what is told of a training; it is named by its recipe."""
    recipe, last = fields["recipe"], fields["sittings"][-1]
    started = fields["sittings"][0]["started"]
    wall = (datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds()
    return {
        "command": "train",
        "run": recipe["name"],
        "parameters": {"recipe": fields["recipe_hash"]},
        "status": "exploratory",
        "outcome": "complete",
        "code": last["code"],
        "environment": last["environment"],
        "models": (),
        "datasets": (),
        "seeds": {"recipe": recipe["seed"]},
        "cost": {
            "started": started,
            "ended": ended,
            "wall_seconds": max(0.0, wall),
            "cpu_seconds": cpu_seconds,
            "gpu_seconds": 0.0,
        },
    }


def _from_format_1(raw: dict[str, Any]) -> dict[str, Any]:
    """What format 2 added, from what format 1 told; a document of format 2 as it is."""
    if raw["format"] != 1:
        return raw
    ended, cpu_seconds = raw["ended"], raw["cpu_seconds"]
    kept = {name: value for name, value in raw.items() if name not in ("ended", "cpu_seconds")}
    return {**kept, **_common(raw, ended, cpu_seconds), "format": 2, "kind": "training"}


def is_training(path: Path) -> bool:
    """Whether a folder, or its manifest.json, is a training's."""
    try:
        return kind_of(raw_manifest(path)) == "training"
    except InputError:
        return False


def read_training(path: Path) -> TrainingManifest:
    """Read a training's manifest and check its seal.

    Raises:
        InputError: when it cannot be read.
        Tampered: when its content does not fit its seal.
    """
    return read_sealed(path, TrainingManifest, "training", _from_format_1)
