"""A run folder as it was when its plan had asked for so much: what lies there beyond that is not seen yet."""

from collections.abc import Iterator

import polars as pl

from lesion.runs.folder.run_folder import Result, RunFolder, Unit
from lesion.study.plan import Cell


class AsItGrew(RunFolder):
    """Only the units that were asked for or put there.

    A run that was cut off and goes on finds units of later stages and attempts on disk, and so does one that is judged
    again. No gate may see them early, or it would decide otherwise than the run that was never cut off.

    Args:
        whole: the folder with all that lies there.
    """

    def __init__(self, whole: RunFolder) -> None:
        super().__init__(whole.path)
        self.whole = whole
        self.asked: dict[str, Unit] = {}

    def unit(self, cell: Cell) -> Unit | None:
        """The unit, which from now on is part of what the gates see."""
        found = self.whole.unit(cell)
        if found is not None:
            self.asked[self.key(cell)] = found
        return found

    def append(self, cell: Cell, result: Result) -> Unit:
        """Put a finished cell on disk; from now on it is seen."""
        self.asked[self.key(cell)] = self.whole.append(cell, result)
        return self.asked[self.key(cell)]

    def units(self) -> Iterator[Unit]:
        """Those seen so far, in the order of their names."""
        return iter([self.asked[key] for key in sorted(self.asked)])

    def items(self) -> pl.DataFrame:
        """Their rows."""
        return self.whole.items_of(self.units())

    def prompts(self) -> pl.DataFrame:
        """Their questions."""
        return self.whole.prompts_of(self.units())
