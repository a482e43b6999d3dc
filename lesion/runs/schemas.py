"""Every kind of document that has a JSON Schema: `lesion schema KIND` prints it."""

from collections.abc import Mapping

from pydantic import BaseModel

from lesion.interventions.names import AnyIntervention, HeadSet
from lesion.runs.certificate import Certificate
from lesion.runs.marks import Marks
from lesion.runs.records import AnyManifest
from lesion.runs.trainings import TrainingManifest
from lesion.study import schema
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
