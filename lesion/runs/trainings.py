"""The manifest of a training: what `lesion train` ran, on what, and the hashes of all that it left behind.

A training may take several sittings, when it was cut off and went on. Each is noted when it begins, in a hidden file of
the model's folder, and stands in the manifest, which is written when the card is: its seal covers the other fields.
"""

from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from lesion.errors import InputError, Tampered
from lesion.identity import Document, content_hash
from lesion.runs.clock import iso, now
from lesion.runs.durable import write_bytes, write_text
from lesion.runs.environment import read_code, read_environment
from lesion.runs.manifest import Code, Environment
from lesion.runs.store import RunFolder
from lesion.training.card import Card
from lesion.training.examine import make_model
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
    """Which source ran."""
    environment: Environment
    """On what."""


class TrainingManifest(Document):
    """Version 1 of the record of a training."""

    format: Literal[1] = 1
    command: Literal["train"] = "train"
    recipe: Recipe
    """With every default written out."""
    recipe_text: str
    """The file as it was given."""
    recipe_hash: str
    sittings: tuple[Sitting, ...]
    """In order; more than one where the training was cut off and went on."""
    ended: str
    """UTC, ISO 8601."""
    cpu_seconds: float
    """Processor time of all steps and measurements, over all sittings."""
    weights: str
    """SHA-256 of the weights file."""
    files: dict[str, str]
    """Path within the folder -> SHA-256, for every file but this one."""
    seal: str = ""
    """Hash of everything above."""

    def unsealed_hash(self) -> str:
        """Hash of all fields but the seal."""
        return content_hash(self.model_dump(mode="json", exclude={"seal"}))


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
    draft = TrainingManifest(
        recipe=recipe,
        recipe_text=text,
        recipe_hash=recipe.hash(),
        sittings=sittings,
        ended=iso(now()),
        cpu_seconds=card.training.cpu_seconds,
        weights=card.weights,
        files=dict(RunFolder(folder).files()),
    )
    sealed = draft.model_copy(update={"seal": draft.unsealed_hash()})
    write_text(folder / MANIFEST, sealed.model_dump_json(indent=1) + "\n")
    (folder / SITTINGS).unlink()
    return card


def _begin(recipe: Recipe, folder: Path) -> tuple[Sitting, ...]:
    """All sittings of this recipe in the folder, with the one that begins now; they are on disk before any step is."""
    path = folder / SITTINGS
    try:
        before = _SITTINGS.validate_json(path.read_bytes()) if path.exists() else ()
    except ValidationError as error:
        raise InputError(f"{path} is damaged; delete it, or give another folder") from error
    sitting = Sitting(
        recipe_hash=recipe.hash(),
        started=iso(now()),
        code=read_code(),
        environment=read_environment(1, recipe.threads, {"threads": str(recipe.threads)}),
    )
    sittings = (*(one for one in before if one.recipe_hash == recipe.hash()), sitting)
    write_bytes(path, _SITTINGS.dump_json(sittings))
    return sittings


def is_training(path: Path) -> bool:
    """Whether a folder, or its manifest.json, is a training's."""
    path = path / MANIFEST if path.is_dir() else path
    try:
        return '"command": "train"' in path.read_text(encoding="utf-8")[:200]
    except (OSError, UnicodeDecodeError):
        return False


def read_training(path: Path) -> TrainingManifest:
    """Read a training's manifest and check its seal.

    Raises:
        InputError: when it cannot be read.
        Tampered: when its content does not fit its seal.
    """
    path = path / MANIFEST if path.is_dir() else path
    try:
        manifest = TrainingManifest.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise InputError(f"{path}: not a training's manifest of format 1 ({error.__class__.__name__})") from error
    if manifest.seal != manifest.unsealed_hash():
        raise Tampered(f"{path}: the manifest was changed after it was sealed (its content no longer fits its seal)")
    return manifest
