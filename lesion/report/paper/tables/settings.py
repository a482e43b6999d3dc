"""What studies fixed before their data, and what their runs took, as tables.

What is the same in all studies stands once, a line a setting; what differs has a line a study.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lesion.report.paper.claims.claim import Claim, at, pointer
from lesion.report.paper.manuscript import Line, Name, words
from lesion.report.paper.text.run_view import RunView
from lesion.report.paper.text.sections import Table
from lesion.study.arms.edits import Scaling

_DECIDES = {
    "auto": "resample if at least nine tenths of a tier's items have a reference, else mean",
    "zero": "zero, for a reason that the study gives",
}
_PACKAGES = ("torch", "transformers", "numpy", "scipy", "polars")


@dataclass(frozen=True)
class Fact:
    """One thing that a manifest says of each run."""

    value: Callable[[RunView], object]
    """What is compared between runs; None where a run has nothing of this kind."""
    said: Callable[[RunView], Claim | str | Line]
    """How it is printed. A claim is made here, so it is asked for what is printed alone."""


def common_settings(runs: Sequence[RunView]) -> Table:
    """What all studies fixed alike before the data; of one study, everything."""
    return _common(runs, _SETTINGS, "setting")


def differing_settings(runs: Sequence[RunView]) -> Table:
    """What the studies fixed unlike each other."""
    return _differing(runs, _SETTINGS)


def common_costs(runs: Sequence[RunView]) -> Table:
    """Machine, packages and budget, as far as all runs have the same; of one run, everything."""
    return _common(runs, {**_COSTS, **_packages(runs)}, "run of")


def differing_costs(runs: Sequence[RunView]) -> Table:
    """What the runs took, and what else is not the same in all."""
    return _differing(runs, {**_COSTS, **_packages(runs)})


def _common(runs: Sequence[RunView], facts: dict[str, Fact], title: str) -> Table:
    """A line for each fact that is the same in all runs that have it, by the claim of the first."""
    rows: list[tuple[Line, ...]] = []
    for name, fact in facts.items():
        having = [run for run in runs if fact.value(run) is not None]
        if having and len({repr(fact.value(run)) for run in having}) == 1:
            rows.append((words(name), words(fact.said(having[0]))))
    whose = runs[0].study.name if len(runs) == 1 else "all studies that have it"
    return Table((title, whose), tuple(rows), (1.0, 2.0), small=True)


def _differing(runs: Sequence[RunView], facts: dict[str, Fact]) -> Table:
    """A line for each run, with the facts of which two runs have unlike ones."""
    values = {
        name: {repr(fact.value(run)) for run in runs if fact.value(run) is not None} for name, fact in facts.items()
    }
    apart = {name: fact for name, fact in facts.items() if len(values[name]) > 1}
    if not apart:
        return Table((), ())
    rows = tuple((words(Name(run.study.name)), *(_cell(run, fact) for fact in apart.values())) for run in runs)
    return Table(("study", *apart), rows, (1.3, *(1.0,) * len(apart)), small=True)


def _cell(run: RunView, fact: Fact) -> Line:
    return words("–" if fact.value(run) is None else fact.said(run))


def _in_unit(what: str, *path: str) -> Fact:
    """A size on the study's scale, with its unit."""
    return Fact(
        lambda run: (_at(run, *path), run.unit),
        lambda run: words(run.number(run.share, f"{what}, {run.unit}", *path), f" {run.unit}"),
    )


def _number(what: str, *path: str, kind: str = "number") -> Fact:
    return Fact(lambda run: _at(run, *path), lambda run: run.number(kind, what, *path))


def _factors(what: str, key: str, kind: str = "listed") -> Fact:
    """Factors, of studies that scale their target."""
    place = ("study", "sweep", key)
    return Fact(
        lambda run: _at(run, *place) if isinstance(run.study.sweep.edit, Scaling) else None,
        lambda run: run.number(kind, what, *place),
    )


def _of_claims(what: str, *path: str) -> Fact:
    """A number of studies that claim specificity."""
    place = ("study", "claims", *path)
    return Fact(
        lambda run: _at(run, *place) if run.study.claims else None, lambda run: run.number("number", what, *place)
    )


def _text(said: Callable[[RunView], str | None]) -> Fact:
    """Words of ours that say what a study fixed."""
    return Fact(said, lambda run: said(run) or "")


def _at(run: RunView, *path: str) -> object:
    return at(run.source.document, pointer(*path))


def _decides(run: RunView) -> str | None:
    """The ablation that decides where the factor is zero."""
    if run.study.claims is None or not run.study.sweep.ablates:
        return None
    return _DECIDES.get(run.study.claims.primary, run.study.claims.primary)


def _population(run: RunView) -> str | None:
    if run.study.claims is None or not run.study.claims.sets:
        return None
    return "the target's layers" if run.study.claims.population == "layer" else "all layers"


def _control(run: RunView) -> Line:
    name = run.study.positive_control
    return words(Name(name)) if name else words("none")


_SETTINGS: dict[str, Fact] = {
    "what is judged": _text(lambda run: run.outcome),
    "margin of a Null": _in_unit("margin", "study", "verdict", "margin"),
    "effect that items are planned for": _in_unit("effect to be found", "study", "verdict", "effect"),
    "its power": _number("power", "study", "verdict", "power"),
    "error rate": _number("alpha", "study", "verdict", "alpha"),
    "looks": _number("looks", "study", "verdict", "looks"),
    "seeds": _number("seeds", "study", "baseline", "seeds"),
    "factors tried": _factors("factors tried", "alphas"),
    "factors always confirmed": _factors("factors always confirmed", "always"),
    "best others confirmed per task": _factors("best others per tier", "best", kind="number"),
    "discovery items per task": _number("discovery items per tier", "study", "sweep", "items"),
    "random sets in discovery": _number("matched random sets", "study", "sweep", "controls"),
    "ablation that decides": _text(_decides),
    "matched sets, at most": _of_claims("matched sets", "sets"),
    "drawn from": _text(_population),
    "baseline's spread over seeds, below": _in_unit("baseline gate", "study", "baseline", "spread"),
    "effect's range over seeds, below": _in_unit("seed gate", "study", "verdict", "spread"),
    "positive control": Fact(lambda run: run.study.positive_control or "", _control),
}
_COSTS: dict[str, Fact] = {
    "minutes": _number("minutes taken", "cost", "wall_seconds", kind="minutes"),
    "of at most": _number("minutes allowed", "study", "budget", "wall_minutes"),
    "processor hours": _number("processor hours", "cost", "cpu_seconds", kind="hours"),
    "of at most, hours": _number("processor hours allowed", "study", "budget", "cpu_hours"),
    "accelerator hours": _number("accelerator hours", "cost", "gpu_seconds", kind="hours"),
    "device": _number("device", "environment", "device", kind="text"),
    "processor": _number("processor", "environment", "processor", kind="text"),
    "cores": _number("cores", "environment", "cores"),
    "system": _number("system", "environment", "system", kind="text"),
    "Python": _number("Python", "environment", "python", kind="text"),
}


def _packages(runs: Sequence[RunView]) -> dict[str, Fact]:
    return {name: _package(name) for name in _PACKAGES if any(_has(run, name) for run in runs)}


def _has(run: RunView, package: str) -> bool:
    return package in run.manifest.environment.packages


def _package(name: str) -> Fact:
    place = ("environment", "packages", name)
    return Fact(lambda run: _at(run, *place) if _has(run, name) else None, lambda run: run.number("text", name, *place))
