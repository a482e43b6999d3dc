import pytest
import transformers

from lesion.errors import InputError
from lesion.models.families import FAMILIES, family_named, family_of, residual_rule
from lesion.models.model import open_model
from lesion.models.sizes import read_sizes, sizes_of


def test_there_are_at_least_fourteen_families_each_with_its_own_architecture():
    assert len(FAMILIES) >= 14
    assert len({row.architecture for row in FAMILIES.values()}) == len(FAMILIES)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_paths_of_a_row_exist_in_the_model_that_transformers_builds(name):
    model = open_model(f"tiny:{name}")
    for layer in range(model.sizes.n_layers + 1):
        model.block(layer)
    row = model.family
    inner = [row.attention_out, row.mlp_out, row.post_attention_norm, row.post_mlp_norm]
    for path in [row.embedding, row.unembedding, *(f"{row.blocks}.0.{path}" for path in inner if path)]:
        model.submodule(path)


@pytest.mark.parametrize("name", FAMILIES)
def test_sizes_read_without_torch_are_those_of_the_built_model(name):
    model = open_model(f"tiny:{name}")
    config = model.module.config
    told = read_sizes(f"tiny:{name}")
    assert (told.n_layers, told.n_heads) == (config.num_hidden_layers, config.num_attention_heads)
    assert (told.d_model, told.vocab_size) == (config.hidden_size, config.vocab_size)
    assert told == model.sizes


def test_an_unknown_architecture_is_refused_with_what_to_add():
    with pytest.raises(InputError, match=r"MambaForCausalLM.*no row.*paths of its blocks"):
        family_of({"architectures": ["MambaForCausalLM"]})


def test_a_misspelt_architecture_is_answered_with_the_nearest_one():
    with pytest.raises(InputError, match="did you mean 'LlamaForCausalLM'"):
        family_of({"architectures": ["LlamaForCausalML"]})


@pytest.mark.parametrize("config", [{}, {"architectures": []}, {"architectures": ["LlamaForCausalLM", "Other"]}])
def test_a_config_that_does_not_name_one_architecture_is_refused(config):
    with pytest.raises(InputError, match="no row"):
        family_of(config)


def test_a_config_value_without_a_rule_is_refused_by_name():
    with pytest.raises(InputError, match="do_layer_norm_before = False"):
        family_of({"architectures": ["OPTForCausalLM"], "do_layer_norm_before": False})


@pytest.mark.parametrize("setting", [{"multi_query": False}, {"add_cross_attention": True}])
def test_multi_head_and_cross_attention_of_gpt_bigcode_are_refused(setting):
    config = transformers.GPTBigCodeConfig(architectures=["GPTBigCodeForCausalLM"], **setting)
    with pytest.raises(InputError, match=f"{next(iter(setting))} = "):
        family_of(config.to_dict())


def test_all_heads_of_a_layer_of_gpt_bigcode_share_one_key_and_one_value():
    config = transformers.GPTBigCodeConfig(architectures=["GPTBigCodeForCausalLM"]).to_dict()
    assert (sizes_of(family_of(config), config).n_groups, config["n_head"]) == (1, 12)


def test_an_unknown_family_is_answered_with_the_nearest_one():
    with pytest.raises(InputError, match="did you mean 'gpt_neox'"):
        family_named("gptneox")


def test_the_residual_rule_follows_the_config_where_the_family_leaves_it_open():
    neox = family_named("gpt_neox")
    assert residual_rule(neox, {"use_parallel_residual": False}) == "sequential"
    assert residual_rule(neox, {}) == "parallel"
    assert residual_rule(family_named("llama"), {}) == "sequential"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"quantization_config": {"bits": 4}}, "open the weights as they were before quantising"),
        ({"num_local_experts": 8}, "number of its expert"),
        ({"is_encoder_decoder": True}, "decoder-only"),
    ],
)
def test_what_no_family_may_switch_on_is_refused_with_the_reason(config, said):
    with pytest.raises(InputError, match=said):
        family_of({"architectures": ["LlamaForCausalLM"], **config})
