import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, processors

from lesion.errors import InputError, InterventionError
from lesion.identity import file_hash
from lesion.interventions.site import parse_site
from lesion.measures.prompt_set import ask
from lesion.models.checks.config_agreement import agreed
from lesion.models.families import FAMILIES
from lesion.models.model import open_model
from lesion.models.vocabulary import open_vocabulary


@pytest.fixture
def folder(tmp_path):
    model = open_model("tiny:llama")
    model.module.save_pretrained(tmp_path)
    model.tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def _logits(model):
    return model.module(torch.arange(2, 12)[None], use_cache=False).logits


@pytest.mark.parametrize("name", FAMILIES)
def test_a_tiny_model_is_the_same_each_time_and_leaves_the_global_generator_alone(name):
    torch.manual_seed(5)
    first = open_model(f"tiny:{name}")
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1))
    second = open_model(f"tiny:{name}")
    assert first.weights_hash == second.weights_hash
    assert torch.equal(_logits(first), _logits(second))
    assert not any(parameter.requires_grad for parameter in first.module.parameters())
    assert not first.module.training


def test_a_saved_folder_opens_as_the_same_network(folder):
    opened, tiny = open_model(str(folder)), open_model("tiny:llama")
    assert torch.equal(_logits(opened), _logits(tiny))
    assert opened.sizes == tiny.sizes
    assert opened.tokenizer_hash == tiny.tokenizer_hash
    assert opened.weights_hash == file_hash(folder / "model.safetensors")
    assert opened.bos == 1


def test_one_changed_weight_changes_the_hash(folder):
    before = open_model(str(folder)).weights_hash
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"][0] += 1e-6
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert open_model(str(folder)).weights_hash != before


def test_pickled_weights_are_refused_by_name(folder):
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"pytorch_model\.bin, and unpickling may run code"):
        open_model(str(folder))


def test_a_weight_that_the_files_lack_is_never_made_up(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.down_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"missing keys: model\.layers\.1\.mlp\.down_proj"):
        open_model(str(folder))


def test_a_weight_that_the_config_does_not_know_is_refused(folder):
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.0.self_attn.extra.weight"] = torch.zeros(2)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="unexpected keys"):
        open_model(str(folder))


def test_a_repository_that_brings_code_of_its_own_is_refused(folder):
    config = json.loads((folder / "config.json").read_text())
    config["architectures"] = ["MyForCausalLM"]
    config["auto_map"] = {"AutoModelForCausalLM": "code.MyForCausalLM"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text("raise SystemExit('this must never run')")
    with pytest.raises(InputError, match="MyForCausalLM, which has no row"):
        open_model(str(folder))


def test_a_config_that_contradicts_the_weights_is_refused(folder):
    config = json.loads((folder / "config.json").read_text())
    config["num_attention_heads"] = 8
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises((InputError, InterventionError)):
        open_model(str(folder))


def test_a_missing_tokenizer_is_refused(folder):
    (folder / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"no tokenizer\.json"):
        open_model(str(folder))


@pytest.mark.parametrize("adds", [True, False])
@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"bos_token": "<pad>"}, None),
        ({"bos_token": "<pad>", "add_bos_token": True}, 0),
        ({"bos_token": {"content": "<bos>"}, "add_bos_token": True}, 1),
        ({"bos_token": "<bos>", "add_bos_token": False}, False),
        ({"add_bos_token": True}, None),
        ({}, None),
    ],
)
def test_a_prompt_begins_with_the_token_that_the_tokenizer_itself_puts_there(folder, said, expected, adds):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    if not adds:
        tokenizer.post_processor = processors.TemplateProcessing(single="$A")
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(said))
    wanted = (1 if adds else None) if expected is None else expected
    assert open_model(str(folder)).bos == (None if wanted is False else wanted)
    assert open_vocabulary(str(folder)).bos == open_model(str(folder)).bos


def test_a_tokenizer_that_puts_two_tokens_before_a_text_is_refused(folder):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    specials = [("<bos>", 1), ("<pad>", 0)]
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> <pad> $A", special_tokens=specials)
    tokenizer.save(str(folder / "tokenizer.json"))
    with pytest.raises(InputError, match="puts 2 tokens before a text"):
        open_model(str(folder))


@pytest.mark.parametrize("cut", [True, False])
def test_truncation_and_padding_that_a_tokenizer_was_saved_with_are_taken_off(folder, cut):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    if cut:
        tokenizer.enable_truncation(max_length=7)
    else:
        tokenizer.enable_padding(length=40, pad_token="<pad>")
    tokenizer.save(str(folder / "tokenizer.json"))
    model = open_model(str(folder))
    assert len(model.tokenizer.encode("12+3=15;ab").ids) == 11
    assert ask(model, "arithmetic", items=24).refused == {}


def test_a_tiny_tokenizer_gives_one_token_per_character_and_refuses_others():
    model = open_model("tiny:gpt2")
    encoding = model.tokenizer.encode("12+3=15;abQ(", add_special_tokens=False)
    assert len(encoding.ids) == len("12+3=15;abQ(")
    assert model.tokenizer.decode(encoding.ids) == "12+3=15;abQ("
    with pytest.raises(Exception, match="WordLevel error"):
        model.tokenizer.encode("é", add_special_tokens=False)


def test_an_unknown_dtype_is_refused():
    with pytest.raises(InputError, match="dtype must be one of"):
        open_model("tiny:gpt2", dtype="int8")


def test_a_module_on_another_device_is_refused_with_the_fix():
    from lesion.models import model as opened

    model = open_model("tiny:gpt2")
    with pytest.raises(InputError, match=r"the module is on meta: move it with \.to\('cpu'\) first"):
        opened._usable(model.module.to("meta"), model.family)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_place_holds_as_many_units_as_the_sizes_say(name):
    model = open_model(f"tiny:{name}")
    head, neuron, stream = (model.place(parse_site(site)) for site in ("L1H2", "L1N7", "L3.resid_pre"))
    assert (head.units, head.index) == (model.sizes.n_heads, 2)
    assert (neuron.units, neuron.index) == (model.sizes.d_mlp, 7)
    assert stream.path == model.family.final_norm
    assert head.module is not neuron.module


def test_head_99_of_4_is_refused():
    with pytest.raises(InterventionError, match="head 99 of 4"):
        open_model("tiny:llama").place(parse_site("L0H99"))


def test_a_sharded_model_is_refused_by_name():
    module = open_model("tiny:llama").module
    module.hf_device_map = {"model": 0}
    with pytest.raises(InputError, match="sharded model"):
        agreed(open_model("tiny:llama").sizes, open_model("tiny:llama").family, module)


def test_a_config_that_miscounts_keys_and_values_is_refused():
    model = open_model("tiny:llama")
    with pytest.raises(
        InputError, match=r"4 keys and values of width 8 need 32 outputs of self_attn\.v_proj, and it has 16"
    ):
        agreed(model.sizes.model_copy(update={"n_groups": 4}), model.family, model.module)


@pytest.mark.parametrize(("site", "said"), [("L0N1.up", "no second projection"), ("L0N1.act", "no second projection")])
def test_a_plain_mlp_has_no_act_and_no_up(site, said):
    with pytest.raises(InterventionError, match=said):
        open_model("tiny:gpt2").place(parse_site(site))


def test_no_stream_lies_between_parallel_attention_and_mlp():
    with pytest.raises(InterventionError, match="read the same stream"):
        open_model("tiny:gptj").place(parse_site("L0.resid_mid"))


def test_a_group_that_does_not_exist_is_refused():
    with pytest.raises(InterventionError, match="group 2 of 2; a layer of this model has groups 0 … 1"):
        open_model("tiny:llama").place(parse_site("L0G2.k"))
