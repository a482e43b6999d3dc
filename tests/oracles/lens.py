"""Runs in transformer-lens's own environment: python lens.py FOLDER IDS OUT. Writes what its bridge sees of a model."""

import sys

import numpy as np
import torch
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

NAMES = ("attn.hook_z", "attn.hook_pattern", "hook_resid_pre", "hook_resid_post", "hook_mlp_out", "hook_attn_out")

folder, ids, out = sys.argv[1:]
inner = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
model = TransformerBridge.boot_transformers(inner.config.model_type, hf_model=inner, tokenizer=tokenizer, device="cpu")
with torch.inference_mode():
    logits, cache = model.run_with_cache(torch.from_numpy(np.load(ids)))
found = {"logits": logits}
for layer in range(inner.config.num_hidden_layers):
    for name in NAMES:
        found[f"{layer}.{name}"] = cache[f"blocks.{layer}.{name}"]
np.savez(out, **{name: tensor.float().numpy() for name, tensor in found.items()})
