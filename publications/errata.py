"""Computes the tables of the errata from the published rows: effects by random set, and all ablations side by side.

    python publications/errata.py publications/toy-models     writes errata-tables.md there

The runs, pages and paper of the publication are never rewritten; this reads them.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from lesion.stats.intervals import tango

KEY = ("stage", "model", "tier", "split", "seed", "index")
MINUS = "−"


class Contrast(NamedTuple):
    """One cell that was called specific, and its target against each random set."""

    stage: str
    model: str
    tier: str
    factor: str
    verdict: str
    printed: float
    """Target less random sets as printed, in points: the mean over seeds, of which each met one set."""
    by_set: tuple[tuple[str, float, float, float], ...]
    """Name of each set, target less this set in points, and its 95 % interval; on the items of one seed each."""

    @property
    def holds(self) -> bool:
        """Whether the target did more than every set, each by its own interval."""
        return all(high < 0 for *_, high in self.by_set) or all(low > 0 for _, _, low, _ in self.by_set)

    @property
    def above(self) -> bool:
        """Whether some set did at least as much as the target."""
        return any(delta >= 0 for _, delta, *_ in self.by_set)


class Beside(NamedTuple):
    """One zeroed cell under the three ablations, on the items that each had; points with 95 % intervals."""

    model: str
    tier: str
    verdict: str
    answers: tuple[str, ...]
    """What the program printed of mean and resample."""
    changes: tuple[tuple[float, float, float], ...]


def manifest_of(run: Path) -> dict[str, Any]:
    """A published run's manifest."""
    found: dict[str, Any] = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    return found


def runs_of(folder: Path) -> list[Path]:
    """The published runs of studies, the oldest first."""
    return [path.parent for path in sorted(folder.glob("*/published.json"))]


def contrasts(run: Path) -> Iterator[Contrast]:
    """Every cell of a run that was called specific, by random set, counted from its rows."""
    manifest, rows = manifest_of(run), pl.read_parquet(run / "rows.parquet")
    replication = manifest["results"]["replication"]
    parts = (("confirm", manifest["results"]), ("replicate", replication))
    for stage, results in parts:
        for name, said in results["specific"].items():
            if said["holds"]:
                model, tier, arm = name.rsplit("|", 2)
                factor = arm.partition("@")[2]
                here = rows.filter(stage=stage, model=model, tier=tier)
                target, control = here.filter(arm=arm), here.filter(arm=f"control@{factor}")
                paired = target.join(control, on=KEY, suffix="_control", validate="1:1")
                sets = manifest["plan"]["controls"][model]
                by_set = tuple(_against(paired.filter(seed=seed), sets[seed % len(sets)]) for seed in range(3))
                verdict = results["cells"][name]["verdict"]
                short = model.removeprefix("zoo:")
                yield Contrast(stage, short, tier, factor, verdict, 100 * said["delta"], by_set)


def _against(rows: pl.DataFrame, sites: list[str]) -> tuple[str, float, float, float]:
    gained = rows.filter(pl.col("correct") & ~pl.col("correct_control")).height
    lost = rows.filter(~pl.col("correct") & pl.col("correct_control")).height
    low, high = tango(gained, lost, rows.height, 0.95)
    named = "+".join(sites) if len(sites) < 4 else f"{len(sites)} sites"
    return named, 100 * (gained - lost) / rows.height, 100 * low, 100 * high


def ablations(run: Path) -> Iterator[Beside]:
    """Every zeroed cell of a run, from what it recorded."""
    results = manifest_of(run)["results"]
    for name, found in results["companions"].items():
        model, tier, _ = name.rsplit("|", 2)
        cell = results["cells"][name]
        changes = [(cell, "delta")] + [(found[kind], "delta") for kind in ("mean", "resample")]
        yield Beside(
            model.removeprefix("zoo:"), tier, cell["verdict"], tuple(each["answer"] for each in found.values()),
            tuple((100 * each["delta"], 100 * each["ci_low"], 100 * each["ci_high"]) for each, _ in changes),
        )  # fmt: skip


def points(value: float) -> str:
    """A difference in points with its sign."""
    rounded = round(value, 1)
    return "0.0" if rounded == 0 else f"{'+' if rounded > 0 else MINUS}{abs(rounded):.1f}"


def span(change: tuple[float, float, float]) -> str:
    """A difference with its interval."""
    return f"{points(change[0])} ({points(change[1])} to {points(change[2])})"


def contrast_table(found: list[Contrast]) -> str:
    """The cells that were called specific, by random set."""
    lines = [
        "| model, tier, factor | verdict | printed | by random set | more than every set |",
        "|---|---|---|---|---|",
    ]
    for each in found:
        by_set = "; ".join(f"{name} {span((delta, low, high))}" for name, delta, low, high in each.by_set)
        where = f"{each.model} {each.tier} ×{each.factor}{', replication' if each.stage == 'replicate' else ''}"
        lines.append(
            f"| {where} | {each.verdict} | {points(each.printed)} | {by_set} | {'yes' if each.holds else 'no'} |"
        )
    return "\n".join(lines)


def ablation_table(found: list[Beside]) -> str:
    """The zeroed cells under every ablation."""
    lines = [
        "| model, tier | printed verdict | zero | mean | resample | printed of mean, resample |",
        "|---|" + "---|" * 5,
    ]
    for each in found:
        changes = " | ".join(map(span, each.changes))
        lines.append(f"| {each.model} {each.tier} | {each.verdict} | {changes} | {', '.join(each.answers)} |")
    return "\n".join(lines)


def tables(folder: Path) -> str:
    """All tables as Markdown."""
    heads, neurons = runs_of(folder)
    return (
        "\n\n".join(
            [
                "# Tables of the errata",
                "Written by `python publications/errata.py`, from the published rows and manifests."
                " Percentage points with 95 % intervals (Tango). Each random set met the items of one seed.",
                "## Cells of the heads' study that were called specific",
                contrast_table(list(contrasts(heads))),
                "## Cells of the neurons' study that were called specific",
                contrast_table(list(contrasts(neurons))),
                "## Zeroed heads: all ablations",
                ablation_table(list(ablations(heads))),
                "## Zeroed neurons: all ablations",
                ablation_table(list(ablations(neurons))),
            ]
        )
        + "\n"
    )


def main() -> None:
    """Write the tables beside the errata."""
    folder = Path(sys.argv[1])
    (folder / "errata-tables.md").write_text(tables(folder), encoding="utf-8")


if __name__ == "__main__":
    main()
