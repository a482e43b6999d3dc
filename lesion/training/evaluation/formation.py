"""How heads form during a training: the scores of every head, and the loss on repeats, at each kept checkpoint.

An induction head needs a head below it that moves the token before into place (Elhage et al. 2021, "A mathematical
framework for transformer circuits"; Olsson et al. 2022): one layer cannot form one, two can.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from lesion.errors import InputError
from lesion.identity import Document
from lesion.interventions.site import head
from lesion.measures.heads.in_context_score import InContext, in_context
from lesion.measures.heads.pattern_scores import HeadScores, detect_each
from lesion.models.model import open_model
from lesion.outside.documents import read_document
from lesion.training.evaluation.report import MOST_REPORT_BYTES, REPORT, TrainingReport


class Moment(Document):
    """One kept checkpoint, measured."""

    step: int
    """Optimiser steps done."""
    weights: str
    """SHA-256 of the weights file."""
    scores: tuple[HeadScores, ...]
    """Scores of all heads, per detector."""
    in_context: InContext
    """Loss in the first and the second copy of random blocks."""

    def best(self, detector: str) -> tuple[str, float]:
        """The head with the highest score, and the score (0 … 1)."""
        table = next(entry.table() for entry in self.scores if entry.detector == detector)
        layer, index = np.unravel_index(int(table.argmax()), table.shape)
        return str(head(int(layer), int(index))), float(table.max())


class Formation(Document):
    """A training as it is seen through its kept checkpoints."""

    training: TrainingReport
    """The training."""
    moments: tuple[Moment, ...]
    """Its checkpoints, by step; the last is the finished model."""

    def formed(self, detector: str, threshold: float) -> int | None:
        """The first step from which on some head always scores at least the threshold; none if there is none."""
        first = None
        for moment in reversed(self.moments):
            if moment.best(detector)[1] < threshold:
                break
            first = moment.step
        return first

    def verdict(self, detector: str, threshold: float) -> str:
        """Whether and when a head of this kind formed, in a sentence."""
        kind, name = detector.replace("_", "-"), self.training.recipe.name
        site, score = self.moments[-1].best(detector)
        step = self.formed(detector, threshold)
        if step is None:
            return f"{name}: no {kind} head forms; at the end the best score is {score:.3f} ({site})."
        before = [moment.step for moment in self.moments if moment.step < step]
        when = f"between steps {before[-1]:,} and {step:,}" if before else f"by step {step:,}"
        return f"{name}: a head of score {threshold:g} ({kind}) forms {when}; at the end {site} has {score:.3f}."


def formation(
    folder: Path, detectors: Sequence[str], seed: int = 0, on_moment: Callable[[int, int], None] | None = None
) -> Formation:
    """Measure every kept checkpoint of a finished training, and the model that it ended with.

    Args:
        folder: the training's folder, as `lesion train` leaves it.
        detectors: names of `lesion.measures.heads.pattern_scores.DETECTORS`.
        seed: draws the sequences; they are the same for all checkpoints.
        on_moment: told how many checkpoints are done, and of how many.

    Raises:
        InputError: when the folder has no finished training, the training kept no checkpoint, or the final
            weights are others than it left.
    """
    if not (folder / REPORT).is_file():
        raise InputError(f"{folder} has no {REPORT}: give the folder of a finished training, or a recipe")
    training = read_document(folder / REPORT, TrainingReport, MOST_REPORT_BYTES)
    kept = {int(path.name.removeprefix("step-")): path for path in (folder / "checkpoints").glob("step-*")}
    if not kept:
        raise InputError(f"{folder} kept no checkpoint: list steps under `keep:` in its recipe and train it elsewhere")
    places = {**kept, training.last.step: folder}
    moments: list[Moment] = []
    for step in sorted(places):
        moments.append(_moment(step, places[step], detectors, seed))
        if on_moment:
            on_moment(len(moments), len(places))
    if moments[-1].weights != training.weights:
        raise InputError(f"{folder}: the weights are not those that its training left ({training.weights})")
    return Formation(training=training, moments=tuple(moments))


def _moment(step: int, folder: Path, detectors: Sequence[str], seed: int) -> Moment:
    model = open_model(str(folder))
    return Moment(
        step=step,
        weights=model.weights_hash,
        scores=detect_each(model, detectors, seed),
        in_context=in_context(model, seed),
    )
