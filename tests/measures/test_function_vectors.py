"""Function-vector heads: prompts teach what they say, and the effect is that of the vector that is put in."""

import numpy as np
import pytest
import torch

from lesion.engine.batch import batches
from lesion.engine.select_engine import choose
from lesion.errors import InputError
from lesion.interventions.site import head
from lesion.measures.heads import function_vectors as module
from lesion.measures.heads.function_vectors import function_vectors
from lesion.models.model import open_model
from lesion.models.vocabulary import open_vocabulary
from lesion.study.gates.evidence.model_answers import FunctionVectorHead, FunctionVectors
from lesion.tasks.literature.word_maps import WORD_MAPS
from lesion.tasks.literature.word_prompts import compiled, drawn, map_prompts


def test_every_map_has_32_pairs_and_no_word_twice() -> None:
    assert {name: len(pairs) for name, pairs in WORD_MAPS.items() if len(pairs) < 30} == {}
    for name, pairs in WORD_MAPS.items():
        words = [word for word, _ in pairs]
        assert len(set(words)) == len(words), name


def test_a_mixed_prompt_has_the_same_words_and_no_right_example(smollm2_model) -> None:
    """The question is drawn apart from the examples; only their answers change places."""
    key = ("x", 0, "capital", 0)
    right, mixed = (
        drawn(smollm2_model.tokenizer, smollm2_model.bos, WORD_MAPS["capital"], 4, 5, key, mixed=m)
        for m in (False, True)
    )
    known = dict(WORD_MAPS["capital"])
    for one, other in zip(right, mixed, strict=True):
        shown, untaught = (smollm2_model.tokenizer.decode(list(row.ids)) for row in (one, other))
        examples = [part.removeprefix("Q: ").split("\nA:") for part in shown.split("\n\n")]
        assert all(known[word] == answer.strip() for word, answer in examples[:-1])
        pairs = [part.removeprefix("Q: ").split("\nA:") for part in untaught.split("\n\n")]
        assert all(known[word] != answer.strip() for word, answer in pairs[:-1])
        assert known[pairs[-1][0]].startswith(pairs[-1][1].strip())


def test_a_heads_own_output_has_no_effect_and_another_has_its_own() -> None:
    """Known answers: put in what stands there already, and put in what the plain hook puts in."""
    model = open_model("tiny:gpt2")
    engine = choose(model)
    rows = [row for row in (compiled(model.tokenizer, model.bos, "1+1=", "2"),) if row is not None]
    if not rows:
        pytest.skip("the tiny tokenizer joins prompt and answer")
    sites = [head(0, 0), head(1, 1)]
    own = module._mean_outputs(model, rows, sites)
    base, raised = module._effects(engine, rows, sites, own)
    assert np.abs(raised).max() < 1e-6
    far = {site: torch.full_like(vector, 3.0) for site, vector in own.items()}
    (batch,) = batches(rows, 1)
    for number, site in enumerate(sites):
        place = model.place(site)
        width = far[site].numel()

        def put(_, args, place=place, width=width):
            z = args[0].clone()
            z[:, batch.first :, place.index * width : (place.index + 1) * width] = 3.0
            return (z, *args[1:])

        hook = model.submodule(place.path).register_forward_pre_hook(put)
        with torch.inference_mode():
            logits = model.module(batch.inputs, use_cache=False).logits[:, batch.first]
        hook.remove()
        there = float(logits.double().log_softmax(-1)[0, batch.answer[0, 0]].exp())
        assert module._effects(engine, rows, sites, far)[1][number, 0] == pytest.approx(there - base[0], abs=1e-5)


def test_only_a_head_above_every_control_is_named() -> None:
    def one(site: str, effect: float, low: float, control: float) -> FunctionVectorHead:
        return FunctionVectorHead(site=site, effect=effect, low=low, high=1.0, control=control)

    heads = (one("L1H1", 0.3, 0.2, 0.0), one("L1H0", 0.1, 0.04, 0.05), one("L0H0", 0.0, -0.1, 0.0))
    found = FunctionVectors(shots=10, maps={}, prompts=8, control=0.05, heads=heads)
    assert found.named == ("L1H1",)
    assert found.top == ("L1H1", "L1H0")
    assert found.shared(["L0H0", "L1H0"]) == ("L1H0",)


@pytest.mark.parametrize(("prompts", "shots"), [(3, 10), (21, 10), (8, 1), (8, 17)])
def test_numbers_out_of_range_are_refused(prompts: int, shots: int) -> None:
    with pytest.raises(InputError, match="4 to 20 prompts"):
        function_vectors(choose(open_model("tiny:gpt2")), prompts, 0, shots)


def test_a_vocabulary_without_words_is_asked_no_map() -> None:
    """The embedded models read every letter as [UNK], on which they were never trained: such prompts are none."""
    for name in ("zoo:abacus-llama", "tiny:llama"):
        vocabulary = open_vocabulary(name)
        assert not [*map_prompts(vocabulary.tokenizer, vocabulary.bos)], name
        assert compiled(vocabulary.tokenizer, vocabulary.bos, "1+1=", "2") is not None


@pytest.mark.pretrained
@pytest.mark.slow
def test_smollm2s_largest_effect_is_of_a_head_that_is_no_induction_head(smollm2_model) -> None:
    """Whether L20H5 is named depends on the prompts: with 24 it is, with 48 it is not. So only its effect is asked."""
    found = function_vectors(choose(smollm2_model), prompts=4)
    first = found.heads[0]
    assert (first.site, first.low > 0, first.control < 0.01) == ("L20H5", True, True)
    assert 0.15 < first.effect < 0.3
    assert 0.02 < found.control < 0.1
    assert {"L18H6", "L17H3"} <= set(found.top)  # induction heads: the overlap that a claim about them must name
    assert found.maps["plural"].taught > 0.7
    assert found.maps["plural"].untaught < 0.1
