"""What a run leaves to be read: figures, report.html and README.md, written before the manifest is sealed."""

from pathlib import Path

from lesion.report.figures.exports import write_figures
from lesion.report.figures.figures import figures
from lesion.report.page.page import page
from lesion.report.page.readme import readme
from lesion.report.record import read_record
from lesion.runs.folder.atomic_io import write_text
from lesion.runs.manifest.run import Manifest


def write_report(folder: Path, manifest: Manifest) -> dict[str, Path]:
    """Write the report of a run into its folder; name -> path of every file.

    Args:
        folder: the run folder, its units finished.
        manifest: as it stands; a draft without hashes of files and without a seal will do.

    Raises:
        DiskError: when the folder cannot be written.
    """
    record = read_record(folder, manifest)
    drawn = figures(record)
    written = write_figures(folder, drawn)
    for name, text in (("report.html", page(record, drawn, folder)), ("README.md", readme(record, drawn))):
        written[name] = folder / name
        write_text(written[name], text)
    return written
