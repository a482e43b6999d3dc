"""README.md of a run folder, in plain words: what was done, what came out, where things are, how to repeat it."""

from lesion.report.figures.figures import Figure
from lesion.report.figures.parts.palette import VERDICT_SIGNS
from lesion.report.findings import Finding
from lesion.report.markdown import paragraphs, templates
from lesion.report.record import Record
from lesion.report.wording import caveats
from lesion.report.wording.claims import baseline_words, claim, status_words
from lesion.report.wording.evidence import dissociations, ranks, replication
from lesion.report.wording.evidence.ablations import ABLATIONS, cell_words
from lesion.report.wording.headline import headline, in_full
from lesion.report.wording.words import (
    action,
    all_targets,
    happened,
    interval,
    labelled,
    listed,
    model_name,
    points,
    task_words,
    unit_of,
)


def readme(record: Record, drawn: tuple[Figure, ...]) -> str:
    """The text, Markdown, from the template `readme.md.jinja`; what came from the study or the model is escaped."""
    manifest = record.manifest
    study = manifest.study
    columns, rows = _ablations_table(record) if study.claims is not None else _changes_table(record)
    text = templates().get_template("readme.md.jinja").render(
        manifest=manifest,
        study=study,
        headline=headline(record),
        status=status_words(manifest),
        picture=drawn[0] if drawn else None,
        models=listed([model_name(model) for model in study.models]),
        task_words=task_words,
        targets="; ".join(all_targets(manifest)),
        happened=happened(study),
        stages=listed([f"{gate.stage} ({gate.outcome})" for gate in manifest.gates]),
        answers=in_full(record),
        columns=columns,
        rows=rows,
        findings=[claim(record, finding) for finding in record.findings],
        dissociated=dissociations.said(record),
        on_other_models=replication.said(record),
        caveats=[*caveats.open_questions(record), *caveats.deviations(record), *caveats.limits(record)],
    )  # fmt: skip
    return paragraphs(text)


Columns = tuple[str, ...]


def _changes_table(record: Record) -> tuple[Columns, list[Columns]]:
    """One row per cell of a run of format 1."""
    columns = ("verdict", "model", "tier", "what was done", "change, points", "interval", "items")
    rows = [
        (
            *_cell_names(f), action(f.chosen.alpha), points(f.verdict.delta), interval(f.verdict),
            f"{f.verdict.n:,}",
        )
        for f in record.findings
    ]  # fmt: skip
    return columns, rows


def _ablations_table(record: Record) -> tuple[Columns, list[Columns]]:
    """One row per cell of a run of format 2; ablations, where they were made, side by side."""
    unit = unit_of(record.manifest.study)
    ablations = ABLATIONS if record.manifest.study.sweep.edit.exchange is None else ()
    columns = ("verdict", "model", "tier", "what was done", f"change, {unit.name} (interval)", *ablations,
               "baseline (chance)", "items", "among matched sets")  # fmt: skip
    rows = [
        (
            *_cell_names(f), labelled(f.chosen),
            f"{unit.said(f.verdict.delta)} ({unit.span(f.verdict.ci_low, f.verdict.ci_high)})",
            *(f"{cell_words(f, name, unit)}{' (primary)' if name == f.primary else ''}" for name in ablations),
            baseline_words(record, f), f"{f.verdict.n:,}", ranks.short(record, f),
        )
        for f in record.findings
    ]  # fmt: skip
    return columns, rows


def _cell_names(finding: Finding) -> Columns:
    """Verdict, model and tier."""
    verdict = finding.verdict.verdict
    return f"{VERDICT_SIGNS[verdict]} {verdict}", model_name(finding.chosen.model), finding.chosen.tier
