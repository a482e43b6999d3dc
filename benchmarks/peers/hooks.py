"""Plain transformers with a forward pre-hook: the documented way, and (`expert`) with the last logits only."""

import sys

from serve import each, load, read_job, serve

job = read_job(sys.argv[1])
keep = 1 if sys.argv[2:] == ["expert"] else 0
model = load(job)
width = model.config.n_embd // model.config.n_head if job.kind == "head" else 1


def one(layer, unit, alpha):
    """Scale a copy of the projection's input, in one whole forward pass."""

    def edit(_, args):
        copy = args[0].clone()
        copy[..., unit * width : (unit + 1) * width] *= alpha
        return (copy,)

    block = model.transformer.h[layer]
    handle = (block.attn if job.kind == "head" else block.mlp).c_proj.register_forward_pre_hook(edit)
    logits = model(job.ids, use_cache=False, logits_to_keep=keep).logits
    handle.remove()
    return logits[:, -1]


serve(each(job, one))
