"""What `lesion heads --over-training` does: heads at every kept checkpoint of one or several trainings."""

# ruff: noqa: PLC0415  (commands import what they need)

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from lesion.cli.app import SCREEN, tell
from lesion.cli.common.recorded import wrote
from lesion.errors import InputError
from lesion.outside.files import MOST_TEXT_BYTES, read_text

DETECTORS = ("induction", "previous_token")
"""What is measured when no detector is named: induction heads, and those that they are built on."""


def over_training(
    trainings: Sequence[str],
    detectors: Sequence[str],
    threshold: float,
    seed: int,
    picture: Path | None,
    as_json: bool,
) -> int:
    """Measure trainings through their checkpoints; a recipe is trained first, into models/NAME as `lesion train` does.

    Raises:
        InputError: for a picture that is neither SVG nor PNG, and for what `formation` of
            `lesion.training.evaluation.formation` refuses.
    """
    from lesion.report.figures.formation import print_formation, write_picture
    from lesion.training.evaluation.formation import formation

    if picture is not None and picture.suffix not in (".svg", ".png"):
        raise InputError(f"--picture {picture}: give a file that ends in .svg or .png")
    wanted = tuple(detectors) or DETECTORS
    found: list[dict[str, Any]] = []
    for given in trainings:
        made = formation(_folder(given, as_json), wanted, seed)
        verdicts = {detector: made.verdict(detector, threshold) for detector in wanted}
        formed = {detector: made.formed(detector, threshold) for detector in wanted}
        found.append({**made.model_dump(mode="json"), "threshold": threshold, "formed": formed, "verdicts": verdicts})
    if picture is not None:
        write_picture(picture, found)
        wrote(picture)

    def shown(console: Console, _: dict[str, Any]) -> None:
        for document in found:
            print_formation(console, document)

    tell({"trainings": found, "picture": picture and str(picture)}, as_json, shown)
    return 0


def _folder(given: str, quiet: bool) -> Path:
    """The folder of a training; a recipe is trained into it where that was not done yet."""
    from lesion.report.terminal.run import training_bar
    from lesion.runs.manifest.training import conduct_training
    from lesion.training.recipe import load_recipe

    path = Path(given)
    if path.is_dir():
        return path
    recipe, folder = load_recipe(path), Path("models") / path.stem
    if not recipe.keep:
        raise InputError(f"{path} keeps no checkpoint: list steps under `keep:`")
    with training_bar(SCREEN, quiet=quiet) as progress:
        conduct_training(recipe, read_text(path, MOST_TEXT_BYTES), folder, progress)
    return folder
