"""Runs in nnsight's own environment: python tracer.py ROOT FAMILY… Writes ROOT/FAMILY/nnsight.npz.

What its traces see of each network, and its logits under the edits that ROOT/edits.json lists.
"""

import json
import sys
from functools import reduce
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from nnsight import NNsight
from transformers import AutoModelForCausalLM


class Paths(NamedTuple):
    """Where a family keeps its parts, read off its printed module tree; all but the first are those of a block."""

    blocks: str
    z: str
    """Whose input are the heads side by side."""
    neurons: str
    """Whose input are the neurons."""
    attention_adds: str | None = None
    """Whose output attention adds to the stream; where not said, that of `z`."""
    mlp_adds: str | None = None


GATED = Paths("model.layers", "self_attn.o_proj", "mlp.down_proj")
NORMED = GATED._replace(attention_adds="post_attention_layernorm", mlp_adds="post_feedforward_layernorm")
SELF = Paths("transformer.h", "self_attention.dense", "mlp.dense_4h_to_h")
PATHS = {
    "gpt2": Paths("transformer.h", "attn.c_proj", "mlp.c_proj"),
    "gpt_bigcode": Paths("transformer.h", "attn.c_proj", "mlp.c_proj"),
    "gpt_neo": Paths("transformer.h", "attn.attention.out_proj", "mlp.c_proj"),
    "gptj": Paths("transformer.h", "attn.out_proj", "mlp.fc_out"),
    "gpt_neox": Paths("gpt_neox.layers", "attention.dense", "mlp.dense_4h_to_h"),
    "opt": Paths("model.decoder.layers", "self_attn.out_proj", "fc2"),
    "phi": Paths("model.layers", "self_attn.dense", "mlp.fc2"),
    "falcon": SELF,
    "bloom": SELF,
    **dict.fromkeys(["llama", "mistral", "qwen2", "qwen3", "gemma", "phi3"], GATED),
    **dict.fromkeys(["gemma2", "gemma3_text", "olmo2"], NORMED),
}


def part(envoy, path):
    """A module's envoy at a dotted path."""
    return reduce(getattr, path.split("."), envoy)


def first(output):
    """A block gives back the stream, or a tuple that begins with it."""
    return output[0] if isinstance(output, tuple) else output


def read(model, paths, ids):
    """One unedited trace; what is read stands in the order in which the network comes by it."""
    found = {}
    with model.trace(ids, use_cache=False, output_attentions=True):
        for layer, block in enumerate(part(model, paths.blocks)):
            found[f"{layer}.resid_pre"] = block.input.clone().save()
            found[f"{layer}.z"] = part(block, paths.z).input.clone().save()
            found[f"{layer}.attn_out"] = part(block, paths.attention_adds or paths.z).output.clone().save()
            found[f"{layer}.neurons"] = part(block, paths.neurons).input.clone().save()
            found[f"{layer}.mlp_out"] = part(block, paths.mlp_adds or paths.neurons).output.clone().save()
            found[f"{layer}.resid_post"] = first(block.output).clone().save()
        found["logits"] = model.output.logits.save()
        patterns = model.output.attentions.save()
    return found | {f"{layer}.pattern": pattern for layer, pattern in enumerate(patterns)}


def edited(model, paths, ids, edit):
    """The logits with one head or neuron scaled, from one position on."""
    heads, begin = edit["kind"] == "head", edit["begin"]
    width = model.config.hidden_size // model.config.num_attention_heads
    width = (getattr(model.config, "head_dim", None) or width) if heads else 1
    with model.trace(ids, use_cache=False):
        module = part(part(model, paths.blocks)[edit["layer"]], paths.z if heads else paths.neurons)
        flat = module.input
        copy = flat.clone().reshape(*ids.shape, -1)
        copy[:, begin:, edit["index"] * width : (edit["index"] + 1) * width] *= edit["alpha"]
        module.input = copy.reshape(flat.shape)
        logits = model.output.logits.save()
    return logits  # noqa: RET504  (a trace only keeps what it saved)


root, families = Path(sys.argv[1]), sys.argv[2:]
for family in families:
    inner = (
        AutoModelForCausalLM.from_pretrained(root / family, attn_implementation="eager").eval().requires_grad_(False)
    )
    model, ids = NNsight(inner), torch.from_numpy(np.load(root / family / "ids.npy"))
    found = read(model, PATHS[family], ids)
    for number, edit in enumerate(json.loads((root / "edits.json").read_text())):
        found[f"edit{number}"] = edited(model, PATHS[family], ids, edit)
    np.savez(root / family / "nnsight.npz", **{name: tensor.float().numpy() for name, tensor in found.items()})
