"""A race and a map of heads against the full exact map of a tiny model."""

import numpy as np
import pytest

from lesion.engine.select_engine import choose
from lesion.errors import InputError
from lesion.measures.attribution.expected_loss import scalings
from lesion.measures.attribution.racing import all_heads, map_heads, race_heads
from lesion.measures.attribution.target import target_changes
from lesion.measures.prompt_set import of
from lesion.models.model import open_model
from lesion.stats.racing.race import RaceRule
from lesion.tasks.tokenizers.prompt_contract import Compiled


@pytest.fixture(scope="module")
def measured():
    engine = choose(open_model("tiny:llama"), "reference")
    rng = np.random.default_rng(5)
    rows = [tuple(map(int, rng.integers(2, 66, 8 + place % 2))) for place in range(24)]
    asked = of([Compiled(ids, {}, ids[-2:], (2, 3), len(ids) - 2, None) for ids in rows])
    sites = all_heads(engine.model)
    exact = target_changes(engine, asked, scalings(sites), "logit_diff", "all").mean(1)
    return engine, asked, {str(site): float(mean) for site, mean in zip(sites, exact, strict=True)}


def test_a_race_that_may_measure_everything_finds_the_top_of_the_full_map(measured):
    engine, asked, exact = measured
    found = race_heads(engine, asked, RaceRule(top=2, budget=1.0))
    best = sorted(exact, key=lambda site: -abs(exact[site]))[:2]
    assert set(found.accepted) == set(best) == set(found.chosen)
    assert not found.undecided
    assert found.passes == found.rounds[-1].passes == sum(one.items for one in found.heads) <= 24 * len(exact)
    whole = [one for one in found.heads if one.items == 24]
    assert all(one.effect == pytest.approx(exact[one.site], abs=1e-6) for one in whole)
    assert {one.standing for one in found.heads} == {"top", "dropped"}
    assert len(found.layers) == engine.model.sizes.n_layers


def test_a_map_from_all_items_is_the_exact_map_and_one_from_few_is_near_it(measured):
    engine, asked, exact = measured
    whole = map_heads(engine, asked, 24)
    assert whole.share == 1
    assert {one.site: one.effect for one in whole.heads} == pytest.approx(exact, abs=1e-6)
    assert all(one.low == one.effect == one.high for one in whole.heads)
    few = map_heads(engine, asked, 8)
    assert few.passes == 8 * len(exact)
    assert sum(one.low <= exact[one.site] <= one.high for one in few.heads) >= 9
    with pytest.raises(InputError, match="4 to 24 items"):
        map_heads(engine, asked, 3)
    with pytest.raises(InputError, match="corrupted prompts"):
        map_heads(engine, asked, 8, towards="corrupted")
