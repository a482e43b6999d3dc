"""What transformer-lens makes of its own numbers, against what is measured here: scores of heads and attributions."""

import numpy as np
import pytest
import torch

from lesion.engine.select_engine import choose
from lesion.identity import generator
from lesion.measures.attribution.direct_logit import attribution
from lesion.measures.heads.pattern_scores import attention_patterns, induction_stripe
from lesion.measures.heads.repeated_sequences import Repeats, repeats
from lesion.measures.prompt_set import of
from lesion.tasks.tokenizers.prompt_contract import Compiled
from lesion.training.hand_model import hand_network

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module", params=["gpt2", "llama", "gpt_neox", "qwen2"])
def case(request, said):
    """Families with no norm behind attention or MLP: the attribution by hand below knows none."""
    return said("transformer-lens")[request.param]


def test_scores_of_heads_are_those_of_its_patterns(case):
    sequences = Repeats(case.ids, 1, case.block, 0)
    layers = range(case.model.sizes.n_layers)
    theirs = torch.stack([torch.from_numpy(case.theirs[f"{layer}.pattern"]) for layer in layers])
    ours = attention_patterns(case.model.module, case.ids)
    assert torch.allclose(induction_stripe(ours, sequences), induction_stripe(theirs, sequences), atol=1e-5)


def test_its_detector_gives_a_perfect_head_32_in_65_where_the_stripe_gives_1(tmp_path, ask):
    sequences = repeats(np.arange(1, 33), 0, 32, 0, 1, generator("oracle"))
    found = attention_patterns(hand_network(), sequences.ids)
    np.savez(tmp_path / "in.npz", tokens=sequences.ids[0].numpy(), pattern=found[1, 0, 1].numpy())
    ask("transformer-lens", "detector.py", tmp_path / "in.npz", tmp_path / "out.npy")
    assert np.load(tmp_path / "out.npy") == pytest.approx([32 / 65, round(32 / 65, 3)], abs=1e-5)
    assert float(induction_stripe(found, sequences)[1, 1]) == pytest.approx(1, abs=1e-6)


def test_direct_attributions_of_heads_are_those_of_its_cache(case):
    """By hand from transformer-lens's z and last stream: the final norm's scale frozen, then the unembedding."""
    model, answer, wrong = case.model, 5, 6
    rows = [Compiled((*row, answer), {}, (answer,), (wrong,), len(row), None) for row in case.ids.tolist()]
    found = attribution(choose(model), of(rows), "logit_diff", totals=())
    last = torch.from_numpy(case.theirs[f"{model.sizes.n_layers - 1}.resid_post"])[:, -1]
    norm = model.submodule(model.family.final_norm)
    centred = not hasattr(norm, "variance_epsilon")  # LayerNorm centres, RMSNorm does not
    stream = last - last.mean(-1, keepdim=True) if centred else last
    epsilon = norm.eps if centred else norm.variance_epsilon
    scale = (stream.pow(2).mean(-1, keepdim=True) + epsilon).sqrt()
    unembed = model.module.get_output_embeddings().weight.detach()
    direction = norm.weight.detach() * (unembed[answer] - unembed[wrong])
    weight = model.submodule(f"{model.block_path(0)}.{model.family.attention_out}").weight.detach()
    matrix = weight if model.family.name == "gpt2" else weight.T  # GPT-2's projection keeps (in, out)
    for part in found.heads[: model.sizes.n_heads]:
        index = int(part.site.split("H")[1])
        z = torch.from_numpy(case.theirs["0.z"])[:, -1, index]
        out = z @ matrix[index * z.shape[-1] : (index + 1) * z.shape[-1]]
        out = out - out.mean(-1, keepdim=True) if centred else out
        assert part.direct == pytest.approx(float((out / scale @ direction).mean()), abs=1e-5)
