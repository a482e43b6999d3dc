"""Every stage of a study: what its gate asks, what is measured, how it is judged, and what follows. Pure.

A new stage is a name in `plan.StageName`, a row here, and the type of its evidence in `gate_verdict.EVIDENCE`.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from lesion.study.gates import judge as gates
from lesion.study.gates.detection.gate import detect_gate
from lesion.study.gates.gate_verdict import GateVerdict
from lesion.study.gates.judge import Facts, Judged
from lesion.study.gates.specificity import specificity_cells
from lesion.study.plan import Cell, Plan, Stage, StageName
from lesion.study.stages import cells, transitions
from lesion.tasks.task import Split


class StageRow(NamedTuple):
    """One stage."""

    name: StageName
    """Its name."""
    question: str
    """What its gate answers."""
    consequence: str
    """What a paper says of a run whose gate failed here."""
    split: Split | None
    """The items that it may measure; None: it measures no items."""
    cells: Callable[[Plan], tuple[Cell, ...]]
    """What is measured."""
    gate: Callable[[Plan, Facts], Judged]
    """How that is judged."""
    transition: Callable[[Plan, GateVerdict], Plan]
    """The plan after its gate."""


STAGES: Mapping[StageName, StageRow] = {
    row.name: row
    for row in (
        StageRow(
            "instrument", "Is the instrument sound?", "so nothing was measured", None,
            cells.instrument_cells, gates.instrument_gate, transitions.after_instrument,
        ),
        StageRow(
            "baseline", "Is the unedited model stable?", "so no intervention was run", "confirm",
            cells.baseline_cells, gates.baseline_gate_of, transitions.after_baseline,
        ),
        StageRow(
            "detect", "Which heads?", "so there was nothing to intervene on", None,
            cells.detect_cells, detect_gate, transitions.after_detect,
        ),
        StageRow(
            "discovery", "What is worth confirming?", "so nothing was confirmed", "discovery",
            cells.discovery_cells, gates.discovery_gate, transitions.after_discovery,
        ),
        StageRow(
            "confirm", "Does it hold on new items?", "so its verdicts do not stand", "confirm",
            cells.confirm_cells, gates.confirm_gate, transitions.after_confirm,
        ),
        StageRow(
            "specificity", "Do matched random sets do as much?", "so no effect is called specific", "confirm",
            specificity_cells, gates.specificity_gate, transitions.after_specificity,
        ),
        StageRow(
            "transfer", "What do other models need?", "so nothing was tried on other models", "discovery",
            cells.transfer_cells, gates.transfer_gate, transitions.after_transfer,
        ),
        StageRow(
            "replicate", "Does it hold on other models?", "so its verdicts on other models do not stand", "confirm",
            cells.confirm_cells, gates.confirm_gate, transitions.after_replicate,
        ),
        StageRow(
            "replicate_specificity", "Do matched random sets of other models do as much?",
            "so no effect on other models is called specific", "confirm",
            specificity_cells, gates.specificity_gate, transitions.after_replicate_specificity,
        ),
    )
}  # fmt: skip
"""All stages by name, in the order of `StageName`."""


def next_stage(plan: Plan) -> Stage | None:
    """The stage to do now, or nothing when the plan has ended."""
    if plan.ending is not None:
        return None
    return Stage(name=plan.stage, attempt=plan.attempt, cells=STAGES[plan.stage].cells(plan))


def judge(plan: Plan, facts: Facts) -> GateVerdict:
    """The verdict of the plan's present stage."""
    outcome, reason, evidence = STAGES[plan.stage].gate(plan, facts)
    return GateVerdict(stage=plan.stage, attempt=plan.attempt, outcome=outcome, reason=reason, evidence=evidence)


def amend(plan: Plan, verdict: GateVerdict) -> Plan:
    """The plan after its present stage was judged."""
    return STAGES[verdict.stage].transition(plan, verdict)
