"""The verdicts of a study of format 2: a panel for each cell, on a scale of its own, with all that it is judged beside.

Every panel has the ablation that decides, the other ablations of the same target, and every matched random set, over
the margin as a band. Each scale is the cell's own, so a large effect elsewhere hides no small one.
"""

from collections.abc import Iterator
from typing import Any

import altair as alt
import polars as pl

from lesion.report.figures.parts.charts import constants, data, finished, numbers, scale, tips
from lesion.report.figures.parts.marks import panel
from lesion.report.figures.parts.palette import CONTROL, VERDICT_COLOURS, VERDICT_SHAPES, VERDICT_SIGNS
from lesion.report.findings import Finding, positive_control
from lesion.report.paired_join import COUNTS, NATS, PAIRED
from lesion.report.record import Record
from lesion.report.wording.evidence.ranks import as_many, set_name
from lesion.report.wording.words import labelled, unit_of
from lesion.stats.specificity.rank import RankSpecificity

WIDTH, LINE, COLUMNS = 250, 21, 2
NAMES = 100
"""Room for the names of the lines, pixels: all panels have the same, so that they align."""

QUERY = f"""SELECT e.stage, e.model, e.tier, e.arm, {COUNTS},
  {NATS}
{PAIRED}
WHERE b.arm = 'baseline' AND ((e.stage = 'confirm' AND e.role = 'target')
  OR (e.stage = 'specificity' AND e.role IN ('target', 'set')))
GROUP BY e.stage, e.model, e.tier, e.arm
ORDER BY e.model, e.tier, e.stage, e.arm"""
"""Paired changes under every edit of the target on confirmation items; of it and every set, on the sets' items."""


def rows(record: Record) -> pl.DataFrame:
    """One row per ablation of a cell, then one per matched set and one for the target on the same items.

    Effects in the study's unit. `series` is `primary` (it decides), the name of an ablation, `set` or `target`.
    """
    found = [row for finding in record.findings for row in _ablations(record, finding)]
    found += [row for finding in record.findings for row in _sets(record, finding)]
    return pl.DataFrame(found, infer_schema_length=None)


def _keys(record: Record, finding: Finding) -> dict[str, Any]:
    """What all rows of a cell share: who, where, and the panel's title in lines."""
    chosen, verdict, unit = finding.chosen, finding.verdict, unit_of(record.manifest.study)
    control = positive_control(record.manifest)
    is_control = control is not None and control.tier == chosen.tier and finding.primary is not None
    lines = [
        panel(record, chosen.model, chosen.tier) + (" (positive control)" if is_control else ""),
        f"{VERDICT_SIGNS[verdict.verdict]} {verdict.verdict}, {labelled(chosen)}",
        f"{unit.said(verdict.delta)} {unit.name} ({unit.span(verdict.ci_low, verdict.ci_high)})",
        *_beside(finding),
    ]
    return {"label": "|".join(lines), "model": chosen.model, "tier": chosen.tier, "edit": chosen.edit}


def _beside(finding: Finding) -> list[str]:
    """A line on how many sets are as strong, and whether the ablations disagree; none where there is nothing to say."""
    rank = _rank(finding)
    said = [] if rank is None else [f"{as_many(finding)} of {rank.sets:,} random sets as strong"]
    said += ["ablations disagree"] if finding.dependent else []
    return ["; ".join(said)] if said else []


def _rank(finding: Finding) -> RankSpecificity | None:
    rank = finding.rank
    return rank if rank is not None and rank.status != "not asked" and rank.effects else None


def _ablations(record: Record, finding: Finding) -> Iterator[dict[str, Any]]:
    verdict, unit = finding.verdict, unit_of(record.manifest.study)
    if verdict.delta is None or verdict.ci_low is None or verdict.ci_high is None:
        return
    others = {name: each for name, each in finding.ablations.items() if name != finding.primary}
    for series, each in ({"primary": verdict} | others).items():
        if each.delta is None or each.ci_low is None or each.ci_high is None:
            continue
        ends = {"effect": each.delta, "low": each.ci_low, "high": each.ci_high}
        line = _line(finding) if series == "primary" else series
        yield (
            _keys(record, finding)
            | {"series": series, "line": line, "verdict": each.verdict, "n": each.n, "gained": each.gained,
               "lost": each.lost, "sites": None, "lift": None}
            | {name: unit.factor * value for name, value in ends.items()}
        )  # fmt: skip


def _line(finding: Finding) -> str:
    """The name of the line that decides: `resample`, `×1.25`, `steer`."""
    chosen = finding.chosen
    return (chosen.exchange or chosen.ablation or f"×{chosen.alpha:g}").replace("_", "-")


def _sets(record: Record, finding: Finding) -> Iterator[dict[str, Any]]:
    rank = _rank(finding)
    if rank is None or finding.verdict.delta is None:
        return
    unit = unit_of(record.manifest.study)
    nothing = dict.fromkeys(("gained", "lost", "low", "high"))
    keys = _keys(record, finding) | nothing | {"line": f"{rank.sets:,} random sets", "n": rank.items}
    for number, effect in enumerate(rank.effects):
        named = {"series": "set", "verdict": None, "sites": set_name(finding, number), "lift": _lift(number)}
        yield keys | named | {"effect": unit.factor * effect}
    sites = "+".join(record.manifest.plan.targets.get(finding.chosen.aim, ()))
    named = {"series": "target", "verdict": finding.verdict.verdict, "sites": sites, "lift": 0.5}
    yield keys | named | {"effect": unit.factor * rank.target}


def _lift(number: int) -> float:
    """A height between 0 and 1 that spreads neighbours, the same each time (the golden ratio's multiples)."""
    return (0.618034 * (number + 1)) % 1


def panels(rows: pl.DataFrame, margin: float, title: str) -> dict[str, Any]:
    """The figure of `rows`.

    Args:
        rows: those of this module.
        margin: in the unit of the rows.
        title: of every axis, with its unit.
    """
    parts = [_panel(cell, margin, title) for _, cell in rows.group_by("label", maintain_order=True)]
    return finished(alt.concat(*parts, columns=COLUMNS, spacing=26), "cells")


def _panel(cell: pl.DataFrame, margin: float, title: str) -> Any:
    ends = [value for name in ("effect", "low", "high") for value in numbers(cell, name)]
    low, high = min(*ends, -margin), max(*ends, margin)
    room = 0.04 * (high - low)
    place = alt.Scale(domain=[low - room, high + room], nice=False)
    x = alt.X("effect:Q", title=title, scale=place, axis=alt.Axis(tickCount=5, grid=False))
    order = cell["line"].unique(maintain_order=True).to_list()
    axis = alt.Axis(ticks=False, domain=False, labelPadding=6, minExtent=NAMES, maxExtent=NAMES)
    y = alt.Y("line:N", sort=order, title=None, axis=axis, scale=alt.Scale(type="band"))
    told = tips(
        line="edit",
        series="what",
        sites="sites",
        verdict="verdict",
        effect="change",
        low="from",
        high="to",
        n="items",
    )
    colour = alt.Color("verdict:N", scale=scale(VERDICT_COLOURS), legend=None)
    shape = alt.Shape("verdict:N", scale=scale(VERDICT_SHAPES), legend=None)
    base = alt.Chart(data(cell))
    judged = base.transform_filter("isValid(datum.low)").encode(y=y, color=colour, tooltip=told)
    decides, others = (judged.transform_filter(f"datum.series {sign} 'primary'") for sign in ("==", "!="))
    band = alt.Chart(constants(left=-margin, right=margin)).mark_rect(color=CONTROL, opacity=0.2)
    layers = [
        band.encode(x=alt.X("left:Q", scale=place), x2="right:Q"),
        alt.Chart(constants(zero=0)).mark_rule(color=CONTROL).encode(x="zero:Q"),
        judged.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q"), x2="high:Q"),
        others.mark_point(filled=False, size=55, opacity=1, strokeWidth=1.5).encode(x=x, shape=shape),
        decides.mark_point(filled=True, size=110, opacity=1).encode(x=x, shape=shape),
    ]
    if cell.filter(pl.col("series") == "set").height:
        layers += _strip(base, x, y, colour, told)
    name, *under = str(cell["label"][0]).split("|")
    height: Any = alt.Step(LINE)
    return alt.layer(*layers, width=WIDTH, height=height, title=alt.Title(name, subtitle=under, anchor="start"))


def _strip(base: alt.Chart, x: alt.X, y: alt.Y, colour: alt.Color, told: list[alt.Tooltip]) -> list[alt.Chart]:
    """A dot for every matched set, and a tick where the target is on the same items."""
    dots = base.transform_filter("datum.series == 'set'").mark_point(filled=True, size=14, opacity=0.55, color=CONTROL)
    offset = alt.YOffset("lift:Q", scale=alt.Scale(domain=[-0.1, 1.1]))
    target = base.transform_filter("datum.series == 'target'").mark_tick(thickness=3, height=LINE, opacity=1)
    return [dots.encode(x=x, y=y, yOffset=offset, tooltip=told), target.encode(x=x, y=y, color=colour, tooltip=told)]
