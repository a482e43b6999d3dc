"""The instrument's proof in a worker: identities on the loaded weights, then a sample of every tier.

The sample tries what every later number rests on: the placebo, a repeated pass, rows alone and in their batch, the
second reading of the numbers, the prompt contract, each row given its own activations as their mean, and the mean and
the draw of other reference items against the same computed one item at a time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean, stdev
from typing import Any

import torch
from torch import Tensor

from lesion.engine.batch import batches
from lesion.engine.donors import Donors, Group, Prompt, prompt_of
from lesion.engine.hooks import recorded
from lesion.engine.proof.cache import proved
from lesion.engine.reference import run
from lesion.engine.replacement_activations import Library, reference_hash
from lesion.interventions.intervention import Mean, Patch, Resample, Scale
from lesion.interventions.site import Site, head, neuron, stream
from lesion.measures.attribution.neurons import norm_tenths
from lesion.measures.heads.output_norms import head_norms
from lesion.measures.metrics import FUNCTIONS, measure
from lesion.models.device import on_processor
from lesion.models.model import Model, open_here
from lesion.models.obtain.origin import read_origin
from lesion.models.text_conventions import conventions
from lesion.runs.measure.cell_items import BATCH_ROWS, block_of, frame_of
from lesion.runs.measure.recompute_metrics import misread
from lesion.runs.measure.reference_sets import coverage, reference_hashes
from lesion.runs.measure.steering_vectors import steering_vectors
from lesion.runs.measure.worker_state import chosen
from lesion.study.arms.arm import BASELINE, zeroes
from lesion.study.arms.edits import Patching
from lesion.study.gates.evidence.model_answers import InstrumentAnswer
from lesion.study.plan import Cell, Plan
from lesion.study.stages.discovery_effects import column
from lesion.tasks.item_check import nonsense
from lesion.tasks.tokenizers.layouts import layout_of
from lesion.tasks.tokenizers.prompt_contract import Compiled, Refused, contradiction

SAMPLE = 64
"""Items per tier on which the instrument stage tries the placebo, the repeat and the prompt contract."""
ROUNDED = 256
"""Discovery items per tier on which a model in bfloat16 is compared with its float32 self."""
DIGITS = 4
"""Significant digits of a head's output norm in the plan: the last bits of a sum must not decide which plan it is."""
ALONE = 16
"""Rows of each batch that are also run by themselves: how far rounding moves a row from itself in its batch."""
OWN = 4
"""Rows of a tier that are given their own activations as their mean; other items whose mean is computed twice."""
LEAST_GROUP = 3
"""Items that show a mean over others: one alone would pass for it."""


def proof(model: Model, plan: Plan) -> InstrumentAnswer:
    """Identities on the loaded weights, then placebo, repeat and contract on a sample of every tier."""
    shown = proved(model)
    tiers = {tier: _tier_proof(model, tier, plan) for tier in plan.study.tasks}
    answer = {
        "weights_hash": model.weights_hash,
        "tokenizer_hash": model.tokenizer_hash,
        "revision": model.revision or "",
        "family": model.family.name,
        "dtype": model.dtype,
        "engine": chosen(model.name, dtype=plan.study.dtype).choice.model_dump(mode="json"),
        "identities": [identity.model_dump(mode="json") for identity in shown.identities],
        "proof_cached": shown.cached,
        "conventions": conventions(model).model_dump(mode="json"),
        **_origin(model),
        "placebo_bit_equal": all(tier["placebo_bit_equal"] for tier in tiers.values()),
        "repeat_flips": sum(tier["repeat_flips"] for tier in tiers.values()),
        "noise_floor": max(tier["noise_floor"] for tier in tiers.values()),
        "contract": {tier: answer["contract"] for tier, answer in tiers.items()},
        "contradictions": [said for answer in tiers.values() for said in answer["contradictions"]],
        "misread": max(answer["misread"] for answer in tiers.values()),
        **({"chat": frame_of(model.name, plan.study.chat.system)._asdict()} if plan.study.chat is not None else {}),
        **({"rounding": _rounding(model, plan)} if model.dtype == "bfloat16" else {}),
        "own_mean": max(answer["own_mean"] for answer in tiers.values()),
        **_largest("whole_patch", tiers),
        **_largest("others_mean", tiers),
        **({"gaps": _gaps(model, plan)} if isinstance(plan.study.sweep.edit, Patching) else {}),
        **({"references": reference_hashes(model, plan)} if zeroes(plan.study) else {}),
        **({"covered": coverage(model, plan)} if zeroes(plan.study) and plan.study.lesion == 2 else {}),
        **({"vectors": steering_vectors(model, plan)} if plan.study.sweep.edit.kind == "steer" else {}),
        **({"norm_tenths": list(norm_tenths(model))} if "neuron" in plan.study.sweep.kinds else {}),
        **({"head_norms": _head_norms(model, plan)} if "head" in plan.study.sweep.kinds else {}),
    }
    return InstrumentAnswer.model_validate(answer)


def _origin(model: Model) -> dict[str, Any]:
    """What the model's folder says of its origin: packages, quantisation, licence, hashes; nothing for other models."""
    origin = None if model.folder is None else read_origin(model.folder)
    return {} if origin is None else {"origin": origin.model_dump(mode="json")}


def _largest(name: str, tiers: Mapping[str, dict[str, Any]]) -> dict[str, float]:
    """The largest value over the tiers that could try it; nothing where none could."""
    tried = [told[name] for told in tiers.values() if told[name] is not None]
    return {name: max(tried)} if tried else {}


def _rounding(model: Model, plan: Plan) -> dict[str, dict[str, float]]:
    """By tier: of so many items, how many the unedited model answers otherwise than the same weights in float32.

    The largest difference of their log-probabilities, nats, stands beside it. A float32 copy is held on the processor
    while it is asked.
    """
    with on_processor():
        whole = open_here(model.name)
    told: dict[str, dict[str, float]] = {}
    for tier in plan.study.tasks:
        cell = Cell(stage="discovery", model=model.name, tier=tier, stop=ROUNDED, arms=(BASELINE,))
        rows = [compiled for _, compiled in block_of(model, cell, plan).asked]
        flips, worst = 0, 0.0
        with on_processor():
            near = batches(rows, BATCH_ROWS, model.sizes.max_positions)
        for batch, beside in zip(batches(rows, BATCH_ROWS, model.sizes.max_positions), near, strict=True):
            rounded = run(model, batch).logits.cpu()
            with on_processor():
                exact = run(whole, beside).logits
                correct = [measure(logits, beside, ["correct"])["correct"] for logits in (rounded, exact)]
            flips += int((correct[0] != correct[1]).sum())
            worst = max(worst, float((rounded.log_softmax(-1) - exact.log_softmax(-1)).abs().max()))
        told[tier] = {"items": len(rows), "flips": flips, "nats": worst}
    return told


def _head_norms(model: Model, plan: Plan) -> list[list[float]]:
    """The output norm of every head on the instrument's sample of all tiers."""
    cells = [Cell(stage="discovery", model=model.name, tier=tier, stop=SAMPLE) for tier in plan.study.tasks]
    asked = [compiled for cell in cells for _, compiled in block_of(model, cell, plan).asked]
    norms = head_norms(model, batches(asked, BATCH_ROWS, model.sizes.max_positions)).numpy(force=True)
    return [[float(f"{float(norm):.{DIGITS}g}") for norm in layer] for layer in norms]


def _own_mean(model: Model, rows: Sequence[Compiled]) -> float:
    """Largest change of a log-probability when a row is given its own activations as their mean, nats; must be 0."""
    middle, worst = model.sizes.n_layers // 2, 0.0
    for row in rows[:OWN]:
        (batch,) = batches([row], 1, model.sizes.max_positions)
        library, sites = Library(model, (row,)), (head(middle, 0), neuron(middle, 0))
        mean = Mean(sites=sites, reference=reference_hash((row,)), by="layout")
        given = run(model, batch, mean, source=library.sources(batch, [mean])[mean]).logits
        change = (given.log_softmax(-1) - run(model, batch).logits.log_softmax(-1)).abs().max()
        worst = max(worst, float(change))
    return worst


def _whole_patch(model: Model, rows: Sequence[Compiled]) -> float | None:
    """Largest difference of a log-probability between the other prompt's run and one whose whole first stream is its.

    None: no row has a corrupted prompt that aligns.
    """
    paired = [row for row in rows if row.twin_ids is not None][:OWN]
    worst, whole = 0.0, Patch(sites=(stream(0),))
    for batch in batches(paired, 1, model.sizes.max_positions):
        given = run(model, batch, whole, source=Library(model).sources(batch, [whole])[whole]).logits
        other = run(model, replace(batch, ids=batch.twins, twins=None)).logits
        worst = max(worst, float((given.log_softmax(-1) - other.log_softmax(-1)).abs().max()))
    return worst if paired else None


def _gaps(model: Model, plan: Plan) -> dict[str, dict[str, float]]:
    """Tier -> the mean outcome on the asked prompts and on the others of their pairs, on the instrument's sample."""
    outcome = column(plan.study)
    told: dict[str, dict[str, float]] = {}
    for tier in plan.study.tasks:
        cell = Cell(stage="discovery", model=model.name, tier=tier, stop=SAMPLE)
        rows = [row for _, row in block_of(model, cell, plan).asked if row.twin_ids is not None]
        found: dict[str, list[float]] = {"asked": [], "other": []}
        for batch in batches(rows, BATCH_ROWS, model.sizes.max_positions):
            assert batch.twins is not None  # every row has one
            end = batch.prompt_length
            other = replace(batch, ids=torch.cat([batch.twins[:, :end], batch.ids[:, end:]], 1), twins=None)
            for name, each in (("asked", batch), ("other", other)):
                found[name] += map(float, measure(run(model, each).logits, each, [outcome])[outcome])
        if len(rows) > 1:
            means = {name: fmean(values) for name, values in found.items()}
            apart = [one - other for one, other in zip(*found.values(), strict=True)]
            told[tier] = {"items": len(rows), **means, "error": stdev(apart) / len(rows) ** 0.5}
    return told


def _others_mean(model: Model, rows: Sequence[Compiled]) -> float | None:
    """How far what `Donors` puts in a row's place is from the same computed a second way, as a share of its size.

    The second way runs every other reference item by itself, cuts heads and neurons out of their projections' inputs by
    hand, and adds them up; a resampling must be one of them. None: no three rows of one layout to try it on.
    """
    alike: dict[object, dict[Prompt, Compiled]] = {}
    for row in rows:
        layout = layout_of(row.roles, row.prompt_length, len(row.answer_ids))
        alike.setdefault(layout, {}).setdefault(prompt_of(row), row)
    group = Group(tuple(max(alike.values(), key=len).values())[: OWN + 1]) if alike else Group(())
    if len(group.items) < LEAST_GROUP:
        return None
    first, *others = group.items
    middle, name = model.sizes.n_layers // 2, reference_hash(group.items)
    sites = (head(middle, model.sizes.n_heads - 1), neuron(middle, model.sizes.d_mlp - 1))
    edits = [Mean(sites=sites, reference=name, by="layout"), Resample(sites=sites, reference=name, seed=0)]
    (batch,) = batches([first], 1, model.sizes.max_positions)
    given = Donors(model, name, {prompt_of(first): group}).sources(batch, edits)
    worst = 0.0
    for site in sites:
        each = [_alone(model, site, other) for other in others]
        mean = sum(one / len(each) for one in each)
        size = max(float(one.abs().max()) for one in each) or 1.0
        put, drawn = (given[edit][site][0].double().cpu() for edit in edits)
        worst = max(worst, float((put - mean).abs().max()) / size)
        worst = max(worst, min(float((drawn - one).abs().max()) for one in each) / size)
    return worst


def _alone(model: Model, site: Site, row: Compiled) -> Tensor:
    """What stands at a head or neuron in a row that is run by itself, (positions, width), float64."""
    family, sizes = model.family, model.sizes
    out, units = (family.attention_out, sizes.n_heads) if site.kind == "head" else (family.mlp_out, sizes.d_mlp)
    path = f"{model.block_path(site.layer)}.{out}"
    with recorded(model, [path]) as seen, torch.inference_mode():
        model.module(torch.tensor([row.ids[:-1]]), use_cache=False)
    whole = seen[path].input.reshape(len(row.ids) - 1, units, -1)
    return whole[:, site.index or 0].double().cpu()


def _tier_proof(model: Model, tier: str, plan: Plan) -> dict[str, Any]:
    cell = Cell(stage="discovery", model=model.name, tier=tier, stop=SAMPLE, arms=(BASELINE,))
    block = block_of(model, cell, plan)
    rows = [c for _, c in block.asked]
    middle = model.sizes.n_layers // 2
    placebo = Scale(sites=(head(middle, 0), neuron(middle, 0)), alpha=1.0)
    answer: dict[str, Any] = {"placebo_bit_equal": True, "repeat_flips": 0, "noise_floor": 0.0, "misread": 0.0}
    alone = {b.rows[0]: b for b in batches(rows, 1, model.sizes.max_positions)}
    for batch in batches(rows, BATCH_ROWS, model.sizes.max_positions):
        first, again = run(model, batch).logits, run(model, batch).logits
        answer["placebo_bit_equal"] &= torch.equal(first, run(model, batch, placebo).logits)
        answer["misread"] = max(answer["misread"], misread(model, rows, batch, measure(first, batch, list(FUNCTIONS))))
        answer["repeat_flips"] += int((first.argmax(-1) != again.argmax(-1)).any(-1).sum())
        few = batch.rows[:ALONE]
        single = torch.cat([run(model, alone[row]).logits for row in few])
        change = (first[: len(few)].log_softmax(-1) - single.log_softmax(-1)).abs().max()
        answer["noise_floor"] = max(answer["noise_floor"], float(change))
    reasons = sorted({c.reason for c in block.compiled if isinstance(c, Refused)})
    refused = sum(isinstance(c, Refused) for c in block.compiled)
    read_back = (contradiction(item, one, model.tokenizer, block.bos) for item, one in block.asked)
    sums = plan.study.tasks[tier].task == "arithmetic"
    asks_corrupted = plan.study.sweep.edit.exchange == "denoising"
    clean = (replace(item, segments=item.twin, twin=item.segments) if asks_corrupted else item for item in block.made)
    made = (nonsense(item, sums=sums) for item in clean)
    answer["own_mean"] = _own_mean(model, rows)
    answer["whole_patch"] = _whole_patch(model, rows)
    answer["others_mean"] = _others_mean(model, rows)
    answer["contradictions"] = sorted({f"{tier}: {said}" for said in (*read_back, *made) if said})
    return answer | {"contract": {"items": len(block.items), "refused": refused, "reasons": reasons}}
