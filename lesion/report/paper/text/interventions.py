"""How studies pick sites by a screen and what they do to them, in words for the paper's methods."""

from collections.abc import Sequence

from lesion.report.paper.manuscript import Line, Name, words
from lesion.report.paper.text.run_view import RunView
from lesion.study.arms.edits import EdgeKnockOut, Patching, Steering
from lesion.study.arms.targets import ScreenedSites

_RANKED = {"head": "heads", "neuron": "neurons", "mlp": "MLP blocks", "attention": "attention layers"}
_IN_PLACE = {"zero": "zero", "corrupted": "the corrupted prompt's activations"}
_KEYS = {"induction": "the tokens that follow an earlier occurrence of the query's token"}
_EDGES = {
    "edges": "other edges of the same heads, as many and drawn at random",
    "heads": "the same edges of other heads",
}
_PATCHES = {
    "noising": "from the corrupted prompt into the run on the clean one",
    "denoising": "from the clean prompt into the run on the corrupted one",
}


def screened(run: RunView, target: ScreenedSites, path: Sequence[str]) -> Line:
    """How a screen picks a target's sites."""
    by = "gradients (attribution patching)" if target.of in ("head", "neuron") else "exact effects"
    most = run.number("number", "most sites", *path, "most")
    return words(
        f"a screen of discovery items picks the {_RANKED[target.of]} whose loss should harm ", Name(target.tier),
        f" most, by {by}, with {_IN_PLACE[target.by]} in their place; at most ", most, ".",
    )  # fmt: skip


def other_edits(runs: Sequence[RunView]) -> list[Line]:
    """What studies do that neither scale nor ablate; a sentence each."""
    return [words(Name(run.study.name), f" {said}") for run in runs if (said := _edit(run))]


def scaling(runs: Sequence[RunView]) -> bool:
    """Whether a study scales or ablates its target."""
    return any(not _edit(run) for run in runs)


def _edit(run: RunView) -> str:
    match run.study.sweep.edit:
        case EdgeKnockOut(keys=keys, control=control):
            where = _KEYS.get(keys, "the positions that the study names")
            return (
                f"cuts the target's attention to {where}; what is left of the attention sums to one."
                f" Its matched sets are {_EDGES[control]}."
            )
        case Patching(direction=direction):
            return f"puts the target's activations {_PATCHES[direction]}."
        case Steering():
            return "adds a vector to the residual stream."
        case _:
            return ""
