"""Faults in the line of a run: items, prompts, scoring, rows, seeds; put into tasks, measures and runs."""

import dataclasses
import math

import polars as pl

from lesion import identity
from lesion.engine import reference
from lesion.engine import replacement_activations as sources
from lesion.engine import select_engine as choose_module
from lesion.engine.reference import Outcome
from lesion.measures.metrics import FUNCTIONS
from lesion.models.model import open_model
from lesion.runs.execute import run as run_module
from lesion.runs.measure import cell_items as block
from lesion.runs.measure import measure_cell as work
from lesion.tasks.task import Draw
from lesion.tasks.tokenizers.prompt_contract import Compiled
from tests.faults.fault import Fault

DRAW, COMPILE, MEASURED = block.draw_of, block.compile_item, work._measured
ENGINE = choose_module.Engine


def one_seed(patch):
    patch.setattr(block, "draw_of", lambda cell, plan: DRAW(cell, plan)._replace(seed=0))


def constant_seed(patch):
    patch.setattr(identity, "seed_from", lambda *parts: 1)


def one_seed_confirms(patch):
    def drawn(cell, plan):
        draw = DRAW(cell, plan)
        return draw._replace(seed=0) if cell.stage == "confirm" else draw

    patch.setattr(block, "draw_of", drawn)


def discovery_confirms(patch):
    def drawn(cell, plan):
        return Draw("discovery", f"discovery-{plan.study.seed}", cell.seed, 3 if cell.split == "confirm" else 1)

    patch.setattr(block, "draw_of", drawn)


def _compiled(patch, change):
    def made(item, tokenizer, bos):
        compiled = COMPILE(item, tokenizer, bos)
        return change(compiled, bos) if isinstance(compiled, Compiled) else compiled

    patch.setattr(block, "compile_item", made)


def _moved(compiled, by, ids):
    roles = {name: tuple((a + by, b + by) for a, b in spans) for name, spans in compiled.roles.items()}
    return dataclasses.replace(compiled, ids=ids, roles=roles, prompt_length=compiled.prompt_length + by, twin_ids=None)


def two_bos(patch):
    _compiled(patch, lambda compiled, bos: _moved(compiled, 1, (bos, *compiled.ids)))


def no_bos(patch):
    _compiled(patch, lambda compiled, bos: _moved(compiled, -1, compiled.ids[1:]))


def half_an_answer(patch):
    def cut(compiled, bos):
        return dataclasses.replace(
            compiled, ids=compiled.ids[:-1], answer_ids=compiled.answer_ids[:-1], wrong_ids=compiled.wrong_ids[:-1],
            twin_ids=None, digits=compiled.digits[:-1],
        )  # fmt: skip

    _compiled(patch, cut)


def roles_one_late(patch):
    def late(compiled, bos):
        roles = {name: tuple((a + 1, b + 1) for a, b in spans) for name, spans in compiled.roles.items()}
        return dataclasses.replace(compiled, roles=roles)

    _compiled(patch, late)


def right_for_wrong(patch):
    _compiled(patch, lambda compiled, bos: dataclasses.replace(compiled, wrong_ids=compiled.answer_ids))


def _metric(patch, name, change):
    plain = FUNCTIONS[name]
    patch.setitem(FUNCTIONS, name, lambda logits, batch: change(plain, logits, batch))


def first_token_only(patch):
    _metric(patch, "answer_logprob", lambda plain, logits, batch: (
        logits[:, 0].double().log_softmax(-1).gather(-1, batch.answer[:, :1])[:, 0]
    ))  # fmt: skip


def logits_for_probabilities(patch):
    _metric(patch, "answer_logprob", lambda plain, logits, batch: (
        logits.gather(-1, batch.answer[..., None])[..., 0].double().sum(-1)
    ))  # fmt: skip


def sign_of_difference(patch):
    _metric(patch, "logit_diff", lambda plain, logits, batch: -plain(logits, batch))


def bits_for_nats(patch):
    _metric(patch, "entropy", lambda plain, logits, batch: plain(logits, batch) / math.log(2))


def all_right(patch):
    _metric(patch, "correct", lambda plain, logits, batch: plain(logits, batch) * 0 + 1)


def _results(patch, change):
    def measured(model, cell, plan, memory=None):
        result = MEASURED(model, cell, plan, memory)
        return change(result) if cell.stage == "confirm" else result

    patch.setattr(work, "_measured", measured)


def unparsed_dropped(patch):
    _results(patch, lambda result: result._replace(items=result.items.filter(pl.col("index") % 7 != 3)))


def rows_lost(patch):
    _results(patch, lambda result: result._replace(items=result.items.head(-1)))


def rows_doubled(patch):
    _results(patch, lambda result: result._replace(items=pl.concat([result.items, result.items.head(2)])))


def companions_lost(patch):
    """A block loses the last item's resampling, so that the two companions no longer answer the same items."""
    theirs = pl.col("arm") == "target@resample"
    _results(patch, lambda result: result._replace(
        items=pl.concat([result.items.filter(~theirs), result.items.filter(theirs).head(-1)])
    ))  # fmt: skip


def mean_of_one_too_many(patch):
    patch.setattr(sources._Average, "taken", lambda self: (self.total / (self.count + 1)).float())


def pairs_shifted(patch):
    def shift(result):
        later = pl.col("item_id").shift(-1, fill_value="x").over("arm")
        shifted = pl.when(pl.col("arm") == "baseline").then(later).otherwise("item_id")
        return result._replace(items=result.items.with_columns(shifted.alias("item_id")))

    _results(patch, shift)


def not_finite_is_hidden(patch):
    _results(patch, lambda result: result._replace(items=result.items.with_columns(
        pl.when(pl.col("index") == 3).then(float("nan")).otherwise("answer_logprob").alias("answer_logprob")
    )))  # fmt: skip


def other_models_baseline(patch):
    other = open_model("tiny:mistral")
    patch.setattr(ENGINE, "clean", lambda self, batch: reference.run(other, batch).logits)


def noisy_baseline(patch):
    plain = ENGINE.clean
    patch.setattr(ENGINE, "clean", lambda self, batch: plain(self, batch) * 1.01)


def edited_is_baseline(patch):
    plain = ENGINE.run

    def run(self, batch, interventions, baseline=None, sources=None):
        for index, outcome in plain(self, batch, interventions, baseline, sources):
            yield index, Outcome(self.clean(batch), outcome.receipt, outcome.engine)

    patch.setattr(ENGINE, "run", run)


def arms_exchanged(patch):
    plain = ENGINE.run

    def run(self, batch, interventions, baseline=None, sources=None):
        turned = list(interventions[1:]) + list(interventions[:1])
        yield from plain(self, batch, turned, baseline, sources)

    patch.setattr(ENGINE, "run", run)


def results_exchanged(patch):
    def execute(do, cells):
        made = [do(cell) for cell in cells]
        yield from zip(cells, made[1:] + made[:1], strict=True)

    patch.setattr(run_module, "run_here", execute)


def later_rows_repeat(patch):
    kept = {}

    def measured(model, cell, plan, memory=None):
        result = MEASURED(model, cell, plan, memory)
        old = kept.setdefault(cell.stage, result)
        return (
            result
            if result.items.height != old.items.height
            else result._replace(items=result.items.with_columns(old.items["answer_logprob"], old.items["correct"]))
        )

    patch.setattr(work, "_measured", measured)


def stale_engine(patch):
    """Every batch after the first is answered with the first one's clean logits."""
    plain, kept = ENGINE.clean, {}

    def clean(self, batch):
        key = (id(self.model), tuple(batch.inputs.shape), batch.first)
        return kept.setdefault(key, plain(self, batch))

    patch.setattr(ENGINE, "clean", clean)


LINE_FAULTS = [
    Fault("three seeds draw the same items", "runs.measure.cell_items.draw_of", "run", one_seed, cheap=True),
    Fault("every generator has the same seed", "identity.seed_from", "run", constant_seed),
    Fault("the confirmation's seeds are one", "runs.measure.cell_items.draw_of", "run", one_seed_confirms),
    Fault(
        "discovery's items are asked in confirmation",
        "runs.measure.cell_items.draw_of",
        "run",
        discovery_confirms,
        cheap=True,
    ),
    Fault("BOS twice", "tasks.tokenizers.prompt_contract.compile_item", "run", two_bos, cheap=True),
    Fault("BOS missing", "tasks.tokenizers.prompt_contract.compile_item", "run", no_bos),
    Fault(
        "the answer's last token is not scored", "tasks.tokenizers.prompt_contract.compile_item", "run", half_an_answer
    ),
    Fault("roles are one token late", "tasks.tokenizers.prompt_contract.compile_item", "run", roles_one_late),
    Fault("the wrong answer is the right one", "tasks.tokenizers.prompt_contract.compile_item", "run", right_for_wrong),
    Fault("the log-probability is the first token's alone", "measures.metrics.answer_logprob", "run", first_token_only),
    Fault("a logit is taken for a log-probability", "measures.metrics.answer_logprob", "run", logits_for_probabilities),
    Fault("the logit difference has the other sign", "measures.metrics.logit_diff", "run", sign_of_difference),
    Fault("the entropy is in bits", "measures.metrics.entropy", "run", bits_for_nats),
    Fault("every answer counts as right", "measures.metrics.correct", "run", all_right),
    Fault(
        "items that could not be read are dropped",
        "runs.measure.measure_cell._measured",
        "run",
        unparsed_dropped,
        cheap=True,
    ),
    Fault("a row is lost", "runs.measure.measure_cell._measured", "run", rows_lost),
    Fault("rows are doubled", "runs.measure.measure_cell._measured", "run", rows_doubled),
    Fault("a companion's row is lost", "runs.measure.measure_cell._measured", "run", companions_lost),
    Fault(
        "a mean counts one item too many",
        "engine.replacement_activations.Library",
        "run",
        mean_of_one_too_many,
        cheap=True,
    ),
    Fault("the arms are paired one item apart", "runs.measure.measure_cell._measured", "run", pairs_shifted),
    Fault("a number is not finite", "runs.measure.measure_cell._measured", "run", not_finite_is_hidden),
    Fault("the baseline is another model's", "engine.select_engine.Engine.clean", "run", other_models_baseline),
    Fault(
        "the baseline's logits are a hundredth too large", "engine.select_engine.Engine.clean", "run", noisy_baseline
    ),
    Fault("the edited rows are the baseline's", "engine.select_engine.Engine.run", "run", edited_is_baseline),
    Fault("two arms are exchanged", "engine.select_engine.Engine.run", "run", arms_exchanged),
    Fault("a worker's result goes to another cell", "runs.execute.run.run_here", "run", results_exchanged),
    Fault(
        "every block repeats the numbers of the first", "runs.measure.measure_cell._measured", "run", later_rows_repeat
    ),
    Fault(
        "the clean logits of the first batch are used for all", "engine.select_engine.Engine.clean", "run", stale_engine
    ),
]
