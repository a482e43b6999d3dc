"""Patching and path patching on the hand model, where the path is written down: L0H2 -> L1H1 -> logits."""

from dataclasses import replace

import pytest
import torch

from lesion.engine.batch import induction_edges
from lesion.engine.replacement_activations import Library
from lesion.engine.select_engine import choose
from lesion.errors import InputError, InterventionError
from lesion.interventions.intervention import KnockOut
from lesion.interventions.site import Site, head, neuron
from lesion.measures.attribution.patching import patch_grid, path_patch, with_twins
from lesion.measures.attribution.target import target_changes
from lesion.measures.prompt_set import ask, of, shared_prefix, templates_of
from lesion.models.model import open_model
from lesion.tasks.tokenizers.prompt_contract import Compiled


def test_the_grid_shows_the_two_heads_of_the_circuit(hand_model, swapped):
    sites = [head(layer, i) for layer in (0, 1) for i in range(4)]
    grid = patch_grid(choose(hand_model), of(swapped), Library(hand_model), sites)
    share = {cell.site: cell.share for cell in grid.cells}
    assert grid.whole == pytest.approx(-40, abs=0.05), "from +20 to -20"
    assert share.pop("L0H2") == pytest.approx(1, abs=1e-3)
    assert share.pop("L1H1") == pytest.approx(1, abs=1e-3)
    assert max(map(abs, share.values())) < 1e-5


def test_denoising_restores_what_noising_breaks(hand_model, swapped):
    sites = [head(layer, i) for layer in (0, 1) for i in range(4)]
    grid = patch_grid(choose(hand_model), of(swapped), Library(hand_model), sites, direction="denoising")
    share = {cell.site: cell.share for cell in grid.cells}
    assert (grid.direction, grid.whole) == ("denoising", pytest.approx(40, abs=0.05)), "from -20 to +20"
    assert share.pop("L0H2") == pytest.approx(1, abs=1e-3)
    assert share.pop("L1H1") == pytest.approx(1, abs=1e-3)
    assert max(map(abs, share.values())) < 1e-5


def test_the_induction_pattern_alone_carries_the_answer(hand_model, swapped):
    """Cutting the edges from each token to the one after its earlier occurrence takes L1H1's answer, and no other's."""
    assert induction_edges(torch.tensor([[5, 6, 7, 5, 8, 6]])).nonzero().tolist() == [[0, 3, 1], [0, 5, 2]]
    engine = choose(hand_model)
    edits = [KnockOut(sites=(head(layer, i),), keys="induction") for layer in (0, 1) for i in range(4)]
    changes = target_changes(engine, of(swapped), edits, "logit_diff", "cutting").mean(1)
    found = {str(edit.sites[0]): float(change) for edit, change in zip(edits, changes, strict=True)}
    assert found.pop("L1H1") == pytest.approx(-20, abs=0.1), "right and wrong are equally likely without it"
    assert max(map(abs, found.values())) < 1e-4


def test_layers_by_positions(hand_model, swapped):
    streams = [Site(kind="resid_pre", layer=layer) for layer in (0, 1, 2)]
    grid = patch_grid(choose(hand_model), of(swapped), Library(hand_model), streams, ["all", "role:swap", "last"])
    share = {(cell.site, cell.positions): cell.share for cell in grid.cells}
    assert share["L0.resid_pre", "all"] == pytest.approx(1)
    assert share["L0.resid_pre", "role:swap"] == pytest.approx(1, abs=1e-3), "the twin differs nowhere else"
    assert share["L0.resid_pre", "last"] == pytest.approx(0, abs=1e-5)
    assert share["L2.resid_pre", "last"] == pytest.approx(1, abs=1e-3)
    assert share["L2.resid_pre", "role:swap"] == pytest.approx(0, abs=1e-5)


def test_the_path_runs_from_the_previous_token_head_to_the_induction_head_only(hand_model, swapped):
    through = {i: path_patch(hand_model, of(swapped), head(0, 2), head(1, i))[0] for i in range(4)}
    assert through.pop(1) == pytest.approx(-40, abs=0.05)
    assert max(map(abs, through.values())) < 1e-4
    assert path_patch(hand_model, of(swapped), head(0, 2))[0] == pytest.approx(0, abs=1e-4)
    assert path_patch(hand_model, of(swapped), head(1, 1))[0] == pytest.approx(-40, abs=0.05)
    assert path_patch(hand_model, of(swapped), head(0, 1), head(1, 1))[0] == pytest.approx(0, abs=1e-4)


def test_with_the_twin_equal_to_the_item_nothing_moves():
    model = open_model("tiny:llama")
    asked = ask(model, "arithmetic high=9 shots=0", 12)
    same = of([Compiled(c.ids, c.roles, c.answer_ids, c.wrong_ids, c.prompt_length, c.ids) for c in asked.compiled])
    assert path_patch(model, same, head(0, 1), head(2, 1))[0] == pytest.approx(0, abs=1e-5)
    grid = patch_grid(choose(model, "reference"), same, Library(model), [head(1, 0)])
    assert grid.cells[0].change == pytest.approx(0, abs=1e-5)


def test_what_cannot_be_patched_is_refused(hand_model, swapped, repeated):
    with pytest.raises(InputError, match="0 of 6 items have a twin"):
        patch_grid(choose(hand_model), of(repeated), Library(hand_model), [head(0, 0)])
    with pytest.raises(InterventionError, match="later layer"):
        path_patch(hand_model, of(swapped), head(1, 1), head(0, 2))
    with pytest.raises(InterventionError, match="paths run between heads"):
        path_patch(hand_model, of(swapped), neuron(0, 0))


def test_twins_keep_their_questions_so_that_templates_are_known():
    model = open_model("zoo:abacus-llama")
    asked = ask(model, "arithmetic high=9 shots=1", items=12)
    kept, _ = with_twins(asked)
    assert len(kept.items) == len(kept.compiled)
    assert templates_of(kept) is None, "a task without templates"
    told = [replace(item, buckets={"template": f"t{place % 2}"}) for place, item in enumerate(kept.items)]
    names = templates_of(kept._replace(items=tuple(told)))
    assert names is not None
    assert sorted(set(names.tolist())) == ["t0", "t1"]
    shared = shared_prefix(kept)
    rows = [compiled.ids[: compiled.prompt_length] for compiled in kept.compiled]
    assert len({row[:shared] for row in rows}) == 1
    assert len({row[: shared + 1] for row in rows}) > 1
    assert shared > 3, "one example is in front of all"
