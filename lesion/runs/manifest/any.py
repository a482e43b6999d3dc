"""Any manifest: that of a run, a call or a training, told apart by `kind`; `lesion schema manifest` describes them."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, RootModel

from lesion.runs.manifest.base import kind_of, raw_manifest
from lesion.runs.manifest.command import Call, read_entered
from lesion.runs.manifest.run import Manifest
from lesion.runs.manifest.training import TrainingManifest, read_training


class AnyManifest(RootModel[Annotated[Manifest | Call | TrainingManifest, Field(discriminator="kind")]]):
    """A manifest of format 2: the common part, and what runs, calls and trainings have beside it."""


def read_record(path: Path) -> Manifest | Call | TrainingManifest:
    """Read a manifest of any kind and format, and check its seal.

    Raises:
        InputError: when there is no such file, or it is no manifest.
        Tampered: when its content does not fit its seal.
    """
    return read_training(path) if kind_of(raw_manifest(path)) == "training" else read_entered(path)
