"""All faults."""

from tests.faults.model_faults import MODEL_FAULTS

FAULTS = [*MODEL_FAULTS]
