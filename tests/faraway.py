"""A make-believe device, so that code for an accelerator is run where there is none.

Its tensors hold ordinary ones, and every operation is done on these by the processor; so numbers are the same, and what
a real device refuses is refused: operations on tensors of both places, and `numpy()` of what lies far away.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from lesion import device

NAME = "far"


class _Module:
    """What torch asks of the module `torch.far`, and what `lesion` does."""

    @staticmethod
    def is_initialized() -> bool:
        return True

    @staticmethod
    def is_available() -> bool:
        return True

    @staticmethod
    def current_device() -> int:
        return 0

    @staticmethod
    def _is_in_bad_fork() -> bool:
        return False

    @staticmethod
    def manual_seed_all(seed: int) -> None:
        """It has no generator."""

    @staticmethod
    def device_count() -> int:
        return 1

    @staticmethod
    def synchronize() -> None:
        """Nothing is under way: the processor does it all at once."""

    @staticmethod
    def get_device_properties(_: int) -> SimpleNamespace:
        return SimpleNamespace(name="make-believe", major=0, minor=1)


_setup_privateuseone_for_python_backend(NAME, _Module())
PLACE = torch.device(NAME, 0)
CROSSING = ("aten::_to_copy", "aten::copy_")
INDEXING = ("aten::index.Tensor", "aten::index_put_", "aten::_index_put_impl_")
"""These take indices of the processor for tensors that lie elsewhere, as CUDA's do."""
FORBIDDEN = ("aten::cumsum", "aten::histc", "aten::kthvalue", "aten::median.dim", "aten::put_")
"""Some of what has no deterministic kernel for floats on CUDA (torch's list at `use_deterministic_algorithms`)."""
MATH = 0
"""What torch answers when asked which attention kernel to take: the plain one."""


class Far(torch.Tensor):
    """A tensor that says it lies on the far device."""

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> "Far":
        shape = {"strides": inner.stride(), "storage_offset": inner.storage_offset(), "dtype": inner.dtype}
        return torch.Tensor._make_wrapper_subclass(cls, inner.size(), device=PLACE, requires_grad=False, **shape)

    def __init__(self, inner: torch.Tensor) -> None:
        self.inner = inner

    def __repr__(self) -> str:
        return f"Far({self.inner})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _done(func, args, kwargs or {})


FAULTS: dict[str, float] = {}
"""Operations that a broken device gets wrong, by what it multiplies their results with."""


def _done(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    given = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, torch.Tensor)]
    far = [value for value in given if isinstance(value, Far)]
    asked = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, torch.device)]
    there = asked[0].type == NAME if asked else bool(far)
    if not far and not there:
        return func(*args, **kwargs)
    name = func.name()
    near = [value for value in given if not isinstance(value, Far) and value.ndim]
    if name in INDEXING and isinstance(args[0], Far):  # its indices may be the processor's, its values may not
        near = [value for value in near if not any(value is index for index in args[1])]
    if name in FORBIDDEN and far and far[0].dtype.is_floating_point and torch.are_deterministic_algorithms_enabled():
        raise RuntimeError(f"{name} does not have a deterministic implementation, but you set deterministic algorithms")
    if far and near and name not in CROSSING:
        raise RuntimeError(f"{name}: expected all tensors to be on the same device, but found {NAME} and cpu")
    if "_fused_sdp_choice" in name:
        return MATH
    faulty = FAULTS.get(name, 1.0)
    known = {id(value.inner): value for value in far}
    result = func(*tree_map(_inner, args), **tree_map(_inner, kwargs))

    def sent(value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or not there:
            return value
        with torch.inference_mode(False):
            return known[id(value)] if id(value) in known else Far(value if faulty == 1.0 else value * faulty)

    return tree_map(sent, result)


def _inner(value: Any) -> Any:
    if isinstance(value, torch.device):
        return torch.device("cpu")
    return value.inner if isinstance(value, Far) else value


def _sent(values: Sequence[Any]) -> torch.Tensor:
    return torch.tensor(list(values), device="cpu", dtype=None if values else torch.long).to(PLACE)


class _Operations(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _done(func, args, kwargs or {})


class _Functions(TorchFunctionMode):
    """What torch does before it gets to operations."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor, torch.asarray):
            place = torch.device(kwargs.pop("device", None) or torch.get_default_device())
            made = args[0] if isinstance(args[0], torch.Tensor) else func(*args, device="cpu", **kwargs)
            return made.to(place)
        if func in (torch.Tensor.__getitem__, torch.Tensor.__setitem__) and isinstance(args[0], Far):
            where = args[1] if isinstance(args[1], tuple) else (args[1],)
            indices = tuple(_sent(index) if isinstance(index, list | range) else index for index in where)
            return func(args[0], indices, *args[2:])
        if args and isinstance(args[0], Far):
            if func in (torch.Tensor.tolist, torch.Tensor.data_ptr):
                return func(args[0].inner)
            if func is torch.Tensor.numpy:
                if not kwargs.get("force"):
                    raise TypeError(f"can't convert {PLACE} device type tensor to numpy; use Tensor.cpu() first")
                return args[0].inner.numpy(force=True)
        return func(*args, **kwargs)


CUDA = torch.backends.cuda
KERNELS = (
    (CUDA.enable_flash_sdp, CUDA.flash_sdp_enabled),
    (CUDA.enable_mem_efficient_sdp, CUDA.mem_efficient_sdp_enabled),
    (CUDA.enable_cudnn_sdp, CUDA.cudnn_sdp_enabled),
)
"""Switches of torch's attention kernels, which hold for the processor, too, and how they stand."""


@contextmanager
def far_away(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let this process compute on the make-believe device while the body runs."""
    monkeypatch.setattr(device, "DEVICES", (*device.DEVICES, NAME))
    monkeypatch.setenv(device.VARIABLE, NAME)
    deterministic = torch.are_deterministic_algorithms_enabled()
    kernels = [(switch, allowed()) for switch, allowed in KERNELS]
    try:
        with _Operations(), _Functions():
            yield
    finally:
        torch.set_default_device(None)
        torch.use_deterministic_algorithms(deterministic)
        for switch, allowed in kernels:
            switch(allowed)
