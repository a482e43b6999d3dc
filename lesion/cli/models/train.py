"""Commands about models: train."""

# ruff: noqa: PLC0415  (commands import what they need)

from pathlib import Path
from typing import Annotated

import typer

from lesion import device
from lesion.cli.app import SCREEN, Json, app, say
from lesion.cli.common import completion
from lesion.cli.common.recorded import recorded
from lesion.errors import InputError
from lesion.outside.files import MOST_TEXT_BYTES, read_text


@app.command()
@recorded("train", outputs=("out",), always=True)
def train(
    recipe: Annotated[Path, typer.Argument(help="Recipe file (YAML).", autocompletion=completion.yaml_files)],
    out: Annotated[
        Path | None, typer.Option(help="Output folder. Default: models/NAME, or models/NAME-seed-N with --seed.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed, instead of the recipe's.")] = None,
    as_json: Json = False,
) -> int:
    """Train an embedded model from its recipe. The same command resumes an interrupted training.

    A manifest seals the folder; `lesion verify` checks it.
    """
    from lesion.training.recipe import load_recipe

    wanted, name, text = load_recipe(recipe), recipe.stem, read_text(recipe, MOST_TEXT_BYTES)

    from lesion.report.terminal.run import training_bar
    from lesion.runs.manifest.training import conduct_training

    if device.wanted() != "cpu":
        raise InputError(f"device {device.wanted()}: a training is repeatable on the processor alone; leave it out")
    if seed is not None:
        wanted, name = wanted.model_copy(update={"seed": seed}), f"{name}-seed-{seed}"
    folder = out or Path("models") / name
    with training_bar(SCREEN, quiet=as_json) as progress:
        card = conduct_training(wanted, text, folder, progress)
    say({"model": str(folder), **card.model_dump(mode="json")}, as_json, f"{folder}: trained; its card is README.md")
    return 0
