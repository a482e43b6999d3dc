"""Edges and other names of circuits that are no sites: each refused by what it is, with what to take instead."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from lesion.errors import InputError
from lesion.interventions.site import Site, parse_site

NUMBER = st.integers(0, 99)


def refused(name: str) -> str:
    with pytest.raises(InputError) as error:
        parse_site(name)
    return str(error.value)


def read_or_refused(text: str) -> str:
    """The site that was read, or the sentence that refuses it; any other error goes on."""
    try:
        return str(parse_site(text))
    except InputError as error:
        return str(error)


@pytest.mark.parametrize(
    ("name", "leaves", "reads", "path"),
    [
        ("a5.h1->a7.h2<k>", "L5H1", "what the keys of L7H2 are computed from", "--path --sites L5H1 --to L7H2"),
        ("A5.1->A7.2.K", "L5H1", "what the keys of L7H2 are computed from", "--path --sites L5H1 --to L7H2"),
        ("A5.1->A7.2", "L5H1", "what L7H2 reads", "--path --sites L5H1 --to L7H2"),
        ("input->a0.h1<q>", "L0.resid_pre", "what the queries of L0H1 are computed from", ""),
        ("Resid Start->A0.1.V", "L0.resid_pre", "what the values of L0H1 are computed from", ""),
        ("a5.h1->m6", "L5H1", "what the MLP of layer 6 reads", ""),
        ("A5.1->MLP 6", "L5H1", "what the MLP of layer 6 reads", ""),
        ("m3->logits", "L3.mlp_out", "the stream behind the last block", ""),
        ("MLP 3->Resid End", "L3.mlp_out", "the stream behind the last block", ""),
        ("a5.h1->logits", "L5H1", "the stream behind the last block", "--path --sites L5H1"),
        ("A5.1->Block 5 Resid Mid", "L5H1", "L5.resid_mid", ""),
        ("MLP 5->Block 5 Resid Post", "L5.mlp_out", "L6.resid_pre", ""),
        ("MLP 5->Resid Final", "L5.mlp_out", "the stream behind the last block", ""),
    ],
)
def test_an_edge_is_refused_with_its_two_ends_and_what_to_edit_instead(name: str, leaves: str, reads: str, path: str):
    said = refused(name)
    assert said.startswith(f"'{name}' is an edge, from {leaves} to {reads}, and no site: edit what it leaves, {leaves}")
    assert said.endswith(f"lesion patch MODEL {path}" if path else leaves)
    assert parse_site(leaves), "what is named instead is a site"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "a7.h2<k>",
            "what the keys of L7H2 are computed from, no site: the keys themselves are those of its group, L7G0.k",
        ),
        ("A7.2.Q", "what the queries of L7H2 are computed from, no site: the queries themselves are L7H2.q"),
        ("input", "embedding before .* L0.resid_pre"),
        ("logits", "end of a graph"),
        ("Resid End", "end of a graph"),
        ("a5.h1->b7", "'b7' is no node that an edge can have there"),
        ("a5.h1<q>->m6", "'a5.h1<q>' is no node that an edge can have there"),
        ("logits->m6", "'logits' is no node that an edge can have there"),
        ("a5.h1->", "'' is no node"),
        ("a5.h1->m6->m7", "'m6->m7' is no node"),
    ],
)
def test_what_an_edge_is_made_of_is_refused_by_name(name: str, said: str):
    with pytest.raises(InputError, match=said):
        parse_site(name)


@given(NUMBER, NUMBER)
def test_the_streams_of_the_unfactorized_graph_of_autocircuit_are_sites(layer: int, head: int):
    assert parse_site(f"Block {layer} Resid Mid") == Site(kind="resid_mid", layer=layer)
    assert parse_site(f"Block {layer} Resid Post") == Site(kind="resid_pre", layer=layer + 1)
    assert (
        parse_site(f"A{layer}.{head}") == parse_site(f"a{layer}.h{head}") == Site(kind="head", layer=layer, index=head)
    )


@given(st.text(alphabet="aAhmLPqk05.->< RsidEn", max_size=25))
def test_whatever_looks_like_an_edge_is_a_site_or_a_sentence(text: str):
    assert 0 < len(read_or_refused(text)) < 700
