"""README.md of a run folder, in plain words: what was done, what came out, where things are, how to repeat it."""

from collections.abc import Iterable, Sequence

from lesion.report.figures.figures import Figure
from lesion.report.figures.palette import VERDICT_SIGNS
from lesion.report.record import Record
from lesion.report.wording import caveats, ranks
from lesion.report.wording.ablations import ABLATIONS, cell_words
from lesion.report.wording.claims import baseline_words, claim, status_words
from lesion.report.wording.headline import headline, in_full
from lesion.report.wording.replication import said
from lesion.report.wording.words import (
    action,
    doing,
    interval,
    listed,
    model_name,
    points,
    target_words,
    task_words,
    unit_of,
)

_FILES = (
    ("report.html", "the report, for a browser, offline"),
    ("manifest.json", "everything needed to repeat the run, and the hash of every file here"),
    ("study.yaml", "the study as it was given"),
    ("items/*.parquet", "one row per item and condition"),
    ("prompts/*.parquet", "one row per question"),
    ("units/*.json", "one record per finished piece of work, with the receipts of the edits"),
    ("figures/", "every figure as specification, SVG, PNG and PDF, its rows as CSV and Parquet, and their query"),
)


def readme(record: Record, drawn: tuple[Figure, ...]) -> str:
    """The text, Markdown; whatever came from the study or the model is escaped."""
    manifest = record.manifest
    blocks = [
        f"# {escape(manifest.study.name)}: {manifest.status.upper()} run, {manifest.outcome.upper()}",
        f"**{escape(headline(record))}**",
        escape(status_words(manifest)),
        *([f"**This run was stopped:** {escape(manifest.ending.reason)}"] if manifest.outcome == "stopped" else []),
        *_picture(drawn),
        "## What was done",
        *_done(record),
        "## What came out",
        *([_bullets(in_full(record))] if in_full(record) else []),
        *_came_out(record),
        "## Open questions, deviations, limits",
        _bullets([*caveats.open_questions(record), *caveats.deviations(record), *caveats.limits(record)]),
        "## Where things are",
        _bullets([f"`{name}`: {what}" for name, what in _FILES], raw=True),
        "## How to repeat it",
        f"```\nlesion replay runs/{manifest.run}/manifest.json\nlesion verify runs/{manifest.run}\n```",
        f"Rows hash `{manifest.rows_hash}`, study hash `{manifest.study_hash}`.",
    ]
    return "\n\n".join(blocks) + "\n"


def escape(text: str) -> str:
    r"""Text that Markdown takes for text; line breaks become spaces.

    >>> escape("a *b* <i>")
    'a \\*b\\* &lt;i&gt;'
    """
    flat = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{letter}" if letter in "\\`*_[]#|!~" else letter for letter in flat)


def _bullets(texts: Iterable[str], *, raw: bool = False) -> str:
    return "\n".join(f"- {text if raw else escape(text)}" for text in texts)


def _picture(drawn: tuple[Figure, ...]) -> list[str]:
    return [f"![{drawn[0].title}](figures/{drawn[0].name}.png)"] if drawn else []


def _done(record: Record) -> list[str]:
    manifest = record.manifest
    study = manifest.study
    tiers = [f"{tier}: {task_words(task)}" for tier, task in study.tasks.items()]
    models = listed([model_name(model) for model in study.models])
    targets = [
        f"{model_name(model)}: {target_words(manifest, model, licensed=False)}"
        for model in study.models
        if model in manifest.plan.targets
    ]
    stages = listed([f"{gate.stage} ({gate.outcome})" for gate in manifest.gates])
    told = [
        f"Question: {escape(study.question)}",
        escape(f"{models} answered items of these kinds, in {study.baseline.seeds} seeds:"),
        _bullets(tiers),
    ]
    if targets:
        edit = "multiplied by a factor" if study.claims is None else "ablated or multiplied by a factor"
        told.append(escape(f"Then the activations of the target were {edit}: {'; '.join(targets)}."))
    return [*told, escape(f"Stages and their gates: {stages}.")]


def _came_out(record: Record) -> list[str]:
    if not record.findings:
        return ["No verdict: the run ended before confirmation."]
    if record.manifest.study.claims is not None:
        return _claimed(record)
    rows = [
        (
            f"{VERDICT_SIGNS[f.verdict.verdict]} {f.verdict.verdict}", model_name(f.chosen.model), f.chosen.tier,
            action(f.chosen.alpha), points(f.verdict.delta), interval(f.verdict), f"{f.verdict.n:,}",
        )
        for f in record.findings
    ]  # fmt: skip
    table = _table(("verdict", "model", "tier", "what was done", "change, points", "interval", "items"), rows)
    others = said(record)
    told = [table, _bullets(claim(record, finding) for finding in record.findings)]
    return [*told, *([f"On other models: {escape(others)}"] if others else [])]


def _claimed(record: Record) -> list[str]:
    """All ablations side by side, then each cell in full; format 2."""
    unit = unit_of(record.manifest.study)
    rows = [
        (
            f"{VERDICT_SIGNS[f.verdict.verdict]} {f.verdict.verdict}", model_name(f.chosen.model), f.chosen.tier,
            doing(f.chosen), f"{unit.said(f.verdict.delta)} ({unit.span(f.verdict.ci_low, f.verdict.ci_high)})",
            *(f"{cell_words(f, name, unit)}{' (primary)' if name == f.primary else ''}" for name in ABLATIONS),
            baseline_words(record, f), f"{f.verdict.n:,}", ranks.short(record, f),
        )
        for f in record.findings
    ]  # fmt: skip
    columns = ("verdict", "model", "tier", "what was done", f"change, {unit.name} (interval)", *ABLATIONS,
               "baseline (chance)", "items", "among matched sets")  # fmt: skip
    others = said(record)
    told = [_table(columns, rows), _bullets(claim(record, finding) for finding in record.findings)]
    return [*told, *([f"On other models: {escape(others)}"] if others else [])]


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(
        "| " + " | ".join(value if value == "---" else escape(value) for value in line) + " |" for line in lines
    )
