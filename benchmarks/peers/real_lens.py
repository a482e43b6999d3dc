"""transformer-lens 4: the bridge around the module that transformers loaded, nothing folded. It makes all logits."""

from real_work import answer, each, load, read
from transformer_lens.model_bridge import TransformerBridge
from transformers import PreTrainedTokenizerFast

folder, jobs = read()
inner = load(folder, "eager")
tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
model = TransformerBridge.boot_transformers(inner.config.model_type, hf_model=inner, tokenizer=tokenizer, device="cpu")


def one(job, heads):
    """One run with hooks that zero some heads' z."""

    def zero(head):
        def edit(tensor, hook):  # noqa: ARG001
            tensor[:, :, head] = 0  # (row, position, head, width)
            return tensor

        return edit

    hooks = [(f"blocks.{layer}.attn.hook_z", zero(head)) for layer, head in heads]
    return model.run_with_hooks(job.ids[:, :-1], fwd_hooks=hooks)[:, job.first - 1 :]


answer(jobs, each(one))
