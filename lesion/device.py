"""This machine without torch: the device that was asked for, the processor's name, the user's cache folder.

`lesion.models.device` settles on the device.
"""

import os
import platform
from pathlib import Path

from lesion.errors import InputError

VARIABLE = "LESION_DEVICE"
"""The environment variable that `lesion --device` sets; worker processes and fresh environments have it from there."""
DEVICES = ("cpu", "cuda")
"""What may be asked for."""
WORDS = ("device", "device_map", "accelerator", "gpu", "cuda", "mps")
"""What an option or key is called that asks for another device than the processor."""


def wanted() -> str:
    """The device that this process was asked to compute on."""
    return os.environ.get(VARIABLE) or "cpu"


def require_known(name: str) -> None:
    """Make sure that a device is one that may be asked for.

    Raises:
        InputError: when it is not.
    """
    if name not in DEVICES:
        raise InputError(refused(f"device {name}"))


def refused(asked: str) -> str:
    """The message for a request for a device that this version does not compute on.

    >>> refused("device mps").partition(";")[0]
    'device mps: this version computes on the processor, or on one CUDA device (lesion --device cuda)'
    """
    return (
        f"{asked}: this version computes on the processor, or on one CUDA device (lesion --device cuda); MPS, several "
        "devices and a model spread over them (device_map) were never tested and are refused: leave it out"
    )


def processor() -> str:
    """Model name of the processor, as the system gives it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cache_folder() -> Path:
    """`$LESION_CACHE`, or `lesion` below the user's cache folder."""
    named = os.environ.get("LESION_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lesion"
