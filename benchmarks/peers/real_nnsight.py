"""nnsight: one trace per intervention, on the module that transformers loaded; logits at the answer positions only."""

from nnsight import NNsight
from real_work import answer, each, load, read

folder, jobs = read()
inner = load(folder)
model = NNsight(inner)
width = getattr(inner.config, "head_dim", None) or inner.config.hidden_size // inner.config.num_attention_heads


def one(job, heads):
    """One trace with some heads at zero, layer after layer, in the order in which the network comes by them."""
    by_layer = {}
    for layer, head in sorted(heads):
        by_layer.setdefault(layer, []).append(head)
    with model.trace(job.ids[:, :-1], use_cache=False, logits_to_keep=job.ids.shape[1] - job.first):
        for layer, some in by_layer.items():
            projection = model.model.layers[layer].self_attn.o_proj
            copy = projection.input.clone()
            for head in some:
                copy[..., head * width : (head + 1) * width] = 0
            projection.input = copy
        logits = model.output.logits.save()
    return logits  # noqa: RET504  (a trace only keeps what it saved)


answer(jobs, each(one))
