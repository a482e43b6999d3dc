"""Where this process computes: on the processor, or on its one CUDA device, and what keeps the numbers there the same.

A process has one device, `cpu` unless LESION_DEVICE (or `lesion --device`) says `cuda`. `settle` makes it torch's
default, so whatever is made afterwards lies beside the weights. The processor is what a device is held against: a model
that is moved must give the processor's logits (`moved`), and stored numbers of the processor must come out of the
engine (`lesion.engine.proof.device_fixture`). No machine with CUDA has run this code yet; its tests use a make-believe
device.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import copy
import os
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from lesion.device import VARIABLE, require_known, wanted
from lesion.errors import InputError
from lesion.identity import generator
from lesion.models.sizes import Sizes

AGREEMENT = {"float64": 1e-5, "float32": 1e-4, "bfloat16": 5e-2}
"""How far a moved model's logits may be from the processor's, relative to the largest; transformers takes norms, rotary
angles and softmax in float32 whatever a model's numbers are."""
ROWS, TOKENS = 2, 16
"""The random tokens on which that is seen."""


def settle(name: str) -> torch.device:
    """Make a device the one of this process: torch's default, with the settings that make its numbers repeat.

    Args:
        name: `cpu` or `cuda`, the first device that CUDA shows.

    Raises:
        InputError: for any other name, where torch sees no such device, and where the process has another already.
    """
    require_known(name)
    device = torch.device(name) if name == "cpu" else torch.device(name, 0)
    if device == torch.get_default_device():
        return device
    if name == "cpu":
        raise InputError(f"device cpu: this process computes on {torch.get_default_device()}; start another for it")
    if why := absent(name):
        raise InputError(f"device {name}: {why}")
    for setting, value in _SETTINGS.items():
        os.environ.setdefault(setting, value)
    torch.use_deterministic_algorithms(True)
    torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.enable_flash_sdp(False)
    torch.backends.cuda.enable_mem_efficient_sdp(False)
    torch.backends.cuda.enable_cudnn_sdp(False)
    torch.set_default_device(device)
    os.environ[VARIABLE] = name
    return device


_SETTINGS = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
"""Variables that torch reads when CUDA first works; with this one cuBLAS adds in one order. A caller's own value stays,
and is recorded; where a process used CUDA before without one, torch refuses its products by name."""


def absent(name: str) -> str:
    """Why torch cannot compute on a device other than the processor; empty where it can."""
    if getattr(torch, name).is_available():
        return ""
    return f"torch {torch.__version__} sees none here; install a build with {name.upper()}, or leave the option out"


def determinism() -> dict[str, str]:
    """What fixes the numerics of this process, beside the number of threads."""
    fixed = {"deterministic_algorithms": "on", "float32_matmul_precision": "highest"}
    if wanted() == "cpu":
        return fixed
    return {**fixed, "attention_kernel": "math", **{name: os.environ.get(name, "") for name in _SETTINGS}}


def described() -> str:
    """The device as a manifest names it: `cpu`, or `cuda: ` with model, compute capability and CUDA's version."""
    name = wanted()
    if name == "cpu" or absent(name):
        return name
    facts: Any = getattr(torch, name).get_device_properties(0)
    return f"{name}: {facts.name}, compute capability {facts.major}.{facts.minor}, CUDA {torch.version.cuda}"


def busy_seconds(started: float) -> float:
    """Seconds of the clock since `started` (of `time.perf_counter`) that a device was held, its work waited for.

    On the processor 0: there is no device.
    """
    device = torch.get_default_device()
    if device.type == "cpu":
        return 0.0
    getattr(torch, device.type).synchronize()
    return time.perf_counter() - started


def on_processor() -> AbstractContextManager[Any]:
    """Make tensors on the processor while the body runs, whatever the device of this process."""
    return nullcontext() if torch.get_default_device().type == "cpu" else torch.device("cpu")


def moved(module: nn.Module, device: torch.device, dtype: str, sizes: Sizes) -> None:
    """Move a module from the processor to a device, and see that it gives the same logits there; in place.

    Raises:
        InputError: when its logits on random tokens differ by more than `AGREEMENT`.
    """
    if device.type == "cpu":
        return
    tokens = min(TOKENS, sizes.max_positions or TOKENS)
    ids = generator("device").integers(0, sizes.vocab_size, (ROWS, tokens)).tolist()
    with on_processor():
        before = _logits(module, torch.tensor(ids))
    try:
        after = _logits(module.to(device), torch.tensor(ids)).cpu()
    except RuntimeError as error:  # an operation without a deterministic kernel, or memory that does not suffice
        raise InputError(f"device {device.type}: the model does not run there: {str(error).splitlines()[0]}") from error
    error = float((after - before).abs().max()) / max(1.0, float(before.abs().max()))
    if not error <= AGREEMENT[dtype]:
        raise InputError(
            f"device {device.type}: its logits differ from the processor's by {error:.2g} of the largest, more than "
            f"{AGREEMENT[dtype]:g}: what it computes cannot be trusted; leave the option out"
        )


def whole_copy(module: nn.Module) -> nn.Module:
    """A float32 copy on the processor, wherever the module is; a device never holds both."""

    def whole(tensor: torch.Tensor) -> torch.Tensor:
        copied = tensor.detach().to("cpu", copy=True)
        copied = copied.float() if copied.is_floating_point() else copied
        return nn.Parameter(copied, requires_grad=False) if isinstance(tensor, nn.Parameter) else copied

    return copy.deepcopy(module, {id(tensor): whole(tensor) for tensor in [*module.parameters(), *module.buffers()]})


def _logits(module: Any, ids: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return module(ids, use_cache=False).logits.double()
