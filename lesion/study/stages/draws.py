"""Which items a study asks: those of a confirmation seed, and those of discovery. Pure."""

from lesion.study.plan import Cell, Plan
from lesion.study.study import Study
from lesion.tasks.task import Draw


def confirmation(plan: Plan, seed: int) -> Draw:
    """The lane of one confirmation seed."""
    return Draw("confirm", plan.key, seed, plan.study.baseline.seeds, plan.study.prefixes)


def discovery(study: Study, seed: int = 0) -> Draw:
    """The discovery lane."""
    return Draw("discovery", f"discovery-{study.seed}", seed, 1, study.prefixes)


def draw_of(cell: Cell, plan: Plan) -> Draw:
    """Whose items a cell asks: confirmation lanes are ordered by the plan's key, discovery by the study's seed."""
    if cell.split == "confirm":
        return confirmation(plan, cell.seed)
    return discovery(plan.study, cell.seed)
