"""The prompt that a paper shows of a task: the first that was asked; of a published run, the same drawn again."""

from lesion.report.paper.text.run_view import RunView
from lesion.study.arms.edits import asked_task
from lesion.study.stages.cells import confirmation, discovery
from lesion.tasks.config import Gsm8kConfig, OwnConfig, PromptFileConfig

FROM_FILES = (Gsm8kConfig, OwnConfig, PromptFileConfig)
"""Tasks that need a file of the user's: none is opened, and no code is run, to write a paper."""


def example(run: RunView, tier: str) -> str:
    """The first prompt of a tier as it was asked; where the run does not keep it, drawn anew from the study's key.

    An item that is drawn anew is shown only where its id is the recorded one.
    """
    prompts = run.record.prompts.filter(tier=tier)
    if not prompts.height:
        return "none was asked"
    row = prompts.row(0, named=True)
    if row["prompt"] is not None:
        return row["prompt"]
    config = run.study.tasks[tier]
    if isinstance(config, FROM_FILES):
        return "not kept in the published run"
    confirms, seed = row["split"] == "confirm", row["seed"]
    lane = confirmation(run.manifest.plan, seed) if confirms else discovery(run.study, seed)
    item = next(asked_task(config, run.study.sweep.edit).items(lane, row["index"], row["index"] + 1))
    return item.prompt if item.id == row["item_id"] else "not kept in the published run"
