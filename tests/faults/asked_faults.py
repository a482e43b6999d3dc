"""Faults that an attack found unseen, and their neighbours: who is asked, what is read and counted, and when."""

import dataclasses
import math

import numpy as np
import polars as pl
import torch

import lesion.interventions.edit as edit_module
from lesion.engine import donors, reference
from lesion.interventions.intervention import Scale
from lesion.interventions.site import Site
from lesion.models.model import Model
from lesion.runs.measure import cell_items as block
from lesion.runs.measure import measure_cell as work
from lesion.runs.measure import reference_sets as reference_items
from lesion.stats.paired import comparison
from lesion.stats.paired.rows import PairedRows
from lesion.stats.paired.tests import Deltas
from lesion.stats.verdict import cell_measures as evidence
from lesion.study.gates import judge as gates
from lesion.study.gates.evidence import paired_arms as rows_evidence
from lesion.study.gates.evidence import soundness
from lesion.study.rows import ITEM_KEY
from lesion.study.selftest import looks as trial_looks
from lesion.study.stages import cells as stages
from lesion.study.stages import transitions as contingency
from lesion.study.stages.stage_table import STAGES
from lesion.tasks.task import Draw
from tests.faults.fault import Fault
from tests.faults.model_faults import _opened

PLACE, EDIT, FORWARD = Model.place, edit_module.edit, reference._forward
MAKE, MEASURED, TABLE = block.asked_task, work._measured, work._Rows.table
GIVEN, OTHERS, PAIRED = donors._given, donors.Group.others, rows_evidence._paired
PARTS, CONFIRM = evidence.compare_parts, stages.confirm_cells


def first_items_again(patch):
    """Further items of a confirmation lane are the first ones, under new numbers."""

    class Again:
        def __init__(self, task):
            self.task = task

        def __getattr__(self, name):
            return getattr(self.task, name)

        def items(self, draw, start, stop):
            if draw.split != "confirm" or start < 64:
                return self.task.items(draw, start, stop)
            made = self.task.items(draw, start - 64, stop - 64)
            return [dataclasses.replace(item, index=item.index + 64) for item in made]

    patch.setattr(block, "asked_task", lambda config, edit: Again(MAKE(config, edit)))


def look_from_the_start(patch):
    """The second look's cells are the first look's."""

    def from_the_start(plan):
        return CONFIRM(plan.model_copy(update={"attempt": 0}))

    patch.setitem(STAGES, "confirm", STAGES["confirm"]._replace(cells=from_the_start))


def discovery_on_confirmation(patch):
    plain = stages._on_discovery_items

    def crossed(plan, stage, arms):
        return tuple(cell.model_copy(update={"split": "confirm"}) for cell in plain(plan, stage, arms))

    patch.setattr(stages, "_on_discovery_items", crossed)


def discovery_not_looked_for(patch):
    patch.setattr(rows_evidence, "_asked_before", lambda *_: 0)


def control_shares_a_head(patch):
    plain = contingency._open

    def shared(plan, stage, *rest):
        first = {model: sites[:1] for model, sites in plan.targets.items()}
        sets = {model: (first.get(model, ()), *each[1:]) for model, each in plan.controls.items()}
        return plain(plan.model_copy(update={"controls": sets}), stage, *rest)

    patch.setattr(contingency, "_open", shared)


def clusters_ignored(patch):
    """Sign flips and t over items, whatever the clusters."""

    def by_item(rows, *rest, **named):
        return PARTS(dataclasses.replace(rows, cluster=None), *rest, **named)

    patch.setattr(evidence, "compare_parts", by_item)


def labels_of_clusters_lost(patch):
    patch.setattr(rows_evidence, "clusters", lambda study, buckets: None)


def seeds_lost(patch):
    plain = rows_evidence.PairedRows
    patch.setattr(rows_evidence, "PairedRows", lambda seed, **rest: plain(seed=seed * 0, **rest))


def receipts_of_the_placebo(patch):
    def measured(model, cell, plan, memory=None):
        result = MEASURED(model, cell, plan, memory)
        return result._replace(receipts=tuple(
            each.model_copy(update={"receipt": result.receipts[0].receipt}) for each in result.receipts
        ))  # fmt: skip

    patch.setattr(work, "_measured", measured)


def receipts_emptied(patch):
    patch.setattr(work, "_measured", lambda *a: MEASURED(*a)._replace(receipts=()))


def receipts_halved(patch):
    def half(receipts):
        merged = MERGED(receipts)
        return merged.model_copy(update={"firings": merged.firings // 2})

    patch.setattr(work, "merged", half)


MERGED = work.merged


def arms_joined_by_place(patch):
    """The edited answers stand beside the baseline's in the order in which they came."""

    def side_by_side(plan, items, prompts, chosen, name):
        arms = [items.filter((pl.col("stage") == "confirm") & (pl.col("arm") == arm)) for arm in (name, "baseline")]
        size = min(table.height for table in arms)
        edited, base = (table.head(size) for table in arms)
        told = [each for each in ("correct", "parsed", "answer_logprob", "logit_diff") if each in items.columns]
        rows = edited.hstack(base.select(pl.col(told).name.prefix("before_")))
        return rows.join(prompts.select(*ITEM_KEY, "buckets"), on=ITEM_KEY, how="inner").sort(ITEM_KEY)

    patch.setattr(rows_evidence, "_paired", side_by_side)


def rows_named_by_place(patch):
    """A batch's numbers are given to the items that stand beside them."""

    def shifted(self):
        table = TABLE(self)
        return table.with_columns(pl.col("item_id").shift(1, fill_value=table["item_id"].last()).over("arm"))

    patch.setattr(work._Rows, "table", shifted)


def rows_in_bits(patch):
    def in_bits(self):
        return TABLE(self).with_columns(pl.col("answer_logprob", "entropy") / math.log(2))

    patch.setattr(work._Rows, "table", in_bits)


def rows_in_short_floats(patch):
    def short(self):
        return TABLE(self).with_columns((pl.col("answer_logprob") / 4).round(0) * 4)

    patch.setattr(work._Rows, "table", short)


def neuron_before_the_product(patch):
    def change(model, site):
        if site.kind != "neuron":
            return PLACE(model, site)
        return PLACE(model, Site(kind="act", layer=site.layer, index=site.index))

    patch.setattr(Model, "place", change)


def alpha_twice(patch):
    def twice(activation, intervention, source=None):
        edited = EDIT(activation, intervention, source)
        return EDIT(edited, intervention, source) if isinstance(intervention, Scale) else edited

    patch.setattr(edit_module, "edit", twice)


def sign_where_it_is_half(patch):
    """A factor between 0 and 1 is taken for its square root."""

    def rooted(activation, intervention, source=None):
        if isinstance(intervention, Scale) and 0 < intervention.alpha < 1:
            intervention = intervention.model_copy(update={"alpha": math.sqrt(intervention.alpha)})
        return EDIT(activation, intervention, source)

    patch.setattr(edit_module, "edit", rooted)


def source_of_the_first_row(patch):
    """What is put in place is the first row's, for every row."""

    def first(activation, intervention, source=None):
        return EDIT(activation, intervention, source if source is None else source[:1])

    patch.setattr(edit_module, "edit", first)


def autocast_in_the_module(patch):
    def lowered(model):
        plain = model.module.forward

        def forward(*args, **kwargs):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                return plain(*args, **kwargs)

        model.module.forward = forward
        return model

    _opened(patch, lowered)


def autocast_in_the_engine(patch):
    def lowered(model, batch):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return FORWARD(model, batch)

    patch.setattr(reference, "_forward", lowered)


def references_from_confirmation(patch):
    def crossed(study, seed=0):
        return Draw("confirm", study.hash(), 0, study.baseline.seeds, study.prefixes)

    patch.setattr(reference_items, "discovery", crossed)


def mean_without_the_last(patch):
    patch.setattr(donors, "_given", lambda rows, values, picked, centre: GIVEN(
        rows, values, picked or [row.others[:-1] or row.others for row in rows], centre
    ))  # fmt: skip


def mean_of_all(patch):
    """The row's own prompt is among those that stand in for it."""
    patch.setattr(donors.Group, "others", lambda self, prompt: tuple(range(len(self.items))))


def mean_by_the_wrong_count(patch):
    def wrong(rows, values, picked, centre):
        given = GIVEN(rows, values, picked, centre)
        return given if picked else given * (len(rows[0].others) / (len(rows[0].others) + 1))

    patch.setattr(donors, "_given", wrong)


def median_for_mean(patch):
    def middle(rows, values, picked, centre):
        chosen = picked or [row.others for row in rows]
        return torch.stack([each[list(w)].median(0).values for each, w in zip(values, chosen, strict=True)])

    patch.setattr(donors, "_given", middle)


def mean_of_resampled(patch):
    """A resampling is the mean of all, too."""
    patch.setattr(donors, "_given", lambda rows, values, picked, centre: GIVEN(rows, values, None, centre))


def others_mean_not_read(patch):
    plain = gates.instrument

    def blind(model, answer, kinds):
        return plain(model, answer.model_copy(update={"others_mean": 0.0}), kinds)

    from lesion.study.selftest import gates as trial_gates

    for module in (gates, trial_gates):
        patch.setattr(module, "instrument", blind)


def counts_of_sixteen_bits(patch):
    """Gained and lost are counted in 16 bits."""

    def wrapped(rows, *rest, **named):
        return [
            found._replace(counts=Deltas(*(each % 2**16 for each in found.counts)))
            for found in PARTS(rows, *rest, **named)
        ]

    patch.setattr(evidence, "compare_parts", wrapped)


def difference_of_eight_bits(patch):
    """Sums over clusters are kept in 8 bits."""
    plain = comparison.totals

    def short(difference, cluster):
        sums, sizes = plain(difference, cluster)
        return sums.astype(np.int8).astype(np.int64), sizes.astype(np.uint8).astype(np.int64)

    patch.setattr(comparison, "totals", short)


def soundness_not_asked(patch):
    """Nothing is said of any plan."""
    for module in (soundness, trial_looks):
        patch.setattr(module, "unsound", lambda plan, stage: iter(()))


def receipts_not_asked(patch):
    for module in (soundness, trial_looks):
        patch.setattr(module, "unsound_receipts", lambda cell, receipts, rows, dtype="float32": iter(()))


def no_rows_differ(patch):
    """Differences are those of unsigned numbers: a loss counts as a gain."""
    plain = PairedRows.__dict__["difference"].fget
    patch.setattr(PairedRows, "difference", property(lambda self: abs(plain(self))))


ASKED_FAULTS = [
    Fault("further items of the confirmation are the first ones, under new numbers",
          "runs.measure.cell_items.asked_task", "run",
          first_items_again),
    Fault("a second look asks the first look's items again", "study.stages.cells.confirm_cells", "run",
          look_from_the_start,
          cheap=True),
    Fault("discovery is measured on confirmation items", "study.stages.cells._on_discovery_items", "run",
          discovery_on_confirmation, cheap=True),
    Fault("nobody looks whether discovery asked the confirmation's items",
          "study.gates.evidence.paired_arms._asked_before", "run",
          discovery_not_looked_for),
    Fault("a control set shares a head with the target",
          "study.stages.transitions._open", "run", control_shares_a_head, cheap=True),
    Fault("the tests ignore the clusters",
          "stats.verdict.cell_measures.compare_parts", "run", clusters_ignored, cheap=True),
    Fault("the labels of clusters are lost",
          "study.gates.evidence.paired_arms.clusters", "run", labels_of_clusters_lost),
    Fault("the seeds of paired rows are lost", "study.gates.evidence.paired_arms.PairedRows", "run", seeds_lost),
    Fault("every receipt is the placebo's", "runs.measure.measure_cell._measured", "run", receipts_of_the_placebo),
    Fault("receipts are empty", "runs.measure.measure_cell._measured", "run", receipts_emptied),
    Fault("a receipt counts half the firings", "runs.measure.measure_cell.merged", "run", receipts_halved),
    Fault("arms are joined by their place",
          "study.gates.evidence.paired_arms._paired", "run", arms_joined_by_place, cheap=True),
    Fault("numbers are given to items by their place",
          "runs.measure.measure_cell._Rows.table", "run", rows_named_by_place),
    Fault("the rows' nats are taken for bits", "runs.measure.measure_cell._Rows.table", "run", rows_in_bits),
    Fault("the rows' numbers are rounded", "runs.measure.measure_cell._Rows.table", "run", rows_in_short_floats),
    Fault("a neuron is taken before the product", "Model.place", "model", neuron_before_the_product, cheap=True),
    Fault("the factor is applied twice", "interventions.edit.edit", "model", alpha_twice, cheap=True),
    Fault("a factor between 0 and 1 is its root", "interventions.edit.edit", "model", sign_where_it_is_half),
    Fault("every row is given the first row's source", "interventions.edit.edit", "model", source_of_the_first_row),
    Fault("autocast inside the model", "the opened model", "model", autocast_in_the_module),
    Fault("autocast inside the engine", "engine.reference._forward", "model", autocast_in_the_engine),
    Fault("reference items come from the confirmation", "runs.measure.reference_sets.discovery", "run",
          references_from_confirmation),
    Fault("a mean leaves out the last reference item",
          "engine.donors._given", "run", mean_without_the_last),
    Fault("a row is among its own reference items", "engine.donors.Group.others", "run", mean_of_all),
    Fault("a mean over others is divided by one too many",
          "engine.donors._given", "run", mean_by_the_wrong_count),
    Fault("a median is taken for the mean", "engine.donors._given", "run", median_for_mean),
    Fault("a resampling is the mean of all", "engine.donors._given", "run", mean_of_resampled),
    Fault("the others' mean is not read", "study.gates.checks.instrument", "run", others_mean_not_read, cheap=True),
    Fault("counts wrap at 16 bits",
          "stats.verdict.cell_measures.compare_parts", "run", counts_of_sixteen_bits, cheap=True),
    Fault("sums over clusters wrap at 8 bits", "stats.paired.comparison.totals", "run", difference_of_eight_bits),
    Fault("nothing is unsound", "study.gates.evidence.soundness.unsound", "run", soundness_not_asked),
    Fault("every receipt fits", "study.gates.evidence.soundness.unsound_receipts", "run", receipts_not_asked),
    Fault("a loss counts as a gain", "PairedRows.difference", "run", no_rows_differ),
]  # fmt: skip
