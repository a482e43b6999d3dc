"""Numbers, sites and conditions in plain words.

What kind of heads the target are ("induction heads") is said only where the claim is licensed: the positive control
holds and the effect is specific. Everywhere else they are the selected heads.
"""

import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import NamedTuple

from lesion.interventions.site import parse_site
from lesion.runs.manifest.run import Manifest
from lesion.stats.verdict.cell_verdict import CellVerdict
from lesion.study.arms.edits import Ablating, EdgeKnockOut, Patching, Steering
from lesion.study.arms.targets import aim
from lesion.study.metric_table import METRICS
from lesion.study.plan import Chosen
from lesion.study.study import Study
from lesion.tasks.config import ArithmeticConfig, LetterPatternsConfig, PromptFileConfig, SymbolicConfig, TaskConfig

MINUS = "−"
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_OPERATIONS = {"+": "sums", "-": "differences", "*": "products"}

TAGS = {
    "negligible+": "significant, yet smaller than the margin: a gain too small to matter",
    "negligible-": "significant, yet smaller than the margin: a loss too small to matter",
    "magnitude_unstable": "the direction holds in every seed, the size is not shown to be the same: claim no size",
    "material": "the whole interval lies beyond the margin",
    "floor": "the unedited model is at chance here: neither Harm nor Null can be shown",
    "ceiling": "the unedited model is almost always right here: Improvement cannot be shown",
    "format_effect": "the share of readable answers changed by more than a point",
    "format_effect_only": "an effect on the answers' form, not on arithmetic",
    "bfloat16": "the model computed in bfloat16; the effect was compared with what rounding alone may do",
    "ablation_dependent": "zero, mean and resample ablation do not give one verdict: it depends on what takes the"
    " activation's place, so nothing is said about what the target does",
    "few_clusters": "too few templates or example sets to speak of others than these, so Null is refused",
    "zero_only": "not shown by mean and resample ablation both: it may be the disturbance, so no heads are named",
}
"""What each tag of a verdict means."""

MEANINGS = {
    "Improvement": "a gain that is significant, and stable over seeds or seen in each",
    "Harm": "a loss that is significant, and stable over seeds or seen in each",
    "Null": "an effect as large as the margin is ruled out",
    "Mixed": "some kinds of items gain and others lose, each significantly",
    "Ambiguous": "not decided at the first look; the run ended before the second",
    "Inconclusive": "neither an effect nor its absence could be shown",
    "Invalid": "the measurement cannot be trusted",
}
"""What each verdict means."""


def signed(value: float, digits: int = 1) -> str:
    """A number with its sign, and a real minus.

    >>> signed(-85.11), signed(0.04), signed(2)
    ('−85.1', '0.0', '+2.0')
    """
    rounded = round(value, digits)
    if rounded == 0:
        return f"{0:.{digits}f}"
    return f"{'+' if rounded > 0 else MINUS}{abs(rounded):.{digits}f}"


def points(share: float | None, digits: int = 1) -> str:
    """A difference of shares in percentage points; a dash when it is not known.

    >>> points(-0.8511)
    '−85.1'
    """
    return "–" if share is None else signed(100 * share, digits)


def percent(share: float | None) -> str:
    """A share in percent; a dash when it is not known."""
    return "–" if share is None else f"{100 * share:.1f} %"


def interval(verdict: CellVerdict, unit: "Unit | None" = None) -> str:
    """`95 % CI −86.1 to −84.1`; nothing is said of an Invalid cell without rows."""
    if verdict.ci_low is None or verdict.ci_high is None:
        return "no interval"
    span = ends(verdict) if unit is None else unit.span(verdict.ci_low, verdict.ci_high)
    return f"{100 * verdict.confidence:g} % CI {span}"


def ends(verdict: CellVerdict) -> str:
    """`−86.1 to −84.1`, in points."""
    return f"{points(verdict.ci_low)} to {points(verdict.ci_high)}"


def p_value(p: float | None) -> str:
    """Three digits, or a bound.

    >>> p_value(0.0413895), p_value(1e-200), p_value(None)
    ('0.041', '< 0.001', '–')
    """
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def count(number: int) -> str:
    """A number in words up to ten."""
    return _NUMBERS[number] if number < len(_NUMBERS) else f"{number:,}"


def listed(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def model_name(name: str) -> str:
    """A model's name without its kind, its folder and the rest of its revision.

    >>> model_name("zoo:abacus-llama"), model_name("org/name@" + 40 * "a"), model_name("/home/me/model")
    ('abacus-llama', 'org/name@aaaaaaaa', 'model')
    """
    kind, _, rest = name.partition(":")
    if kind in ("zoo", "pretrained", "tiny") and rest:
        return f"tiny random {rest}" if kind == "tiny" else rest
    place, at, revision = name.partition("@")
    return f"{place}@{revision[:8]}" if at else name.rstrip("/").rpartition("/")[2]


_NAMED = {"ioi": "indirect object identification"}
"""Tasks whose names are abbreviations."""


def task_words(task: TaskConfig) -> str:
    """A tier in a few words: `sums and differences up to 99`, `... beyond 99` (one operand larger)."""
    if isinstance(task, SymbolicConfig):
        plain = task.patterns == ("repeat",)
        return "repeated symbol patterns" if plain else f"symbol patterns ({listed(task.patterns)})"
    if isinstance(task, LetterPatternsConfig):
        return f"the letter pattern {task.pattern.replace('_', '-')}"
    if isinstance(task, PromptFileConfig):
        return f"the prompts of {PurePath(task.path).name}"
    if not isinstance(task, ArithmeticConfig):
        return _NAMED.get(task.task) or task.task.replace("_", " ")
    sums = [_OPERATIONS[operator] for operator in task.operators if operator != "*"]
    reach = "up to" if task.beyond is None else "beyond"
    said = [f"{listed(sums)} {reach} {task.high}"] if sums else []
    if "*" in task.operators:
        said.append(f"{_OPERATIONS['*']} {reach} {task.factor_high} × {task.factor_high}")
    return listed(said)


def kind_of_task(task: TaskConfig) -> str:
    """The same without its range: `sums and differences`; of a task without one, its words."""
    if not isinstance(task, ArithmeticConfig):
        return task_words(task).removeprefix("the ")
    return listed([_OPERATIONS[operator] for operator in task.operators])


_NUMBERED = re.compile(r"(tier|task|level|t)?[_-]?\d+")
"""Names of tiers that tell a reader nothing."""


def tier_name(study: Study, tier: str) -> str:
    """A tier as a reader knows it: its own name, or the words of its task where its name is a number (`tier1`).

    Two numbered tiers of the same words keep their names behind them.
    """
    if not _NUMBERED.fullmatch(tier):
        return tier.replace("_", " ")
    said = {name: task_words(task).removeprefix("the ") for name, task in study.tasks.items()}
    return said[tier] if list(said.values()).count(said[tier]) == 1 else f"{said[tier]} ({tier})"


def action(alpha: float) -> str:
    """What a factor does, as a verb: `zeroing`, `suppressing (×0.5)`, `amplifying (×1.5)`."""
    if alpha == 0:
        return "zeroing"
    if alpha < 0:
        return f"reversing (×{MINUS}{abs(alpha):g})"
    return f"suppressing (×{alpha:g})" if alpha < 1 else f"amplifying (×{alpha:g})"


_EDITING = {
    "zero": "zero-ablating", "mean": "mean-ablating", "median": "median-ablating", "resample": "resample-ablating",
    "steer": "steering",
    "noising": "patching (noising)", "denoising": "patching (denoising)", "knock_out": "edge-ablating",
}  # fmt: skip


def doing(chosen: Chosen) -> str:
    """What a cell does to the target, as a verb: `resample-ablating`, `amplifying (×2)`."""
    return did(chosen.edit)


def labelled(chosen: Chosen) -> str:
    """The same for a label, with the target's name in a study of several: `mean-ablating early`."""
    return f"{doing(chosen)} {chosen.target}".rstrip()


def happened(study: Study) -> str:
    """What was done to the target, as a sentence without its end."""
    edit = study.sweep.edit
    if isinstance(edit, EdgeKnockOut):
        return f"attention edges to `{edit.keys}` were cut at the target"
    if isinstance(edit, Patching):
        other, own = ("corrupted", "clean") if edit.direction == "noising" else ("clean", "corrupted")
        return f"activations of the {other} prompt were patched into the run on the {own} one ({edit.direction})"
    if isinstance(edit, Steering):
        return f"a vector, {edit.strength:g} × as long as the stream there, was added to the stream at the target"
    if isinstance(edit, Ablating):
        return f"the activations of the target were ablated ({edit.kind})"
    ways = "multiplied by a factor" if study.claims is None else "ablated or multiplied by a factor"
    return f"the activations of the target were {ways}"


def did(edit: str) -> str:
    """The same, of an edit as an arm's name has it.

    >>> did("mean"), did("2"), did("0")
    ('mean-ablating', 'amplifying (×2)', 'zeroing')
    """
    return _EDITING.get(edit) or action(float(edit))


class Unit(NamedTuple):
    """In what a study's effects are counted."""

    name: str
    """`points` (percentage points of accuracy) or `nats`."""
    factor: float
    """Recorded number times this is what is printed."""
    digits: int

    def said(self, value: float | None) -> str:
        """A change with its sign; a dash when it is not known."""
        return "–" if value is None else signed(self.factor * value, self.digits)

    def plain(self, value: float) -> str:
        """A size without a sign, as short as it goes."""
        return f"{self.factor * value:.4g}"

    def span(self, low: float | None, high: float | None) -> str:
        """`−86.1 to −84.1`; a dash when it is not known."""
        return "–" if low is None or high is None else f"{self.said(low)} to {self.said(high)}"


POINTS, NATS = Unit("points", 100.0, 1), Unit("nats", 1.0, 3)


def unit_of(study: Study) -> Unit:
    """Points where accuracy is judged, nats where a continuous outcome is."""
    return POINTS if study.outcome == "accuracy" else NATS


def outcome_words(study: Study) -> str:
    """What is judged: `accuracy`, `log-probability of the answer` or `logit difference`."""
    return METRICS["correct" if study.outcome == "accuracy" else study.outcome].words


def level(value: float | None, study: Study) -> str:
    """The outcome itself, of one model: `98.5 %`, or `−0.412 nats`."""
    if value is None:
        return "–"
    return percent(value) if study.outcome == "accuracy" else f"{signed(value, 3)} nats"


def conditional(study: Study, tier: str) -> str:
    """`, conditional on three example sets` where a tier has few-shot examples and one set of them for each seed."""
    shots = getattr(study.tasks[tier], "shots", 0)
    if not shots or study.prefixes != 1:
        return ""
    return f", conditional on {count(study.baseline.seeds)} example sets"


def all_targets(manifest: Manifest) -> list[str]:
    """Every target of the study's own models: `abacus-llama: the two selected heads L1H0 + L1H1`."""
    return [
        f"{model_name(model)}: {target_words(manifest, model, name, licensed=False)}"
        for model, name, _ in manifest.plan.aims()
        if model in manifest.study.models
    ]


_KINDS: dict[str, str] = {
    "resid_pre": "stream", "resid_mid": "stream", "mlp_out": "MLP layer", "attn_out": "attention layer",
    "pattern": "attention pattern", "gate": "neuron gate", "act": "neuron activation", "up": "neuron input",
    "q": "query", "k": "key", "v": "value",
}  # fmt: skip
"""Kinds of site whose word is not their name."""


def kind_words(kind: str, many: int = 2) -> str:
    """What sites of a kind are called: `heads`, `streams`, `MLP layer`."""
    word = _KINDS.get(kind, kind)
    return word if many == 1 else f"{word[:-1]}ies" if word.endswith("ry") else f"{word}s"


def target_words(manifest: Manifest, model: str, name: str = "", *, licensed: bool) -> str:
    """The target as a claim may call it: `the two induction heads L1H0 + L1H1`, or `the two selected heads …`.

    In a study of several targets its name stands behind it: `the two selected heads L1H0 + L1H1 (early)`.
    """
    sites = sorted(
        manifest.plan.targets.get(aim(model, name), ()),
        key=lambda text: (parse_site(text).layer, parse_site(text).index),
    )
    kind = kind_words(parse_site(sites[0]).kind, len(sites)) if sites else "sites"
    target = manifest.study.sweep.named[name]
    if target.kind == "detected":
        what = f"{target.detector.replace('_', '-')} {kind}" if licensed else f"selected {kind}"
    else:
        what = f"{'screened' if target.kind == 'screened' else 'named'} {kind}"
    if target.kind == "all_but":
        return f"all heads but {' + '.join(target.sites)}" + (f" ({name})" if name else "")
    names = " + ".join(sites) if len(sites) <= 4 else f"{', '.join(sites[:3])} … {sites[-1]}"
    return f"the {count(len(sites))} {what} {names}" + (f" ({name})" if name else "")


def brief_target(manifest: Manifest, model: str, name: str, *, licensed: bool, several: bool = False) -> str:
    """The target without its sites: `two selected heads`, `two induction heads`; of several models `the … heads`.

    In a study of several targets its name stands behind it.
    """
    target = manifest.study.sweep.named[name]
    if target.kind == "all_but":
        return f"all heads but {' + '.join(target.sites)}"
    sites = manifest.plan.targets.get(aim(model, name), ())
    kind = kind_words(parse_site(sites[0]).kind, 2 if several else len(sites)) if sites else "sites"
    what = ""
    if target.kind == "detected":
        what = f"{target.detector.replace('_', '-')} " if licensed else "selected "
    elif target.kind == "screened":
        what = "screened "
    many = "the" if several else count(len(sites))
    return f"{many} {what}{kind}" + (f" ({name})" if name else "")
