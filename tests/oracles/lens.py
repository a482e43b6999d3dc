"""Runs in transformer-lens's own environment: python lens.py ROOT FAMILY… Writes ROOT/FAMILY/transformer-lens.npz.

What its bridge sees of each network, and its logits under the edits that ROOT/edits.json lists. Nothing is folded.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

NAMES = {
    "resid_pre": "hook_resid_pre",
    "z": "attn.hook_z",
    "pattern": "attn.hook_pattern",
    "attn_out": "hook_attn_out",
    "neurons": "mlp.hook_post",
    "mlp_out": "hook_mlp_out",
    "resid_post": "hook_resid_post",
}


def opened(folder):
    """The bridge around the module that transformers loads."""
    inner = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    return TransformerBridge.boot_transformers(
        inner.config.model_type, hf_model=inner, tokenizer=tokenizer, device="cpu"
    )


def read(model, ids):
    """One unedited run with its cache."""
    logits, cache = model.run_with_cache(ids)
    layers = range(model.cfg.n_layers)
    found = {f"{layer}.{ours}": cache[f"blocks.{layer}.{name}"] for layer in layers for ours, name in NAMES.items()}
    return found | {"logits": logits}


def edited(model, ids, edit):
    """The logits with one head or neuron scaled, from one position on."""

    def scale(tensor, hook):
        tensor[:, edit["begin"] :, edit["index"]] *= edit["alpha"]  # (row, position, head, width) or (…, neuron)
        return tensor

    name = f"blocks.{edit['layer']}.{NAMES['z' if edit['kind'] == 'head' else 'neurons']}"
    return model.run_with_hooks(ids, fwd_hooks=[(name, scale)])


root, families = Path(sys.argv[1]), sys.argv[2:]
for family in families:
    model, ids = opened(root / family), torch.from_numpy(np.load(root / family / "ids.npy"))
    with torch.inference_mode():
        found = read(model, ids)
        for number, edit in enumerate(json.loads((root / "edits.json").read_text())):
            found[f"edit{number}"] = edited(model, ids, edit)
    np.savez(root / family / "transformer-lens.npz", **{name: value.float().numpy() for name, value in found.items()})
