"""Memory: what a pass will need, what the process held at most, and passes that were cut because it did not suffice.

What a pass needs is predicted from shapes alone. The peak is the kernel's own count (`VmHWM` in /proc/self/status, set
back through /proc/self/clear_refs), so it holds weights, activations and allocator alike; where the system has no such
file there is no number, never a guess.
"""

import ctypes
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from lesion.engine.batched.token_order import Layout
from lesion.models.sizes import Sizes

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")
_SAID = ("can't allocate memory", "not enough memory", "out of memory")
"""How torch's allocators complain."""


class Halving(NamedTuple):
    """A pass that was made smaller than shapes alone would have it; last bits of its rows may differ for that."""

    reason: Literal["limit", "out of memory"]
    layer: int
    """Where the pass began."""
    asked: int
    """Interventions that were to share it."""
    got: int
    """Interventions that did."""


def pass_bytes(sizes: Sizes, layout: Layout, item_bytes: int = 4) -> int:
    """Bytes that one intervention's row of a pass holds at its widest, logits included.

    Per token: six streams' worth of copies, queries, keys and values, and the MLP's hidden layer up to three times; per
    token and head its scores twice; per copied token its key and value; per read token its logits twice.
    """
    width = 6 * sizes.d_model + 4 * sizes.n_heads * sizes.d_head + 3 * sizes.d_mlp
    scores = 2 * sizes.n_heads * layout.length
    logits = 2 * len(layout.read) * sizes.vocab_size
    copied = 2 * sizes.n_heads * sizes.d_head * layout.copied
    return item_bytes * (layout.tokens * (width + scores) + copied + logits)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory did not suffice."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(said in str(error) for said in _SAID)


def give_back() -> None:
    """Give memory that was freed back to the system, where the C library is glibc; it would keep it for itself."""
    if (trim := _trim()) is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    """`malloc_trim` of glibc; other C libraries have none."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library, or a system whose programs name none
        return None


def peak_bytes(work: Callable[[], Any]) -> int | None:
    """The most memory that the process held while `work` ran, what it held before included; bytes."""
    if torch.get_default_device().type != "cpu":  # the process's memory is not the device's
        work()
        return None
    try:
        _RESET.write_text("5", encoding="ascii")
    except OSError:
        work()
        return None
    work()
    for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None
