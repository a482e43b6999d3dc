"""The rows behind every figure: an SQL query over the run's items, then intervals by the laboratory's own formulas.

A query gives whole counts (and means), so that anybody can repeat it with any SQL engine: on `items/*.parquet`, or with
`lesion query`, which also fills in the columns that rows of earlier formats lack. Python adds only what SQL lacks:
Tango's and Wilson's intervals, the detector's scores.
"""

import re

import polars as pl

from lesion.interventions.site import parse_site
from lesion.report.paired_join import COUNTS, PAIRED
from lesion.report.record import Record
from lesion.stats.intervals import tango_interval, wilson
from lesion.study.arms.targets import DetectedHeads, Target, aim
from lesion.study.gates.evidence.model_answers import DetectorAnswer, TargetAnswer
from lesion.study.gates.gate_verdict import DetectionEvidence, last_evidence

_SWEPT = "e.role IN ('target', 'control') AND e.edit = 'scale'"
"""Arms that scale: ablations stand in the verdicts' own table."""
_AGAINST_BASELINE = f"{PAIRED}\nWHERE b.arm = 'baseline' AND "

ACCURACY = """SELECT stage, model, tier, arm, role, member, amount, COUNT(*) AS n,
  SUM(CASE WHEN correct THEN 1 ELSE 0 END) AS correct
FROM items
WHERE stage IN ('discovery', 'confirm') AND (role = 'baseline' OR (role IN ('target', 'control') AND edit = 'scale'))
GROUP BY stage, model, tier, arm, role, member, amount
ORDER BY model, tier, stage, arm"""
"""Correct answers by stage, tier and arm."""

CHANGES = f"""SELECT e.model, e.tier, e.arm, e.role, e.member, e.amount, {COUNTS}
{_AGAINST_BASELINE}e.stage = 'confirm' AND {_SWEPT}
GROUP BY e.model, e.tier, e.arm, e.role, e.member, e.amount
ORDER BY e.model, e.tier, e.arm"""
"""Paired changes on confirmation items: wrong to right, right to wrong."""

HEADS = f"""SELECT e.model, e.tier, e.arm, e.member, {COUNTS}
{_AGAINST_BASELINE}e.stage = 'discovery' AND e.role = 'single'
GROUP BY e.model, e.tier, e.arm, e.member
ORDER BY e.model, e.tier, e.arm"""
"""Paired changes on discovery items when one head alone is zeroed."""

BASELINE = """SELECT model, tier, seed, COUNT(*) AS n, SUM(CASE WHEN correct THEN 1 ELSE 0 END) AS correct
FROM items
WHERE stage = 'baseline' AND arm = 'baseline'
GROUP BY model, tier, seed
ORDER BY model, tier, seed"""
"""Correct answers of the unedited model by tier and seed."""

STAGED = """SELECT model, tier, arm, role, member, COUNT(*) AS n, SUM(CASE WHEN correct THEN 1 ELSE 0 END) AS correct
FROM items
WHERE stage = 'discovery' AND role IN ('baseline', 'staged', 'random')
GROUP BY model, tier, arm, role, member
ORDER BY model, tier, arm"""
"""Correct answers on discovery items when the first heads are zeroed together, by score or in a random order."""


def _moment(metric: str) -> str:
    change = f"e.{metric} - b.{metric}"
    finite = f"CASE WHEN ABS({change}) < 1e300 THEN {change} END"
    return (
        f"COUNT({finite}) AS {metric}_n,\n  AVG({finite}) AS {metric}_mean,\n  STDDEV({finite}) AS {metric}_sd"
    )  # fmt: skip


CERTAINTY = ("entropy", "logit_diff")
"""Metrics whose change against the factor is drawn."""
_MOMENTS = ",\n  ".join(_moment(metric) for metric in CERTAINTY)
DELTAS = f"""SELECT e.stage, e.model, e.tier, e.arm, e.role, e.member, e.amount,
  {_MOMENTS}
{_AGAINST_BASELINE}e.stage IN ('discovery', 'confirm') AND {_SWEPT}
GROUP BY e.stage, e.model, e.tier, e.arm, e.role, e.member, e.amount
ORDER BY e.model, e.tier, e.stage, e.arm"""
"""Mean paired change of entropy (nats) and logit difference (logits), over items where it is finite."""


def of_run(query: str, run: str) -> str:
    r"""The same query over one run's rows among those of several: `lesion query` puts all finished runs into `items`.

    >>> of_run("SELECT COUNT(*) FROM items AS e JOIN items AS b", "r")
    "WITH one AS (SELECT * FROM items WHERE run = 'r')\nSELECT COUNT(*) FROM one AS e JOIN one AS b"
    """
    quoted = run.replace("'", "''")
    return f"WITH one AS (SELECT * FROM items WHERE run = '{quoted}')\n" + re.sub(r"\bitems\b", "one", query)


def select(query: str, items: pl.DataFrame) -> pl.DataFrame:
    """The answer to a query over the item table."""
    return pl.SQLContext(items=items, eager=True).execute(query)


def accuracy(record: Record) -> pl.DataFrame:
    """Accuracy by stage, series and factor, with 95 % Wilson intervals."""
    rows = _named_arms(select(ACCURACY, record.items))
    low, high = wilson(rows["correct"].to_numpy(), rows["n"].to_numpy())
    share = (pl.col("correct") / pl.col("n")).alias("accuracy")
    return rows.with_columns(share, pl.Series("low", low), pl.Series("high", high))


def changes(record: Record) -> pl.DataFrame:
    """Paired accuracy change of target and control on confirmation items, in points, at the verdict's confidence."""
    if not record.findings:
        return pl.DataFrame()
    confidence = record.findings[0].verdict.confidence
    return _with_points(_named_arms(select(CHANGES, record.items)), confidence)


def heads(record: Record) -> pl.DataFrame:
    """Per head: the detector's score, and the change in accuracy (points) when the head alone is zeroed."""
    rows = select(HEADS, record.items)
    if not rows.height:
        return rows
    sites = [parse_site(name) for name in rows["member"]]
    place = (pl.Series("layer", [site.layer for site in sites]), pl.Series("head", [site.index for site in sites]))
    effects = _with_points(rows.with_columns(place), 0.95).with_columns(pl.col("tier").alias("panel"))
    effects = effects.drop("arm", "member")
    return pl.concat([_scores(record), effects], how="diagonal_relaxed")


def scores(record: Record) -> pl.DataFrame:
    """Per head and tier: the detector's score beside the change in accuracy (points) when the head alone is zeroed."""
    rows = heads(record)
    if "score" not in rows.columns or not rows.filter(pl.col("score").is_not_null()).height:
        return pl.DataFrame()
    scored = rows.filter(pl.col("score").is_not_null()).select("model", "layer", "head", "score")
    scored = scored.unique(["model", "layer", "head"], keep="first", maintain_order=True)  # of the first detector
    effects = rows.filter(pl.col("points").is_not_null()).drop("score", "panel")
    return effects.join(scored, on=["model", "layer", "head"], how="inner", maintain_order="left")


def staged(record: Record) -> pl.DataFrame:
    """Accuracy by order and number of heads zeroed together, with 95 % Wilson intervals, and which heads they were.

    `order` is `by score`, `random` or `unedited` (no head zeroed); empty when the run has no staged arms.
    """
    orders = {"staged": "by score", "random": "random", "baseline": "unedited"}
    order = pl.col("role").replace_strict(orders, return_dtype=pl.String).alias("order")
    count = pl.col("member").cast(pl.Int64, strict=False).fill_null(0).alias("zeroed")
    rows = select(STAGED, record.items).with_columns(order, count).drop("role", "member")
    steps = rows.filter(pl.col("zeroed") > 0).select("model", "tier").unique()
    rows = rows.join(steps, on=["model", "tier"], how="semi").sort("model", "tier", "order", "zeroed")
    low, high = wilson(rows["correct"].to_numpy(), rows["n"].to_numpy())
    known = _sites(record)
    which = pl.Series("sites", [known.get(key, "") for key in rows.select("model", "arm").iter_rows()], dtype=pl.String)
    share = (pl.col("correct") / pl.col("n")).alias("accuracy")
    return rows.with_columns(share, pl.Series("low", low), pl.Series("high", high), which)


def _sites(record: Record) -> dict[tuple[str, str], str]:
    """Model and arm -> the sites that the arm edited, as its cells say."""
    arms = [(unit.cell.model, arm) for unit in record.units for arm in unit.cell.arms if arm.intervention is not None]
    return {(model, arm.name): " ".join(map(str, arm.intervention.sites)) for model, arm in arms if arm.intervention}


def baseline(record: Record) -> pl.DataFrame:
    """Accuracy by tier and seed, and its distance in points from the middle between smallest and largest."""
    rows = select(BASELINE, record.items).with_columns((pl.col("correct") / pl.col("n")).alias("accuracy"))
    by_tier = pl.col("accuracy")
    middle = (by_tier.min().over("model", "tier") + by_tier.max().over("model", "tier")) / 2
    return rows.with_columns((100 * (by_tier - middle)).alias("points_from_middle"))


def deltas(record: Record) -> pl.DataFrame:
    """Mean paired change of entropy and logit difference by factor, with normal 95 % intervals, one row per metric."""
    wide = _named_arms(select(DELTAS, record.items))
    keys = ["stage", "model", "tier", "arm", "series", "arm_set", "alpha"]
    parts = [
        wide.select(
            *keys,
            pl.lit(metric).alias("metric"),
            *(pl.col(f"{metric}_{name}").alias(name) for name in ("n", "mean", "sd")),
        )
        for metric in CERTAINTY
    ]
    half = 1.96 * pl.col("sd") / pl.col("n").sqrt()
    rows = pl.concat(parts).filter(pl.col("n") > 1)
    ends = rows.with_columns((pl.col("mean") - half).alias("low"), (pl.col("mean") + half).alias("high"))
    # Means are summed in parallel: their last bits depend on the order, and figures must be the same each time.
    return ends.with_columns(pl.col("mean", "sd", "low", "high").round(9))


def _named_arms(rows: pl.DataFrame) -> pl.DataFrame:
    """With `series` (target, control, baseline), `arm_set` (which of several) and `alpha` (unedited: 1)."""
    which = pl.concat_str("role", "member").alias("arm_set")
    named = rows.with_columns(pl.col("role").alias("series"), which, pl.col("amount").fill_null(1.0).alias("alpha"))
    return named.drop("role", "member", "amount")


def _with_points(rows: pl.DataFrame, confidence: float) -> pl.DataFrame:
    """With the change and its Tango interval, in percentage points."""
    low, high = tango_interval(rows["gained"].to_numpy(), rows["lost"].to_numpy(), rows["n"].to_numpy(), confidence)
    points = (100 * (pl.col("gained") - pl.col("lost")) / pl.col("n")).alias("points")
    return rows.with_columns(points, pl.Series("low", 100 * low), pl.Series("high", 100 * high))


def _scores(record: Record) -> pl.DataFrame:
    """The detector's score of every head, from the evidence of the detect gate."""
    seen = last_evidence(record.manifest.gates, "detect", DetectionEvidence)
    answers = seen.answers if seen is not None else {}
    seen_by: dict[str, str] = {}
    for name, target in record.manifest.study.sweep.named.items():
        seen_by.setdefault(_panel(target), name)
    rows = [
        {"model": model, "layer": layer, "head": head, "panel": panel, "score": float(score)}
        for panel, name in seen_by.items()
        for model in record.manifest.study.models
        for layer, row in enumerate(_by_layer(answers.get(aim(model, name))))
        for head, score in enumerate(row)
    ]
    return pl.DataFrame(rows)


def _panel(target: Target) -> str:
    """The panel of a detector's scores; targets of one detector share it."""
    return f"{target.detector if isinstance(target, DetectedHeads) else 'detector'} score"


def _by_layer(answer: TargetAnswer | None) -> tuple[tuple[float, ...], ...]:
    """Scores of every head; nothing where neurons were scored, or nothing was."""
    return answer.scores if isinstance(answer, DetectorAnswer) else ()
