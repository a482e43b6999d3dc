"""The simulated studies are what they claim to be."""

import numpy as np
import pytest

from lesion.errors import InputError
from lesion.stats.calibration.promises import UNGATED, claims, exact_coverage
from lesion.stats.calibration.scenes.prefix_scenes import Clustered, conduct_clusters
from lesion.stats.calibration.simulate import Scene, _items, conduct
from lesion.stats.verdict.rule import Rule

RULE, OPEN = Rule(), Rule(spread=UNGATED)


def items(scene, studies=4_000, n=300):
    return _items(scene, np.full(studies, n), np.random.default_rng(0))


def test_simulated_items_have_the_shares_and_differences_of_their_scene():
    counts = items(Scene(0.3, 0.06, strata=4))
    assert counts.n.sum(axis=-1).min() == counts.n.sum(axis=-1).max() == 300
    total = counts.n.sum()
    assert (counts.gained + counts.lost).sum() / total == pytest.approx(0.3, abs=0.002)
    assert (counts.gained - counts.lost).sum() / total == pytest.approx(0.06, abs=0.002)


def test_strata_can_move_apart_and_seeds_can_differ():
    apart = items(Scene(0.3, contrast=0.1))
    means = ((apart.gained - apart.lost) / apart.n).mean(axis=(0, 1, 2))
    assert means == pytest.approx([0.1, -0.1], abs=0.005)
    shaky = items(Scene(0.3, seed_sd=0.05), n=20_000)
    by_seed = (shaky.gained - shaky.lost).sum(-1) / shaky.n.sum(-1)
    assert by_seed.std() == pytest.approx(0.05, abs=0.003)


def test_correlated_cells_have_the_correlation_and_keep_their_shares():
    counts = items(Scene(0.2, 0.02, cells=3, correlation=0.5))
    whole = (counts.gained - counts.lost).sum((-2, -1))
    assert np.corrcoef(whole.T)[np.triu_indices(3, 1)] == pytest.approx(0.5, abs=0.05)
    assert (counts.gained + counts.lost).sum() / counts.n.sum() == pytest.approx(0.2, abs=0.002)
    assert (counts.gained - counts.lost).sum() / counts.n.sum() == pytest.approx(0.02, abs=0.002)


def test_the_same_generator_gives_the_same_studies():
    first, second = (conduct(Scene(0.2, 0.02), RULE, 200, np.random.default_rng(3)) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_second_look_is_taken_by_ambiguous_cells_only_and_ends_every_study():
    endings = conduct(Scene(0.2, 0.025, n=400), OPEN, 3_000, np.random.default_rng(4))
    assert 0.2 < endings.second.mean() < 0.9
    assert not endings.any_of("Ambiguous").any()
    single = conduct(Scene(0.2, 0.025, n=400), Rule(spread=UNGATED, looks=1), 3_000, np.random.default_rng(4))
    assert not single.second.any()


def test_planning_from_discovery_items_is_near_planning_from_the_truth():
    known = conduct(Scene(0.2), RULE, 4_000, np.random.default_rng(5))
    guessed = conduct(Scene(0.2, discovery=512), RULE, 4_000, np.random.default_rng(5))
    assert guessed.any_of("Null").mean() == pytest.approx(known.any_of("Null").mean(), abs=0.02)


def test_the_rates_measured_before_the_project_are_found_again():
    """Two looks at .025 for 1,000 items and 20 % discordant pairs, without strata and seeds: .037 and .713."""
    endings = conduct(Scene(0.2, n=333, strata=1), OPEN, 20_000, np.random.default_rng(6))
    assert endings.any_of("Improvement", "Harm").mean() == pytest.approx(0.037, abs=0.005)
    assert endings.any_of("Null").mean() == pytest.approx(0.713, abs=0.015)


def test_naive_reuse_of_five_percent_at_both_looks_would_break_the_promise():
    naive = Rule(alpha=0.1, spread=UNGATED)
    endings = conduct(Scene(0.2, n=333, strata=1), naive, 20_000, np.random.default_rng(7))
    assert endings.any_of("Improvement", "Harm").mean() > 0.06


def test_studies_with_templates_claim_rarely_and_find_what_is_large():
    scene = Clustered(clusters=8, items=22, sd=0.05)
    endings, drawn = conduct_clusters(scene, OPEN, 2_000, np.random.default_rng(8))
    assert claims(endings, Scene(0.2)).mean() < 0.04
    assert endings.covered.mean() > 0.93
    assert drawn.std() == pytest.approx(0.05 / np.sqrt(8), rel=0.1)
    strong, _ = conduct_clusters(Clustered(0.3, 8, 22, 0.4, sd=0.05), OPEN, 200, np.random.default_rng(9))
    assert strong.any_of("Improvement").all()


def test_the_coverage_of_the_interval_by_enumeration_is_the_measured_one():
    assert exact_coverage(100, 0.05, 0.03) == pytest.approx(0.939, abs=0.0006)
    assert exact_coverage(100, 0.02, 0.0) == pytest.approx(0.99, abs=0.005)
    assert exact_coverage(100, 0.1, 0.0, 0.9) == pytest.approx(0.9, abs=0.005)


def test_scenes_that_cannot_be_are_refused():
    with pytest.raises(InputError, match=r"\|delta\| <= psi"):
        Scene(0.02, 0.03)
