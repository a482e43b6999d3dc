"""What hashes do not see: keys that stand twice in a document, files that became programs or folders, logs cut off."""

import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from lesion.errors import InputError
from lesion.outside.documents import parse_json, read_json
from lesion.outside.files import read_text
from lesion.runs.manifest.run import Manifest

OPEN = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH | stat.S_ISUID | stat.S_ISGID | stat.S_IWGRP | stat.S_IWOTH
"""Mode bits that no file of a run needs; they are named where the manifest itself has them not."""
MOST_DOCUMENT_BYTES = 256_000_000
MOST_LOG_BYTES = 200_000_000


def odd_files(folder: Path, files: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Documents with doubled keys, files of other modes than the manifest's, folders where a file or nothing was."""
    manifest = folder / "manifest.json"
    own = manifest.stat().st_mode & OPEN
    homes = {parent.as_posix() for name in files for parent in Path(name).parents}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            continue
        if path.is_dir():
            if name in files:
                yield name, "is a folder, and was a file"
            elif name not in homes:
                yield name, "was added, a folder"
        elif not path.is_file():
            yield name, "is no regular file"
        elif (more := path.stat().st_mode & OPEN & ~own) and name != ".lock":
            yield name, f"has another mode than the manifest ({stat.filemode(path.stat().st_mode)}, {more:o} more)"
        elif path.suffix == ".json" and (fault := doubled_key(path)):
            yield name, fault


def doubled_key(path: Path) -> str:
    """How a JSON file tells a key twice, in words; empty where it tells none twice, or is no JSON file."""
    try:
        read_json(path, MOST_DOCUMENT_BYTES)
    except InputError as error:
        # what else is wrong with it is named by its hash, or by whoever reads it
        return f"cannot be trusted: {str(error).partition(': ')[2]}" if " twice" in str(error) else ""
    return ""


def log_of(folder: Path) -> Path:
    """Where the log of a run in a home stands, one event a line."""
    day, minute, name = [*folder.resolve().name.split("_", 2), "", ""][:3]
    return folder.resolve().parent.parent / "logs" / f"{day}_{minute}" / f"{name}.jsonl"


def odd_log(folder: Path, manifest: Manifest) -> Iterator[tuple[str, str]]:
    """A log that is cut off, or that does not tell of the gates of the run; nothing where there is none."""
    path = log_of(folder)
    if not path.is_file() or manifest.run != folder.resolve().name:
        return
    parts = [part for part in (path.with_name(f"{path.name}.{n}") for n in (2, 1)) if part.is_file()]
    text = "".join(read_text(part, MOST_LOG_BYTES) for part in [*parts, path])
    events: set[str] = set()
    for line in text.splitlines():
        try:
            told = parse_json(line, path.name)
        except InputError:
            yield f"logs/{path.name}", "has a line that is cut off or no JSON"
            return
        events.add(str(told.get("event", "")) if isinstance(told, dict) else "")  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    if text and not text.endswith("\n"):
        yield f"logs/{path.name}", "ends within a line"
    for gate in manifest.gates:
        if f"gate {gate.stage}: {gate.outcome}: {gate.reason}" not in events:
            yield (
                f"logs/{path.name}",
                f"does not tell that the gate of {gate.stage} said {gate.outcome}",
            )
            return
