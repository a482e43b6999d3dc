"""The rows of one cell: the same items answered by two arms, with the seed, strata and cluster of each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lesion.errors import InputError

Bools = NDArray[np.bool_]
Ints = NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class PairedRows:
    """The rows of one cell (intervention x tier x model): the same items, unedited and edited; all arrays are [n].

    Raises:
        InputError: when arrays differ in length, are empty, or an arm is not boolean.
    """

    baseline: Bools
    """Was the unedited model correct?"""
    edited: Bools
    """Was the edited model correct?"""
    seed: Ints
    """Which seed drew the item."""
    strata: Mapping[str, NDArray[Any]] = field(default_factory=dict[str, NDArray[Any]])
    """Preregistered stratifications, name -> level of each row, such as {"operator": ["+", "-", ...]}."""
    cluster: NDArray[Any] | None = None
    """Template of each row; if given, the exchangeable unit (sign flips and cluster t instead of McNemar and Tango)."""
    item: NDArray[Any] | None = None
    """Content hash of each row's prompt; two seeds with the same items are Degenerate."""
    baseline_parsed: Bools | None = None
    """Free text only: could the unedited model's answer be read? Unreadable counts as wrong."""
    edited_parsed: Bools | None = None
    """Free text only: could the edited model's answer be read?"""

    def __post_init__(self) -> None:
        if (self.baseline_parsed is None) != (self.edited_parsed is None):
            raise InputError("parse flags were given for one arm only; give both arms' or neither's")
        n = self.baseline.shape
        for name, column in self._columns().items():
            if column.shape != n or len(n) != 1:
                raise InputError(
                    f"rows: {name} has shape {column.shape}, but baseline has {n}; pair the arms item by item"
                )
            if name in ("baseline", "edited", "baseline_parsed", "edited_parsed") and column.dtype != np.bool_:
                raise InputError(f"rows: {name} is {column.dtype}; give True or False for each item")
        if not self.baseline.size:
            raise InputError("rows: no items; a cell without rows can only be Invalid")

    @property
    def n(self) -> int:
        """Number of items."""
        return self.baseline.size

    @property
    def difference(self) -> NDArray[np.int64]:
        """Paired difference of each item, edited minus baseline, in -1, 0, 1; shape [n]."""
        return self.edited.astype(np.int64) - self.baseline.astype(np.int64)

    def where(self, chosen: Bools) -> "PairedRows":
        """The rows marked in `chosen`, shape [n]."""
        columns = {name: column[chosen] for name, column in self._columns().items() if not name.startswith("strata ")}
        return PairedRows(**columns, strata={name: levels[chosen] for name, levels in self.strata.items()})

    def levels(self) -> dict[str, Bools]:
        """The rows of every stratum, by `stratification=level`."""
        return levels_of(self.strata)

    def seeds(self) -> dict[str, Bools]:
        """The rows of every seed, by its number."""
        return seeds_of(self.seed)

    def degenerate(self) -> bool:
        """Did two seeds bring the same items (or, where items are not given, the same varying outcomes)?"""
        prints = [self._fingerprint(chosen) for chosen in self.seeds().values()]
        known = [print_ for print_ in prints if print_ is not None]
        return len(set(known)) < len(known)

    def readable(self) -> Bools | None:
        """Items whose answers could be read in both arms, shape [n]; None for answers that are not free text."""
        if self.baseline_parsed is None or self.edited_parsed is None:
            return None
        return self.baseline_parsed & self.edited_parsed

    def parse_change(self) -> int:
        """Readable answers of the edited arm minus those of the baseline."""
        if self.baseline_parsed is None or self.edited_parsed is None:
            return 0
        return int(self.edited_parsed.sum()) - int(self.baseline_parsed.sum())

    def _fingerprint(self, chosen: Bools) -> tuple[Any, ...] | None:
        if self.item is not None:
            return tuple(sorted(self.item[chosen].tolist()))
        outcomes = np.stack([self.baseline[chosen], self.edited[chosen]])
        varies = (outcomes != outcomes[:, :1]).any()
        return (outcomes.tobytes(),) if varies else None

    def _columns(self) -> dict[str, NDArray[Any]]:
        columns: dict[str, NDArray[Any]] = {"baseline": self.baseline, "edited": self.edited, "seed": self.seed}
        optional = {name: getattr(self, name) for name in ("cluster", "item", "baseline_parsed", "edited_parsed")}
        columns.update({name: column for name, column in optional.items() if column is not None})
        columns.update({f"strata {name}": levels for name, levels in self.strata.items()})
        return columns


def levels_of(strata: Mapping[str, NDArray[Any]]) -> dict[str, Bools]:
    """The rows of every stratum, by `stratification=level`."""
    marked: dict[str, Bools] = {}
    for name, column in strata.items():
        marked.update({f"{name}={level}": column == level for level in np.unique(column)})
    return marked


def seeds_of(seed: Ints) -> dict[str, Bools]:
    """The rows of every seed, by its number."""
    return {str(number): seed == number for number in np.unique(seed)}
