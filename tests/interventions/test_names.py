"""Other tools' names: what is written is read back as the same site; head sets and interventions as documents."""

import json

import hypothesis.strategies as st
import pytest
from hypothesis import given
from jsonschema import Draft202012Validator

from lesion import cli
from lesion.errors import InputError
from lesion.interventions.intervention import KnockOut, Patch, Scale
from lesion.interventions.other_tools.names import TOOLS, AnyIntervention, HeadSet, name_site, read_sites, tools_for
from lesion.interventions.site import KINDS, UNITS, Site, parse_site
from lesion.runs.manifest.schemas import SCHEMAS
from lesion.study.format.schema import json_schema

NAMES = {
    "L5H1": {
        "transformer-lens": "blocks.5.attn.hook_z[1]",
        "pyvene": '{"layer": 5, "component": "head_attention_value_output", "unit": "h", "unit_locations": 1}',
        "eap-ig": "a5.h1",
        "auto-circuit": "A5.1",
    },
    "L6.resid_pre": {
        "transformer-lens": "blocks.5.hook_resid_post",
        "nnsight": "layers_output[5]",
        "pyvene": '{"layer": 5, "component": "block_output"}',
    },
    "L0.resid_pre": {
        "transformer-lens": "blocks.0.hook_resid_pre",
        "nnsight": "layers_input[0]",
        "pyvene": '{"layer": 0, "component": "block_input"}',
        "auto-circuit": "Resid Start",
    },
    "L5.mlp_out": {
        "transformer-lens": "blocks.5.hook_mlp_out",
        "nnsight": "mlps_output[5]",
        "pyvene": '{"layer": 5, "component": "mlp_output"}',
        "eap-ig": "m5",
        "auto-circuit": "MLP 5",
    },
    "L5H3.pattern": {
        "transformer-lens": "blocks.5.attn.hook_pattern[3]",
        "nnsight": "attention_probabilities[5][:, 3]",
    },
    "L5N7.act": {},
}
SITES = st.builds(
    lambda kind, layer, index: Site(kind=kind, layer=layer, index=index if kind in UNITS else None),
    st.sampled_from(KINDS),
    st.integers(0, 9999),
    st.integers(0, 99999),
)


@given(SITES)
def test_every_name_that_is_written_is_read_back_as_the_same_site(site):
    for tool in tools_for(site):
        assert parse_site(name_site(site, tool)) == site


@given(SITES, st.sampled_from(TOOLS))
def test_a_site_without_a_name_is_refused_and_the_tools_that_have_one_are_told(site, tool):
    if tool not in tools_for(site):
        with pytest.raises(InputError, match=f"{tool} has no name for {site}; .*lesion"):
            name_site(site, tool)


@pytest.mark.parametrize("site", NAMES)
def test_the_names_are_those_of_the_tools(site):
    parsed = parse_site(site)
    assert {tool: name_site(parsed, tool) for tool in tools_for(parsed)} == {"lesion": site, **NAMES[site]}


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), min_size=1, unique=True))
def test_a_set_of_heads_is_the_same_document_in_whatever_order_it_was_named(pairs):
    heads = tuple(Site(kind="head", layer=layer, index=index) for layer, index in pairs)
    one, other = HeadSet.of(heads), HeadSet.of(heads[::-1])
    assert one.hash() == other.hash()
    assert read_sites(one.model_dump_json()) == one.heads
    Draft202012Validator(json_schema("heads", SCHEMAS)).validate(one.model_dump(mode="json"))


@pytest.mark.parametrize(
    "intervention",
    [
        Scale(sites=(parse_site("L5H1"), parse_site("L6N2")), alpha=0.5, positions="last"),
        Patch(sites=(parse_site("L5.resid_mid"),)),
        KnockOut(sites=(parse_site("L5H1"),), keys="role:operand"),
    ],
)
def test_an_intervention_fits_its_schema_and_is_read_back(intervention):
    text = AnyIntervention(intervention).model_dump_json()
    Draft202012Validator(json_schema("intervention", SCHEMAS)).validate(json.loads(text))
    assert AnyIntervention.model_validate_json(text).root == intervention
    assert read_sites(text) == intervention.sites


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[]", "neither heads nor an intervention"),
        ('{"kind": "heads", "heads": []}', "heads: .*at least 1 item"),
        ('{"kind": "heads", "heads": [{"kind": "neuron", "layer": 0, "index": 1}]}', "L0N1 is no head"),
        ('{"kind": "scale", "sites": [{"kind": "head", "layer": 0, "index": 1}]}', "alpha: Field required"),
    ],
)
def test_what_is_no_document_is_refused(text, said):
    with pytest.raises(InputError, match=said):
        read_sites(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"layer": 5}', "component: Field required"),
        ('{"layer": 5, "component": "mlp_activation"}', "'mlp_activation' is no site here"),
        ('{"layer": 5, "component": "head_query_output"}', 'needs "unit": "h"'),
        ('{"layer": 5, "component": "mlp_output", "unit": "h", "unit_locations": 1}', "takes no unit"),
    ],
)
def test_a_representation_of_pyvene_that_is_no_site_is_refused(text, said):
    with pytest.raises(InputError, match=said):
        parse_site(text)


def test_the_command_writes_names_and_documents_and_reads_both(tmp_path, capsys):
    def said(*words: object) -> str:
        with pytest.raises(SystemExit) as ended:
            cli.main(["names", *map(str, words)])
        assert not ended.value.code
        return capsys.readouterr().out

    assert said("L5H1+a6.h9", "--as", "transformer-lens") == "blocks.5.attn.hook_z[1]\nblocks.6.attn.hook_z[9]\n"
    (tmp_path / "set.json").write_text(said("6.9", "A5.1", "--as", "heads"))
    assert said(tmp_path / "set.json", "--as", "eap-ig") == "a5.h1\na6.h9\n"
    assert "L5H1           auto-circuit      A5.1" in said("L5H1")
    assert json.loads(said("L5.mlp_out", "--as", "nnsight", "--json"))["names"][0]["name"] == "mlps_output[5]"
