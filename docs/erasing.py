"""Writes docs/erasing.md: what four heads bring back of a sum, and what losing the other number does alone.

    python docs/erasing.py measure    # into docs/erasing.json; a few minutes of one core
    python docs/erasing.py write      # makes the page from the numbers

The study sum-rescue put activations from the right prompt into a prompt with another number. That does two things: it
brings the right number, and it takes the other one away. Here the same heads are also ablated in the prompts with the
other number, which only takes away. Fixed before the measurement: task and heads of sum-rescue, `ITEMS`, and that patch
and ablation are compared item by item for all three ablations.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lesion.engine.proof.cache import engine_for
from lesion.engine.replacement_activations import Library, reference_hash
from lesion.engine.select_engine import Engine
from lesion.interventions.intervention import Intervention, Patch
from lesion.interventions.parse import parse_intervention, replacement
from lesion.interventions.site_list import parse_sites
from lesion.measures.attribution.target import mean_interval
from lesion.measures.metrics import measure as measured
from lesion.measures.prompt_set import Asked, of
from lesion.models.model import Model, open_model
from lesion.report.wording.words import signed
from lesion.runs.measure.cell_items import compiled_block
from lesion.study.arms.edits import asked_task
from lesion.study.format.load import load_study
from lesion.study.study import Study
from lesion.tasks.task import Draw
from lesion.tasks.tokenizers.prompt_contract import Compiled

HERE = Path(__file__).parent
FILE, PAGE = HERE / "erasing.json", HERE / "erasing.md"
STUDY = HERE.parent / "publications" / "real-models" / "studies" / "sum-rescue.yaml"
TASK, ITEMS, OTHERS, SEED = "sums", 384, 384, 0
"""Items drawn, and those whose activations are taken by ablations; both with another number."""
SETS = {"four screened heads": "L20H8+L21H2+L20H6+L23H0", "four induction heads": "L18H6+L17H3+L17H4+L17H5"}
PATCH, ABLATIONS = "right prompt's", ("resample", "mean", "zero")
MEASURES = {"nats": "answer_logprob", "right": "correct", "difference": "logit_diff"}
Numbers = NDArray[np.float64]
Found = Mapping[str, Any]


def items_of(model: Model, study: Study, start: int, stop: int) -> list[Compiled]:
    """Items of the study's task on discovery: the prompt has another number, the answer is that of the right prompt.

    Args:
        model: whose tokens they become.
        study: sum-rescue; its edit exchanges the prompts, and every item has examples of its own.
        start: the first item's place in the lane.
        stop: the place after the last one.
    """
    drawn = asked_task(study.tasks[TASK], study.sweep.edit).items(
        Draw("discovery", "erasing", SEED, 1, prefixes=0), start, stop
    )
    return [one for one in compiled_block(model, study, TASK, drawn).compiled if isinstance(one, Compiled)]


def edit_of(kind: str, sites: str, library: Library) -> Intervention:
    """A patch from the right prompt, or an ablation."""
    if kind == PATCH:
        return Patch(sites=tuple(parse_sites(sites)))
    asks = replacement(f"{kind} {sites}")
    if asks is None:
        return parse_intervention(f"{kind} {sites}")
    return asks.made(reference_hash(library.reference), SEED)


def under(engine: Engine, asked: Asked, library: Library, do: Intervention | None) -> dict[str, list[float]]:
    """The measures of every item, in order, under an edit or none."""
    told = {name: np.full(len(asked.compiled), np.nan) for name in MEASURES}
    for batch in asked.batches:
        logits = engine.clean(batch)
        if do is not None:
            ((_, outcome),) = engine.run(batch, [do], logits, library.sources(batch, [do]))
            logits = outcome.logits
        numbers = measured(logits, batch, tuple(MEASURES.values()), None)
        for name, column in MEASURES.items():
            told[name][list(batch.rows)] = numbers[column]
    return {name: [round(float(each), 4) for each in column] for name, column in told.items()}


def measure() -> dict[str, Any]:
    """Every set of heads under every edit, on items that have companions for resampling."""
    study = load_study(STUDY)
    model = open_model(study.models[0])
    engine = engine_for(model)
    library = Library(model, items_of(model, study, ITEMS, ITEMS + OTHERS))
    drawn = items_of(model, study, 0, ITEMS)
    asked = of([one for one in drawn if library.others(one)])
    arms = {"unedited": under(engine, asked, library, None)}
    for title, sites in SETS.items():
        for kind in (PATCH, *ABLATIONS):
            arms[f"{title}, {kind}"] = under(engine, asked, library, edit_of(kind, sites, library))
            print(title, kind, file=sys.stderr, flush=True)
    return {
        "model": model.name, "weights": model.weights_hash, "day": time.strftime("%Y-%m-%d"),
        "drawn": ITEMS, "asked": len(asked.compiled), "no_companion": len(drawn) - len(asked.compiled), "arms": arms,
    }  # fmt: skip


def written(found: Found) -> str:
    """The file's text, one line an arm."""
    arms = ",\n".join(f"{json.dumps(arm)}: {json.dumps(columns)}" for arm, columns in found["arms"].items())
    about = json.dumps({key: value for key, value in found.items() if key != "arms"})
    return f'{about[:-1]}, "arms": {{\n{arms}\n}}}}\n'


def column(found: Found, arm: str, name: str) -> Numbers:
    """One measure of every item in an arm."""
    return np.array(found["arms"][arm][name])


def apart(found: Found, one: str, other: str) -> str:
    """How far two arms are apart, nats: mean over items of the difference, with its 95 % interval."""
    mean, low, high = (
        signed(end, 2) for end in mean_interval(column(found, one, "nats") - column(found, other, "nats"))
    )
    return f"{mean} ({low} to {high})"


def preferred(found: Found, arm: str) -> float:
    """On how many of the items, percent, the right answer is preferred to the other number's, where they differ."""
    return 100 * float((column(found, arm, "difference") > 0).mean())


def lines(found: Found) -> Iterator[str]:
    """The table's lines."""
    for arm in found["arms"]:
        title, _, kind = arm.partition(", ")
        beyond = apart(found, f"{title}, {PATCH}", arm) if kind in ABLATIONS else "–"
        change = apart(found, arm, "unedited") if kind else "–"
        yield (
            f"| {title} | {kind or '–'} | {change} | {100 * column(found, arm, 'right').mean():.0f} | "
            f"{preferred(found, arm):.0f} | {beyond} |"
        )


def answer(found: Found) -> str:
    """What the numbers say about the screened heads."""
    title = next(iter(SETS))
    patch, ablated = f"{title}, {PATCH}", {kind: f"{title}, {kind}" for kind in ABLATIONS}
    lifts = ", ".join(f"{apart(found, arm, 'unedited')} ({kind})" for kind, arm in ablated.items())
    beyond = ", ".join(f"{apart(found, patch, arm)} ({kind})" for kind, arm in ablated.items())
    shares = ", ".join(f"{preferred(found, arm):.0f} % ({kind})" for kind, arm in ablated.items())
    gain, before = apart(found, patch, "unedited"), preferred(found, "unedited")
    return (
        f"- With the right prompt's activations in four heads the right answer gains {gain}.\n"
        f"- With these heads ablated, which does not bring the right number, it changes by {lifts}.\n"
        f"- The patch goes beyond the ablation by {beyond}.\n"
        f"- The right answer is preferred to the other one in {before:.0f} % of the items, with the right "
        f"prompt's activations in {preferred(found, patch):.0f} %, ablated in {shares}."
    )


def page(found: Found) -> str:
    """The page."""
    return HEAD.format(
        answer=answer(found), asked=found["asked"], rows="\n".join(lines(found)), day=found["day"],
        weights=found["weights"][:16], left=found["no_companion"], sets=named(SETS),
    )  # fmt: skip


def named(sets: Mapping[str, str]) -> str:
    """The sets and their heads."""
    return "; ".join(f"{title}: {sites.replace('+', ', ')}" for title, sites in sets.items())


HEAD = """<!-- made from docs/erasing.json: python docs/erasing.py write -->

# What four heads bring back, and what losing the other number does alone

SmolLM2-135M reads a sum in which one number is another, and is asked how likely the answer of the right sum is. Changes
are in nats, with 95 % intervals over items.

{answer}

**Exploratory**: {asked} discovery items of the task of the registered study sum-rescue (publications/real-models), each
with examples of its own; {left} more had no companion for resampling. Ablations take the activations of other prompts
with another number. *Preferred*: the logit of the right answer is above that of the answer to what is asked, at the
first digit where they differ; half is a coin's. *Beyond*: the patch minus this ablation,
item by item.

A model that only lost the other number would prefer either answer equally often. So a rise of the preference to a half
tells nothing of what is brought; only what is beyond a half does. The ablations lose more
than the other number: the number that stayed right goes through these heads, too. And a resample donor reads its own
answer at answer tokens, which the right prompt does not. So the patch does more than disrupt; how much of its gain the
right number brings is not told here.

| heads | their activations | change of the right answer, nats | right, % | preferred, % | the patch goes beyond by |
|---|---|--:|--:|--:|--:|
{rows}

- {sets}
- Measured on {day}; weights `{weights}…`.
"""


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("command", choices=("measure", "write"))
    if parser.parse_args().command == "measure":
        FILE.write_text(written(measure()), encoding="utf-8")
    else:
        PAGE.write_text(page(json.loads(FILE.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main()
