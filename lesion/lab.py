"""The laboratory in a notebook: one line measures an intervention.

>>> from lesion.lab import Lab, scale
>>> lab = Lab("tiny:llama")
>>> result = lab.run(task="arithmetic high=9 shots=0", do=scale("L1H0", 0.0), items=20)
>>> result.receipt.firings > 0, result.interval("answer_logprob").low < result.interval("answer_logprob").high
(True, True)

Importing this module imports torch; `import lesion` does not.
"""

from typing import NamedTuple

import polars as pl

from lesion.engine.check import Proof, prove
from lesion.engine.choose import Engine, choose
from lesion.engine.sources import Library
from lesion.identity import canonical_json
from lesion.interventions.intervention import Intervention, Receipt
from lesion.interventions.spelling import parse_intervention, scale
from lesion.measures.asked import ask
from lesion.measures.attribution import Attribution, attribution
from lesion.measures.detection import Detection, detection
from lesion.measures.effect import Change, Effect, effect
from lesion.measures.screening import Screen, screen
from lesion.models.model import Model, open_model
from lesion.stats.intervals import Interval
from lesion.tasks.config import TaskConfig

__all__ = ["Lab", "Result", "parse_intervention", "scale"]


class Result(NamedTuple):
    """What an intervention did."""

    table: pl.DataFrame
    """One row per item: `index`, every measure unedited and edited (`…_edited`), `kl`, `top1_flip`; null: unscored."""
    summary: pl.DataFrame
    """One row per measure: unit, baseline, edited, delta, low, high, scored, unscored."""
    effect: Effect
    """All of it as one document."""

    @property
    def receipt(self) -> Receipt:
        """Proof that the intervention acted."""
        return self.effect.receipt

    def change(self, measure: str = "correct") -> Change:
        """The change of a measure."""
        return self.effect.change(measure)

    def interval(self, measure: str = "correct") -> Interval:
        """The 95 % interval of a measure's mean paired difference; NaN where fewer than two items are scored."""
        found = self.change(measure)
        low, high = found.low, found.high
        return Interval(float("nan") if low is None else low, float("nan") if high is None else high)

    def _repr_html_(self) -> str:
        table = self.summary._repr_html_()  # pyright: ignore[reportPrivateUsage]
        return f"<p>{self.effect.intervention} on {self.effect.model}</p>{table}"


class Lab:
    """A model, proved on its weights, ready for interventions."""

    def __init__(self, model: str | Model) -> None:
        """Open a model by name, or take an opened one, and prove it.

        Raises:
            InputError: when the model cannot be opened.
            InterventionError: when its architecture's row does not hold on these weights.
        """
        self.model: Model = open_model(model) if isinstance(model, str) else model
        self.proof: Proof = prove(self.model)
        self.engine: Engine = choose(self.model)

    def run(
        self,
        task: TaskConfig | str,
        do: Intervention | str,
        items: int = 200,
        seed: int = 0,
        library: Library | None = None,
        neutral: str | None = None,
    ) -> Result:
        """Measure an intervention on items of a task.

        Args:
            task: a configuration, or a spelling such as `arithmetic high=999`.
            do: an intervention, or a spelling such as `scale L5H1 0.5`.
            items: how many are drawn, from the discovery split.
            seed: draws them.
            neutral: a text that the intervention should leave alone; by default a passage of this project's own.
            library: makes what mean, resample, patch and steer put at sites; see `lesion.engine.sources`.

        Raises:
            InputError: for a task or an intervention that is not known, or a kind of site that failed its proof.
        """
        wanted = parse_intervention(do) if isinstance(do, str) else do
        self.proof.require(wanted)
        measured = effect(self.engine, ask(self.model, task, items, seed), wanted, library, text=neutral)
        changes = [change.model_dump() for change in measured.effect.changes]
        return Result(pl.DataFrame(measured.rows), pl.DataFrame(changes, infer_schema_length=None), measured.effect)

    def heads(self, detector: str = "induction", seed: int = 0) -> Detection:
        """Name the heads of a kind, or say that there are none; see `lesion.measures.detection`."""
        return detection(self.model, detector, seed)

    def attribute(
        self, task: TaskConfig | str, items: int = 64, target: str = "logit_diff", seed: int = 0
    ) -> Attribution:
        """Split a logit into its parts; see `lesion.measures.attribution`."""
        return attribution(self.engine, ask(self.model, task, items, seed), target)

    def screen(
        self, task: TaskConfig | str, items: int = 64, method: str = "gradient", top: int = 10, seed: int = 0
    ) -> Screen:
        """Estimate all heads and neurons and confirm the best; see `lesion.measures.screening`."""
        return screen(self.engine, ask(self.model, task, items, seed), method=method, top=top)

    def __repr__(self) -> str:
        return f"Lab({canonical_json(self.model.name).decode()}, engine {self.engine.choice.engine})"
