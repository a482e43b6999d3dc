"""pyvene: it has no scaling intervention, so a source-less one of our own on the input of c_proj."""

import sys

import pyvene
import torch
from serve import each, load, read_job, serve

job = read_job(sys.argv[1])
inner = load(job)
width = inner.config.n_embd // inner.config.n_head if job.kind == "head" else 1


def one(layer, unit, alpha):
    """Scale a slice of the projection's input."""

    def edit(base, *_, **__):
        copy = base.clone()
        copy[..., unit * width : (unit + 1) * width] *= alpha
        return copy

    part = "attn" if job.kind == "head" else "mlp"
    model = pyvene.IntervenableModel(
        [{"component": f"transformer.h[{layer}].{part}.c_proj.input", "intervention": edit}], model=inner
    )
    _, changed = model(base={"input_ids": job.ids, "attention_mask": torch.ones_like(job.ids)})
    return changed.logits[:, -1]


serve(each(job, one))
