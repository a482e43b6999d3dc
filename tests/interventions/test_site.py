import hypothesis.strategies as st
import pytest
from hypothesis import given
from pydantic import ValidationError

from lesion.errors import InputError
from lesion.interventions.site import KINDS, UNITS, Site, parse_site


@given(st.sampled_from(KINDS), st.integers(0, 99999), st.integers(0, 999999))
def test_the_canonical_spelling_of_every_kind_is_read_back(kind, layer, index):
    site = Site(kind=kind, layer=layer, index=index if kind in UNITS else None)
    assert parse_site(str(site)) == site


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("5.1", "L5H1"),
        ("a5.h1", "L5H1"),
        ("m5", "L5.mlp_out"),
        ("layers_output[5]", "L6.resid_pre"),
        ("layers_input[5]", "L5.resid_pre"),
        ("L5.resid_post", "L6.resid_pre"),
        ("blocks.5.attn.hook_z[1]", "L5H1"),
        ("blocks.5.attn.hook_z.1", "L5H1"),
        ("blocks.5.attn.hook_q:1", "L5H1.q"),
        ("blocks.5.attn.hook_k[0]", "L5G0.k"),
        ("blocks.5.attn.hook_v[0]", "L5G0.v"),
        ("blocks.5.attn.hook_pattern[3]", "L5H3.pattern"),
        ("blocks.5.hook_resid_pre", "L5.resid_pre"),
        ("blocks.5.hook_resid_mid", "L5.resid_mid"),
        ("blocks.5.hook_resid_post", "L6.resid_pre"),
        ("blocks.5.hook_attn_out", "L5.attn_out"),
        ("blocks.5.hook_mlp_out", "L5.mlp_out"),
        ("blocks.5.mlp.hook_pre[7]", "L5N7.gate"),
        ("blocks.5.mlp.hook_pre_linear[7]", "L5N7.up"),
        ("blocks.5.mlp.hook_post[7]", "L5N7"),
    ],
)
def test_other_tools_spellings_are_read(text, canonical):
    assert str(parse_site(text)) == canonical


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("L5", "is not a site"),
        ("L5G1", "is not a site"),
        ("L5N1.q", "is not a site"),
        ("L5H1.resid_pre", "is not a site"),
        ("L٥H1", "is not a site"),
        ("", "is not a site"),
        ("blocks.5.attn.hook_z", r"names every head of the layer: add which one, as in blocks\.5\.attn\.hook_z\[0\]"),
        ("blocks.5.hook_resid_pre[1]", "takes no index"),
        ("blocks.5.attn.hook_result[1]", r"of transformer-lens's names these are: blocks\.5\.attn\.hook_z"),
    ],
)
def test_what_is_no_site_is_refused_with_what_there_is(text, said):
    with pytest.raises(InputError, match=said):
        parse_site(text)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_needs_an_index_or_takes_none(kind):
    with pytest.raises(ValidationError, match="index"):
        Site(kind=kind, layer=0, index=None if kind in UNITS else 0)
