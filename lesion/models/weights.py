"""A model folder's weight files and their hash; needs no torch, so that a run can be verified cheaply.

The files that are hashed are those that transformers loads: `model.safetensors`, else the files that
`model.safetensors.index.json` names. Both lie in the folder itself.
"""

from pathlib import Path

from lesion.errors import InputError
from lesion.identity import content_hash, file_hash
from lesion.outside.documents import read_object

ONE, INDEX = "model.safetensors", "model.safetensors.index.json"
MOST_INDEX_BYTES = 100_000_000


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that a model is loaded from, sorted by name.

    Args:
        folder: a model's folder in Hugging Face format.

    Raises:
        InputError: when there are none (pickled weights are refused, because loading them runs code), the index names a
            file outside the folder or one that is missing, or a file is a link that leads out of it.
    """
    if (folder / ONE).is_file():
        found = [folder / ONE]
    elif (folder / INDEX).is_file():
        found = [folder / name for name in _named(folder / INDEX)]
    else:
        pickled = sorted(p.name for p in folder.iterdir() if p.suffix in {".bin", ".pt", ".pth", ".ckpt", ".pkl"})
        had = f"it holds {', '.join(pickled[:3])}, and unpickling may run code" if pickled else "it holds none"
        fix = f": `lesion import {folder} --out DIR` converts them safely" if pickled else ""
        raise InputError(f"{folder}: weights must be {ONE}, or files that {INDEX} names; {had}{fix}")
    for path in found:
        if not path.is_file():
            raise InputError(f"{path}: is named by {INDEX}, and is not there; fetch the whole model again")
        if not _inside(path, folder):
            raise InputError(f"{path}: is a link that leads out of the model's folder; put the file itself there")
    return found


def _named(index: Path) -> list[str]:
    """The files that an index names, each once; every one a plain name."""
    document = read_object(index, MOST_INDEX_BYTES)
    try:
        names = sorted({str(name) for name in document["weight_map"].values()})
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{index}: is no index of weight files ({error.__class__.__name__})") from error
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise InputError(f"{index}: names '{name[:80]}'; allowed are *.safetensors files in the folder itself")
    return names


def _inside(path: Path, folder: Path) -> bool:
    """Whether a file lies in the folder, or in the blobs beside it, where the hub's cache keeps what its links mean."""
    real, home = path.resolve(), folder.resolve()
    return real.is_relative_to(home) or real.is_relative_to(home.parent.parent / "blobs")


def weights_hash(folder: Path) -> str:
    """SHA-256 of the one weights file; of several, the content hash of {name: SHA-256}.

    Raises:
        InputError: as `weight_files`.
    """
    hashes = {path.name: file_hash(path) for path in weight_files(folder)}
    return next(iter(hashes.values())) if len(hashes) == 1 else content_hash(hashes)
