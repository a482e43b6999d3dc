"""A run as it is published in a repository: all of it but the tables of every row, which one slim table stands for.

`rows.parquet` has every row's key and whether its answer was right, which is what the verdicts are counted from; the
log-probabilities and questions that are left out come back, with the recorded hash, when the manifest is replayed.
`published.json` names what was left out; `lesion verify` checks what is here, and counts the verdicts again.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import polars as pl
from pydantic import ValidationError

from lesion.errors import InputError
from lesion.identity import Document, file_hash
from lesion.runs.compare import cells_of
from lesion.runs.durable import whole_folder, write_bytes, write_table, write_text
from lesion.runs.manifest import Manifest, read_manifest
from lesion.runs.store import RunFolder
from lesion.study.evidence import STAGES
from lesion.study.rows import ITEM_KEY

NAME, ROWS = "published.json", "rows.parquet"
LEFT_OUT = ("items/", "prompts/", "units/")
"""Folders of a run that are left out."""
COLUMNS = ("stage", *ITEM_KEY, "arm", "item_id", "correct")


class Published(Document):
    """What a published run holds and what it leaves out."""

    published: Literal[1] = 1
    run: str
    """Name of the run folder."""
    seal: str
    """Seal of its manifest."""
    rows: str
    """SHA-256 of rows.parquet."""
    left_out: tuple[str, ...]
    """Files of the run that are not here; their hashes stand in the manifest."""


def is_published(folder: Path) -> bool:
    """Whether this folder is a published run."""
    return (folder / NAME).is_file()


def publish(run: Path, out: Path) -> Path:
    """Copy an intact run into a folder of its name below `out`, slim; its certificate, if any, stands beside it.

    Raises:
        InputError: when the folder exists already, or its rows are not here.
        DiskError: when it cannot be written; nothing half-made is left.
    """
    manifest = read_manifest(run)
    if not (run / "units").is_dir():
        raise InputError(f"{run}: its rows are not here; a run is published from its own folder")
    if (out / manifest.run).exists():
        raise InputError(f"{out / manifest.run} exists; a published run is never written over")
    slim = RunFolder(run).items().select(COLUMNS).sort(COLUMNS[:-2])

    def fill(folder: Path, _: str) -> None:
        for name in (*manifest.files, "manifest.json"):
            if not name.startswith(LEFT_OUT):
                write_bytes(folder / name, (run / name).read_bytes())
        write_table(folder / ROWS, slim)
        document = Published(
            run=manifest.run,
            seal=manifest.seal,
            rows=file_hash(folder / ROWS),
            left_out=tuple(sorted(name for name in manifest.files if name.startswith(LEFT_OUT))),
        )
        write_text(folder / NAME, document.model_dump_json(indent=1) + "\n")

    made = whole_folder(out, manifest.run, fill)
    certificate = run.with_name(f"{run.resolve().name}.certificate.json")
    if certificate.is_file():
        write_bytes(out / certificate.name, certificate.read_bytes())
    return made


def published_faults(folder: Path, manifest: Manifest) -> Iterator[tuple[str, str]]:
    """What is not as it was sealed or counted: file or cell, and the fault."""
    try:
        told = Published.model_validate_json((folder / NAME).read_bytes())
    except ValidationError:
        yield NAME, "is not a description of a published run"
        return
    if (told.run, told.seal) != (manifest.run, manifest.seal):
        yield NAME, "is of another run"
    yield from _file_faults(folder, manifest, told)
    if not (folder / ROWS).is_file() or file_hash(folder / ROWS) != told.rows:
        yield ROWS, "is missing or differs"
    else:
        yield from _count_faults(pl.read_parquet(folder / ROWS), manifest)


def _file_faults(folder: Path, manifest: Manifest, told: Published) -> Iterator[tuple[str, str]]:
    here = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() or path.is_symlink()}
    for name, digest in manifest.files.items():
        if name not in here and name in told.left_out and name.startswith(LEFT_OUT):
            continue
        if name not in here:
            yield name, "is missing"
        elif (folder / name).is_symlink() or file_hash(folder / name) != digest:
            yield name, "differs"
    for name in sorted(here - {*manifest.files, "manifest.json", NAME, ROWS, ".lock"}):
        yield name, "was added"


def _count_faults(rows: pl.DataFrame, manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Verdicts whose n, gained and lost the slim rows do not give."""
    for name, cell in cells_of(manifest.results).items():
        model, tier, arm = name.rsplit("|", 2)
        if cell["verdict"] != "Invalid" and _counts(rows, model, tier, arm) != (
            cell["n"],
            cell["gained"],
            cell["lost"],
        ):
            yield name, "has other counts than its rows give"


def _counts(rows: pl.DataFrame, model: str, tier: str, arm: str) -> tuple[int, int, int]:
    """Items, gained and lost of an arm against the baseline of the same stage."""
    here = rows.filter((pl.col("model") == model) & (pl.col("tier") == tier) & pl.col("stage").is_in(STAGES))
    base = here.filter(pl.col("arm") == "baseline").select("stage", *ITEM_KEY, pl.col("correct").alias("before"))
    both = here.filter(pl.col("arm") == arm).join(base, on=["stage", *ITEM_KEY], how="inner")
    return both.height, int((both["correct"] & ~both["before"]).sum()), int((both["before"] & ~both["correct"]).sum())
