"""What a training was: the document that is written when it ends."""

import platform
from typing import Self

import numpy
import torch
import transformers

from lesion.errors import InputError
from lesion.identity import Document
from lesion.training.checkpoint import Measurement, State
from lesion.training.recipe import Recipe

REPORT = "training.json"
MOST_REPORT_BYTES = 10_000_000
"""Of it, of a card and of a list of sittings."""


class TrainingReport(Document):
    """A finished training."""

    recipe: Recipe
    """The whole recipe."""
    recipe_hash: str
    """Its hash."""
    weights: str
    """SHA-256 of the weights file."""
    cpu_seconds: float
    """Processor time, compilation and measurements included."""
    stage_end: int | None
    """Step at which the first stage ended; none where there was none."""
    history: tuple[Measurement, ...]
    """Measurements along the training; the last one is at its end."""
    versions: dict[str, str]
    """Versions of Python, PyTorch, transformers and NumPy."""
    processor: str
    """Machine type and the instruction set that PyTorch uses."""

    @property
    def last(self) -> Measurement:
        """The measurement at the end."""
        if not self.history:
            raise InputError("this training was never measured")
        return self.history[-1]

    @classmethod
    def of(cls, recipe: Recipe, state: State, weights: str) -> Self:
        """The report of a training that has just ended."""
        return cls(
            recipe=recipe,
            recipe_hash=recipe.hash(),
            weights=weights,
            cpu_seconds=round(state.cpu_seconds, 1),
            stage_end=state.stage_end,
            history=state.history,
            versions={
                "python": platform.python_version(),
                "torch": torch.__version__,
                "transformers": transformers.__version__,
                "numpy": numpy.__version__,
            },
            processor=f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
        )
