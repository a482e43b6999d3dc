"""The pages as HTML, from templates that escape whatever they are given."""

# pyright: reportUnknownMemberType=false

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment

from lesion import __version__
from lesion.errors import InputError
from lesion.report.page.html import templates
from lesion.report.view.finished import finished
from lesion.report.view.head_map import HeadMap, head_maps
from lesion.report.view.home import NO_STUDY, UNFINISHED, Listing, Wanted, folder_in, listing, manifest_of
from lesion.report.view.look import MOST_LETTERS, MOST_TOKENS, Reader, filled, require_model, require_reader, tiers_of
from lesion.report.view.running import running
from lesion.runs.check.compare import CallsCompared, Comparison, compare_calls, compare_runs
from lesion.runs.manifest.command import Call, read_repeat

ASSETS = {
    "style.css": "text/css", "view/view.css": "text/css", "view/view.js": "text/javascript",
    "view/look.js": "text/javascript", "attention.js": "text/javascript",
}  # fmt: skip
"""Files of the templates that pages load, and their types."""
MOST_LINES = 200
"""Runs that the list shows at once; filters find the others."""
MOST_CHANGES = 60
"""Differences that a comparison shows of each part."""
MATCHES = {
    "bit-equal": "Every row is the same, bit for bit.",
    "noise-floor": "No answer differs, and numbers differ by no more than the measured noise floor.",
    "verdict-equal": "Rows differ; every verdict is the same.",
    "different": "Rows and verdicts differ.",
}


@cache
def _environment() -> Environment:
    environment = templates()
    environment.filters["moment"] = _moment
    environment.filters["span"] = span
    return environment


def asset(name: str) -> str:
    """The text of a style sheet or script.

    Raises:
        InputError: when there is none of this name.
    """
    environment = _environment()
    if name not in ASSETS or environment.loader is None:
        raise InputError(f"there is no asset '{name[:60]}'; pages load {', '.join(ASSETS)}")
    return environment.loader.get_source(environment, name)[0]


def list_page(home: Path, wanted: Wanted) -> str:
    """All runs, the newest first, with filters."""
    found = listing(home)
    lines = found.select(wanted)
    return _render(
        "list", home=home.resolve().name, lines=lines[:MOST_LINES], matching=len(lines), total=len(found.lines),
        broken=found.broken, choices=found.choices(), wanted=wanted._asdict(), no_study=NO_STUDY,
        running=sum(line.outcome == "running" for line in found.lines),
    )  # fmt: skip


def look_page(home: Path, reader: Reader | None, wanted: Mapping[str, str]) -> str:
    """A form for a text, and where its answer is drawn.

    Args:
        home: where `runs/` is.
        reader: reads texts.
        wanted: what the form begins with: `model`, `head`, `text`, and what `lesion.report.view.look.filled` takes.

    Raises:
        InputError: when no model can be read, or there is no such item.
    """
    reader = require_reader(reader)
    model = wanted.get("model", "") or reader.models[0]
    require_model(reader, model)
    run = wanted.get("run", "")
    tiers = tiers_of(home, run, reader.models) if run else {}
    if tiers and model not in tiers:
        model = next(iter(tiers))
    return _render(
        "look", model=model, models=tuple(tiers) or reader.models, wanted_head=wanted.get("head", ""), run=run,
        tiers=tiers.get(model, {}), tier=wanted.get("tier", ""), task=wanted.get("task", ""),
        number=wanted.get("item", "") or "0", filled=filled(home, reader, {**wanted, "model": model}),
        most_letters=MOST_LETTERS, most_tokens=MOST_TOKENS,
    )  # fmt: skip


def run_page(home: Path, name: str, reader: Reader | None = None) -> str:
    """One run: as it stands, if it has not ended.

    Args:
        home: where `runs/` is.
        name: of the run folder.
        reader: reads texts; pages link to attention patterns of the models that it has.

    Raises:
        InputError: when there is no such run.
        Tampered: when its manifest was changed after it was sealed.
    """
    folder = folder_in(home, name)
    if not (folder / "manifest.json").exists() and not folder.is_symlink():
        return _render("running", run=running(home, folder))
    all_runs = listing(home)
    for broken in all_runs.broken:
        if broken.run == name:
            raise InputError(f"{name}: {broken.why}")
    manifest, names = manifest_of(folder), {line.seal: line.run for line in all_runs.lines if line.seal}
    line = next(line for line in all_runs.lines if line.run == name)
    others = _comparable(all_runs, name, is_call=isinstance(manifest, Call))
    readable = () if reader is None else reader.models
    if isinstance(manifest, Call):
        look = next((model.name for model in manifest.models if model.name in readable), "")
        listed = sorted({*manifest.files, "manifest.json"})
        return _render("call", call=manifest, line=line, others=others, listed=listed, maps=_maps(folder, manifest),
                       look=look)  # fmt: skip
    look = next((model for model in manifest.study.models if model in readable), "")
    return _render("run", run=finished(home, folder, manifest, names), line=line, others=others, look=look)


def _maps(folder: Path, call: Call) -> tuple[HeadMap, ...]:
    """The head maps of a recorded `lesion heads` whose result is at hand."""
    result = read_repeat(folder).result if call.command == "heads" else None
    return () if result is None else head_maps(result)


def _comparable(all_runs: Listing, name: str, *, is_call: bool) -> list[str]:
    """The finished runs of the same kind, the newest first."""
    return [
        line.run
        for line in all_runs.lines
        if line.run != name and line.outcome not in UNFINISHED and (not line.study) == is_call
    ]


def compare_page(home: Path, first: str, second: str) -> str:
    """Two runs side by side.

    Raises:
        InputError: when one of them is not there, or they are not of one kind.
        Tampered: when a manifest or rows were changed after they were sealed.
    """
    folders = folder_in(home, first), folder_in(home, second)
    if unfinished := [folder.name for folder in folders if not (folder / "manifest.json").exists()]:
        raise InputError(f"{unfinished[0]} has not ended, so it cannot be compared yet")
    calls = [isinstance(manifest_of(folder), Call) for folder in folders]
    if any(calls) and not all(calls):
        raise InputError("one is the run of a study and the other a command; choose two of a kind")
    compared: Comparison | CallsCompared = compare_calls(*folders) if all(calls) else compare_runs(*folders)
    parts = {"Parameters": compared.parameters, "Environment": compared.environment}
    study = isinstance(compared, Comparison)
    if study:
        parts = {"Verdicts": compared.verdicts, **parts}
    return _render(
        "compare", compared=compared, meaning=MATCHES[compared.grade], parts=parts, most=MOST_CHANGES,
        rows=compared.rows if study else None, result=() if study else compared.result,
    )  # fmt: skip


def error_page(title: str, sentence: str) -> str:
    """What went wrong, in a sentence."""
    return _render("error", title=title, sentence=sentence)


def _render(name: str, **values: Any) -> str:
    shown: Mapping[str, Any] = {"version": __version__, **values}
    return _environment().get_template(f"view/{name}.html").render(shown)


def _moment(text: str) -> str:
    """`2026-11-29 19:37 UTC` of an ISO 8601 time."""
    return f"{text[:16].replace('T', ' ')} UTC" if text else "–"


def span(seconds: float) -> str:
    """A span of time in the unit that suits it.

    >>> span(42), span(600), span(9000)
    ('42 s', '10 min', '2.5 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
