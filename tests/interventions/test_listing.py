"""Lists of heads are read in the spellings that people use."""

import pytest

from lesion.errors import InputError
from lesion.interventions.parse import parse_intervention, replacement, scale
from lesion.interventions.site import head
from lesion.interventions.site_list import parse_sites, site_words, sites_of

BOTH = [head(5, 1), head(6, 9)]


@pytest.mark.parametrize(
    "text",
    [
        "L5H1+L6H9", "L5H1,L6H9", "L5H1, L6H9", "L5H1 L6H9", "L5H1 + L6H9", "5.1,6.9", "5.1 6.9",
        "[(5,1),(6,9)]", "[(5, 1), (6, 9)]", "(5,1) (6,9)", "[[5, 1], [6, 9]]", "a5.h1,a6.h9",
    ],
)  # fmt: skip
def test_a_list_of_heads_is_read(text: str):
    assert parse_sites(text) == BOTH
    assert list(parse_intervention(f"zero {text}").sites) == BOTH
    assert parse_intervention(f"scale {text} 0.5 @last") == scale(BOTH, 0.5, "last")


@pytest.mark.parametrize("text", ["5,1", "5, 1", "5.1", "(5,1)", "[5, 1]", "L5H1"])
def test_one_head_is_read(text: str):
    assert parse_sites(text) == [head(5, 1)]
    assert parse_intervention(f"zero {text}") == scale("L5H1", 0)


def test_python_takes_pairs_values_and_words():
    assert sites_of((5, 1)) == [head(5, 1)]
    assert sites_of([(5, 1), (6, 9)]) == BOTH
    assert sites_of(["5.1", head(6, 9)]) == BOTH
    assert scale((1, 0), 0) == scale("L1H0", 0)
    with pytest.raises(InputError, match="count from 0"):
        sites_of((-1, 0))
    with pytest.raises(InputError, match="is not a site"):
        sites_of([1.5])  # pyright: ignore


def test_other_tools_names_and_selections_stay_whole():
    assert site_words("attention_probabilities[5][:, 1]") == ["attention_probabilities[5][:, 1]"]
    assert site_words("MLP 5+Block 2 Resid Mid") == ["MLP 5", "Block 2 Resid Mid"]
    assert site_words('{"layer": 1, "component": "mlp_output"}') == ['{"layer": 1, "component": "mlp_output"}']
    assert site_words("L0-1.heads, L2.neurons") == ["L0-1.heads", "L2.neurons"]
    with pytest.raises(InputError, match="'L5X1' is not a site"):
        parse_sites("L5H1,L5X1")


def test_a_factor_stands_before_or_behind_and_only_once():
    assert parse_intervention("scale 0.5 L5H1") == parse_intervention("scale L5H1 0.5")
    assert parse_intervention("scale 5.1 6.9 2") == scale(BOTH, 2)
    for text in ("scale L5H1", "scale 0.5", "scale L5H1 0.5 2", "zero"):
        with pytest.raises(InputError, match="write 'scale SITES FACTOR'"):
            parse_intervention(text)


def test_mean_and_resample_name_the_command_where_there_are_no_items():
    found = replacement("mean L1H0,L1H1 @last")
    assert found is not None
    assert (found.kind, [str(site) for site in found.sites], found.positions) == ("mean", ["L1H0", "L1H1"], "last")
    median = replacement("median L1H0")
    assert median is not None
    assert str(median.made("ab" * 32, 0)) == "median by position of abababab L1H0"
    assert replacement("zero L1H0") is None
    with pytest.raises(InputError, match=r"`lesion measure --do` and Lab\.run take it"):
        parse_intervention("resample L1H0")
