"""Double dissociations as a table of the paper: both leads with their intervals, each a claim."""

from collections.abc import Sequence

from lesion.report.paper.claims.claim import pointer
from lesion.report.paper.manuscript import Line, Name, words
from lesion.report.paper.text.run_view import RunView
from lesion.report.paper.text.sections import Table
from lesion.report.wording.words import model_name


def dissociations_table(runs: Sequence[RunView]) -> Table:
    """A line for each question about two targets and two tasks."""
    several = len(runs) > 1
    columns = ("question", "verdict", "lead on the first task", "lead on the second", "Holm p")
    rows = tuple(
        ((words(Name(run.study.name)),) if several else ()) + row for run in runs for row in _rows(run)
    )  # fmt: skip
    widths = (1.8, 1.2, 1.3, 1.3, 0.6)
    if several:
        return Table(("study", *columns), rows, (0.8, *widths), small=True)
    return Table(columns, rows, widths, small=True)


def _rows(run: RunView) -> list[tuple[Line, ...]]:
    rows: list[tuple[Line, ...]] = []
    for model, found in run.manifest.results.dissociations.items():
        for question, judged in found.items():
            path = ("results", "dissociations", model, question)
            about = f"{model_name(model)}, {question}"
            tags = f" ({', '.join(judged.tags)})" if judged.tags else ""
            p = run.register.of_field(run.name, "p", f"{about}: Holm p", *path, "p_holm")
            leads = [_lead(run, about, place, path) for place in range(len(judged.leads))]
            (one, other), (task, another) = (judged.first, judged.second), judged.tasks
            asked = words(Name(one), " on ", Name(task), ", ", Name(other), " on ", Name(another))
            rows.append((asked, words(f"{judged.verdict}{tags}"), *leads, words(p)))
    return rows


def _lead(run: RunView, about: str, place: int, path: tuple[str, ...]) -> Line:
    """By how much a task's own target harms it more than the other target does."""
    kind = "nats" if run.study.continuous else "interval"
    fields = tuple(pointer(*path, "leads", place, end) for end in ("lead", "low", "high"))
    what = f"{about}: lead on the {'first' if place == 0 else 'second'} task"
    return words(run.register.of_recorded(run.name, kind, what, fields))
