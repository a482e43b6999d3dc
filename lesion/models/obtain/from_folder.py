"""A folder saved again as one that can be opened: pickled weights as safetensors, or an adapter merged into its base.

Pickles are read by torch's restricted unpickler (weights_only), which makes tensors and nothing else; no code in the
file is run. The tokenizer's files are copied as they are.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import torch

from lesion.errors import InputError
from lesion.identity import file_hash
from lesion.models.families import family_of
from lesion.models.model import Dtype, load_module, open_here
from lesion.models.obtain.from_gguf import DTYPES, need_space, written_whole
from lesion.models.obtain.lora import merge_adapter, read_adapter
from lesion.models.obtain.origin import Origin, versions, write_origin
from lesion.models.sizes import Source, locate, read_config
from lesion.outside.files import require_regular

_TEXT = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja", "LICENSE")


def import_pickled(folder: Path, out: Path, dtype: str | None) -> Origin:
    """Save a folder with pickled weights (.bin) as safetensors.

    Args:
        folder: the folder.
        out: the folder to write; it must not be there, or be empty.
        dtype: the numbers to save; None: as they are.

    Raises:
        InputError: when the weights are more than tensors, do not fit the config, or `out` is in use.
    """
    config = read_config(Source("folder", str(folder), None))
    family = family_of(config)
    pickled = sorted(folder.glob("pytorch_model*.bin"))
    if not pickled:
        raise InputError(f"{folder} has no pytorch_model.bin, and nothing else that `lesion import` converts")
    for path in pickled:
        require_regular(path)
    with written_whole(out) as half:
        need_space(half, 2 * sum(path.stat().st_size for path in pickled))
        try:
            module: Any = load_module(folder, family, DTYPES[dtype] if dtype else "auto", pickled=True)
        except InputError as error:
            if "weights_only" not in str(error):
                raise
            raise InputError(  # torch's own words advise to read the file in a way that runs its code
                f"{folder}: {pickled[0].name} holds something else than tensors, or is damaged, and is not read; "
                "download the model as safetensors"
            ) from error
        step = f"{', '.join(path.name for path in pickled)} was read by torch's restricted unpickler (weights_only)."
        return _save(module, folder, half, folder.name, "a folder with pickled weights", step)


def import_adapted(base: str, adapter: Path, out: Path, dtype: str | None) -> Origin:
    """Save a model with a LoRA adapter merged into it.

    Args:
        base: the base's name, or its folder, which may be the adapter's own.
        adapter: the adapter's folder.
        out: the folder to write; it must not be there, or be empty.
        dtype: the numbers to save; None: float32.

    Raises:
        InputError: when the base cannot be opened, or the adapter is no plain LoRA of it.
    """
    read_adapter(adapter)
    with written_whole(out) as half, _without_adapter(base, out.parent) as alone:
        if alone is None and locate(base).kind == "tiny":
            raise InputError(f"{base} has no folder that could be saved; name a folder, zoo:NAME or pretrained:NAME")
        model = open_here(base if alone is None else str(alone), dtype=cast("Dtype", dtype or "float32"))
        with torch.no_grad():
            changed = merge_adapter(dict(model.module.named_parameters()), adapter)
        step = f"The LoRA adapter {adapter.name} was added to {changed} matrices: W + scale * B A, in float32."
        name, folder = Path(base).name, cast("Path", model.folder)
        return _save(model.module, folder, half, f"{name} + {adapter.name}", f"{name} with a LoRA adapter", step)


@contextmanager
def _without_adapter(base: str, beside: Path) -> Generator[Path | None]:
    """A copy of a folder without the adapter that may lie in it, by hard links where the disk allows; else none."""
    folder = Path(base)
    if not folder.is_dir():
        yield None
        return
    with TemporaryDirectory(dir=beside, prefix=".base") as place:
        view = Path(place) / folder.resolve().name
        view.mkdir()
        for path in folder.resolve().iterdir():
            if path.is_file() and not path.name.startswith("adapter_"):
                _linked(path, view / path.name)
        yield view


def _linked(path: Path, to: Path) -> None:
    try:
        to.hardlink_to(path)
    except OSError:  # another disk, or one without hard links
        shutil.copyfile(path, to)


def _save(module: Any, folder: Path, half: Path, name: str, about: str, step: str) -> Origin:
    module.save_pretrained(half)
    for file in _TEXT:
        if (folder / file).is_file():
            shutil.copyfile(folder / file, half / file)
    if not (half / "tokenizer.json").is_file():
        raise InputError(f"{folder} has no tokenizer.json: save the fast tokenizer beside the weights")
    dtypes = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in module.parameters()})
    tied = bool(getattr(module.config, "tie_word_embeddings", False))
    weights = sorted(half.glob("*.safetensors"))
    origin = Origin(
        name=name,
        about=about,
        file=folder.name,
        licence="",
        dtype=", ".join(dtypes),
        parameters=sum(tensor.numel() for tensor in module.parameters()),
        embeddings="one matrix" if tied else "two matrices",
        steps=(step, "The weights were saved as safetensors; the tokenizer's files were copied."),
        weights_hash=file_hash(weights[0]) if len(weights) == 1 else "",
        made_with=versions(),
    )
    write_origin(half, origin)
    return origin
