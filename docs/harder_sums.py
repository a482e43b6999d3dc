"""Writes docs/harder-sums.md: larger numbers and other operations without the heads that the studies ablate.

    python docs/harder_sums.py measure    # into docs/harder-sums.jsonl; about twenty minutes of one core
    python docs/harder_sums.py write      # makes the page from the rows

Fixed before the measurement: models, heads, tasks, examples, `ITEMS`, and that a change counts as shown where its 95 %
interval leaves out 0. Qwen: the twenty heads that publications/real-models/heads.json names as induction heads, beside
a random set of as many other heads. SmolLM2: the four heads that the study sum-heads screened, beside the same.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from gsm8k import MODEL as QWEN
from gsm8k import Place, induction_heads, random_heads

from lesion.engine.proof.cache import engine_for
from lesion.engine.replacement_activations import Library, reference_hash
from lesion.engine.select_engine import Engine
from lesion.interventions.intervention import Intervention
from lesion.interventions.parse import parse_intervention, replacement
from lesion.measures.effects.effect import Effect, effect
from lesion.measures.prompt_set import ask
from lesion.models.model import Model, open_model
from lesion.report.wording.words import signed

HERE = Path(__file__).parent
FILE, PAGE = HERE / "harder-sums.jsonl", HERE / "harder-sums.md"
SMOL = "pretrained:smollm2-135m-instruct"
SCREENED = ((20, 8), (21, 2), (20, 6), (23, 0))
"""The target of sum-heads."""
TASKS: Mapping[str, Mapping[str, str]] = {
    QWEN: {
        "a + b, two digits": "arithmetic operators=+ low=10 high=99 format=equation shots=4",
        "a + b, three digits": "arithmetic operators=+ low=100 high=999 format=equation shots=4",
        "a − b, two digits": "arithmetic operators=- low=10 high=99 format=equation shots=4",
        "a × b, two digits": "arithmetic operators=* factor_low=10 factor_high=99 format=equation shots=4",
    },
    SMOL: {
        "a + b, two digits": "arithmetic operators=+ low=10 high=99 format=equation shots=2",
    },
}
ITEMS, OTHERS, SEED = 48, 96, 0
"""Items asked, and those whose activations are taken."""
MEASURES = ("correct", "answer_logprob")
ABLATIONS = ("resample", "mean", "zero")
SETS = ("heads", "random heads")
PLACES = ("units", "tens", "hundreds", "thousands")


class Names(NamedTuple):
    """How the page calls them."""

    model: str
    heads: str


def sets_of(model: Model, name: str) -> dict[str, list[Place]]:
    """The model's heads in question, and a random set of as many others."""
    chosen = sorted(SCREENED) if name == SMOL else induction_heads(model, name)
    return dict(zip(SETS, [chosen, *random_heads(model, chosen, 1)], strict=True))


def measure() -> None:
    """Every task, set and ablation that is not there yet."""
    torch.set_num_threads(1)
    found = read()
    done = {(row["model"], row["task"], row["set"], row["ablation"]) for row in found}
    for name, tasks in TASKS.items():
        wanted = [(task, one, kind) for task in tasks for one in SETS for kind in ABLATIONS]
        if all((name, *each) in done for each in wanted):
            continue
        model = open_model(name)
        sets, engine = sets_of(model, name), engine_for(model)
        for task, one, kind in wanted:
            if (name, task, one, kind) in done:
                continue
            started = time.process_time()
            sites = "+".join(f"L{layer}H{at}" for layer, at in sets[one])
            told = effect_of(engine, tasks[task], kind, sites)
            found.append(
                {
                    "model": name, "task": task, "spelling": tasks[task], "set": one, "sites": sites, "ablation": kind,
                    "items": told.items, "refused": told.refused,
                    "changes": [each.model_dump() for each in told.changes if each.measure in MEASURES],
                    "digits": [each.model_dump() for each in told.digits], "weights": model.weights_hash,
                    "seconds": round(time.process_time() - started, 1), "day": time.strftime("%Y-%m-%d"),
                }
            )  # fmt: skip
            FILE.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
            print(name, task, one, kind, found[-1]["seconds"], file=sys.stderr, flush=True)


def effect_of(engine: Engine, spelling: str, kind: str, sites: str) -> Effect:
    """One ablation on one task; items behind one set of examples, as `lesion measure` draws them."""
    asked = ask(engine.model, spelling, ITEMS, SEED)
    asks = replacement(f"{kind} {sites}")
    library: Library | None = None
    do: Intervention
    if asks is None:
        do = parse_intervention(f"{kind} {sites}")
    else:
        library = Library(engine.model, ask(engine.model, spelling, OTHERS, SEED, ITEMS).compiled)
        do = asks.made(reference_hash(library.reference), SEED)
    return effect(engine, asked, do, library, collateral=False).effect


def read() -> list[dict[str, Any]]:
    """All rows that were measured."""
    return [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()] if FILE.is_file() else []


def change(row: Mapping[str, Any], measure: str) -> Mapping[str, Any]:
    """One measure of a row."""
    return next(each for each in row["changes"] if each["measure"] == measure)


def line(row: Mapping[str, Any]) -> str:
    """A row of the table."""
    right, nats = (change(row, measure) for measure in ("correct", "answer_logprob"))
    told = [signed(nats[name], 2) for name in ("delta", "low", "high")]
    return (
        f"| {row['task']} | {NAMES[row['model']].heads if row['set'] == SETS[0] else row['set']} "
        f"| {row['ablation']} | {100 * right['baseline']:.0f} → {100 * right['edited']:.0f} "
        f"| {told[0]} ({told[1]} to {told[2]}) | {digits(row)} |"
    )


def digits(row: Mapping[str, Any]) -> str:
    """Wrong digits by place, before and under the edit."""
    places = [each for each in row["digits"] if each["place"] < len(PLACES) and each["items"] >= ITEMS // 4]
    shares = [f"{PLACES[each['place']]} {100 * each['baseline']:.0f} → {100 * each['edited']:.0f}" for each in places]
    return ", ".join(shares) or "–"


def shown(rows: Sequence[Mapping[str, Any]], model: str, task: str, one: str) -> int:
    """Of the three ablations, those with which the right answer loses: the interval lies below 0."""
    mine = [row for row in rows if (row["model"], row["task"], row["set"]) == (model, task, one)]
    return sum(change(row, "answer_logprob")["high"] < 0 for row in mine)


def more(rows: Sequence[Mapping[str, Any]], model: str, task: str) -> int:
    """Ablations with which the heads lose more than the random ones: the intervals do not meet."""
    here = {
        (row["set"], row["ablation"]): change(row, "answer_logprob")
        for row in rows
        if (row["model"], row["task"]) == (model, task)
    }
    return sum(all(here[SETS[0], kind]["high"] < here[other, kind]["low"] for other in SETS[1:]) for kind in ABLATIONS)


def answers(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What the rows say, task by task."""
    for model, tasks in TASKS.items():
        for task in tasks:
            lost, beyond = shown(rows, model, task, SETS[0]), more(rows, model, task)
            yield (
                f"- {NAMES[model].model}, {task}: without the {NAMES[model].heads} the right answer loses with {lost}"
                f" of 3 ablations; with {beyond} of 3 clearly more than without the random heads."
            )


NAMES = {
    QWEN: Names("Qwen2.5-Coder-0.5B", "20 induction heads"),
    SMOL: Names("SmolLM2-135M", "4 screened heads"),
}


def page(rows: Sequence[Mapping[str, Any]]) -> str:
    """The page."""
    tables: list[str] = []
    for model, tasks in TASKS.items():
        mine = [row for task in tasks for row in rows if (row["model"], row["task"]) == (model, task)]
        sites = {row["set"]: row["sites"].replace("+", ", ") for row in mine}
        tables.append(f"## {NAMES[model].model}\n\n{COLUMNS}\n" + "\n".join(map(line, mine)) + "\n")
        tables.append(
            "\n".join(f"- {NAMES[model].heads if one == SETS[0] else one}: {sites[one]}" for one in SETS) + "\n"
        )
    days = " and ".join(sorted({row["day"] for row in rows}))
    return HEAD.format(answers="\n".join(answers(rows)), items=ITEMS) + "\n".join(tables) + f"\nMeasured on {days}.\n"


COLUMNS = """\
| task | without | ablation | right answers, % | change of log-probability, nats | wrong digits, % |
|---|---|---|--:|--:|---|"""
HEAD = """\
<!-- made from docs/harder-sums.jsonl: python docs/harder_sums.py write -->

# Larger numbers and other operations

{answers}

**Exploratory**: {items} items behind one set of examples, one random set of heads, no registration. An interval (95 %,
over items) leaves out what other examples would change, and nothing is corrected for the number of lines. *Clearly
more* means only that intervals do not meet. The random heads are one set of all layers, not matched by layer: nine
of the 20 induction heads are in layer 16, none of the random ones, so damage to a layer is not excluded. Zeroing the
random heads changes some tasks, too. First planned were 64 items, 256 others and two random sets; this was cut for
time when only times had been read. The registered studies are in publications/real-models.

*Wrong digits*: those of the answer at each place, unedited → ablated, where at least a quarter of the answers have the
place; answers are written out under zeroing alone. Resample and mean ablation take the activations of other questions
behind the same examples.

"""


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("command", choices=("measure", "write"))
    if parser.parse_args().command == "measure":
        measure()
    else:
        PAGE.write_text(page(read()), encoding="utf-8")


if __name__ == "__main__":
    main()
