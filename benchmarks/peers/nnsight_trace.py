"""nnsight: one trace per intervention; the input of c_proj is the head site (its output mixes all heads)."""

import sys

from nnsight import NNsight
from serve import each, load, read_job, serve

job = read_job(sys.argv[1])
inner = load(job)
model = NNsight(inner)
width = inner.config.n_embd // inner.config.n_head if job.kind == "head" else 1


def one(layer, unit, alpha):
    """Scale a slice of the projection's input."""
    with model.trace(job.ids, use_cache=False):
        block = model.transformer.h[layer]
        projection = (block.attn if job.kind == "head" else block.mlp).c_proj
        copy = projection.input.clone()
        copy[..., unit * width : (unit + 1) * width] *= alpha
        projection.input = copy
        last = model.lm_head.output[:, -1].save()
    return last  # noqa: RET504  (a trace only keeps what it saved)


serve(each(job, one))
