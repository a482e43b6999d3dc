"""`report.html`: one file that works offline, on a telephone, in light and dark, by keyboard and screen reader.

Everything from the run goes through autoescaping; specifications are JSON in script tags, escaped too. The page may
load nothing (its content security policy says so); links lead only to files beside it.
"""

from pathlib import Path

from lesion.report.figures.figures import Figure
from lesion.report.page.cells import cell_views
from lesion.report.page.explorer import explorer_view
from lesion.report.page.gates import timeline
from lesion.report.page.html import figure_view, library, shipped, templates
from lesion.report.page.provenance import provenance, questions, receipts, unit_views
from lesion.report.page.tokens import tokenization
from lesion.report.record import Record
from lesion.report.wording import caveats
from lesion.report.wording.checks import loud_table
from lesion.report.wording.claims import MARKS, status_words
from lesion.report.wording.doubts import doubts
from lesion.report.wording.error_rates import promises_of
from lesion.report.wording.evidence.dissociations import dissociation_view
from lesion.report.wording.evidence.replication import replication_view
from lesion.report.wording.glossary import glossary
from lesion.report.wording.headline import headline, in_full
from lesion.report.wording.last_words import how_sure
from lesion.report.wording.words import all_targets, model_name, outcome_words, unit_of
from lesion.runs.folder.explorer_data import read_explored


def page(record: Record, drawn: tuple[Figure, ...], folder: Path) -> str:
    """The page of a run as HTML, at most some megabytes whatever the size of the run."""
    manifest = record.manifest
    environment = templates()
    return environment.get_template("report.html").render(
        manifest=manifest,
        study=manifest.study,
        headline=_unmarked(record).partition("; "),
        in_full=in_full(record),
        confidence=f"{100 * record.findings[0].verdict.confidence:g} %" if record.findings else "",
        mark=MARKS[manifest.status],
        status_words=status_words(manifest),
        models=[model_name(model) for model in manifest.study.models],
        targets=all_targets(manifest),
        cells=cell_views(record),
        claimed=manifest.study.claims is not None,
        ablated=manifest.study.sweep.edit.exchange is None,
        unit=unit_of(manifest.study).name,
        outcome=outcome_words(manifest.study),
        margin=unit_of(manifest.study).plain(manifest.study.verdict.margin),
        figures={figure.name: figure_view(figure) for figure in drawn},
        lead=_lead(record, drawn),
        dissociation=dissociation_view(record),
        replication=replication_view(record),
        steps=timeline(manifest),
        receipts=receipts(record),
        questions=questions(record),
        sure=_sure(record),
        words=glossary(record),
        doubts=doubts(record),
        query=counted_query(manifest.run),
        deviations=caveats.deviations(record),
        open_questions=caveats.open_questions(record),
        limits=caveats.limits(record),
        absent=caveats.absent(record),
        provenance=provenance(record),
        units=unit_views(record),
        prompt_files=sorted(path.name for path in (folder / "prompts").glob("*.parquet")),
        loud=loud_table(manifest),
        tokens=tokenization(record),
        promises=promises_of(manifest.study),
        explorer=explorer_view(record, read_explored(folder)),
        style=shipped(environment, "style.css"),
        charts_script=shipped(environment, "charts.js"),
        explorer_script=shipped(environment, "attention.js") + shipped(environment, "explorer.js"),
        library=library() if drawn else "",
    )


def _unmarked(record: Record) -> str:
    """The headline without its status, which stands above it on the page."""
    body = headline(record).removeprefix(MARKS[record.manifest.status])
    return f"{body[0].upper()}{body[1:]}"


def _sure(record: Record) -> str:
    """How sure the run is; of its status only that of a confirmatory run, for a notice tells of the others."""
    text = how_sure(record, says_status=record.manifest.status == "confirmatory")
    return f"{text[0].upper()}{text[1:]}"


def counted_query(run: str) -> str:
    """A query that a reader can paste after `lesion query`: accuracy by task and condition, on confirmation items."""
    quoted = run.replace("'", "''")
    return (
        "SELECT tier, arm, COUNT(*) AS n, ROUND(AVG(CASE WHEN correct THEN 100.0 ELSE 0.0 END), 1) AS accuracy"
        f" FROM items WHERE run = '{quoted}' AND stage = 'confirm' GROUP BY tier, arm ORDER BY tier, arm"
    )


def _lead(record: Record, drawn: tuple[Figure, ...]) -> str:
    """Name of the figure that shows the headline: the verdicts, or the baseline that stopped the run."""
    names = [figure.name for figure in drawn]
    stopped_at = record.manifest.gates[-1].stage if record.manifest.gates else ""
    return next((name for name in ("verdicts", stopped_at) if name in names), "")
