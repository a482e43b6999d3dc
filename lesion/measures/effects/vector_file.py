"""Vectors in files: NumPy arrays, safetensors, and the control vectors of repeng and llama.cpp in GGUF.

A control vector `direction.N` is added to what block N passes on, which is the stream entering block N + 1. Nothing in
these files can run code; a .pt file can, and is refused.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from gguf import GGUFReader
from gguf.quants import dequantize
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from lesion.errors import InputError, Tampered, nearest
from lesion.identity import file_hash
from lesion.interventions.site import Site
from lesion.outside.files import require_regular

MOST_BYTES = 256 * 2**20
"""Largest file that is read."""


def read_vector(path: Path, site: Site, key: str | None = None, sha256: str | None = None) -> Tensor:
    """A vector, (d_model,) in float32.

    Args:
        path: .npy, .safetensors or .gguf.
        site: the stream it is meant for; chooses `direction.N` of a .gguf.
        key: the tensor's name, where a file holds several.
        sha256: hash that the file must have.

    Raises:
        InputError: for another kind of file, a damaged one, or a tensor that is not there or no vector.
        Tampered: when the file has another hash.
    """
    reader = _READERS.get(path.suffix)
    if reader is None:
        more = " (a .pt file can run code: save the tensor with safetensors)" if path.suffix in (".pt", ".pth") else ""
        raise InputError(f"{path} holds no vector that can be read: give {', '.join(_READERS)}{more}")
    require_regular(path, MOST_BYTES)
    if sha256 is not None and (found := file_hash(path)) != sha256:
        raise Tampered(f"{path} has the hash {found}, the study asks for {sha256}")
    named = reader(path)
    wanted = key or (f"direction.{site.layer - 1}" if path.suffix == ".gguf" else None)
    if wanted is None and len(named) != 1:
        raise InputError(f"{path} holds {len(named)} tensors ({', '.join(sorted(named)[:6])}): name one (key)")
    if wanted is not None and wanted not in named:
        raise InputError(f"{path} has no tensor '{wanted}'; {nearest(wanted, named)}")
    vector = named[wanted or next(iter(named))].float().squeeze()
    if vector.ndim != 1 or not bool(torch.isfinite(vector).all()):
        raise InputError(f"{path}: a vector is one row of finite numbers, found the shape {tuple(vector.shape)}")
    return vector


def write_vector(path: Path, site: Site, vector: Tensor) -> None:
    """Write a vector as .npy or .safetensors, there under its site's name.

    Raises:
        InputError: for another kind of file.
    """
    require_vector_name(path)
    numbers = vector.float().cpu().contiguous()
    if path.suffix == ".npy":
        np.save(path, numbers.numpy())
    else:
        save_file({str(site): numbers}, path)


def require_vector_name(path: Path) -> None:
    """Make sure that a vector can be written there.

    Raises:
        InputError: for another kind of file, or a folder that does not exist.
    """
    if path.suffix not in (".npy", ".safetensors"):
        raise InputError(f"{path}: a vector is written as .npy or .safetensors")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}; make it first")


def _npy(path: Path) -> Mapping[str, Tensor]:
    try:
        return {"": torch.from_numpy(np.load(path, allow_pickle=False).astype(np.float32))}
    except (ValueError, TypeError, EOFError, OSError) as error:
        raise InputError(f"{path} is no array of numbers ({_first(error)}); write it with numpy.save") from error


def _safetensors(path: Path) -> Mapping[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, ValueError) as error:
        raise InputError(f"{path} is cut off or damaged ({_first(error)})") from error


def _gguf(path: Path) -> Mapping[str, Tensor]:
    try:
        tensors = GGUFReader(str(path)).tensors
        return {each.name: torch.from_numpy(dequantize(each.data, each.tensor_type).copy()) for each in tensors}
    except Exception as error:  # gguf-py meets a cut file with whatever numpy raises
        raise InputError(f"{path} is no GGUF file, or cut off ({_first(error)})") from error


def _first(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:120]


_READERS: Mapping[str, Callable[[Path], Mapping[str, Tensor]]] = {
    ".npy": _npy, ".safetensors": _safetensors, ".gguf": _gguf,
}  # fmt: skip
