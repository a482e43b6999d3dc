"""A model folder's weight files and their hash; needs no torch, so that a run can be verified cheaply."""

from pathlib import Path

from lesion.errors import InputError
from lesion.identity import content_hash, file_hash


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model, sorted by name; pickled weights are refused, because loading them runs code.

    Raises:
        InputError: when the folder holds no safetensors file.
    """
    found = sorted(folder.glob("*.safetensors"))
    if not found:
        pickled = sorted(p.name for p in folder.iterdir() if p.suffix in {".bin", ".pt", ".pth", ".ckpt", ".pkl"})
        had = f"it holds {', '.join(pickled)}, and unpickling runs code" if pickled else "it holds none"
        raise InputError(f"{folder}: weights must be *.safetensors; {had}. Convert them with safetensors first")
    return found


def weights_hash(folder: Path) -> str:
    """SHA-256 of the one weights file; of several, the content hash of {name: SHA-256}.

    Raises:
        InputError: when the folder holds no safetensors file.
    """
    hashes = {path.name: file_hash(path) for path in weight_files(folder)}
    return next(iter(hashes.values())) if len(hashes) == 1 else content_hash(hashes)
