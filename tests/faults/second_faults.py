"""Faults of later looks, in rooms that the first ones cover least: tasks, hashes, arms, records, the last block."""

import dataclasses
import json

from pydantic_core import to_json

from lesion import identity
from lesion.engine.batched.last_layer_attention import Ending, Heads
from lesion.identity import content_hash, file_hash
from lesion.runs.execute import conduct
from lesion.runs.execute import finish as closing
from lesion.runs.folder import run_folder as store
from lesion.runs.folder.atomic_io import write_text
from lesion.runs.manifest.command import read_call
from lesion.runs.manifest.command_results import comparable
from lesion.study.selftest import selftest as trial
from lesion.study.stages import cells as stages
from lesion.tasks.drawing.numbering import Lane
from lesion.tasks.problems.arithmetic import ArithmeticTask, Problem
from lesion.tasks.task import Segment
from tests.faults.fault import Fault, Finished

RESULT, ITEM, AT = Problem.__dict__["result"].fget, ArithmeticTask._item, Lane.at
ADD, SCALED = conduct._Meter.add, stages.scaled


def sum_one_too_large(patch):
    patch.setattr(Problem, "result", property(lambda problem: RESULT(problem) + 1))


def taken_from_the_wrong_side(patch):
    def turned(problem):
        return problem.b - problem.a if problem.operator == "-" else RESULT(problem)

    patch.setattr(Problem, "result", property(turned))


def answer_in_the_examples(patch):
    def leaked(task, place, examples):
        item = ITEM(task, place, examples)
        own = "".join(segment.text for segment in item.segments if segment.role != "shot")
        shots = (*examples, Segment(own + item.answer, "shot"))
        return dataclasses.replace(item, segments=shots + item.segments[len(examples) :], twin=())

    patch.setattr(ArithmeticTask, "_item", leaked)


def twin_is_the_item(patch):
    def same(task, place, examples):
        item = ITEM(task, place, examples)
        return dataclasses.replace(item, wrong=item.answer, twin=item.segments)

    patch.setattr(ArithmeticTask, "_item", same)


def every_problem_twice(patch):
    patch.setattr(Lane, "at", lambda lane, item: AT(lane, item - item % 2)._replace(item=item))


def hash_without_order(patch):
    def sorted_first(value):
        def flat(each):
            if isinstance(each, dict):
                return {name: flat(one) for name, one in each.items()}
            return sorted(map(flat, each), key=repr) if isinstance(each, list) else each

        return content_hash(flat(value))

    for module in (identity, closing, store):
        patch.setattr(module, "content_hash", sorted_first)


def rows_hash_of_the_height(patch):
    for module in (closing, store):
        patch.setattr(module, "rows_hash", lambda table: f"{table.height:064x}")


def file_hash_of_the_length(patch):
    for module in (identity, store, trial):
        patch.setattr(module, "file_hash", lambda path: f"{path.stat().st_size:064x}")


def arm_of_another_strength(patch):
    def weaker(*given):
        made = SCALED(*given)
        return made.model_copy(update={"intervention": made.intervention.model_copy(update={"alpha": 0.5})})

    patch.setattr(stages, "scaled", weaker)


def budget_uncounted(patch):
    def uncounted(meter, unit):
        ADD(meter, unit.model_copy(update={"cpu_seconds": 0.0}))

    patch.setattr(conduct._Meter, "add", uncounted)


def _forge_call(run: Finished, **changes: object) -> None:
    """Change a command's record, and seal it anew."""
    files = {name: file_hash(run.call / name) for name in ("README.md", "result.json")}
    made = read_call(run.call).model_copy(update={"files": files, **changes}).sealed()
    write_text(run.call / "manifest.json", made.model_dump_json(indent=1) + "\n")
    (run.home / "ledger.sqlite").unlink()


def _other_result(run: Finished) -> dict:
    result = json.loads((run.call / "result.json").read_text(encoding="utf-8"))
    result["changes"][0]["edited"] = 0.999
    write_text(run.call / "result.json", json.dumps(result))
    return result


def result_written_over(run):
    _other_result(run)


def result_half_forged(run):
    _other_result(run)
    _forge_call(run)


def result_forged(run):
    result = json.loads(to_json(_other_result(run)))
    _forge_call(run, result_hash=content_hash(comparable("measure", result)))


def parameters_forged(run):
    parameters = {**read_call(run.call).parameters, "do": "scale L0H1 0.25"}
    _forge_call(run, parameters=parameters)


def ledger_knows_better(run):
    made = read_call(run.call).model_copy(update={"status": "confirmatory"}).sealed()
    write_text(run.call / "manifest.json", made.model_dump_json(indent=1) + "\n")


def values_of_a_neighbour(patch):
    of = Heads.of
    patch.setattr(Heads, "of", lambda self, mean: of(self, mean.roll(1, 1)))


def keys_that_turn(patch):
    patch.setattr(Ending, "holds", lambda self, key, value: True)


SECOND_FAULTS = [
    Fault("a sum is one too large", "tasks.problems.arithmetic.Problem.result", "run", sum_one_too_large),
    Fault("differences are taken from the wrong side", "tasks.problems.arithmetic.Problem.result", "run",
          taken_from_the_wrong_side),
    Fault("the examples hold the question's own answer", "tasks.problems.arithmetic.ArithmeticTask._item", "run",
          answer_in_the_examples),
    Fault("the counterfactual twin is the item itself", "tasks.problems.arithmetic.ArithmeticTask._item", "run",
          twin_is_the_item),
    Fault("every problem is asked twice", "tasks.drawing.numbering.Lane.at", "run", every_problem_twice),
    Fault("hashes do not see the order", "identity.content_hash", "run", hash_without_order),
    Fault("the hash of rows is their number", "study.rows.rows_hash", "run", rows_hash_of_the_height),
    Fault("a file's hash is its length", "identity.file_hash", "run", file_hash_of_the_length),
    Fault("an arm has another strength than its name", "study.stages.cells.scaled", "run", arm_of_another_strength),
    Fault("the budget counts nothing", "runs.execute.conduct._Meter.add", "run", budget_uncounted),
    Fault("a command's result is written over", "result.json", "call", result_written_over),
    Fault("a command's result is forged, and sealed", "result.json, manifest.json", "call", result_half_forged),
    Fault("a command's result is forged with its hash, and sealed", "result.json, manifest.json", "call",
          result_forged),
    Fault("a command's parameters are forged, and sealed", "manifest.json", "call", parameters_forged),
    Fault("a command is called confirmatory, and sealed", "manifest.json", "call", ledger_knows_better),
    Fault("the last block's heads take each other's means",
          "engine.batched.last_layer_attention.Heads.of", "model", values_of_a_neighbour,
          "tiny:gpt2"),
    Fault("keys with rotary positions are taken for a linear map",
          "engine.batched.last_layer_attention.Ending.holds", "model",
          keys_that_turn, "tiny:gpt_neox"),
]  # fmt: skip
