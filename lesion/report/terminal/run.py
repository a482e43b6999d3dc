"""What the terminal shows: progress while a run goes on, and tables that fit 80 columns."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from lesion.report.record import read_record
from lesion.report.terminal.verdicts import notes_below, verdict_table
from lesion.report.wording.claims import MARKS
from lesion.report.wording.evidence.replication import edit_in
from lesion.report.wording.last_words import last_words
from lesion.report.wording.scenario_words import scenario_words
from lesion.runs.execute.conduct import Tick
from lesion.runs.manifest.run import Manifest
from lesion.stats.calibration.calibrate import Calibration


class TrainingMeasure(Protocol):
    """What a training measured of its model on the way."""

    @property
    def accuracy(self) -> Mapping[str, float]:
        """Share of right answers per tier."""
        ...

    @property
    def induction(self) -> Sequence[Sequence[float]]:
        """Induction score of each head, by layer."""
        ...


class TrainingStep(Protocol):
    """What a training tells after a step; the report room never reaches the trainer itself."""

    @property
    def step(self) -> int:
        """Steps done."""
        ...

    @property
    def steps(self) -> int:
        """Steps in all."""
        ...

    @property
    def loss(self) -> float:
        """Loss of this step, nats."""
        ...

    @property
    def measurement(self) -> TrainingMeasure | None:
        """The last measurement."""
        ...


@contextmanager
def progress_bar(screen: Console, *, quiet: bool) -> Generator[Callable[[Tick], None]]:
    """A bar for each stage, with the time and the budget that are left; nothing at all when quiet."""
    bar = Progress(
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[spent]}"),
        console=screen,
        disable=quiet,
    )
    tasks: dict[tuple[str, int], Any] = {}

    def tell(tick: Tick) -> None:
        key = (tick.stage, tick.total)
        if key not in tasks:
            tasks[key] = bar.add_task(tick.stage, total=tick.total, spent="")
        bar.update(tasks[key], completed=tick.done, spent=budget_words(tick))

    with bar:
        yield tell


def budget_words(tick: Tick) -> str:
    """Processor hours spent and left of the budget; the limit that is nearest, when it is another one."""
    shares = tick.spent.shares(tick.budget)
    name = max(shares, key=lambda each: shares[each][0] / shares[each][1] if shares[each][1] else 0.0)
    used, limit = shares[name]
    unit = {"cpu_hours": "CPU h", "gpu_hours": "GPU h", "wall_minutes": "min"}[name]
    return f"{used:.2f} {unit} spent, {max(0.0, limit - used):.2f} left"


def _table(*columns: tuple[str, str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, side in columns:
        table.add_column(name, justify="right" if side == "right" else "left", overflow="fold")
    return table


def print_run(console: Console, folder: Path, manifest: Manifest) -> None:
    """What was found, how sure it is and what to open; then the table of verdicts and what else stands beside it."""
    for label, text in last_words(read_record(folder, manifest), str(folder / "report.html")):
        said = text.removeprefix(MARKS[manifest.status]) if label == "Found" else text
        console.print(f"{label + ':':<9} {said}", style="bold", markup=False, soft_wrap=label == "Open")
    console.print()
    if manifest.results.cells:
        console.print(verdict_table(manifest))
        for text in notes_below(manifest):
            console.print(text, markup=False, soft_wrap=not console.is_terminal)
    if manifest.outcome == "stopped":
        reason = f"Stopped: {manifest.ending.reason}"
        console.print(reason, style="bold", markup=False, soft_wrap=not console.is_terminal)
    line = f"Scenario: {scenario_words(manifest)} ({manifest.status}; {manifest.cost.wall_seconds:.0f} s)"
    console.print(line, style="bold", markup=False)
    others = manifest.results.replication
    for each in others.configurations if others is not None else ():
        what = f"{each.tier}, {edit_in(manifest, each)}: {each.answer or 'not tried'}"
        console.print(f"On other models, {what}", markup=False, soft_wrap=True)
    control = manifest.results.positive_control
    if control is not None:
        words = {None: "was not measured", "Harm": "holds"}
        held = ", ".join(f"{words.get(said, 'does not hold')} in {model}" for model, said in control.verdicts.items())
        console.print(f"Positive control on {control.tier}: {held}", markup=False, soft_wrap=not console.is_terminal)


def print_replay(console: Console, original: Path, folder: Path, manifest: Manifest) -> None:
    """How the replay compares with its run."""
    console.print(f"{folder} repeats {original}: {manifest.match}", style="bold", markup=False, soft_wrap=True)


@contextmanager
def steps_bar(screen: Console, *, quiet: bool) -> Generator[Callable[[str, float, float], None]]:
    """A bar for each step of a command that has several, with the time that is left; nothing at all when quiet."""
    bar = Progress(
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(compact=True),
        console=screen,
        disable=quiet,
    )
    steps: dict[str, Any] = {}

    def tell(step: str, done: float, total: float) -> None:
        if step not in steps:
            steps[step] = bar.add_task(step, total=total)
        bar.update(steps[step], completed=done)

    with bar:
        yield tell


@contextmanager
def training_bar(screen: Console, *, quiet: bool) -> Generator[Callable[[TrainingStep], None]]:
    """Steps, loss, accuracy per tier and induction score while a model is trained."""
    bar = Progress(
        TextColumn("step"),
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.description}"),
        console=screen,
        disable=quiet,
    )
    task = bar.add_task("", total=None)

    def tell(event: TrainingStep) -> None:
        bar.update(task, completed=event.step, total=event.steps, description=_training_words(event))

    with bar:
        yield tell


def _training_words(event: TrainingStep) -> str:
    """Loss, and from the last measurement the accuracy per tier and the best induction score."""
    words = f"loss {event.loss:.3f}"
    if event.measurement is None:
        return words
    tiers = " ".join(f"{tier} {share:.2f}" for tier, share in event.measurement.accuracy.items())
    return f"{words} | {tiers} | induction {max(map(max, event.measurement.induction)):.2f}"


def print_calibration(console: Console, found: Calibration) -> None:
    """Every promise of the rule, what was measured, and its bound."""
    table = _table(
        ("promise", "left"), ("measured", "right"), ("bound", "right"), ("limit", "right"), ("holds", "left")
    )
    for rate in found.rates:
        table.add_row(
            rate.promise, f"{rate.rate:.4f}", f"{rate.bound:.4f}", f"{rate.limit:g}", "yes" if rate.holds else "NO"
        )
    console.print(table)
    console.print(
        f"{found.studies:,} simulated studies a setting; every promise holds: {'yes' if found.holds else 'NO'}"
    )


def print_power(console: Console, document: Mapping[str, Any]) -> None:
    """Items per seed by tier and by how much answers change."""
    console.print(f"Family of {document['family_size']} cells; items per seed at the first look, true difference 0")
    shares = any("psi" in row for row in document["cells"])
    table = _table(
        ("tier", "left"),
        ("changed answers" if shares else "sd of differences, nats", "right"),
        ("items", "right"),
        ("a seed holds", "right"),
        ("enough", "left"),
    )
    for row in document["cells"]:
        held = f"{row['holds']:,}" if row["holds"] < 10**9 else "over 10^9"
        spread = f"{row['psi']:.0%}" if shares else f"{row['sd']:g}"
        table.add_row(row["tier"], spread, f"{row['items']:,}", held, "yes" if row["enough"] else "no")
    console.print(table)
