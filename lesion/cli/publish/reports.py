"""Commands about what people look at: report and figure."""

# ruff: noqa: PLC0415  (commands import what they need)

import hashlib
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lesion.cli.app import Home, Json, RunPath, app, say
from lesion.cli.common.recorded import recorded, wrote
from lesion.errors import InputError, Tampered, nearest

if TYPE_CHECKING:
    from lesion.report.page.several_runs import Source

Format = Literal["svg", "pdf", "png", "html", "csv", "parquet", "sql", "vl.json"]
FORMATS: tuple[Format, ...] = ("svg", "pdf", "png", "html", "csv", "parquet", "sql", "vl.json")


@app.command()
@recorded("report", outputs=("out",))
def report(
    runs: Annotated[list[str], typer.Argument(help="Run folders, run names, or beginnings of names.")],
    out: Annotated[Path | None, typer.Option(help="Output file for several runs. Default: reports/HASH.html.")] = None,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    home: Home = Path(),
    as_json: Json = False,
) -> int:
    """Open a run's report, or write one page that compares several runs."""
    from lesion.runs.folder.find import find_run
    from lesion.runs.manifest.base import raw_manifest

    for each in runs:
        raw_manifest(find_run(home, each))  # garbage is refused before the heavy imports

    from lesion.report.page.several_runs import across
    from lesion.runs.folder.atomic_io import write_text
    from lesion.runs.index.ledger import check_seal

    sources = [_source(find_run(home, run)) for run in dict.fromkeys(runs)]
    for source in sources:
        check_seal(home, source.record.manifest)
    named = [source.record.manifest.run for source in sources]
    if len(sources) == 1 and out is None:
        path = sources[0].folder / "report.html"
        if not path.exists():
            raise InputError(f"{named[0]}: it was made without a report; lesion figure draws its figures")
    else:
        seals = "".join(str(source.record.manifest.seal) for source in sources)
        path = out or home / "reports" / f"{hashlib.sha256(seals.encode()).hexdigest()[:12]}.html"
        write_text(path, across(sources, path.parent))
        wrote(path)
    opened = show and webbrowser.open(path.resolve().as_uri())
    said = "\nno browser could be opened; open the file by hand" if show and not opened else ""
    say({"report": str(path), "runs": named, "opened": opened}, as_json, f"{path}{said}")
    return 0


@app.command()
@recorded("figure", outputs=("out",), always=True)
def figure(
    run: RunPath,
    name: Annotated[str, typer.Argument(help="Name of the figure. An unknown name prints the list.")],
    form: Annotated[
        Format | None, typer.Option("--format", help="File format. Default: from the ending of --out, else svg.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Output file or folder.")] = Path(),
    data: Annotated[bool, typer.Option("--data", help="Also print the figure's rows as CSV.")] = False,
    as_json: Json = False,
) -> int:
    """Redraw one figure of a verified run."""
    from lesion.runs.manifest.base import raw_manifest

    raw_manifest(run)  # garbage is refused before the heavy imports

    from lesion.report.figures.exports import EXPORTS, csv
    from lesion.report.figures.figures import figures
    from lesion.report.page.html import figure_page
    from lesion.runs.folder.atomic_io import write_bytes

    record = _source(run).record
    drawn = {each.name: each for each in figures(record)}
    if name not in drawn:
        raise InputError(f"{record.manifest.run} has no figure '{name[:60]}'; {nearest(name, drawn)}")
    form, path = _goal(name, form, out)
    wanted = drawn[name]
    content = figure_page(wanted, record.manifest).encode() if form == "html" else EXPORTS[form](wanted)
    write_bytes(path, content)
    wrote(path)
    document: dict[str, Any] = {
        "figure": name, "format": form, "file": path.name, "sha256": hashlib.sha256(content).hexdigest(),
        "run": record.manifest.run, "rows_hash": record.manifest.rows_hash, "query": wanted.query,
        "rows": wanted.rows.height,
    }  # fmt: skip
    if data:
        document["data"] = wanted.rows.to_dicts()
    words = f"{path}\n{wanted.rows.height} rows of run {record.manifest.run}, rows hash {record.manifest.rows_hash}"
    say(document, as_json, f"{words}\n{csv(wanted).decode()}{wanted.query}" if data else words)
    return 0


def _source(path: Path) -> "Source":
    """A run whose folder is what was sealed.

    Raises:
        InputError: when there is no run.
        Tampered: naming the first file that differs.
    """
    from lesion.report.page.several_runs import Source
    from lesion.report.record import read_record
    from lesion.runs.check.verify import verify
    from lesion.runs.folder.find import folder_of
    from lesion.runs.manifest.run import read_manifest

    folder = folder_of(path)
    manifest = read_manifest(folder)
    for finding in verify(folder):
        raise Tampered(f"{folder}: {finding.what} {finding.fault}; see lesion verify")
    return Source(folder, read_record(folder, manifest))


def _goal(name: str, form: Format | None, out: Path) -> tuple[Format, Path]:
    """As what and where a figure is written.

    Raises:
        InputError: when the ending of the file is none that there is, or another than what was asked for.
    """
    ending = out.name.partition(".")[2]
    if not ending or out.is_dir():
        chosen: Format = form or "svg"
        return chosen, out / f"{name}.{chosen}"
    for known in FORMATS:
        if out.name.endswith(f".{known}"):
            if form is not None and form != known:
                raise InputError(f"--out {out} ends in .{known}, but --format is {form}; leave one of them out")
            return known, out
    raise InputError(f"--out {out}: a figure is written as {', '.join(FORMATS)}; {nearest(ending, FORMATS)}")
