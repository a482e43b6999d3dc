"""Every kind of document that has a JSON Schema: `lesion schema KIND` prints it."""

from collections.abc import Mapping

from lesion.identity import Document
from lesion.runs.manifest import Manifest
from lesion.runs.trainings import TrainingManifest
from lesion.study import schema
from lesion.training.recipe import Recipe

SCHEMAS: Mapping[str, type[Document]] = {
    **schema.SCHEMAS,
    "recipe": Recipe,
    "manifest": Manifest,
    "training": TrainingManifest,
}
