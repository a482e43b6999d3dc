"""The rows of one cell with a continuous outcome: one number per item and arm, such as an answer's log-probability."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lesion.errors import InputError
from lesion.stats.paired.rows import Bools, Ints, levels_of, seeds_of

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PairedNumbers:
    """The rows of one cell (intervention x tier x model): the same items, unedited and edited; all arrays are [n].

    Raises:
        InputError: when arrays differ in length, are empty, or an outcome is not a finite number.
    """

    baseline: Floats
    """Outcome of the unedited model, nats."""
    edited: Floats
    """Outcome of the edited model, nats."""
    seed: Ints
    """Which seed drew the item."""
    strata: Mapping[str, NDArray[Any]] = field(default_factory=dict[str, NDArray[Any]])
    """Preregistered stratifications, name -> level of each row."""
    cluster: NDArray[Any] | None = None
    """Template or prefix of each row; if given, the exchangeable unit."""
    item: NDArray[Any] | None = None
    """Content hash of each row's prompt; two seeds with the same items are Degenerate."""

    def __post_init__(self) -> None:
        n = self.baseline.shape
        if not self.baseline.size:
            raise InputError("rows: no items; a cell without rows can only be Invalid")
        for name, column in self._columns().items():
            if column.shape != n or len(n) != 1:
                raise InputError(
                    f"rows: {name} has shape {column.shape}, but baseline has {n}; pair the arms item by item"
                )
        for name, arm in (("baseline", self.baseline), ("edited", self.edited)):
            if not (np.issubdtype(arm.dtype, np.floating) and np.isfinite(arm).all()):
                raise InputError(f"rows: {name} ({arm.dtype}) must hold a finite number in nats for each item")

    @property
    def n(self) -> int:
        """Number of items."""
        return self.baseline.size

    @property
    def difference(self) -> Floats:
        """Paired difference of each item, edited minus baseline, nats; shape [n]."""
        return self.edited.astype(np.float64) - self.baseline.astype(np.float64)

    def where(self, chosen: Bools) -> "PairedNumbers":
        """The rows marked in `chosen`, shape [n]."""
        columns = {name: column[chosen] for name, column in self._columns().items() if not name.startswith("strata ")}
        return PairedNumbers(**columns, strata={name: levels[chosen] for name, levels in self.strata.items()})

    def levels(self) -> dict[str, Bools]:
        """The rows of every stratum, by `stratification=level`."""
        return levels_of(self.strata)

    def seeds(self) -> dict[str, Bools]:
        """The rows of every seed, by its number."""
        return seeds_of(self.seed)

    def degenerate(self) -> bool:
        """Did two seeds bring the same items (or, where items are not given, the same outcomes)?"""
        prints = [self._fingerprint(chosen) for chosen in self.seeds().values()]
        return len(set(prints)) < len(prints)

    def _fingerprint(self, chosen: Bools) -> tuple[Any, ...]:
        if self.item is not None:
            return tuple(sorted(self.item[chosen].tolist()))
        return (self.baseline[chosen].tobytes(), self.edited[chosen].tobytes())

    def _columns(self) -> dict[str, NDArray[Any]]:
        columns: dict[str, NDArray[Any]] = {"baseline": self.baseline, "edited": self.edited, "seed": self.seed}
        columns.update({name: column for name in ("cluster", "item") if (column := getattr(self, name)) is not None})
        columns.update({f"strata {name}": levels for name, levels in self.strata.items()})
        return columns
