"""What config.json says of a model, held against the module that was loaded."""

from typing import cast

import transformers
from torch import nn

from lesion.errors import InputError, InterventionError, nearest
from lesion.models.families import Family
from lesion.models.sizes import Sizes


def agreed(sizes: Sizes, family: Family, module: nn.Module) -> Sizes:
    """The sizes, once the module itself confirms them; what config.json says is not believed alone.

    Raises:
        InputError: when config and weights differ, or the weights lie on several devices.
    """
    devices = sorted({str(tensor.device) for tensor in module.parameters()})
    if len(devices) > 1 or "meta" in devices or hasattr(module, "hf_device_map"):
        raise InputError(
            f"the weights lie on {', '.join(devices)}: a sharded model (device_map) is refused, because hooks "
            "would meet tensors of several devices; load it whole on one device"
        )
    blocks = cast("nn.ModuleList", submodule_at(module, family.blocks, family))
    heads, neurons = (submodule_at(blocks[0], path, family) for path in (family.attention_out, family.mlp_out))
    vocabulary = submodule_at(module, family.embedding, family)
    told = (sizes.n_layers, sizes.n_heads * sizes.d_head, sizes.d_mlp, sizes.vocab_size)
    real = (len(blocks), _inputs(heads), _inputs(neurons), cast("nn.Embedding", vocabulary).num_embeddings)
    _agreed_projections(sizes, family, blocks[0])
    if told != real:
        raise InputError(
            f"{family.architecture}: the config gives layers, heads x width, neurons and tokens as {told}, "
            f"the weights as {real}; mend the config, or the row '{family.name}' of the table"
        )
    return sizes


def _agreed_projections(sizes: Sizes, family: Family, block: nn.Module) -> None:
    """Make sure that queries, keys and values are as wide as heads and groups say."""
    slots = {"separate": sizes.n_groups, "stacked": sizes.n_heads + 2 * sizes.n_groups}
    wide = slots.get(family.fused, sizes.n_heads + 2 * sizes.n_groups) * sizes.d_head
    projection = submodule_at(block, family.values, family)
    real = getattr(projection, "out_features", None) or getattr(projection, "nf", None)
    if real != wide:
        raise InputError(
            f"{family.architecture}: {sizes.n_groups} keys and values of width {sizes.d_head} need {wide} outputs of "
            f"{family.values}, and it has {real}; mend the config, or the row '{family.name}' of the table"
        )


def submodule_at(module: nn.Module, path: str, family: Family) -> nn.Module:
    """The module at a dotted path.

    Raises:
        InterventionError: when the loaded class has no such module.
    """
    try:
        return module.get_submodule(path)
    except AttributeError as error:
        names: list[str] = [name for name, _ in module.named_modules() if name]  # pyright: ignore
        there = nearest(path, names)
        raise InterventionError(
            f"{family.architecture} as transformers {transformers.__version__} builds it has no '{path}'; {there}"
            f". Mend the row '{family.name}' in lesion/models/families.py"
        ) from error


def _inputs(projection: nn.Module) -> int:
    """The width of a projection's input: `in_features`, or `nx` of transformers' Conv1D."""
    width = getattr(projection, "in_features", None) or getattr(projection, "nx", None)
    if not isinstance(width, int):
        raise InputError(f"a projection of type {type(projection).__name__} is not known: it must be a linear map")
    return width
