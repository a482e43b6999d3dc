"""A laboratory for causal interventions on transformer language models.

What users import stands here, and is loaded when it is first asked for: `import lesion` imports neither torch nor any
other module. docs/design/house.md says where everything else is.

>>> import lesion
>>> str(lesion.zero("L5H1"))
'scale 0 L5H1'
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lesion.errors import InputError, InterventionError, LesionError
    from lesion.interventions.intervention import KnockOut, Patch, Receipt, Steer
    from lesion.interventions.parse import mean, median, parse_intervention, resample, scale, zero
    from lesion.interventions.site import Site, head, neuron, parse_site, stream
    from lesion.lab import Lab
    from lesion.models.model import Model, open_model
    from lesion.runs.manifest.run import Manifest, read_manifest
    from lesion.study.format.load import load_study
    from lesion.study.study import Study

__version__ = "0.1.0"

PATIENT = ("OMP_WAIT_POLICY", "PASSIVE")
"""torch's threads sleep while they wait for each other. Beside another job of this machine they else spin: asking
SmolLM2 32 sums took 64 seconds in the place of 8. It holds where torch is imported later; a user's own value stays."""
os.environ.setdefault(*PATIENT)

_HOMES = {
    "lesion.errors": ("InputError", "InterventionError", "LesionError"),
    "lesion.interventions.intervention": ("KnockOut", "Patch", "Receipt", "Steer"),
    "lesion.interventions.parse": ("mean", "median", "parse_intervention", "resample", "scale", "zero"),
    "lesion.interventions.site": ("Site", "head", "neuron", "parse_site", "stream"),
    "lesion.lab": ("Lab",),
    "lesion.models.model": ("Model", "open_model"),
    "lesion.runs.manifest.run": ("Manifest", "read_manifest"),
    "lesion.study.format.load": ("load_study",),
    "lesion.study.study": ("Study",),
}
"""Module -> the names that it gives to this one."""
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "InputError", "InterventionError", "KnockOut", "Lab", "LesionError", "Manifest", "Model", "Patch", "Receipt",
    "Site", "Steer", "Study", "head", "load_study", "mean", "median", "neuron", "open_model", "parse_intervention",
    "parse_site", "read_manifest", "resample", "scale", "stream", "zero",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module 'lesion' has no attribute '{name}'; it has {', '.join(__all__)}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
