"""The laboratory in a notebook: an intervention on the module itself, models in memory, tables and pictures."""

import sys
from typing import Any

import polars as pl
import pytest
import torch
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from lesion.engine.hooks import applied, hook_count
from lesion.engine.replacement_activations import Library
from lesion.errors import InputError, InterventionError
from lesion.interventions.intervention import Steer
from lesion.interventions.site import Site
from lesion.lab import Lab, Result, scale
from lesion.models.model import open_model

INDUCTION = "scale L1H0+L1H1 0"


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab("zoo:abacus-llama")


@pytest.fixture(scope="module")
def result(lab: Lab) -> Result:
    return lab.run("arithmetic", INDUCTION, items=40)


def ids_of(lab: Lab, text: str) -> torch.Tensor:
    return torch.tensor([[lab.model.bos, *lab.model.tokenizer.encode(text, add_special_tokens=False).ids]])


def written(lab: Lab, text: str) -> str:
    """What transformers' own generate writes."""
    ids = ids_of(lab, text)
    out = lab.module.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False)
    return lab.model.tokenizer.decode(out[0, ids.shape[1] :].tolist()).removesuffix(";")


def test_greedy_text_is_what_transformers_writes_with_and_without_an_intervention(lab: Lab):
    prompts = ["12+34=", "99-1=", "1+2="]
    unedited = [written(lab, prompt) for prompt in prompts]
    assert lab.generate(prompts).texts == unedited == ["46", "98", "3"]
    with lab.intervene(INDUCTION) as held:
        edited = [written(lab, prompt) for prompt in prompts]
        passes = held.receipt.forwards
        assert lab.generate(prompts).texts == edited != unedited
    found = lab.generate(prompts, do=INDUCTION)
    assert found.texts == edited
    assert held.receipt.forwards > passes > 0
    assert held.receipt.firings == held.receipt.forwards
    assert found.receipt is not None
    assert found.receipt.l2_change > 0
    assert lab.generate(prompts).texts == unedited


def test_a_forward_pass_under_an_intervention_has_the_numbers_of_the_engine(lab: Lab):
    ids = ids_of(lab, "12+34=46;9-1=")
    with torch.inference_mode():
        clean = lab.module(ids).logits
        with applied(lab.model, scale("L1H0", 0.5), torch.ones(ids.shape, dtype=torch.bool)):
            known = lab.module(ids).logits
        with lab.intervene("scale L1H0 0.5") as held:
            assert torch.equal(lab.module(ids).logits, known)
            assert torch.equal(lab.module(input_ids=ids).logits, known)
        assert not torch.equal(clean, known)
        assert torch.equal(lab.module(ids).logits, clean)
    assert held.receipt.elements == 2 * ids.shape[1] * lab.model.sizes.d_head


def test_hooks_are_gone_after_an_error_and_the_error_is_the_users_own(lab: Lab):
    before = hook_count(lab.module)

    def fail() -> None:
        with lab.intervene(INDUCTION):
            assert hook_count(lab.module) > before
            lab.generate("1+2=")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert hook_count(lab.module) == before
    assert lab.run("arithmetic high=9 shots=0", "scale L1H0 1", items=4).receipt.l2_change == 0, "nothing stands"


def test_an_intervention_that_nothing_ran_is_an_error(lab: Lab):
    with pytest.raises(InterventionError, match="fired 0 times"), lab.intervene(INDUCTION):
        pass
    with pytest.raises(InterventionError, match="fired 0 times"), lab.intervene(INDUCTION) as held:
        assert held.receipt


@pytest.mark.parametrize(
    ("do", "told"),
    [
        ("scale L1H0 0 @last", "'last' has no meaning"),
        ("scale L1H0 0 @role:operand_1", "'role:operand_1' has no meaning"),
        ("scale L9H0 0", "layers of this model are 0"),
    ],
)
def test_what_has_no_meaning_there_is_refused_by_name(lab: Lab, do: str, told: str):
    before = hook_count(lab.module)
    with pytest.raises(InterventionError, match=told), lab.intervene(do):
        lab.generate("1+2=")
    assert hook_count(lab.module) == before


def test_a_vector_is_added_wherever_the_module_reads(lab: Lab):
    library = Library(lab.model)
    vector = torch.linspace(-1, 1, lab.model.sizes.d_model)
    steer = Steer(sites=(Site(kind="resid_pre", layer=1),), vector=library.add(vector), coefficient=2)
    with lab.intervene(steer, library) as held:
        lab.generate("12+34=", most=3)
    receipt = held.receipt
    tokens = receipt.elements // lab.model.sizes.d_model
    assert receipt.l2_change == pytest.approx(2 * float(vector.norm()) * tokens**0.5, rel=1e-5)
    with pytest.raises(InputError, match="no such vector is known"), lab.intervene(steer):
        pass


@pytest.mark.parametrize("measure", ["run", "scores", "heads", "attribute", "screen"])
def test_nothing_is_measured_while_an_intervention_stands_on_the_model(lab: Lab, measure: str):
    arguments = {"run": ("arithmetic", "zero L1H0"), "attribute": ("arithmetic",), "screen": ("arithmetic",)}
    with lab.intervene(INDUCTION):
        lab.generate("1+2=")
        with pytest.raises(InterventionError, match=rf"lab\.{measure} measures the model as it is"):
            getattr(lab, measure)(*arguments.get(measure, ()))
        with pytest.raises(InterventionError, match="leave the `with"):
            lab.generate("1+2=", do="zero L1H0")


def test_scores_are_those_of_each_detector_and_name_the_same_heads(lab: Lab):
    scores = lab.scores("induction", "previous_token")
    assert scores.detections[0] == lab.heads("induction")
    assert scores.table.height == 2 * 24
    named = scores.table.filter(pl.col("named") & (pl.col("detector") == "induction"))
    assert set(named["site"]) == {"L1H0", "L1H1"}
    assert "2 induction heads: L1H0, L1H1" in scores._repr_html_()
    assert set(lab.scores("first_token").table["detector"]) == {"first_token"}
    with pytest.raises(InputError, match="is not a detector"):
        lab.scores("inducton")


def test_tables_show_themselves_and_go_to_pandas(result: Result, lab: Lab, monkeypatch: pytest.MonkeyPatch):
    assert "Receipt: " in result._repr_html_()
    assert "neutral_kl" in result._repr_html_(), "every measure is shown"
    words = str(result)
    assert words.startswith(f"{result.effect.intervention} on {result.effect.model}\nReceipt: ")
    assert all(measure in words for measure in result.summary["measure"])
    assert "top1_flip" in words
    assert all(0 <= end <= 1 for end in result.interval("top1_flip"))
    frame = result.to_pandas()
    assert list(frame.columns) == result.table.columns
    assert frame["correct_edited"].mean() == pytest.approx(result.change().edited)
    texts = lab.generate(["1+2=", "2+2="])
    assert list(texts.to_pandas()["prompt"]) == ["1+2=", "2+2="]
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InputError, match="pip install pandas"):
        result.to_pandas()


def test_pictures_are_drawn_from_the_tables_without_a_network(result: Result, lab: Lab, tmp_path):
    bundle = result.plot()._repr_mimebundle_()
    assert bundle["image/svg+xml"].startswith("<svg")
    assert "answer logprob, nats" in bundle["image/svg+xml"]
    assert "exploratory" in bundle["image/svg+xml"]
    one = result.plot("correct")
    (rows,) = one.chart.to_dict()["datasets"].values()
    assert [(row["measure"], row["delta"]) for row in rows] == [("correct", result.change().delta)]
    with pytest.raises(InputError, match="did you mean 'correct'"):
        result.plot("corect")
    scores = lab.scores("induction")
    saved = scores.plot().save(tmp_path / "heads.svg")
    assert f">{scores.table['score'].max():.2f}</text>" in saved.read_text(encoding="utf-8")


def test_a_module_in_memory_gives_what_the_named_model_gives(lab: Lab):
    named = open_model("zoo:abacus-llama")
    wrapped = PreTrainedTokenizerFast(tokenizer_object=named.tokenizer, bos_token="[BOS]", pad_token="[PAD]")
    module = named.module.requires_grad_(True)
    for tokenizer in (wrapped, named.tokenizer):
        own = Lab(module, tokenizer=tokenizer)
        assert own.model.bos == named.bos
        assert own.model.name == "memory:LlamaForCausalLM"
        assert own.module is module
        mine, known = (which.run("arithmetic high=9 shots=0", INDUCTION, items=10) for which in (own, lab))
        assert mine.effect.changes == known.effect.changes
    with torch.no_grad():
        module.lm_head.weight += 0.01
    assert Lab(module, tokenizer=wrapped).model.weights_hash != own.model.weights_hash


def test_a_module_that_cannot_be_measured_as_it_is_is_refused_with_the_fix(lab: Lab):
    named = open_model("tiny:llama")
    module: Any = named.module
    with pytest.raises(InputError, match="needs its fast tokenizer, not NoneType"):
        Lab(module)
    with pytest.raises(InputError, match="a named model brings its own"):
        Lab("tiny:llama", tokenizer=named.tokenizer)
    with pytest.raises(InputError, match=r"call \.eval\(\) on it"):
        Lab(module.train(), tokenizer=named.tokenizer)
    module.eval().set_attn_implementation("eager")
    with pytest.raises(InputError, match=r"set_attn_implementation\('sdpa'\)"):
        Lab(module, tokenizer=named.tokenizer)
    module.set_attn_implementation("sdpa")
    with pytest.raises(InputError, match="numbers must be all of one type"):
        Lab(module.half(), tokenizer=named.tokenizer)
    with pytest.raises(InputError, match=r"device mps: this version computes on the processor, or on one CUDA device"):
        Lab(module, tokenizer=named.tokenizer, device="mps")
    with pytest.raises(InputError, match="has no config of transformers"):
        Lab(torch.nn.Linear(2, 2), tokenizer=Tokenizer.from_str(named.tokenizer.to_str()))


def test_a_prompt_that_cannot_be_read_is_refused(lab: Lab):
    with pytest.raises(InputError, match="cannot be asked of zoo:abacus-llama: the vocabulary has no token for 'ä'"):
        lab.generate("Käse")
    with pytest.raises(InputError, match="this model has 48 positions"):
        lab.generate("1+2=", most=100)
