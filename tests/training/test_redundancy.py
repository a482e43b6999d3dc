"""Heads that back each other up, in a model that is trained here: each alone is a Null, all of them together a Harm.

The known answer of the science reference: in two layers trained on repeated blocks every head of layer 1 becomes an
induction head, so the effect of one says nothing of the group. Trained in some twenty seconds from a shipped recipe.
"""

from pathlib import Path

import numpy as np
import pytest

from lesion.engine.select_engine import choose
from lesion.interventions.intervention import Scale
from lesion.interventions.site import head
from lesion.measures.heads.pattern_scores import detect
from lesion.measures.metrics import measure
from lesion.measures.prompt_set import ask
from lesion.models.model import open_model
from lesion.stats.verdict.judge import Discovered, PairedRows, Rule, judge
from lesion.training.recipe import load_recipe
from lesion.training.trainer import train

RECIPE = Path(__file__).parents[2] / "recipes" / "two-layers.yaml"
TASK = "symbolic patterns=repeat shortest=6 longest=16"
HEADS = tuple(head(1, index) for index in range(4))
ITEMS = 200

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    train(load_recipe(RECIPE).model_copy(update={"keep": ()}), folder)
    return choose(open_model(str(folder)))


@pytest.fixture(scope="module")
def zeroed(engine):
    """The rows of three seeds under zeroing, by what is zeroed."""
    groups = {**{str(site): (site,) for site in HEADS}, "all four": HEADS}
    edits = [Scale(sites=sites, alpha=0.0) for sites in groups.values()]
    right = np.zeros((1 + len(edits), 3, ITEMS), dtype=bool)
    items: list[str] = []
    for seed in range(3):
        asked = ask(engine.model, TASK, ITEMS, seed)
        items += [one.id for one in asked.items]
        for batch in asked.batches:
            base = engine.clean(batch)
            right[0, seed, batch.rows] = measure(base, batch, ["correct"])["correct"] == 1
            for place, outcome in engine.run(batch, edits, base):
                right[1 + place, seed, batch.rows] = measure(outcome.logits, batch, ["correct"])["correct"] == 1
    base, *arms = right.reshape(len(right), -1)
    seeds = np.repeat(range(3), ITEMS)
    return {name: PairedRows(base, arm, seeds, item=np.array(items)) for name, arm in zip(groups, arms, strict=True)}


def test_every_head_of_the_second_layer_becomes_an_induction_head(engine):
    scores = detect(engine.model).table()
    assert scores[1].min() > 0.75
    assert scores[0].max() < 0.1
    assert detect(engine.model, "previous_token").table()[0].max() > 0.4


def test_without_any_one_of_them_repetition_stays_and_without_all_it_is_gone(zeroed):
    for site in map(str, HEADS):
        assert zeroed[site].baseline.mean() > 0.99
        assert zeroed[site].edited.mean() >= 0.998 * zeroed[site].baseline.mean()
    assert zeroed["all four"].edited.mean() < 0.05


def test_the_rule_says_null_of_each_and_harm_of_the_group(zeroed):
    verdicts = judge(
        zeroed,
        Rule(),
        look=1,
        family_size=len(zeroed),
        discovered={
            name: Discovered(float(np.abs(rows.difference).mean()), float(rows.difference.mean()))
            for name, rows in zeroed.items()
        },
        chance=dict.fromkeys(zeroed, 0.0),
    )
    assert {name: found.verdict for name, found in verdicts.items()} == {
        **dict.fromkeys(map(str, HEADS), "Null"),
        "all four": "Harm",
    }
