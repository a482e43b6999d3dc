"""Plain transformers with forward pre-hooks on the output projections; logits at the answer positions only."""

from real_work import answer, each, load, read

folder, jobs = read()
model = load(folder)
width = getattr(model.config, "head_dim", None) or model.config.hidden_size // model.config.num_attention_heads


def one(job, heads):
    """One whole forward pass with some heads at zero."""

    def zero(head):
        def edit(_, args):
            copy = args[0].clone()
            copy[..., head * width : (head + 1) * width] = 0
            return (copy,)

        return edit

    layers = model.model.layers
    handles = [layers[layer].self_attn.o_proj.register_forward_pre_hook(zero(head)) for layer, head in heads]
    logits = model(job.ids[:, :-1], use_cache=False, logits_to_keep=job.ids.shape[1] - job.first).logits
    for handle in handles:
        handle.remove()
    return logits


answer(jobs, each(one))
