"""Whether the report of a run is the one that its rows give: it is made again in a folder of its own and compared.

Report, README and figures are functions of the manifest, the rows and this source. So where the run's source is this
one, every byte must come again; where it is another, or the rows are not here, nothing can be told.
"""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from lesion.errors import LesionError
from lesion.identity import file_hash
from lesion.report.page.write import write_report
from lesion.runs.manifest.run import Manifest

PLACES = ("report.html", "README.md", "figures/")


def rendered(folder: Path, manifest: Manifest) -> list[tuple[str, str]]:
    """Files of a report that its rows do not give, each with what is wrong.

    Args:
        folder: the run folder, intact, with its rows, written by this source.
        manifest: its manifest.
    """
    if not any(name.startswith(PLACES) for name in manifest.files):
        return []
    with TemporaryDirectory() as place:
        again = Path(place) / folder.resolve().name
        shutil.copytree(folder, again, ignore=lambda _, names: [n for n in names if n in ("figures", "report.html")])
        draft = manifest.model_copy(update={"files": {}, "seal": ""})
        try:
            write_report(again, draft)
        except (LesionError, ValueError, LookupError) as error:
            return [("report.html", f"cannot be made from the rows again ({type(error).__name__})")]
        return [
            (name, "is not what the rows give")
            for name in manifest.files
            if name.startswith(PLACES) and (not (again / name).is_file() or not _same(folder / name, again / name))
        ]


def _same(one: Path, other: Path) -> bool:
    return one.is_file() and file_hash(one) == file_hash(other)
