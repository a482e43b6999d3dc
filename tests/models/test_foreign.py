"""What others may have done to a module: refused at opening, or noticed afterwards."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import AddedToken, Tokenizer
from torch import nn

from lesion.errors import InputError
from lesion.lab import Lab
from lesion.models.checks.changed_module import mark, require_native, require_unchanged
from lesion.models.families import FAMILIES, family_of
from lesion.models.model import Model, adopted_model, open_model

ZOO = Path(__file__).resolve().parents[2] / "lesion" / "models" / "zoo" / "abacus-gpt2"


@pytest.fixture
def model() -> Model:
    return open_model("tiny:llama")


@pytest.fixture(scope="module")
def lab() -> Lab:
    opened = open_model("tiny:llama")
    return Lab(opened.module, opened.tokenizer)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of an embedded model, to be spoiled."""
    for path in ZOO.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


@pytest.mark.parametrize("name", FAMILIES)
def test_a_module_as_transformers_builds_it_is_native_and_stays_unchanged(name: str):
    module = open_model(f"tiny:{name}").module
    require_native(module)
    before = mark(module)
    with torch.inference_mode():
        module(torch.tensor([[1, 2, 3]]))
    require_unchanged(module, before)


def test_a_hook_that_is_there_already_is_told_by_name(model: Model):
    def mine(_: nn.Module, __: Any, output: Any) -> Any:
        return output

    model.module.model.layers[1].mlp.register_forward_hook(mine)
    with pytest.raises(InputError, match=r"a forward hook .*mine on model\.layers\.1\.mlp"):
        adopted_model(model.module, model.tokenizer)


def test_a_replaced_forward_is_told_by_name(model: Model):
    model.module.model.norm.forward = lambda hidden: hidden
    with pytest.raises(InputError, match=r"a replaced forward of model\.norm"):
        adopted_model(model.module, model.tokenizer)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_a_module_quantised_in_memory_is_told_by_layer(model: Model):
    packed = torch.ao.quantization.quantize_dynamic(model.module, {nn.Linear}, dtype=torch.qint8)
    with pytest.raises(InputError, match=r"self_attn\.q_proj is quantised"):
        adopted_model(packed, model.tokenizer)


def test_a_token_without_a_row_in_the_embedding_is_told_at_opening(folder: Path):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_special_tokens([AddedToken("<new>", special=True)])
    tokenizer.save(str(folder / "tokenizer.json"))
    with pytest.raises(InputError, match=r"1 tokens .* no row for, as '<new>' .*resize_token_embeddings"):
        open_model(str(folder))


def test_a_bos_beyond_the_vocabulary_is_told_at_opening(folder: Path):
    config = folder / "config.json"
    told = config.read_text().replace('"bos_token_id": 1', '"bos_token_id": 64000')
    assert "64000" in told
    config.write_text(told)
    with pytest.raises(InputError, match=r"the BOS token is 64000"):
        open_model(str(folder))


@pytest.mark.parametrize("use", ["run", "generate", "scores"])
@pytest.mark.parametrize("change", ["in place", "data", "load", "hook"])
def test_a_change_after_opening_is_noticed_by_every_use(lab: Lab, use: str, change: str):
    weight = lab.module.model.layers[0].mlp.up_proj.weight
    before, uses = weight.detach().clone(), _uses(lab)
    handle = None
    if change == "in place":
        with torch.no_grad():
            weight.mul_(2)
    elif change == "data":
        weight.data.mul_(2)  # torch keeps no version of this
    elif change == "load":
        lab.module.load_state_dict({name: 1.5 * tensor for name, tensor in lab.module.state_dict().items()})
    else:
        handle = lab.module.model.layers[0].register_forward_pre_hook(lambda *_: None)
    with pytest.raises(InputError, match="hooked after it was opened" if handle else "changed after it was opened"):
        uses[use]()
    if handle:
        handle.remove()
        uses["generate"]()
    elif change == "load":
        lab.module.load_state_dict({name: tensor / 1.5 for name, tensor in lab.module.state_dict().items()})
    else:
        weight.data.copy_(before)
    lab._mark = mark(lab.module)


def _uses(lab: Lab) -> dict[str, Callable[[], Any]]:
    return {
        "run": lambda: lab.run("arithmetic high=9 shots=0", "zero L0H0", items=4),
        "generate": lambda: lab.generate("1+1=", most=1),
        "scores": lambda: lab.scores("induction"),
    }


def test_an_intervention_of_its_own_is_no_foreign_hook(lab: Lab):
    with lab.intervene("scale L0H0 0.5"):
        lab.generate("1+1=", most=1)


@pytest.mark.parametrize(
    "config",
    [
        transformers.MixtralConfig,
        transformers.Qwen3MoeConfig,
        transformers.Qwen2MoeConfig,
        transformers.DeepseekV3Config,
        transformers.OlmoeConfig,
        transformers.GptOssConfig,
        transformers.PhimoeConfig,
        transformers.DbrxConfig,
        transformers.Llama4Config,
    ],
)
def test_a_mixture_of_experts_is_refused_as_one(config: Any):
    told = config()
    told.architectures = [config.__name__.replace("Config", "ForCausalLM")]
    with pytest.raises(InputError, match=r"is a mixture of experts .* not supported") as refused:
        family_of(told.to_dict())
    assert "did you mean" not in str(refused.value)


def test_one_inner_config_without_experts_makes_no_mixture():
    family_of({**transformers.LlamaConfig(architectures=["LlamaForCausalLM"]).to_dict(), "vision": {"num_experts": 0}})


@pytest.mark.smoke
@pytest.mark.parametrize(("name", "whole"), [("LlamaModel", "LlamaForCausalLM"), ("GPT2Model", "GPT2LMHeadModel")])
def test_a_network_without_its_unembedding_is_told_its_class(name: str, whole: str):
    with pytest.raises(InputError, match=f"write {whole} under"):
        family_of({"architectures": [name]})


def test_the_hooks_by_which_transformers_collects_patterns_are_no_strangers():
    model = open_model("tiny:llama")
    before = mark(model.module)
    with torch.inference_mode():
        model.module.model(torch.tensor([[1, 2, 3]]), output_attentions=True)
    require_unchanged(model.module, before)
