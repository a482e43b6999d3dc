"""A run by its name, by the beginning of its name, or by its folder: how commands are told which run is meant."""

from pathlib import Path

from lesion.errors import InputError, nearest
from lesion.outside.documents import parse_json
from lesion.outside.files import read_text

MOST_MANIFEST_BYTES = 256_000_000
"""A larger manifest is refused before it is read."""


def find_run(home: Path, given: str) -> Path:
    """The folder of a run, or the manifest file itself where a file was given.

    Args:
        home: where `runs/` is.
        given: a folder, a manifest file, the name of a run of this home, or the beginning of one name alone.

    Raises:
        InputError: when there is no such run, or several names begin so.
    """
    if "\0" in given or len(given) > 4096:
        raise InputError("a run is named by its folder or its name; this is neither")
    if given and Path(given).exists():
        return Path(given)
    names = sorted(path.parent.name for path in (home / "runs").glob("*/manifest.json"))
    if given in names:
        return home / "runs" / given
    begun = [name for name in names if given and name.startswith(given)]
    if len(begun) == 1:
        return home / "runs" / begun[0]
    if begun:
        raise InputError(f"'{given}' begins the names of {len(begun)} runs: {', '.join(begun[:5])}; say more of it")
    said = nearest(given, names) if names else f"{home / 'runs'} holds no finished run; see `lesion runs`"
    raise InputError(f"there is no run '{given[:100]}'; {said}")


def folder_of(path: Path) -> Path:
    """The run folder that a path means: itself, or the folder in which a manifest lies."""
    return path if path.is_dir() else path.parent


def small_text(path: Path, most: int = MOST_MANIFEST_BYTES) -> str:
    """The text of a JSON file of a run, or of a note.

    Raises:
        InputError: for a file that is missing, no regular file, too large, or not UTF-8; for JSON that is too deep or
            gives a key twice.
    """
    text = read_text(path, most)
    if path.suffix == ".json":
        parse_json(text, str(path))
    return text


def beside(home: Path, run: str, ending: str) -> Path:
    """A file that stands beside a run folder: `runs/NAME.ENDING`.

    Raises:
        InputError: when the name, which may come from a stranger's file, is not that of a folder in `runs/`.
    """
    if run in ("", ".", "..") or "\0" in run or len(run) > 200 or Path(run).name != run:
        raise InputError(f"'{run[:100]}' is not the name of a run folder")
    return home / "runs" / f"{run}.{ending}"
