"""A head's output norm is the mean length of what its own columns of the output projection add to the stream."""

import pytest
import torch

from lesion.engine.batch import batches
from lesion.engine.replacement_activations import observe
from lesion.errors import InputError
from lesion.interventions.site import Site
from lesion.measures.heads.output_norms import head_norms
from lesion.models.model import open_model


def _rows(model, lengths=(9, 9, 12)):
    from lesion.identity import generator
    from lesion.tasks.tokenizers.prompt_contract import Compiled

    rng = generator("output norms")
    made = [tuple(map(int, rng.integers(2, model.sizes.vocab_size, n))) for n in lengths]
    return [Compiled(ids, {}, ids[-2:], ids[-2:], len(ids) - 2, None) for ids in made]


@pytest.mark.parametrize("name", ["tiny:llama", "tiny:gpt2"])
def test_the_norm_is_that_of_z_through_the_heads_part_of_the_projection(name):
    model = open_model(name)
    cut = batches(_rows(model), 2)
    found = head_norms(model, cut)
    layer, index, width = 1, 2, model.sizes.d_head
    module = model.submodule(f"{model.block_path(layer)}.{model.family.attention_out}")
    weight = module.weight.detach().T if isinstance(module, torch.nn.Linear) else module.weight.detach()
    part = weight[index * width : (index + 1) * width]
    site = Site(kind="head", layer=layer, index=index)
    written = torch.cat([(observe(model, batch, [site])[site] @ part).norm(dim=-1).flatten() for batch in cut])
    assert found.shape == (model.sizes.n_layers, model.sizes.n_heads)
    assert float(found[layer, index]) == pytest.approx(float(written.mean()), rel=1e-5)


def test_a_head_that_writes_nothing_has_norm_zero_and_the_others_keep_theirs():
    model = open_model("tiny:llama")
    before = head_norms(model, batches(_rows(model), 2))
    width = model.sizes.d_head
    module = model.submodule(f"{model.block_path(1)}.{model.family.attention_out}")
    with torch.no_grad():
        module.weight[:, 3 * width : 4 * width] = 0
    after = head_norms(model, batches(_rows(model), 2))
    assert after[1, 3] == 0 < before[1, 3]
    assert torch.allclose(after[1, :3], before[1, :3])


def test_without_a_batch_no_head_can_be_measured():
    with pytest.raises(InputError, match="no head can be measured"):
        head_norms(open_model("tiny:llama"), [])
