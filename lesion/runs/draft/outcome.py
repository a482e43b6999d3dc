"""What a first study judges: right answers where the unedited model gives enough of them, else their log-probability.

A model that answers few items right can lose few, so an ablation could not be seen in its accuracy. Therefore some
discovery items are asked of the unedited model before the study is written. Nothing is edited.
"""

# ruff: noqa: PLC0415  (torch is imported only where a model is asked)

from collections.abc import Mapping
from typing import NamedTuple

from lesion.stats.verdict.rule import Outcome
from lesion.tasks.config import TaskConfig

ITEMS = 32
"""Discovery items that are asked of the unedited model."""
ENOUGH = 0.5
"""Share of right answers from which on accuracy is judged."""


class Right(NamedTuple):
    """Right answers of the unedited model."""

    right: int
    asked: int

    @property
    def share(self) -> float:
        """Right answers divided by items."""
        return self.right / self.asked


class Beforehand(NamedTuple):
    """The outcome that is judged, and the answers that it was chosen by."""

    outcome: Outcome
    tiers: Mapping[str, Right] = {}
    """Tier -> answers; nothing where the outcome was given."""

    @property
    def words(self) -> str:
        """What was seen and follows, in a sentence; empty where the outcome was given."""
        if not self.tiers:
            return ""
        seen = ", ".join(f"{each.right} of {each.asked} items of `{tier}`" for tier, each in self.tiers.items())
        judged = "the share of right answers" if self.outcome == "accuracy" else "the answer's log-probability, in nats"
        return f"The unedited model answers {seen} right, so the verdict is about {judged}."


def outcome_of(model: str, tiers: Mapping[str, TaskConfig]) -> Beforehand:
    """Ask the unedited model some discovery items of every tier, and choose what is judged.

    Args:
        model: its name.
        tiers: name -> task: the study's, and its positive control.

    Returns:
        Accuracy, when at least half of every tier's items are answered right; else `answer_logprob`.

    Raises:
        InputError: when the model cannot be opened, or none of a tier's items can be asked.
    """
    from lesion.engine.proof.cache import engine_for
    from lesion.measures.metrics import measure
    from lesion.measures.prompt_set import ask
    from lesion.models.model import open_model
    from lesion.progress import track
    from lesion.tasks.catalogue import make_task
    from lesion.tasks.task import Draw

    engine, found = engine_for(open_model(model)), dict[str, Right]()
    for tier, task in tiers.items():
        held = make_task(task).capacity(Draw("discovery", "diagnostics-0", 0, 1))
        asked = ask(engine.model, task, min(ITEMS, held))
        batches = track(asked.batches, f"unedited answers: {tier}")
        right = sum(float(measure(engine.clean(batch), batch, ["correct"])["correct"].sum()) for batch in batches)
        found[tier] = Right(round(right), len(asked.compiled))
    return Beforehand("accuracy" if all(each.share >= ENOUGH for each in found.values()) else "answer_logprob", found)
