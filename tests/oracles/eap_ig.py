"""Runs in EAP-IG's own environment: python eap_ig.py FOLDER. Reads FOLDER/gpt2 and pairs.npz, writes FOLDER/theirs.npz.

Edge scores by every method of github.com/hannamw/EAP-IG, and what its circuits leave of the metric. Its code is asked
for tokens in the place of texts, and for the processor in the place of the GPU that it names.
"""

import sys
import time
from pathlib import Path

import eap.attribute
import eap.evaluate
import numpy as np
import torch
from eap.graph import Graph
from transformer_lens import HookedTransformer, HookedTransformerConfig
from transformer_lens.pretrained.weight_conversions import convert_gpt2_weights, convert_llama_weights
from transformers import AutoModelForCausalLM

STEPS = 5


def on_processor(make):
    """torch.zeros, whatever device its caller names."""

    def zeros(*sizes, **options):
        return make(*sizes, **{name: value for name, value in options.items() if name != "device"})

    return zeros


def tokens(_, rows, max_length=None):
    """Rows of token ids as their tokenizer would give them, without padding."""
    del max_length
    made = torch.stack(list(rows))
    return made, torch.ones_like(made), torch.full((len(made),), made.shape[1]), made.shape[1]


def opened(folder):
    """The network as a hooked transformer; nothing is folded or centred."""
    inner = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
    c = inner.config
    llama = c.model_type == "llama"
    shared = {"n_key_value_heads": c.num_key_value_heads, "final_rms": True} if llama else {}
    config = HookedTransformerConfig(
        n_layers=c.num_hidden_layers,
        d_model=c.hidden_size,
        n_heads=c.num_attention_heads,
        d_head=c.hidden_size // c.num_attention_heads,
        d_mlp=c.intermediate_size if llama else 4 * c.hidden_size,
        n_ctx=c.max_position_embeddings,
        d_vocab=c.vocab_size,
        act_fn="silu" if llama else "gelu_new",
        eps=c.rms_norm_eps if llama else c.layer_norm_epsilon,
        normalization_type="RMS" if llama else "LN",
        positional_embedding_type="rotary" if llama else "standard",
        rotary_adjacent_pairs=False,
        rotary_dim=c.hidden_size // c.num_attention_heads,
        rotary_base=10_000,
        gated_mlp=llama,
        device="cpu",
        original_architecture=c.architectures[0],
        **shared,
    )
    model = HookedTransformer(config)
    convert = convert_llama_weights if llama else convert_gpt2_weights
    model.load_and_process_state_dict(
        convert(inner, config), fold_ln=False, center_writing_weights=False, center_unembed=False,
        fold_value_biases=False,
    )  # fmt: skip
    model.set_use_attn_result(True)
    model.set_use_split_qkv_input(True)
    model.set_use_hook_mlp_in(True)
    if llama:
        model.set_ungroup_grouped_query_attention(True)
    return model.eval()


torch.zeros = on_processor(torch.zeros)
eap.attribute.tokenize_plus = eap.evaluate.tokenize_plus = tokens
folder = Path(sys.argv[1])
pairs = dict(np.load(folder / "pairs.npz"))
clean, corrupted = (torch.from_numpy(pairs[name]) for name in ("clean", "corrupted"))
answers = torch.from_numpy(pairs["answers"])
data = [(list(clean), list(corrupted), answers)]
model = opened(folder / sys.argv[2])


def each(logits, _, lengths, label):
    """The logit difference of every prompt."""
    row = torch.arange(len(logits))
    last = logits[row, lengths - 1]
    return last[row, label[:, 0]] - last[row, label[:, 1]]


def total(*given):
    """Their scores are divided by the prompts, so the metric is a sum."""
    return each(*given).sum()


found = {}
if sys.argv[3] == "scores":
    for method in ("EAP", "EAP-IG-inputs", "EAP-IG-activations"):
        graph = Graph.from_model(model)
        eap.attribute.attribute(model, graph, data, total, method, ig_steps=STEPS, quiet=True)
        found |= {f"{method}|{name}": edge.score.item() for name, edge in graph.edges.items()}
    for path in sorted(folder.glob("ours*.json")):
        graph = Graph.from_json(str(path))
        found[f"kept|{path.stem}"] = eap.evaluate.evaluate_graph(model, graph, data, each, quiet=True).mean().item()
        graph.to_json(str(path.with_name(path.name.replace("ours", "theirs"))))
    exact = Graph.from_model(model)
    exact.in_graph |= exact.real_edge_mask
    base = eap.evaluate.evaluate_baseline(model, data, each, quiet=True).mean().item()
    for edge in list(exact.edges.values())[:: int(pairs["every"])]:
        edge.in_graph = False
        found[f"exact|{edge.name}"] = (
            eap.evaluate.evaluate_graph(model, exact, data, each, quiet=True).mean().item() - base
        )
        edge.in_graph = True
else:  # time: some edges patched exactly, spread over all of them
    graph = Graph.from_model(model)
    graph.in_graph |= graph.real_edge_mask
    edges = list(graph.edges.values())
    chosen = edges[:: len(edges) // int(sys.argv[4])]
    eap.evaluate.evaluate_graph(model, graph, data, each, quiet=True)
    begun = time.process_time()
    for edge in chosen:
        edge.in_graph = False
        left = eap.evaluate.evaluate_graph(model, graph, data, each, quiet=True).mean().item()
        found[f"exact|{edge.name}"] = left
        edge.in_graph = True
    found["seconds"] = (time.process_time() - begun) / len(chosen)
    found["edges"] = len(edges)
    found["base"] = eap.evaluate.evaluate_baseline(model, data, each, quiet=True).mean().item()
np.savez(folder / "theirs.npz", **{name: np.array(value) for name, value in found.items()})
