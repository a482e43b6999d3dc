"""A LoRA adapter, recognised and merged: W + scale * B A for every pair of matrices; anything else is refused.

Hu et al. 2021 (https://arxiv.org/abs/2106.09685); scale is alpha / r, or alpha / sqrt(r) where the adapter says
`use_rslora`. Recognising needs no torch.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lesion.errors import InputError
from lesion.outside.documents import read_object

if TYPE_CHECKING:
    from torch import Tensor

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
MOST_BYTES = 1_000_000
_KEY = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])\.weight")
_PLAIN = {
    "use_dora": (False, None),
    "bias": ("none", None),
    "modules_to_save": (None, []),
    "rank_pattern": ({}, None),
    "alpha_pattern": ({}, None),
    "layer_replication": (None, []),
    "lora_bias": (False, None),
    "trainable_token_indices": (None, []),
}
"""Settings with which an adapter is plain LoRA."""


def refuse_adapter(folder: Path) -> None:
    """Make sure that a model's folder holds no adapter, which a loader might or might not add.

    Raises:
        InputError: saying how it is merged.
    """
    if not (folder / CONFIG).exists() and not any(folder.glob("adapter_model.*")):
        return
    merge = f"`lesion import {{}} --adapter {folder} --out DIR` merges it into its base"
    if (folder / "config.json").exists():
        raise InputError(
            f"{folder} holds a model and an adapter (LoRA) beside it; {merge.format(folder)}, or move adapter_* out "
            "of the folder to open the base alone"
        )
    base = _base(folder)
    named = f" of {base}" if base else ""
    raise InputError(f"{folder} holds an adapter (LoRA){named} and no model; {merge.format('BASE')}")


def merge_adapter(weights: Mapping[str, "Tensor"], folder: Path) -> int:
    """Add an adapter to the weights of its base, in place.

    Args:
        weights: the base's tensors by name, (outputs, inputs) or, of GPT-2's Conv1D, (inputs, outputs).
        folder: the adapter's.

    Returns:
        How many matrices were changed.

    Raises:
        InputError: when the adapter is not plain LoRA, or does not fit the base.
    """
    from safetensors import SafetensorError  # noqa: PLC0415  (recognising an adapter needs no torch)
    from safetensors.torch import load_file  # noqa: PLC0415

    settings = read_adapter(folder)
    rank, alpha = settings["r"], settings["lora_alpha"]
    scale = alpha / math.sqrt(rank) if settings.get("use_rslora") else alpha / rank
    if not (folder / WEIGHTS).is_file():
        raise InputError(f"{folder} has no {WEIGHTS}: save the adapter as safetensors")
    try:
        tensors = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{folder / WEIGHTS} cannot be read: {error}") from error
    sides: dict[str, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        found = _KEY.fullmatch(key)
        if found is None:
            raise InputError(f"{folder}: {key} is no matrix of plain LoRA (…lora_A.weight, …lora_B.weight): not merged")
        sides.setdefault(found["module"], {})[found["side"]] = tensor.float()
    if not sides:
        raise InputError(f"{folder / WEIGHTS} holds no matrices")
    for module, pair in sides.items():
        _add(weights, module, pair, rank, scale, bool(settings.get("fan_in_fan_out")), folder)
    return len(sides)


def _add(
    weights: Mapping[str, "Tensor"],
    module: str,
    pair: Mapping[str, "Tensor"],
    rank: int,
    scale: float,
    turned: bool,
    folder: Path,
) -> None:
    weight = weights.get(f"{module}.weight")
    if weight is None or set(pair) != {"A", "B"}:
        missing = "the base has no such matrix" if weight is None else "one of its two matrices is missing"
        raise InputError(f"{folder}: adapter of {module}: {missing}; is it an adapter of this base?")
    down, up = pair["A"], pair["B"]
    if down.ndim != 2 or up.ndim != 2 or (down.shape[0], up.shape[1]) != (rank, rank):
        raise InputError(
            f"{folder}: {module}: lora_A and lora_B of shape {tuple(down.shape)}, {tuple(up.shape)} and r = {rank}"
        )
    change = scale * (up @ down)
    change = change.T if turned else change
    if change.shape != weight.shape:
        raise InputError(
            f"{folder}: {module}: the adapter changes {tuple(change.shape)} numbers, the base has {tuple(weight.shape)}"
        )
    weight.copy_((weight.float() + change).to(weight.dtype))


def read_adapter(folder: Path) -> dict[str, Any]:
    """The settings of a folder's adapter, which is plain LoRA.

    Raises:
        InputError: when there is no adapter, or it is of another kind.
    """
    path = folder / CONFIG
    if not path.exists():
        raise InputError(f"{folder} has no {CONFIG}: it is no adapter; name the adapter's folder")
    said = read_object(path, MOST_BYTES, finite=True)
    if said.get("peft_type") != "LORA":
        raise InputError(f"{path}: peft_type {said.get('peft_type')!r:.40}: only LORA can be merged")
    for key, allowed in _PLAIN.items():
        if key in said and said[key] not in allowed and said[key] is not None:
            raise InputError(
                f"{path}: {key} = {said[key]!r:.60} is more than plain LoRA: merge it with peft and save it"
            )
    for key in ("r", "lora_alpha"):
        if not isinstance(said.get(key), int | float) or said[key] <= 0:
            raise InputError(f"{path}: {key} must be a positive number, not {said.get(key)!r:.40}")
    return said


def _base(folder: Path) -> str:
    try:
        return str(read_object(folder / CONFIG, MOST_BYTES)["base_model_name_or_path"])
    except (InputError, KeyError):
        return ""
