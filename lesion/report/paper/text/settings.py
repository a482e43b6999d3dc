"""What studies fixed before their data, and what their runs took, as tables: a line a setting, a column a study."""

from collections.abc import Callable, Sequence

from lesion.report.paper.claims.claim import Claim
from lesion.report.paper.manuscript import Line, Name, words
from lesion.report.paper.text.run_view import RunView
from lesion.report.paper.text.sections import Table

_DECIDES = {
    "auto": "resample if at least nine tenths of a tier's items have a reference, else mean",
    "zero": "zero, for a reason that the study gives",
}
Value = Callable[[RunView], Claim | str | Line | None]
_PACKAGES = ("torch", "transformers", "numpy", "scipy", "polars")


def settings_table(runs: Sequence[RunView]) -> Table:
    """What was fixed before the data."""
    return _table(runs, _SETTINGS, "setting")


def costs_table(runs: Sequence[RunView]) -> Table:
    """What the runs took, on which machine, with which packages."""
    packages = {name: _package(name) for name in _PACKAGES if any(_has(run, name) for run in runs)}
    return _table(runs, {**_COSTS, **packages}, "run of")


def _table(runs: Sequence[RunView], values: dict[str, Value], title: str) -> Table:
    """A line for each value that some run has."""
    rows: list[tuple[Line, ...]] = []
    for name, value in values.items():
        cells = [value(run) for run in runs]
        if any(cell is not None for cell in cells):
            rows.append((words(name), *(words("–" if cell is None else cell) for cell in cells)))
    columns = (title, *(run.study.name for run in runs))
    return Table(columns, tuple(rows), (1.4, *(1.0,) * len(runs)), small=True)


def _in_unit(what: str, *path: str) -> Value:
    """A size on the study's scale, with its unit."""
    return lambda run: words(run.number(run.share, f"{what}, {run.unit}", *path), f" {run.unit}")


def _number(what: str, *path: str, kind: str = "number") -> Value:
    return lambda run: run.number(kind, what, *path)


def _of_claims(what: str, *path: str) -> Value:
    """A number of studies that claim specificity."""
    return lambda run: run.number("number", what, "study", "claims", *path) if run.study.claims else None


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


_SETTINGS: dict[str, Value] = {
    "what is judged": lambda run: run.outcome,
    "margin of a Null": _in_unit("margin", "study", "verdict", "margin"),
    "effect that items are planned for": _in_unit("effect to be found", "study", "verdict", "effect"),
    "its power": _number("power", "study", "verdict", "power"),
    "error rate": _number("alpha", "study", "verdict", "alpha"),
    "looks": _number("looks", "study", "verdict", "looks"),
    "seeds": _number("seeds", "study", "baseline", "seeds"),
    "factors tried": _number("factors tried", "study", "sweep", "alphas", kind="listed"),
    "factors always confirmed": _number("factors always confirmed", "study", "sweep", "always", kind="listed"),
    "best others confirmed per task": _number("best others per tier", "study", "sweep", "best"),
    "discovery items per task": _number("discovery items per tier", "study", "sweep", "items"),
    "random sets in discovery": _number("matched random sets", "study", "sweep", "controls"),
    "ablation that decides": _decides,
    "matched sets, at most": _of_claims("matched sets", "sets"),
    "drawn from": _population,
    "baseline's spread over seeds, below": _in_unit("baseline gate", "study", "baseline", "spread"),
    "effect's range over seeds, below": _in_unit("seed gate", "study", "verdict", "spread"),
    "positive control": _control,
}
_COSTS: dict[str, Value] = {
    "minutes": _number("minutes taken", "cost", "wall_seconds", kind="minutes"),
    "of at most": _number("minutes allowed", "study", "budget", "wall_minutes"),
    "processor hours": _number("processor hours", "cost", "cpu_seconds", kind="hours"),
    "of at most, hours": _number("processor hours allowed", "study", "budget", "cpu_hours"),
    "accelerator hours": _number("accelerator hours", "cost", "gpu_seconds", kind="hours"),
    "device": lambda run: run.number("text", "device", "environment", "device"),
    "processor": _number("processor", "environment", "processor", kind="text"),
    "cores": _number("cores", "environment", "cores"),
    "system": _number("system", "environment", "system", kind="text"),
    "Python": _number("Python", "environment", "python", kind="text"),
}


def _has(run: RunView, package: str) -> bool:
    return package in run.manifest.environment.packages


def _package(name: str) -> Value:
    return lambda run: run.number("text", name, "environment", "packages", name) if _has(run, name) else None
