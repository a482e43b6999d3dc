"""What the shell offers when TAB is pressed; `lesion --install-completion` switches it on.

A folder is offered with a slash, so that pressing TAB again looks into it; hidden files are not offered. Nothing heavy
is imported, and nothing is opened but folders.
"""

# ruff: noqa: PLC0415  (a shell asks for one of these at a time)

from collections.abc import Iterator
from pathlib import Path


def models(incomplete: str) -> list[str]:
    """Embedded models, the families of tiny ones, pretrained models that are here, and folders."""
    from lesion.models.families import FAMILIES
    from lesion.models.obtain.pretrained import PRETRAINED, is_there
    from lesion.models.sizes import ZOO

    named = [
        *(f"zoo:{path.parent.name}" for path in sorted(ZOO.glob("*/config.json"))),
        *(f"tiny:{name}" for name in FAMILIES),
        *(f"pretrained:{name}" for name in PRETRAINED if is_there(name)),
    ]
    folders = [folder for folder in _within(incomplete) if folder.endswith("/")] if incomplete else []
    return [name for name in named if name.startswith(incomplete)] + folders


def pretrained(incomplete: str) -> list[str]:
    """Names of the pretrained models that can be had."""
    from lesion.models.obtain.pretrained import PRETRAINED

    return [name for name in PRETRAINED if name.startswith(incomplete)]


def families(incomplete: str) -> list[str]:
    """Rows of the table of architectures."""
    from lesion.models.families import FAMILIES

    return [name for name in FAMILIES if name.startswith(incomplete)]


def tasks(incomplete: str) -> list[str]:
    """Names of tasks."""
    from lesion.tasks.catalogue import TASKS

    return [name for name in TASKS if name.startswith(incomplete)]


def shipped(incomplete: str) -> list[str]:
    """Names of the shipped studies, examples and recipes."""
    from lesion.study.format.shipped import shipped as names
    from lesion.study.format.shipped import shipped_files

    return [name for name in (*names(), *shipped_files()) if name.startswith(incomplete)]


def yaml_files(incomplete: str) -> list[str]:
    """YAML files, and folders that may hold some: studies and recipes."""
    return [path for path in _within(incomplete) if path.endswith(("/", ".yaml", ".yml"))]


def runs(incomplete: str) -> list[str]:
    """Run folders, their manifests, and the folders on the way there."""
    return [path for path in _within(incomplete) if path.endswith(("/", "manifest.json"))]


def run_names(incomplete: str) -> list[str]:
    """Names of the runs in `runs/`, the newest first; where none begins so, run folders."""
    folder = Path("runs")
    named = sorted((path.parent.name for path in folder.glob("*/manifest.json")), reverse=True)
    return [name for name in named if name.startswith(incomplete)] or runs(incomplete)


def _within(incomplete: str) -> Iterator[str]:
    """Paths that begin so, as they were written; folders end with a slash."""
    before, slash, begun = incomplete.rpartition("/")
    folder = Path(before + slash) if slash else Path()
    try:
        found = sorted(folder.iterdir())
    except OSError:  # no such folder, or none that may be read: there is nothing to offer
        return
    for path in found:
        if path.name.startswith(begun) and not path.name.startswith("."):
            yield f"{before}{slash}{path.name}" + "/" * path.is_dir()
