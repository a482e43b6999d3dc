"""Every kind of document that has a JSON Schema: `lesion schema KIND` prints it."""

from collections.abc import Mapping

from pydantic import BaseModel

from lesion.interventions.other_tools.names import AnyIntervention, HeadSet
from lesion.runs.check.certificate import Certificate
from lesion.runs.index.tags import Marks
from lesion.runs.manifest.any import AnyManifest
from lesion.runs.manifest.training import TrainingManifest
from lesion.study.format import schema
from lesion.training.recipe import Recipe

SCHEMAS: Mapping[str, type[BaseModel]] = {
    **schema.SCHEMAS,
    "recipe": Recipe,
    "manifest": AnyManifest,
    "training": TrainingManifest,
    "marks": Marks,
    "certificate": Certificate,
    "heads": HeadSet,
    "intervention": AnyIntervention,
}
