"""The command that runs other people's evaluations under an intervention: eval."""

# ruff: noqa: PLC0415  (commands import what they need)

from pathlib import Path
from typing import Annotated

import typer

from lesion.cli.app import Json, app
from lesion.cli.common.recorded import recorded
from lesion.cli.look.diagnostics import DtypeName, ModelName, unregistered


@app.command("eval")
@recorded("eval", code=("include_path",))
def evaluate(
    model: ModelName,
    lm_eval: Annotated[str, typer.Option(help="lm-evaluation-harness tasks or groups, separated by commas.")],
    do: Annotated[str | None, typer.Option(help="Intervention: 'scale L5H1 0.5', 'zero L5H1+L6H9'.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Maximum number of items per task. Default: all.")] = None,
    include_path: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Folder with further task files.")
    ] = None,
    shots: Annotated[
        int | None, typer.Option(min=0, help="Number of few-shot examples. Default: the task's own.")
    ] = None,
    samples: Annotated[bool, typer.Option("--samples", help="Include every item's prompt and answer.")] = False,
    dtype: DtypeName = "float32",
    as_json: Json = False,
) -> int:
    """Run lm-evaluation-harness tasks on a model, with or without an intervention."""
    from lesion.interventions.parse import parse_intervention
    from lesion.tasks.trusted_code import folder_hash

    wanted = None if do is None else parse_intervention(do)
    if include_path is not None:
        folder_hash(include_path)  # a pipe or a device among the task files is refused before anything opens it

    from lesion.measures.interop.lm_eval import harness
    from lesion.models.model import open_model
    from lesion.report.terminal.evaluations import print_harness

    opened = open_model(model, dtype=dtype)
    found = harness(opened, lm_eval.split(","), wanted, limit, include_path, shots=shots, samples=samples)
    said = {**found.conventions.model_dump(mode="json"), "words": found.conventions.words}
    unregistered({"dtype": dtype, **found.model_dump(mode="json"), "conventions": said}, as_json, print_harness)
    return 0
