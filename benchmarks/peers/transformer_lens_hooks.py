"""transformer-lens 4: the bridge with run_with_hooks. Nothing is folded: folded value biases change ablation."""

import sys

from serve import each, load, read_job, serve
from transformer_lens.model_bridge import TransformerBridge
from transformers import PreTrainedTokenizerFast

job = read_job(sys.argv[1])
inner = load(job)
tokenizer = PreTrainedTokenizerFast.from_pretrained(job.model)
model = TransformerBridge.boot_transformers("gpt2", hf_model=inner, tokenizer=tokenizer, device="cpu")
width = inner.config.n_embd // inner.config.n_head if job.kind == "head" else 1
name = "attn.hook_z" if job.kind == "head" else "mlp.hook_post"


def one(layer, unit, alpha):
    """Scale a head's z, or a neuron's activation."""

    def edit(tensor, hook):  # noqa: ARG001
        if tensor.ndim == 4:
            tensor[:, :, unit] *= alpha
        else:
            tensor[..., unit * width : (unit + 1) * width] *= alpha
        return tensor

    return model.run_with_hooks(job.ids, fwd_hooks=[(f"blocks.{layer}.{name}", edit)])[:, -1]


serve(each(job, one))
