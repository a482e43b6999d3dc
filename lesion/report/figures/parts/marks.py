"""From rows to marks: what a figure draws besides its rows — panel names, row labels, names at the ends of lines."""

from statistics import fmean
from typing import Any

import polars as pl

from lesion.report.figures.parts.charts import numbers
from lesion.report.record import Record
from lesion.report.wording.words import kind_words, labelled, model_name, points, signed, tier_name
from lesion.study.plan import swept

APART = 0.1
"""Smallest distance between two names in a panel, as a share of its height."""


def unit_words(record: Record) -> str:
    """`heads` or `neurons`: what the target and its sets are made of; `vectors` where a vector is added to a stream."""
    sweep = record.manifest.study.sweep
    return "vectors" if sweep.edit.exchange == "steer" else " or ".join(map(kind_words, sorted(sweep.kinds)))


def panel(record: Record, model: str, tier: str) -> str:
    """A panel's name: the task, and the model when there are several."""
    study = record.manifest.study
    name = tier_name(study, tier)
    return name if len(study.subjects) == 1 else f"{model_name(model)}, {name}"


def verdict_rows(record: Record, changes: pl.DataFrame) -> pl.DataFrame:
    """One row per cell from its verdict, and one for its random control from the items."""
    controls = {
        (row["model"], row["tier"], row["alpha"]): row
        for row in changes.filter(pl.col("series") == "control").to_dicts()
    }
    rows: list[dict[str, Any]] = []
    for chosen, verdict, *_ in record.findings:
        if verdict.delta is None or verdict.ci_low is None or verdict.ci_high is None:
            continue
        ends = f"{points(verdict.ci_low)} to {points(verdict.ci_high)}"
        label = (
            f"{panel(record, chosen.model, chosen.tier)}, {labelled(chosen)}|"
            f"{verdict.verdict}: {points(verdict.delta)} ({ends})"
        )
        keys = {"label": label, "model": chosen.model, "tier": chosen.tier, "alpha": chosen.alpha}
        keys["did"] = labelled(chosen)
        shares = {"points": 100 * verdict.delta, "low": 100 * verdict.ci_low, "high": 100 * verdict.ci_high}
        counts = {"n": verdict.n, "gained": verdict.gained, "lost": verdict.lost}
        rows.append({**keys, "series": "target", "verdict": verdict.verdict, **counts, **shares})
        if control := controls.get((chosen.model, chosen.tier, chosen.alpha)):
            numbers = {name: control[name] for name in (*counts, *shares)}
            rows.append({**keys, "series": "control", "verdict": "random set", **numbers})
    return pl.DataFrame(rows)


def accuracy_marks(record: Record, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows, the unedited model as every discovery line's point at factor 1, and a name for each kind of line."""
    marks = with_panels(record, rows).with_columns(
        (pl.col("stage") == pl.col("stage").min().over("panel")).alias("main"),
    )
    unedited = marks.filter((pl.col("series") == "baseline") & (pl.col("stage") == "discovery"))
    lines = marks.filter((pl.col("stage") == "discovery") & (pl.col("series") != "baseline")).select(
        "panel", "series", "arm_set"
    )
    joined = lines.unique(maintain_order=True).join(unedited.drop("series", "arm_set"), on="panel")
    marks = pl.concat([marks, joined], how="diagonal_relaxed")
    return _with_names(record, marks, "accuracy", unedited=True)


def delta_marks(record: Record, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows, no change at factor 1, and a name for each kind of line."""
    marks = with_panels(record, rows)
    lines = marks.filter(pl.col("stage") == "discovery").select("panel", "stage", "metric", "series", "arm_set")
    still = lines.unique(maintain_order=True).with_columns(pl.lit(1.0).alias("alpha"), pl.lit(0.0).alias("mean"))
    marks = pl.concat([marks, still], how="diagonal_relaxed")
    parts = [
        _with_names(record, here, "mean", unedited=False).with_columns(pl.lit(metric).alias("metric"))
        for (metric,), here in marks.group_by("metric", maintain_order=True)
    ]
    return pl.concat(parts, how="diagonal_relaxed")


def head_marks(record: Record, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with the head's name and whether it belongs to the target."""
    targets = {f"{model} {site}" for model, _, sites in record.manifest.plan.aims() for site in sites}
    site = pl.format("L{}H{}", "layer", "head")
    several = len(record.manifest.study.subjects) > 1
    names = {model: f"{model_name(model)}: " if several else "" for model in record.manifest.study.subjects}
    text = [f"{row['score']:.2f}" if row["score"] is not None else signed(row["points"]) for row in rows.to_dicts()]
    what = pl.when(pl.col("score").is_null()).then(pl.format("{}, zeroed alone", "panel")).otherwise(pl.col("panel"))
    return rows.with_columns(
        site.alias("site"),
        pl.Series("text", text),
        pl.format("{} {}", "model", site).is_in(sorted(targets)).alias("selected"),
        pl.concat_str(
            pl.col("model").replace_strict(names, return_dtype=pl.String), what.str.replace_all("_", "-")
        ).alias("panel"),
    )


def baseline_marks(record: Record, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with a label that tells the range of accuracies."""
    low, high = (100 * end.over("model", "tier") for end in (pl.col("accuracy").min(), pl.col("accuracy").max()))
    label = pl.format("{}|{} to {} %", "panel", low.round(1), high.round(1)).alias("label")
    near = 0.04 * max(
        [100 * record.manifest.study.baseline.spread, *(2 * abs(p) for p in numbers(rows, "points_from_middle"))]
    )
    marks = with_panels(record, rows).with_columns(label)
    return pl.concat([_seed_names(here, near) for _, here in marks.group_by("label", maintain_order=True)])


def _seed_names(rows: pl.DataFrame, near: float) -> pl.DataFrame:
    """Seeds that lie on one another share one name, written at the first of them."""
    names: dict[int, list[int]] = {}
    for seed, place in rows.select("seed", "points_from_middle").sort("points_from_middle", "seed").iter_rows():
        last = next(reversed(names), None)
        here = rows.filter(pl.col("seed") == last)["points_from_middle"].item() if last is not None else None
        if last is None or here is None or place - here > near:
            names[seed] = [seed]
        else:
            names[last].append(seed)
    seeds = [", ".join(map(str, sorted(names.get(seed, [])))) for seed in rows["seed"].to_list()]
    return rows.with_columns(pl.Series("seeds", seeds))


def with_panels(record: Record, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with their panel's name, in the study's order of models and tiers."""
    names = {(model, tier): panel(record, model, tier) for model, tier in rows.select("model", "tier").iter_rows()}
    order = [
        names[model, tier]
        for model in record.manifest.study.subjects
        for tier in record.manifest.study.tasks
        if (model, tier) in names
    ]
    panels = pl.Series("panel", [names[pair] for pair in rows.select("model", "tier").iter_rows()], dtype=pl.String)
    rank = panels.replace_strict({name: place for place, name in enumerate(order)}, return_dtype=pl.Int64)
    return rows.with_columns(panels).sort(rank, maintain_order=True)


def _with_names(record: Record, marks: pl.DataFrame, field: str, *, unedited: bool) -> pl.DataFrame:
    """The marks and, right of every panel's last factor, the name of each kind of line, none upon another."""
    last = max(swept(record.manifest.study))
    names = {
        f"target{target}": target or f"selected {unit_words(record)}" for target in record.manifest.study.sweep.named
    }
    ends = [value for name in (field, "low", "high") for value in numbers(marks, name)]
    height = 1.0 if unedited else max(ends) - min(ends)
    rows: list[dict[str, Any]] = []
    for (key,), here in marks.group_by("panel", maintain_order=True):
        at_end = here.filter((pl.col("alpha") == last) & (pl.col("stage") == "discovery"))
        values_of = {name: numbers(at_end.filter(pl.col("arm_set") == line), field) for line, name in names.items()}
        controls = at_end.filter(pl.col("series") == "control")
        what = unit_words(record)
        values_of[f"{'other' if what == 'vectors' else 'random'} {what}"] = numbers(controls, field)
        if unedited:
            values_of["unedited"] = numbers(here.filter((pl.col("series") == "baseline") & pl.col("main")), field)
        heights = {name: fmean(values) for name, values in values_of.items() if values}
        for name, place in apart(heights, APART * height, most=1.0 if unedited else max(ends)).items():
            rows.append({"panel": key, "alpha": float(last), "name": name, "name_y": place})
    return pl.concat([marks, pl.DataFrame(rows)], how="diagonal_relaxed")


def apart(heights: dict[str, float], least: float, most: float) -> dict[str, float]:
    """Places in the order of the values, from the top down, none above `most`, each `least` below the one before."""
    placed: dict[str, float] = {}
    ceiling = most
    for name, value in sorted(heights.items(), key=lambda pair: -pair[1]):
        placed[name] = min(value, ceiling)
        ceiling = placed[name] - least
    return placed
