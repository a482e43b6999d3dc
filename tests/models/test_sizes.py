import json
import subprocess
import sys

import pytest

from lesion.errors import InputError, InterventionError
from lesion.interventions.site import parse_site
from lesion.models.sizes import locate, read_sizes


def test_reading_sizes_does_not_import_torch():
    code = (
        "import sys; from lesion.models.sizes import read_sizes as r; r('tiny:gpt2'); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tiny:lama", "did you mean 'llama'"),
        ("zoo:nothing-here", "not an embedded model"),
        ("org/name", "must be pinned"),
        ("org/name@main", "must be pinned"),
        ("org/name@0123", "must be pinned"),
        ("", "not a model"),
        ("a/folder/that/is/not/there", "no such folder"),
    ],
)
def test_a_name_that_points_nowhere_is_refused_with_the_fix(name, said):
    with pytest.raises(InputError, match=said):
        locate(name)


def test_a_pinned_hub_name_is_taken_apart():
    assert locate("org/name.v1@" + "a" * 40) == ("hub", "org/name.v1", "a" * 40)


def _folder(tmp_path, **config):
    (tmp_path / "config.json").write_text(json.dumps(config))
    return str(tmp_path)


LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "hidden_size": 32,
    "intermediate_size": 64,
    "vocab_size": 10,
    "max_position_embeddings": 16,
}


def test_the_head_width_is_the_quotient_where_the_config_gives_none(tmp_path):
    assert read_sizes(_folder(tmp_path, **LLAMA)).d_head == 8
    assert read_sizes(_folder(tmp_path, **LLAMA, head_dim=12)).d_head == 12


def test_a_missing_width_of_the_mlp_is_four_times_the_model_only_where_the_family_says_so(tmp_path):
    gpt2 = {"architectures": ["GPT2LMHeadModel"], "n_layer": 1, "n_head": 2, "n_embd": 8, "n_positions": 4}
    assert read_sizes(_folder(tmp_path, **gpt2, vocab_size=5)).d_mlp == 32
    with pytest.raises(InputError, match="no intermediate_size"):
        read_sizes(_folder(tmp_path, **{k: v for k, v in LLAMA.items() if k != "intermediate_size"}))


@pytest.mark.parametrize("value", ["32", 0, -1, 2.5, True])
def test_a_size_that_is_no_positive_whole_number_is_refused(tmp_path, value):
    with pytest.raises(InputError, match="hidden_size must be a positive whole number"):
        read_sizes(_folder(tmp_path, **{**LLAMA, "hidden_size": value}))


@pytest.mark.parametrize("text", ["", "[1]", "{", "\udcff"])
def test_a_broken_config_is_refused(tmp_path, text):
    (tmp_path / "config.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(InputError, match="config"):
        read_sizes(str(tmp_path))


@pytest.mark.parametrize(
    ("site", "said"),
    [
        ("L0H99", r"head 99 of 4.*heads 0 … 3"),
        ("L9H0", r"layer 9 of 3.*0 … 2"),
        ("L1N48", r"neuron 48 of 48.*neurons 0 … 47"),
        ("L4.resid_pre", r"layer 4 of 3.*L3\.resid_pre"),
    ],
)
def test_a_site_that_the_model_does_not_have_is_refused_with_what_there_is(site, said):
    with pytest.raises(InterventionError, match=said):
        read_sizes("tiny:llama").check(parse_site(site))


@pytest.mark.parametrize("site", ["L0H0", "L2H3", "L2N47", "L0.resid_pre", "L3.resid_pre"])
def test_every_site_at_the_edge_of_the_model_is_accepted(site):
    read_sizes("tiny:llama").check(parse_site(site))


def test_a_hub_model_that_is_not_there_is_a_sentence_with_the_command_that_fetches_it() -> None:
    commit = "0" * 40
    with pytest.raises(InputError, match=rf"org/name@{commit}: config.json not in the cache, .*`hf download org/name"):
        read_sizes(f"org/name@{commit}")
