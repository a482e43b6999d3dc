"""The home folders that this user has ledgers in, so that a registration can search all of them for earlier runs.

The list is a text file in the user's cache folder, one path per line. It never becomes part of a record: a manifest
names runs, not folders of this machine.
"""

from contextlib import suppress
from pathlib import Path

from lesion.device import cache_folder
from lesion.runs.folder.atomic_io import DiskError, write_text

NAME = "homes.txt"
MOST_BYTES = 1_000_000


def known_homes() -> list[Path]:
    """Every home folder on the list that still has a ledger or runs."""
    path = cache_folder() / NAME
    if not path.is_file() or path.stat().st_size > MOST_BYTES:
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    folders = [Path(line) for line in dict.fromkeys(lines) if line]
    return [folder for folder in folders if (folder / "ledger.sqlite").is_file() or (folder / "runs").is_dir()]


def remember_home(home: Path) -> None:
    """Put a home folder on the list; a cache that cannot be written changes nothing else."""
    place, homes = home.resolve(), known_homes()
    if place not in homes:
        with suppress(DiskError):
            write_text(cache_folder() / NAME, "".join(f"{folder}\n" for folder in [*homes, place]))
