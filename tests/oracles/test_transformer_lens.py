"""The same weights through transformer-lens, in its own environment: z, patterns, streams, attributions and scores.

`make oracles` makes the environment and runs this. transformer-lens 4's bridge folds nothing, so numbers compare.
"""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from lesion.engine.batch import batches
from lesion.engine.capture import Read, capture, whole
from lesion.engine.choose import choose
from lesion.engine.patterns import patterns
from lesion.identity import generator
from lesion.measures.asked import of
from lesion.measures.attribution import attribution
from lesion.measures.heads import attention_patterns, induction_stripe
from lesion.measures.probe import Repeats, repeats
from lesion.models.model import open_model
from lesion.tasks.tokenization import Compiled
from lesion.training.hand import hand_network

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".bench" / "transformer-lens" / "bin" / "python"
BLOCK = 5

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.exists(), reason="transformer-lens has an environment of its own: make oracles"),
]


@pytest.fixture(scope="module", params=["gpt2", "llama", "gpt_neox", "qwen2"])
def both(request, tmp_path_factory):
    """A tiny model, ids with a block that begins again, and what transformer-lens sees of it."""
    model, folder = open_model(f"tiny:{request.param}"), tmp_path_factory.mktemp(request.param)
    model.module.save_pretrained(folder)
    first = model.tokenizer.id_to_token(0)
    PreTrainedTokenizerFast(tokenizer_object=model.tokenizer, bos_token=first, eos_token=first).save_pretrained(folder)
    block = np.random.default_rng(0).permuted(np.tile(np.arange(3, 40), (4, 1)), axis=1)[:, :BLOCK]
    ids = np.concatenate([np.full((4, 1), model.bos or 0), block, block], axis=1)
    np.save(folder / "ids.npy", ids)
    script = [PYTHON, Path(__file__).with_name("lens.py"), folder, folder / "ids.npy", folder / "out.npz"]
    done = subprocess.run(list(map(str, script)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return model, torch.from_numpy(ids), dict(np.load(folder / "out.npz"))


def seen(model, ids, path, side):
    """What our capture reads of a module on the same ids."""
    rows = [Compiled(tuple(row), {}, tuple(row[-1:]), tuple(row[-1:]), len(row) - 1, None) for row in ids.tolist()]
    (found,) = capture(model, batches(rows, len(rows)), [Read("it", path, side, whole)])
    return found.kept["it"].numpy()


def test_streams_and_head_values_are_the_same(both):
    model, ids, theirs = both
    for layer in range(model.sizes.n_layers):
        z = seen(model, ids, f"{model.block_path(layer)}.{model.family.attention_out}", "input")
        lens = theirs[f"{layer}.attn.hook_z"][:, :-1]
        assert np.abs(z - lens.reshape(z.shape)).max() < 1e-5
        for name, side in (("hook_resid_pre", "input"), ("hook_resid_post", "output")):
            ours = seen(model, ids, model.block_path(layer), side)
            assert np.abs(ours - theirs[f"{layer}.{name}"][:, :-1]).max() < 1e-5


def test_attention_patterns_and_head_scores_are_the_same(both):
    model, ids, theirs = both
    layers = list(range(model.sizes.n_layers))
    ours = torch.stack([patterns(model, ids, layers)[layer] for layer in layers])
    lens = torch.from_numpy(np.stack([theirs[f"{layer}.attn.hook_pattern"] for layer in layers]))
    assert (ours - lens).abs().max() < 1e-5
    sequences = Repeats(ids, 1, BLOCK, 0)
    assert torch.allclose(induction_stripe(ours, sequences), induction_stripe(lens, sequences), atol=1e-5)


def test_its_detector_gives_a_perfect_head_32_in_65_where_the_stripe_gives_1(tmp_path):
    sequences = repeats(np.arange(1, 33), 0, 32, 0, 1, generator("oracle"))
    found = attention_patterns(hand_network(), sequences.ids)
    np.savez(tmp_path / "in.npz", tokens=sequences.ids[0].numpy(), pattern=found[1, 0, 1].numpy())
    script = [PYTHON, Path(__file__).with_name("detector.py"), tmp_path / "in.npz", tmp_path / "out.npy"]
    done = subprocess.run(list(map(str, script)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert np.load(tmp_path / "out.npy") == pytest.approx([32 / 65, round(32 / 65, 3)], abs=1e-5)
    assert float(induction_stripe(found, sequences)[1, 1]) == pytest.approx(1, abs=1e-6)


def test_direct_attributions_of_heads_are_those_of_its_cache(both):
    """By hand from transformer-lens's z and last stream: the final norm's scale frozen, then the unembedding."""
    model, ids, theirs = both
    answer, wrong = 5, 6
    rows = [Compiled((*row, answer), {}, (answer,), (wrong,), len(row), None) for row in ids.tolist()]
    found = attribution(choose(model), of(rows), "logit_diff", totals=False)
    last, norm = torch.from_numpy(theirs[f"{model.sizes.n_layers - 1}.hook_resid_post"])[:, -1], final_norm(model)
    centred = not hasattr(norm, "variance_epsilon")  # LayerNorm centres, RMSNorm does not
    stream = last - last.mean(-1, keepdim=True) if centred else last
    epsilon = norm.eps if centred else norm.variance_epsilon
    scale = (stream.pow(2).mean(-1, keepdim=True) + epsilon).sqrt()
    unembed = model.module.get_output_embeddings().weight.detach()
    direction = norm.weight.detach() * (unembed[answer] - unembed[wrong])
    for part in found.heads[: model.sizes.n_heads]:
        index = int(part.site.split("H")[1])
        z = torch.from_numpy(theirs["0.attn.hook_z"])[:, -1, index]
        weight = model.submodule(f"{model.block_path(0)}.{model.family.attention_out}").weight.detach()
        matrix = weight if weight.shape[0] != weight.shape[1] or model.family.name == "gpt2" else weight.T
        size = z.shape[-1]
        out = z @ matrix[index * size : (index + 1) * size]
        out = out - out.mean(-1, keepdim=True) if centred else out
        assert part.direct == pytest.approx(float((out / scale @ direction).mean()), abs=1e-5)


def final_norm(model):
    return model.submodule(model.family.final_norm)


def test_logits_are_the_same(both):
    model, ids, theirs = both
    with torch.inference_mode():
        assert (model.module(ids).logits - torch.from_numpy(theirs["logits"])).abs().max() < 1e-4
