"""What a run found, from its manifest alone: every member of its family with all that was decided about it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from lesion.runs.manifest.run import Manifest
from lesion.stats.specificity.companion import Companion
from lesion.stats.specificity.contrast import Specificity
from lesion.stats.specificity.rank import RankSpecificity, Within
from lesion.stats.verdict.cell_verdict import CellVerdict
from lesion.study.plan import Chosen, pair_name
from lesion.study.results import PositiveControl
from lesion.tasks.answers import Reading


class Finding(NamedTuple):
    """One member of the confirmatory family with all that was decided about it."""

    chosen: Chosen
    verdict: CellVerdict
    specific: Specificity | None
    """Target against matched random set; nothing without control sets."""
    licensed: bool
    """May the claim say what kind of heads they are? Only if the positive control holds, the effect is specific, and
    all ablations agree (format 1: and it does not rest on zero alone)."""
    companions: dict[str, Companion]
    """Mean and resample ablation of a zeroed target on the same items, by name; empty for other factors."""
    readings: dict[str, Reading]
    """How the answers of `baseline` and `edited` could be read; empty where none were written out."""
    ablations: Mapping[str, CellVerdict] = MappingProxyType({})
    """Zero, mean and resample -> verdict by the same rule; empty where a factor scales the target, and in format 1."""
    rank: RankSpecificity | None = None
    """The target among matched sets; nothing where the cell did not ask, and in format 1."""
    within: Within | None = None
    """The target among sets of its own layers, where its rank is one in the whole model."""
    sets: tuple[tuple[str, ...], ...] = ()
    """The matched sets, in the order of the rank's effects."""
    chance: float | None = None
    """What the best constant answer scores on this tier; nothing in format 1."""

    @property
    def primary(self) -> str | None:
        """The ablation that decides this cell, where it is one."""
        return self.chosen.ablation

    @property
    def dependent(self) -> bool:
        """Whether the other ablations give another verdict, or none."""
        return "ablation_dependent" in self.verdict.tags


def findings_of(manifest: Manifest) -> tuple[Finding, ...]:
    """The verdicts of a manifest, in the family's order."""
    results = manifest.results
    return tuple(_finding(manifest, chosen) for chosen in manifest.plan.family if chosen.id in results.cells)


def _finding(manifest: Manifest, chosen: Chosen) -> Finding:
    """All that was decided about one cell."""
    results, name = manifest.results, chosen.id
    finding = Finding(
        chosen=chosen,
        verdict=results.cells[name],
        specific=results.contrasts.get(name),
        licensed=False,
        companions=results.companions.get(name, {}),
        readings=results.readings.get(name, {}),
        ablations={str(kind): each for kind, each in results.ablations.get(name, {}).items()},
        rank=results.ranks.get(name),
        within=results.within.get(name),
        sets=results.sets.get(name, ()),
        chance=results.chance.get(pair_name(chosen.model, chosen.tier)),
    )
    return finding._replace(licensed=_licensed(manifest, finding))


def _licensed(manifest: Manifest, finding: Finding) -> bool:
    """May the claim say what kind of heads they are? See `Finding.licensed`."""
    control = positive_control(manifest)
    if control is None or not control.holds.get(finding.chosen.model, False):
        return False
    if manifest.study.claims is None:
        return finding.specific is not None and finding.specific.holds and "zero_only" not in finding.verdict.tags
    agree = finding.chosen.ablation is not None and not finding.dependent
    return agree and finding.rank is not None and finding.rank.status == "specific"


def positive_control(manifest: Manifest) -> PositiveControl | None:
    """The study's positive control, or nothing when it has none or the run did not reach it."""
    return manifest.results.positive_control
