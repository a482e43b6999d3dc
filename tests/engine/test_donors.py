"""What mean and resample ablation put in place, from reference items behind each row's own prefix."""

import pytest
import torch

from lesion.engine import donors as module
from lesion.engine.batch import batches
from lesion.engine.donors import Donors, Group, prompt_of
from lesion.engine.replacement_activations import observe
from lesion.errors import InputError, InterventionError
from lesion.interventions.intervention import Mean, Median, Resample, Scale
from lesion.interventions.site import head

NAME = "a" * 64
SITES = (head(0, 1), head(1, 0))
MEAN = Mean(sites=SITES, reference=NAME, by="layout")
DRAWN = Resample(sites=SITES, reference=NAME, by="layout", seed=3)


@pytest.fixture
def known(model, compiled):
    """Two rows, six reference items for the first and six others for the second."""
    items = compiled(14, 6, 2)
    rows, groups = items[:2], [Group(tuple(items[2:8])), Group(tuple(items[8:14]))]
    given = Donors(model, NAME, {prompt_of(row): group for row, group in zip(rows, groups, strict=True)})
    (batch,) = batches(rows, 8)
    return given, batch, groups


def seen(model, group, site):
    (batch,) = batches(group.items, len(group.items))
    return observe(model, batch, [site])[site]


def test_a_row_gets_the_mean_of_its_own_group(model, known):
    given, batch, groups = known
    source = given.sources(batch, [MEAN])[MEAN]
    for site in SITES:
        for row, group in enumerate(groups):
            assert torch.allclose(source[site][row], seen(model, group, site).mean(0), atol=1e-6)


def test_a_row_gets_one_item_of_its_group_and_the_same_one_at_every_site_and_in_every_edit(model, known):
    given, batch, groups = known
    wide = DRAWN.model_copy(update={"sites": (*SITES, head(1, 1))})
    found = given.sources(batch, [DRAWN, wide, Scale(sites=SITES, alpha=0.0)])
    assert set(found) == {DRAWN, wide}
    for row, group in enumerate(groups):
        places = [
            [n for n, one in enumerate(seen(model, group, site)) if torch.equal(one, found[edit][site][row])]
            for edit in found
            for site in edit.sites
        ]
        assert len({tuple(each) for each in places}) == 1
        assert len(places[0]) == 1


def test_one_clean_pass_serves_all_edits_and_nothing_depends_on_what_is_asked_together(model, known, monkeypatch):
    given, batch, _ = known
    passes = []
    monkeypatch.setattr(module, "observe", lambda *a: passes.append(1) or observe(*a))
    both = given.sources(batch, [MEAN, DRAWN])
    assert len(passes) == 2  # a pass for each of the two groups
    given.sources(batch, [MEAN])
    assert len(passes) == 2
    alone = Donors(model, NAME, dict(given.groups)).sources(batch, [DRAWN])
    assert all(torch.equal(alone[DRAWN][site], both[DRAWN][site]) for site in SITES)


def test_a_row_never_stands_in_for_itself(model, compiled):
    items = compiled(3, 6, 2)
    given = Donors(model, NAME, {prompt_of(items[0]): Group(tuple(items))})
    (batch,) = batches(items[:1], 8)
    mean = given.sources(batch, [MEAN])[MEAN][SITES[0]][0]
    assert torch.allclose(mean, seen(model, Group(tuple(items)), SITES[0])[1:].mean(0), atol=1e-6)


def test_what_was_used_longest_ago_is_forgotten_and_read_again(model, known, monkeypatch):
    given, batch, _ = known
    first = given.sources(batch, [MEAN])[MEAN][SITES[0]]
    monkeypatch.setattr(module, "MOST_BYTES", 0)
    assert torch.equal(given.sources(batch, [MEAN])[MEAN][SITES[0]], first)
    assert not given._kept


def test_another_reference_set_and_a_row_without_one_are_refused(model, known, compiled):
    given, batch, _ = known
    with pytest.raises(InputError, match="names the reference set"):
        given.sources(batch, [MEAN.model_copy(update={"reference": "b" * 64})])
    (stranger,) = batches(compiled(20, 6, 2)[19:], 8)
    with pytest.raises(InterventionError, match="1 rows have no other reference item"):
        given.sources(stranger, [MEAN])


def test_a_median_is_the_middle_of_the_group_element_by_element(model, known):
    given, batch, groups = known
    median = Median(sites=SITES, reference=NAME, by="layout")
    source = given.sources(batch, [median, MEAN])
    for site in SITES:
        for row, group in enumerate(groups):
            ordered = seen(model, group, site).sort(0).values
            assert torch.allclose(source[median][site][row], (ordered[2] + ordered[3]) / 2, atol=1e-6)
    assert not torch.equal(source[median][SITES[0]], source[MEAN][SITES[0]])
