"""Commands about models: train."""

# ruff: noqa: PLC0415  (commands import what they need)

from pathlib import Path
from typing import Annotated

import typer

from lesion.cli.app import SCREEN, Json, app, say


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="The recipe, a YAML file.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the model; models/NAME by default.")] = None,
    as_json: Json = False,
) -> int:
    """Train an embedded model by its recipe. A training that was cut off goes on where it stopped."""
    from lesion.report.terminal import training_bar
    from lesion.study.load import load_document
    from lesion.training.examine import make_model
    from lesion.training.recipe import Recipe

    wanted = load_document(recipe, Recipe)
    folder = out or Path("models") / recipe.stem
    with training_bar(SCREEN, quiet=as_json) as progress:
        card = make_model(wanted, folder, on_progress=progress)
    say({"model": str(folder), **card.model_dump(mode="json")}, as_json, f"{folder}: trained; its card is README.md")
    return 0
