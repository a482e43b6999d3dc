"""Writes docs/gsm8k.md: GSM8K under Qwen2.5-Coder-0.5B without its induction heads, at once and with written steps.

    python docs/gsm8k.py measure test.jsonl    # into docs/gsm8k.jsonl; half an hour of one core
    python docs/gsm8k.py write                 # makes the page from the rows

Fixed before the measurement: the model, the heads (all that publications/real-models/heads.json names as induction
heads), two random sets of as many other heads, the problems (the first `ITEMS` of the discovery part), the examples,
and that a difference is told with Tango's 95 % interval. The heads are zeroed at every token: no
two problems have the same lengths, so that no other prompt's activations could take their place.
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from lesion.engine.decode.generate import generate_many
from lesion.engine.decode.passes import Arm
from lesion.interventions.intervention import Scale
from lesion.interventions.site import Site, head
from lesion.models.model import Model, open_model
from lesion.models.text_conventions import ends_of
from lesion.stats.intervals import tango, wilson
from lesion.stats.power import needed_n
from lesion.stats.verdict.rule import Rule
from lesion.tasks.answers import Unparsed, extract
from lesion.tasks.catalogue import make_task
from lesion.tasks.config import Gsm8kConfig, Solution
from lesion.tasks.task import Draw
from lesion.tasks.tokenizers.prompt_contract import Compiled, compile_item

HERE = Path(__file__).parent
FILE, PAGE, HEADS = HERE / "gsm8k.jsonl", HERE / "gsm8k.md", HERE.parent / "publications/real-models/heads.json"
MODEL = "pretrained:qwen2.5-coder-0.5b-instruct"
ITEMS, SHOTS, AT_ONCE, SEED = 50, 5, 25, 0
TOKENS: Mapping[Solution, int] = {"direct": 12, "worked": 200}
"""Tokens of a text at most."""
Place = tuple[int, int]
"""Layer and head."""
ARMS = ("unedited", "induction heads", "random heads 1", "random heads 2")
MARGIN = 0.1
"""Of the study that the page reckons with: change that counts as none, and effect to be found."""


def induction_heads(model: Model, name: str) -> list[Place]:
    """The heads of a model that the published list names, by layer and head."""
    rows = json.loads(HEADS.read_text(encoding="utf-8"))
    named = [row for row in rows if row["model"] == name and row["detector"] == "induction" and row["named"]]
    if any(row["weights_hash"] != model.weights_hash for row in named):
        sys.exit("the published list is of other weights")
    return sorted((row["layer"], row["head"]) for row in named)


def random_heads(model: Model, beside: Sequence[Place], sets: int) -> list[list[Place]]:
    """Random sets of as many heads, none of them among those."""
    every = [(layer, at) for layer in range(model.sizes.n_layers) for at in range(model.sizes.n_heads)]
    others, draw = [place for place in every if place not in beside], random.Random(SEED)
    return [sorted(draw.sample(others, len(beside))) for _ in range(sets)]


def sets_of(model: Model) -> dict[str, tuple[Site, ...]]:
    """The heads of each arm."""
    chosen = induction_heads(model, MODEL)
    drawn = [chosen, *random_heads(model, chosen, len(ARMS) - 2)]
    return dict(zip(ARMS[1:], [tuple(head(*place) for place in one) for one in drawn], strict=True))


def measure(path: str) -> None:
    """Every arm on every problem, both ways of answering; rows are written batch by batch."""
    torch.set_num_threads(1)
    model = open_model(MODEL)
    sets = sets_of(model)
    found = [row for row in read() if row["weights"] == model.weights_hash]
    for solution in TOKENS:
        task = make_task(Gsm8kConfig(task="gsm8k", path=path, solution=solution, shots=SHOTS))
        items = list(task.items(Draw("discovery", "gsm8k page", 0, 1), 0, ITEMS))
        done = sum(len(row["items"]) for row in found if row["solution"] == solution)
        for begin in range(done, len(items), AT_ONCE):
            some = items[begin : begin + AT_ONCE]
            started = time.process_time()
            texts = answered(model, [compiled(model, item) for item in some], solution, sets)
            row = {
                "solution": solution,
                "items": [item.index for item in some],
                "marks": {arm: marks(texts[arm], [item.answer for item in some]) for arm in ARMS},
                "texts": texts,
                "sets": {arm: [str(site) for site in sites] for arm, sites in sets.items()},
                "weights": model.weights_hash,
                "seconds": round(time.process_time() - started, 1),
                "day": time.strftime("%Y-%m-%d"),
            }
            found.append(row)
            FILE.write_text("".join(json.dumps(one) + "\n" for one in found), encoding="utf-8")
            print(f"{solution}: {begin + len(some)} of {len(items)}, {row['seconds']} s", file=sys.stderr, flush=True)


def compiled(model: Model, item: Any) -> Compiled:
    """A problem's tokens; one that breaks the prompt contract ends the program."""
    made = compile_item(item, model.tokenizer, model.bos)
    if not isinstance(made, Compiled):
        sys.exit(f"problem {item.index} breaks the prompt contract: {made}")
    return made


def answered(
    model: Model, prompts: Sequence[Compiled], solution: Solution, sets: Mapping[str, tuple[Site, ...]]
) -> dict[str, list[str]]:
    """The text of each arm for each problem, up to the next question."""
    asks = model.tokenizer.encode("Question", add_special_tokens=False).ids
    edits = [Arm(Scale(sites=sets[arm], alpha=0.0)) if arm in sets else Arm() for arm in ARMS]
    made = generate_many(model, prompts, TOKENS[solution], {*ends_of(model), asks[0]}, edits, memory=2**32)
    texts = [[model.tokenizer.decode(list(text.tokens)) for text in each.texts] for each in made]
    return {arm: [text.split("Question")[0] for text in each] for arm, each in zip(ARMS, texts, strict=True)}


def marks(texts: Sequence[str], answers: Sequence[str]) -> str:
    """For each text `+` right, `-` wrong, `?` no number that counts."""
    numbers = [(extract(text), extract(answer)) for text, answer in zip(texts, answers, strict=True)]
    return "".join("?" if isinstance(given, Unparsed) else "-+"[given == right] for given, right in numbers)


def read() -> list[dict[str, Any]]:
    """All rows that were measured."""
    return [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()] if FILE.is_file() else []


def joined(rows: Sequence[Mapping[str, Any]], solution: Solution, arm: str) -> str:
    """The marks of an arm."""
    return "".join(row["marks"][arm] for row in rows if row["solution"] == solution)


def share(found: str) -> str:
    """Right answers with Wilson's interval, percent."""
    right = found.count("+")
    low, high = (100 * float(end) for end in wilson(right, len(found)))
    return f"{100 * right / len(found):.0f} ({low:.0f} to {high:.0f})"


def difference(one: str, other: str) -> tuple[float, float, float]:
    """Right answers of one minus those of another on the same problems, points, with Tango's interval."""
    gained, lost = (
        sum((a == "+") > (b == "+") for a, b in zip(*pair, strict=True)) for pair in ((one, other), (other, one))
    )
    low, high = tango(gained, lost, len(one))
    return 100 * (gained - lost) / len(one), 100 * low, 100 * high


def told(change: tuple[float, float, float]) -> str:
    """A difference with its interval."""
    mean, low, high = (f"{each:+.1f}".replace("-", "−") for each in change)
    return f"{mean} ({low} to {high})"


def page(rows: Sequence[Mapping[str, Any]]) -> str:
    """The page."""
    found = {(solution, arm): joined(rows, solution, arm) for solution in TOKENS for arm in ARMS}
    many = len(found["worked", "unedited"])
    lines = [
        f"| {arm} | {share(found['direct', arm])} | {share(found['worked', arm])} | "
        f"{found['direct', arm].count('?')} and {found['worked', arm].count('?')} |"
        for arm in ARMS
    ]
    compared = {
        (solution, other): difference(found[solution, "induction heads"], found[solution, other])
        for solution in TOKENS
        for other in (ARMS[0], *ARMS[2:])
    }
    without = [
        f"| {'at once' if solution == 'direct' else 'written steps'} | {arm} | unedited | "
        f"{told(difference(found[solution, arm], found[solution, 'unedited']))} |"
        for solution in TOKENS
        for arm in ARMS[2:]
    ]
    formed = ", ".join(
        f"{sum('####' in text for row in rows if row['solution'] == 'worked' for text in row['texts'][arm])} {arm}"
        for arm in ARMS
    )
    against = [
        f"| {'at once' if solution == 'direct' else 'written steps'} | induction heads | {other} | {told(change)} |"
        for (solution, other), change in compared.items()
    ]
    steps = difference(found["worked", "unedited"], found["direct", "unedited"])
    sets = rows[0]["sets"]
    return HEAD.format(
        answer=answer(found, compared, steps), many=many, shots=SHOTS, heads=len(sets["induction heads"]),
        direct=TOKENS["direct"], worked=TOKENS["worked"], table="\n".join(lines),
        against="\n".join([*against, *without]), formed=formed,
        steps=told(steps), cost=cost(rows, many), sets="\n".join(f"- {arm}: {', '.join(sets[arm])}" for arm in sets),
        days=" and ".join(sorted({row["day"] for row in rows})), weights=rows[0]["weights"][:16],
    )  # fmt: skip


def answer(
    found: Mapping[tuple[str, str], str],
    compared: Mapping[tuple[str, str], tuple[float, float, float]],
    steps: tuple[float, float, float],
) -> str:
    """What the rows say, first."""
    floor = 100 * float(wilson(found["direct", "unedited"].count("+"), len(found["direct", "unedited"]))[1]) < 10
    shown = [compared["worked", other][2] < 0 for other in (ARMS[0], *ARMS[2:])]
    lost = (
        "Without its induction heads it solves fewer of them than unedited and than without either random set"
        if all(shown)
        else "Without its induction heads it solves fewer; that this is more than without random heads is not shown"
        if shown[0]
        else "It is not shown that it solves fewer without its induction heads"
    )
    random = " and ".join(share(found["worked", arm]).split(" ")[0] for arm in ARMS[2:])
    return (
        f"**With written steps the model solves {share(found['worked', 'unedited'])} % of the problems, at once "
        f"{share(found['direct', 'unedited'])} %{', its floor' if floor else ''}: {told(steps)} points.\n{lost};\n"
        f"without {len(ARMS) - 2} sets of random heads it solves {random} %.**"
    )


def cost(rows: Sequence[Mapping[str, Any]], many: int) -> str:
    """What a study of this would take, from the rule's own planning and the times of these rows."""
    need = needed_n(0.3, 0.0, Rule(margin=MARGIN, effect=MARGIN, spread=MARGIN, looks=1), 2)
    each = sum(row["seconds"] for row in rows if row["solution"] == "worked") / many
    hours = 3 * need * each / 3600
    return (
        f"A study was planned and not registered. With a margin of {100 * MARGIN:.0f} points two cells need {need:,}"
        f" problems a seed, {3 * need:,} in all, where three answers in ten change: about {hours:,.0f} processor hours"
        f" at {each:.0f} seconds a problem (four arms). But the test file's part for discovery holds 55 problems, and a"
        " study takes 64 (the training file would do), and zeroing alone bears no claim. So the table is exploratory."
    )


HEAD = """\
<!-- made from docs/gsm8k.jsonl: python docs/gsm8k.py write -->

# GSM8K without induction heads

{answer}

`Qwen2.5-Coder-0.5B-Instruct`, {many} problems of GSM8K's test file (Cobbe et al. 2021,
[arXiv 2110.14168](https://arxiv.org/abs/2110.14168)), {shots} examples in front, greedy text of at most {direct} tokens
(at once) and {worked} (written steps). Every problem is answered under all four arms, both ways. SmolLM2 is at its
floor ([baselines](baselines.md)); Gemma was not asked.

| arm | at once, % right | written steps, % right | no number read, at once and steps |
|---|--:|--:|--:|
{table}

In brackets: Wilson's 95 % intervals. They cover the problems, not the choice of examples, which are the same for all.

**Differences**, points, same problems (Tango's 95 % interval, not corrected for ten comparisons, so an interval that
leaves out 0 by little is no evidence):

| answers | arm | minus | difference |
|---|---|---|--:|
{against}

Written steps minus at once, unedited: {steps}.

## What this does not say

- The {heads} heads are **zeroed**. Problems differ in length, so for most no other prompt's activations can take
  their place, and zeroing pushes a model where it never is. In Gemma's sums zeroing alone took 3.4 nats where resample
  ablation took none (publications/real-models).
- Two random sets are no ranking among 199: nothing is called specific.
- A text may lose its answer's form and not the sum: `####` stands in {formed} texts with written steps. Where it does
  not stand, the last number counts, so a text that was cut or wanders is read as wrong.
- 100 problems were planned; after 20 had been answered at once, unread, the number was halved and batches made larger,
  for time.
- {cost}

## The heads

{sets}

Measured on {days}; weights {weights}…. The problems are not in this repository:
`python docs/gsm8k.py measure PATH` takes the test file.
"""


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("measure", help="Measure what is left.").add_argument("path", help="GSM8K's test.jsonl")
    commands.add_parser("write", help="Make the page from the rows.")
    given = parser.parse_args()
    if given.command == "measure":
        measure(given.path)
    else:
        PAGE.write_text(page(read()), encoding="utf-8")


if __name__ == "__main__":
    main()
