"""What others may have done to a module: hooks, packed numbers, a tokenizer that does not fit, later changes.

A module in memory belongs to its user. What would make two commands answer differently about it is refused when it is
opened, and noticed later by a mark: versions, places and samples of all tensors, and hooks. lesion's own do not count.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateUsage=false

from collections.abc import Generator
from functools import partial
from typing import Any, NamedTuple

import torch
from tokenizers import Tokenizer
from torch import nn
from torch.nn.modules import module as torch_modules

from lesion.errors import InputError
from lesion.models.sizes import Sizes

_KINDS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_GLOBAL = ("_global_forward_hooks", "_global_forward_pre_hooks", "_global_backward_hooks", "_global_backward_pre_hooks")
_PACKED = ("torch.ao.", "torch.nn.quantized", "torch.nn.qat", "bitsandbytes.", "torchao.", "auto_gptq.", "awq.")
_KNOWN = ("lesion.", "transformers.utils.output_capturing")
"""Modules whose hooks are no strangers: transformers leaves its own on a model that once gave its patterns."""
SAMPLES = 64
"""Numbers of each tensor that a mark holds, evenly spaced."""
UNUSED = frozenset({"<image_soft_token>"})
"""Tokens beyond the embedding that text models are published with: Gemma 3's tokenizer also serves images."""


class Mark(NamedTuple):
    """What a module was when it was opened."""

    tensors: dict[str, tuple[int, int, tuple[int, ...], torch.dtype]]
    """Per tensor its version (-1: not kept), place in memory, shape and type."""
    samples: torch.Tensor
    """Some numbers of every tensor, (samples,), float64."""
    hooks: frozenset[str]
    """Foreign hooks and replaced methods, in words."""


def mark(module: nn.Module) -> Mark:
    """The mark of a module as it is now; some milliseconds, whatever its size."""
    tensors: dict[str, tuple[int, int, tuple[int, ...], torch.dtype]] = {}
    samples: list[torch.Tensor] = []
    for name, tensor in _tensors(module):
        version = -1 if tensor.is_inference() else tensor._version
        tensors[name] = (version, tensor.data_ptr(), tuple(tensor.shape), tensor.dtype)
        flat = tensor.detach().reshape(-1)
        samples.append(flat[:: max(1, flat.numel() // SAMPLES)][:SAMPLES].to("cpu", torch.float64))
    return Mark(tensors, torch.cat(samples), frozenset(_hooks(module)))


def require_unchanged(module: nn.Module, before: Mark) -> None:
    """Make sure that a module is what it was when it was opened.

    Raises:
        InputError: naming what changed, and the way on.
    """
    now = mark(module)
    again = "open it again: Lab(module, tokenizer)"
    if added := sorted(now.hooks - before.hooks):
        raise InputError(f"the module was hooked after it was opened ({added[0]}): take the hook off, or {again}")
    changed = sorted(
        name for name in now.tensors.keys() | before.tensors.keys() if now.tensors.get(name) != before.tensors.get(name)
    )
    if changed or not torch.equal(now.samples, before.samples):
        what = ", ".join(changed[:3]) or "some numbers"
        raise InputError(
            f"the module was changed after it was opened and proved ({what}): its weights are no longer those that "
            f"were proved; {again}"
        )


def require_native(module: nn.Module) -> None:
    """Make sure that nobody hooked a module or packed its numbers.

    Raises:
        InputError: naming the hook or the layer.
    """
    for path, part in module.named_modules():
        where = f"{type(part).__module__}.{type(part).__qualname__}"
        packed = where.startswith(_PACKED)
        if packed or any(type(each) not in (nn.Parameter, torch.Tensor) for each in part.parameters(recurse=False)):
            raise InputError(
                f"{path} is quantised ({where}): its numbers are packed, and no identity can read them; open the "
                "model as it was before quantising"
            )
    if found := sorted(_hooks(module)):
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        raise InputError(
            f"the module is hooked already: {found[0]}{more}; take hooks off first, for what is measured "
            "would not be the model alone"
        )


def require_fit(tokenizer: Tokenizer, bos: int | None, told_bos: Any, sizes: Sizes) -> None:
    """Make sure that the embedding has a row for every token that the tokenizer can write.

    Args:
        tokenizer: the tokenizer.
        bos: the token that begins a text.
        told_bos: what config.json says of it.
        sizes: of the loaded model.

    Raises:
        InputError: naming tokens and numbers.
    """
    beyond = {
        text: number
        for text, number in tokenizer.get_vocab(with_added_tokens=True).items()
        if number >= sizes.vocab_size
    }
    named = {text: number for text, number in beyond.items() if text not in UNUSED}
    if named:
        text, number = min(named.items(), key=lambda item: item[1])
        raise InputError(
            f"the tokenizer has {len(named)} tokens that the embedding has no row for, as {text!r} ({number}; rows 0 … "
            f"{sizes.vocab_size - 1}): resize the embedding (resize_token_embeddings) and save the model again"
        )
    for number in (bos, told_bos):
        if isinstance(number, int) and not 0 <= number < sizes.vocab_size:
            raise InputError(
                f"the BOS token is {number}, and the embedding has rows 0 … {sizes.vocab_size - 1}: mend "
                "bos_token_id in config.json, or bos_token in tokenizer_config.json"
            )


def _tensors(module: nn.Module) -> Generator[tuple[str, torch.Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()


def _hooks(module: nn.Module) -> Generator[str]:
    """Hooks of strangers (neither lesion's nor transformers' own) and replaced methods, in words."""
    for kind in _GLOBAL:
        for hook in getattr(torch_modules, kind, {}).values():
            yield f"{_word(kind)} {_name(hook)} on every module of this process"
    for path, part in module.named_modules():
        where = path or "the model itself"
        for kind in _KINDS:
            for hook in getattr(part, kind).values():
                if not _own(hook):
                    yield f"{_word(kind)} {_name(hook)} on {where}"
        if "forward" in vars(part) and not _own(vars(part)["forward"]):
            yield f"a replaced forward of {where}"


def _own(hook: Any) -> bool:
    function = hook.func if isinstance(hook, partial) else hook
    return str(getattr(function, "__module__", "")).startswith(_KNOWN)


def _name(hook: Any) -> str:
    function = hook.func if isinstance(hook, partial) else hook
    return str(getattr(function, "__qualname__", type(function).__name__))


def _word(kind: str) -> str:
    words = kind.removeprefix("_global").strip("_").removesuffix("_hooks").replace("_", " ")
    return f"a {words} hook"
