"""Direct and worked answers to the same problems are compared item by item."""

from itertools import islice

import numpy as np
import polars as pl
import pytest

from lesion.study.arms.condition import target
from lesion.study.arms.targets import GivenSites
from lesion.study.plan import Chosen, Shape, new_plan
from lesion.study.rows import ITEM_KEY
from lesion.study.solutions import solution_contrasts, solution_pairs
from lesion.study.study import Study
from lesion.study.sweep import Sweep
from lesion.tasks.catalogue import make_task
from lesion.tasks.config import TaskConfig, WordProblemsConfig
from lesion.tasks.task import Draw

MODEL = "tiny:llama"
N = 120
TIERS: dict[str, TaskConfig] = {
    "direct": WordProblemsConfig(shots=0),
    "other": WordProblemsConfig(shots=1),
    "worked": WordProblemsConfig(shots=0, solution="worked"),
}
STUDY = Study(
    name="steps", question="Does it?", models=(MODEL,), tasks=TIERS, sweep=Sweep(target=GivenSites(sites=("L0H1",)))
)


def rows(lost: dict[str, float]) -> pl.DataFrame:
    """Three seeds of confirmation items, all right; the edit loses a share of a tier's, the first of every ten."""
    index = np.arange(N)
    parts = [
        pl.DataFrame(
            {
                "stage": "confirm", "model": MODEL, "tier": tier, "split": "confirm", "seed": seed, "index": index,
                "arm": arm, "correct": (index % 10 >= 10 * (share if arm != "baseline" else 0)),
            }
        )
        for tier, share in lost.items() for seed in range(3) for arm in ("baseline", target("zero").name)
    ]  # fmt: skip
    return pl.concat(parts)


def contrast(lost: dict[str, float], study: Study = STUDY, written: str = "") -> dict[str, dict[str, float]]:
    plan = new_plan(study, "k", {MODEL: Shape(layers=2, heads=4, neurons=8)}, dict.fromkeys(TIERS, 10**6))
    family = [Chosen(model=MODEL, tier=tier, alpha=0.0, items=N, psi=0.1, delta=0.0, ablation="zero") for tier in lost]
    items = rows(lost)
    if written:
        items = items.with_columns(pl.when(pl.col("tier") == written).then(pl.lit("7")).alias("written"))
    prompts = items.filter(pl.col("arm") == "baseline").select(
        *ITEM_KEY, buckets=pl.concat_str(pl.lit('{"template":"t'), pl.col("index") // 10, pl.lit('"}'))
    )
    return solution_contrasts(family, {chosen.id: plan for chosen in family}, items, prompts)


def test_tiers_that_differ_in_the_solution_alone_ask_the_same_problems():
    assert solution_pairs(STUDY) == [("direct", "worked")]
    lane = Draw("confirm", "k", 0, 3)
    direct, worked = (list(islice(make_task(TIERS[tier]).items(lane, 0, 40), 40)) for tier in ("direct", "worked"))
    assert [item.prompt for item in direct] == [item.prompt for item in worked]
    assert [item.answer for item in direct] != [item.answer for item in worked]


def test_the_contrast_is_the_difference_of_the_paired_changes():
    ((name, found),) = contrast({"direct": 0.1, "worked": 0.4}).items()
    assert name == f"{MODEL}|{target('zero').name}|worked against direct"
    assert (found["items"], found["clusters"]) == (3 * N, 12)
    assert found["direct"] == pytest.approx(-0.1)
    assert found["worked"] == pytest.approx(-0.4)
    assert found["difference"] == pytest.approx(-0.3)
    low, high = found["interval"]  # pyright: ignore[reportGeneralTypeIssues]
    assert low <= -0.3 <= high < 0
    assert found["p"] < 0.01


def test_an_edit_that_changes_both_alike_has_no_difference_and_one_tier_alone_no_contrast():
    (found,) = contrast({"direct": 0.2, "worked": 0.2}).values()
    assert (found["difference"], found["p"]) == (0.0, 1.0)
    assert contrast({"direct": 0.2, "other": 0.5}) == {}


def test_one_rule_scores_both_tiers_where_only_one_is_written_out(monkeypatch: pytest.MonkeyPatch):
    def refused(*_: object) -> None:
        raise AssertionError("a tier's texts were read although the other tier has none")

    monkeypatch.setattr("lesion.study.solutions.read_texts", refused)
    decoded = STUDY.model_copy(update={"decoded": ("worked",)})
    (found,) = contrast({"direct": 0.1, "worked": 0.4}, decoded, "worked").values()
    assert found["difference"] == pytest.approx(-0.3)
