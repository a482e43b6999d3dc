"""From the cells' verdicts to the study's scenario: the roadmap's Improvement, Null or Mixed, and two of our own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from lesion.errors import InputError
from lesion.stats.verdict.rule import VERDICTS, Verdict

ScenarioName = Literal["Improvement", "Null", "Mixed", "Harm", "Inconclusive"]


@dataclass(frozen=True)
class Scenario:
    """The study's scenario, and the cells behind it."""

    name: ScenarioName
    cells: Mapping[Verdict, tuple[str, ...]]
    """Cells by verdict; verdicts that no cell has are absent."""

    @property
    def invalid(self) -> tuple[str, ...]:
        """Cells that the instrument spoiled: named beside every scenario."""
        return self.cells.get("Invalid", ())


def scenario(verdicts: Mapping[str, Verdict]) -> Scenario:
    """The scenario by the preregistered rule, first match.

    Mixed: a cell Mixed, or both Improvement and Harm; Improvement; Harm; Null: *every* cell Null, so that a study with
    an Invalid cell is never a Null; otherwise Inconclusive.

    Raises:
        InputError: without cells, or while a cell is Ambiguous and awaits its second look.
    """
    if not verdicts:
        raise InputError("a scenario needs at least one confirmatory cell; none was given")
    cells: dict[Verdict, tuple[str, ...]] = {}
    for kind in VERDICTS:
        named = tuple(name for name, verdict in verdicts.items() if verdict == kind)
        if named:
            cells[kind] = named
    if "Ambiguous" in cells:
        raise InputError(f"{', '.join(cells['Ambiguous'])}: still Ambiguous; run the second look before the scenario")
    return Scenario(_first_match(cells, len(verdicts)), cells)


def _first_match(cells: Mapping[Verdict, tuple[str, ...]], count: int) -> ScenarioName:
    if "Mixed" in cells or ("Improvement" in cells and "Harm" in cells):
        return "Mixed"
    if "Improvement" in cells:
        return "Improvement"
    if "Harm" in cells:
        return "Harm"
    return "Null" if len(cells.get("Null", ())) == count else "Inconclusive"
