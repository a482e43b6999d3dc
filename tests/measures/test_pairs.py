"""Pairs on models whose wiring is written down: one path is sub-additive, two backups are super-additive."""

import pytest

from lesion.engine.select_engine import choose
from lesion.errors import InputError
from lesion.interventions.site import head
from lesion.measures.circuits.pairs import pairwise
from lesion.measures.effects.ablation import scaling
from lesion.measures.prompt_set import of
from lesion.models.model import open_model
from lesion.training.planted_heads import planted, write_planted


def test_two_heads_of_one_path_cost_no_more_than_one(hand_model, repeated):
    found = pairwise(choose(hand_model, "reference"), of(repeated), [head(0, 2), head(1, 1), head(1, 2)], scaling(0.0))
    by_pair = {pair.nodes: pair for pair in found.pairs}
    path = by_pair["L0H2", "L1H1"]
    assert (path.joint, path.interaction) == (pytest.approx(20, abs=1e-2), pytest.approx(-20, abs=1e-2))
    assert (path.kind, path.p) == ("sub-additive", pytest.approx(2 / 2**6)), "six items: the smallest p of sign flips"
    assert by_pair["L1H1", "L1H2"].kind == "not told apart"
    assert found.excess == pytest.approx(-20, abs=1e-2)


def test_two_backups_cost_nothing_alone_and_everything_together(tmp_path, repeated):
    made = next(one for one in map(planted, range(20)) if one.backups)
    write_planted(made, tmp_path)
    model = open_model(str(tmp_path))
    others = sorted(set(made.kinds) - made.circuit, key=str)[:1]
    found = pairwise(choose(model, "reference"), of(repeated), [*made.backups, *others], scaling(0.0))
    first = found.pairs[0]
    assert set(first.nodes) == set(map(str, made.backups))
    assert first.kind == "super-additive"
    assert first.interaction == pytest.approx(first.joint, abs=0.5), "each alone costs next to nothing"
    assert all(abs(single.harm) < 0.5 for single in found.singles)


def test_one_node_makes_no_pair(hand_model, repeated):
    with pytest.raises(InputError, match="2 to 24 nodes"):
        pairwise(choose(hand_model, "reference"), of(repeated), [head(0, 2)], scaling(0.0))
