"""Faults in what edits, runs and reads a model: put into shipped functions of models, interventions and engine."""

import dataclasses

import pytest
import torch

import lesion.engine.batch as batch_module
import lesion.interventions.edit as edit_module
from lesion.engine import attach, hooks, reference
from lesion.engine.batch import Batch
from lesion.engine.batched import engine as fast
from lesion.engine.proof import prove as check
from lesion.interventions.intervention import Scale
from lesion.models import model as model_module
from lesion.models.model import Model
from tests.faults.fault import Fault

REWRITE, PLACE, EDIT = edit_module.rewrite, Model.place, edit_module.edit


def _place(patch: pytest.MonkeyPatch, change) -> None:
    patch.setattr(Model, "place", change)


def wrong_layer(patch):
    def change(model, site):
        return PLACE(model, site.model_copy(update={"layer": min(site.layer + 1, model.sizes.n_layers - 1)}))

    _place(patch, change)


def off_by_one_head(patch):
    def change(model, site):
        place = PLACE(model, site)
        return dataclasses.replace(place, index=(place.index + 1) % place.units) if site.kind == "head" else place

    _place(patch, change)


def off_by_one_neuron(patch):
    def change(model, site):
        place = PLACE(model, site)
        return dataclasses.replace(place, index=(place.index + 1) % place.units) if site.kind == "neuron" else place

    _place(patch, change)


def after_projection(patch):
    def change(model, site):
        place = PLACE(model, site)
        return dataclasses.replace(place, side="output") if site.kind == "head" else place

    _place(patch, change)


def group_for_head(patch):
    def change(model, site):
        place = PLACE(model, site)
        if site.kind != "head":
            return place
        return dataclasses.replace(place, units=model.sizes.n_groups, index=model.sizes.group(place.index))

    _place(patch, change)


def silent_edit(patch):
    patch.setattr(edit_module, "edit", lambda activation, *_: activation.clone())


def written_but_not_returned(patch):
    def change(recorder, places, mask, source, times=None):
        chosen, units = [place.index for place in places], places[0].units

        def edited(activation):
            _, before, now = REWRITE(activation, mask, units, chosen, recorder.intervention, source)
            recorder.saw(before, now)
            return activation

        return edited

    patch.setattr(attach, "_change", change)


def hook_that_never_fires(patch):
    class Handle:
        def remove(self):
            pass

    patch.setattr(hooks, "_attached", lambda attachment: Handle())


def hook_that_stays(patch):
    def stay(attachment):
        handle = ATTACHED(attachment)
        handle.remove = lambda: None
        return handle

    patch.setattr(hooks, "_attached", stay)


ATTACHED = hooks._attached


def last_position_missed(patch):
    def missed(activation, mask, *rest):
        short = mask.clone()
        short[:, -1] = False
        return REWRITE(activation, short, *rest)

    patch.setattr(attach, "rewrite", missed)


def mask_without_last(patch):
    def short(self, positions):
        mask = MASK(self, positions).clone()
        if positions == "all":
            mask[:, -1] = False
        return mask

    patch.setattr(Batch, "mask", short)


MASK = Batch.mask


def last_is_one_early(patch):
    def early(self, positions):
        mask = MASK(self, positions)
        return mask.roll(-1, 1) if positions == "last" else mask

    patch.setattr(Batch, "mask", early)


def bfloat16_edit(patch):
    def cast(activation, intervention, source=None):
        return EDIT(activation.bfloat16(), intervention, source).to(activation.dtype)

    patch.setattr(edit_module, "edit", cast)


def sign_of_alpha(patch):
    def turned(activation, intervention, source=None):
        return -EDIT(activation, intervention, source)

    patch.setattr(edit_module, "edit", turned)


def half_way(patch):
    def weak(activation, intervention, source=None):
        return (activation + EDIT(activation, intervention, source)) / 2

    patch.setattr(edit_module, "edit", weak)


def whole_layer(patch):
    def all_units(activation, mask, units, chosen, intervention, source=None):
        return REWRITE(activation, mask, units, list(range(units)), intervention, source)

    patch.setattr(attach, "rewrite", all_units)


def in_place(patch):
    """What was scaled is scaled again in the next run: the weights are edited in the place of the activation."""

    def forward(model, batch):
        with torch.no_grad():
            model.block(0).self_attn.o_proj.weight.mul_(1.01)
        return FORWARD(model, batch)

    patch.setattr(reference, "_forward", forward)


FORWARD = reference._forward


def answer_one_early(patch):
    patch.setattr(Batch, "first", property(lambda self: self.prompt_length - 2))


def answer_one_late(patch):
    patch.setattr(reference, "_forward", lambda model, batch: FORWARD(model, batch).roll(-1, 1))
    patch.setattr(fast.Fast, "clean", lambda self, batch: CLEAN(self, batch).roll(-1, 1))


CLEAN = fast.Fast.clean


def _opened(patch, change):
    def tiny(name, source, dtype):
        return change(OPEN(name, source, dtype))

    patch.setattr(model_module, "_open_tiny", tiny)


OPEN = model_module._open_tiny


def _family(patch, **parts):
    _opened(patch, lambda model: dataclasses.replace(model, family=dataclasses.replace(model.family, **parts)))


def other_projection(patch):
    _family(patch, attention_out="self_attn.q_proj")


def wrong_down(patch):
    _family(patch, mlp_out="mlp.up_proj")


def no_post_norm(patch):
    _family(patch, post_attention_norm=None)


def no_soft_cap(patch):
    _family(patch, softcap=None)


def parallel_rule(patch):
    _opened(patch, lambda model: dataclasses.replace(model, residual="parallel"))


def stacked_for_by_group(patch):
    _family(patch, fused="stacked")


def heads_by_sequence(patch):
    """The earlier attempt: the sequence axis is taken for the head axis."""

    def mixed(activation, mask, units, chosen, intervention, source=None):
        if units > 1 and activation.shape[-2] == units:
            turned, before, after = REWRITE(
                activation.transpose(-1, -2).reshape(activation.shape), mask, units, chosen, intervention, source
            )
            return turned.reshape(*activation.shape[:-2], -1, units).transpose(-1, -2), before, after
        return REWRITE(activation, mask, units, chosen, intervention, source)

    patch.setattr(attach, "rewrite", mixed)


def sees_the_future(patch):
    def open_mask(model):
        for layer in model.module.model.layers:
            layer.self_attn.is_causal = False
            plain = layer.self_attn.forward

            def forward(*args, plain=plain, **kwargs):
                hidden = kwargs.get("hidden_states", args[0] if args else None)
                mask = torch.zeros(1, 1, hidden.shape[1], hidden.shape[1])
                return plain(*args, **{**kwargs, "attention_mask": mask})

            layer.self_attn.forward = forward
        return model

    _opened(patch, open_mask)


def not_a_number(patch):
    def spoil(model):
        with torch.no_grad():
            model.block(1).mlp.down_proj.weight[0, 0] = float("nan")
        return model

    _opened(patch, spoil)


def random_logits(patch):
    def shaky(model):
        calls = []

        def drift(module, args, output):
            calls.append(1)
            output["logits"] = output.logits + 1e-5 * len(calls)
            output["logits"][..., 5] += 1e-3 * len(calls)

        model.module.register_forward_hook(drift)
        return model

    _opened(patch, shaky)


def tree_without_mask(patch):
    patch.setattr("lesion.engine.batched.prefix_shared_attention._masked", lambda scores, hidden: scores)


def stale_clean(patch):
    kept = {}

    def first(model, twin, batch, layout, needs=(), *, late=False):
        ran = RUN_CLEAN(model, twin, batch, layout, needs, late=late)
        return kept.setdefault((id(twin), layout, tuple(sorted(needs)), late), ran)

    patch.setattr(fast, "run_clean", first)


RUN_CLEAN, TRIE = fast.run_clean, fast.trie


def prefix_of_another(patch):
    patch.setattr(fast, "trie", lambda ids, first, edits=None, **named: TRIE(ids * 0, first, edits, **named))


def fast_forgets_layers(patch):
    def late(self, index, intervention, mask, source):
        job = JOB(self, index, intervention, mask, source)
        return dataclasses.replace(job, layer=min(job.layer + 1, self.last))

    patch.setattr(fast.Fast, "_job", late)


JOB = fast.Fast._job


def padded(patch):
    """Rows of different lengths in one batch, filled up on the left, without a mask."""

    def fill(prompts, most, max_positions=None):
        longest = max(p.prompt_length for p in prompts) + 2
        made = []
        for p in prompts:
            more = longest - p.prompt_length
            ids = (*[0] * more, *p.ids)
            moved = {role: tuple((a + more, b + more) for a, b in spans) for role, spans in p.roles.items()}
            made.append(dataclasses.replace(p, ids=ids, prompt_length=longest, roles=moved, twin_ids=None))
        return BATCHES(made, most, max_positions)

    for module in ("lesion.runs.measure.measure_cell", "lesion.runs.measure.proof", "lesion.engine.select_engine"):
        patch.setattr(f"{module}.batches", fill)


BATCHES = batch_module.batches


def bias_forgotten(patch):
    patch.setattr(check, "weight_and_bias", lambda projection: (BIAS(projection)[0], None))


BIAS = check.weight_and_bias


def scale_of_placebo(patch):
    def near(activation, intervention, source=None):
        edited = EDIT(activation, intervention, source)
        return edited * (1 + 1e-6) if isinstance(intervention, Scale) else edited

    patch.setattr(edit_module, "edit", near)


MODEL_FAULTS = [
    Fault("the hook sits one layer too high", "Model.place", "model", wrong_layer, cheap=True),
    Fault("off by one head", "Model.place", "model", off_by_one_head, cheap=True),
    Fault("off by one neuron", "Model.place", "model", off_by_one_neuron),
    Fault("heads are sliced after the output projection", "Model.place", "model", after_projection),
    Fault("a key-value group is edited in the place of a query head", "Model.place", "model", group_for_head),
    Fault("the edit does nothing", "interventions.edit.edit", "model", silent_edit, cheap=True),
    Fault("the edit is counted and thrown away", "engine.attach._change", "model", written_but_not_returned),
    Fault("the hook never fires", "engine.hooks._attached", "model", hook_that_never_fires, cheap=True),
    Fault("the hook stays on the model and edits the next run", "engine.hooks._attached", "model", hook_that_stays),
    Fault("the last position is left out of the edit", "engine.attach.rewrite", "model", last_position_missed),
    Fault("'all' positions leave out the last", "Batch.mask", "model", mask_without_last, cheap=True),
    Fault("'last' begins one position early", "Batch.mask", "model", last_is_one_early),
    Fault("the edit casts to bfloat16 and back", "interventions.edit.edit", "model", bfloat16_edit),
    Fault("the edit's sign is turned", "interventions.edit.edit", "model", sign_of_alpha),
    Fault("the edit goes half the way", "interventions.edit.edit", "model", half_way),
    Fault("the factor is a millionth too large", "interventions.edit.edit", "model", scale_of_placebo),
    Fault("all heads of the layer are edited, not one", "engine.attach.rewrite", "model", whole_layer),
    Fault("the sequence axis is taken for the head axis", "engine.attach.rewrite", "model", heads_by_sequence),
    Fault("an edit of weights leaks into every later run", "engine.reference._forward", "model", in_place),
    Fault("the answer is read one token early", "Batch.first", "model", answer_one_early),
    Fault("the answer's logits are those of the next token", "engine.reference._forward", "model", answer_one_late),
    Fault("z is read from the query projection", "families.attention_out", "model", other_projection),
    Fault("the up projection is taken for the down projection", "families.mlp_out", "model", wrong_down),
    Fault("the norm after attention is forgotten", "families.post_attention_norm", "model", no_post_norm,
          "tiny:gemma2"),
    Fault("the logits' soft cap is forgotten", "families.softcap", "model", no_soft_cap, "tiny:gemma2"),
    Fault("a sequential block is called parallel", "Model.residual", "model", parallel_rule),
    Fault("queries, keys and values are cut apart in another order", "families.fused", "model", stacked_for_by_group,
          "tiny:gpt_neox"),
    Fault("the causal mask is lost", "the opened model", "model", sees_the_future),
    Fault("a weight is not a number", "the opened model", "model", not_a_number),
    Fault("logits differ from call to call", "the opened model", "model", random_logits),
    Fault("the batched engine loses its mask",
          "engine.batched.prefix_shared_attention._masked", "model", tree_without_mask),
    Fault("the batched engine keeps the clean run of an older batch",
          "engine.batched.engine.run_clean", "model", stale_clean),
    Fault("the batched engine shares a prefix that is not shared",
          "engine.batched.engine.trie", "model", prefix_of_another),
    Fault("the batched engine begins one layer late", "engine.batched.engine.Fast._job", "model", fast_forgets_layers),
    Fault("rows are padded and the padding leaks", "engine.batch.batches", "run", padded),
    Fault("the output projection's bias is forgotten", "engine.proof.prove.weight_and_bias", "model", bias_forgotten,
          "tiny:gpt2"),
]  # fmt: skip
