"""All faults, in the order of the table."""

from tests.faults.asked_faults import ASKED_FAULTS
from tests.faults.line_faults import LINE_FAULTS
from tests.faults.model_faults import MODEL_FAULTS
from tests.faults.record_faults import RECORD_FAULTS
from tests.faults.rule_faults import RULE_FAULTS
from tests.faults.sealed_faults import SEALED_FAULTS
from tests.faults.second_faults import SECOND_FAULTS

FAULTS = [*MODEL_FAULTS, *LINE_FAULTS, *RULE_FAULTS, *RECORD_FAULTS, *SECOND_FAULTS, *ASKED_FAULTS, *SEALED_FAULTS]
