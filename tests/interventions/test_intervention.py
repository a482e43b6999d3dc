import json

import pytest
from pydantic import ValidationError

from lesion.identity import Document
from lesion.interventions.intervention import (
    KnockOut,
    Mean,
    Median,
    Patch,
    Resample,
    Scale,
    Steer,
    Written,
    draws,
    read_intervention,
)
from lesion.interventions.site import Site, head, parse_site, stream

NAME = "0123456789abcdef" * 4
EACH = [
    Scale(sites=(head(1, 0),), alpha=0.5),
    Mean(sites=(head(1, 0),), reference=NAME, by="role", positions="role:operand_1"),
    Median(sites=(head(1, 0),), reference=NAME, by="layout"),
    Resample(sites=(head(1, 0), stream(2)), reference=NAME, seed=3, draw=1),
    Patch(sites=(parse_site("L1H0.pattern"),), positions="last"),
    Steer(sites=(stream(2),), vector=NAME, coefficient=-2.0, positions="index:-1"),
    KnockOut(sites=(head(1, 0),), positions="last", keys="role:operand_1"),
]


@pytest.mark.parametrize("intervention", EACH, ids=str)
def test_each_kind_is_written_down_and_read_back_as_itself(intervention):
    assert read_intervention(intervention.model_dump_json()) == intervention

    class Cell(Document):
        intervention: Written

    assert Cell.model_validate_json(Cell(intervention=intervention).model_dump_json()).intervention == intervention


def test_each_kind_has_a_name_of_its_own_for_people_and_for_machines():
    assert len({str(intervention) for intervention in EACH}) == len({one.hash() for one in EACH}) == len(EACH)


def test_documents_from_before_there_were_other_kinds_are_read_and_keep_their_hash():
    old = {
        "kind": "scale",
        "sites": [{"kind": "head", "layer": 1, "index": 0}, {"kind": "resid_pre", "layer": 2, "index": None}],
        "alpha": 0.5,
        "positions": "all",
    }
    read = read_intervention(json.dumps(old))
    assert read.hash() == "dd70022d51e6bae139a802ac649ada9df86ac0aba284d5f8999e45ddfb84c6ff"
    assert read == Scale(sites=(head(1, 0), stream(2)), alpha=0.5)


def test_sites_are_sorted_and_none_is_named_twice():
    assert Patch(sites=(head(1, 2), head(1, 0))).sites == (head(1, 0), head(1, 2))
    with pytest.raises(ValidationError, match="named twice"):
        Patch(sites=(head(1, 2), head(1, 2)))


def test_what_makes_no_sense_is_refused():
    pattern = Site(kind="pattern", layer=0, index=0)
    with pytest.raises(ValidationError, match="scaling the head's z"):
        Scale(sites=(pattern,), alpha=0)
    with pytest.raises(ValidationError, match="must sum to 1"):
        Steer(sites=(pattern,), vector=NAME, coefficient=1)
    with pytest.raises(ValidationError, match="out of heads"):
        KnockOut(sites=(stream(0),), keys="all")
    with pytest.raises(ValidationError, match="pattern"):
        Steer(sites=(stream(0),), vector="not a hash", coefficient=1)
    with pytest.raises(ValidationError, match="positions"):
        Patch(sites=(stream(0),), positions="index:one")


def test_draws_differ_in_nothing_but_their_number():
    first, second = draws(EACH[2], 2)
    assert (first.draw, second.draw) == (0, 1)
    assert first.model_copy(update={"draw": 1}) == second
