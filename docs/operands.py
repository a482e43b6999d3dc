"""Writes docs/operands.md: where heads look when a model is about to write a sum, and which number they carry.

    python docs/operands.py measure    # every head of two models, into docs/operands.json (20 minutes of one core)
    python docs/operands.py write      # makes the page and its pictures from docs/operands.json

Attention from the last prompt token to the parts of the prompt, mean over discovery items with two examples, each part
of the question taken apart by its tokens. Fixed before the measurement: the items, the parts, and the heads that are
told (targets of registered studies, and in Qwen the two heads of its strong random sets); every head is measured, so
that each can be ranked.

Then each head is patched at the last prompt token from the prompt in which one of the two numbers is another (noising),
apart for items whose first and items whose second number changes, of which only those whose answers differ in their
first digit: the share of the way to the other answer, in the difference of that digit's logits.
"""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import altair as alt
import polars as pl
import torch
import vl_convert

from lesion.engine.proof.cache import engine_for
from lesion.engine.replacement_activations import Library
from lesion.interventions.site import head
from lesion.measures.attribution.patching import patch_grid
from lesion.measures.heads.pattern_scores import attention_patterns
from lesion.measures.prompt_set import ask, of
from lesion.models.model import Model, open_model
from lesion.report.figures.figures import VEGA_LITE, themed
from lesion.report.figures.parts.charts import data, finished
from lesion.report.figures.parts.palette import SEQUENTIAL
from lesion.tasks.tokenizers.prompt_contract import Compiled

HERE = Path(__file__).parent
FILE, PAGE, IMAGES = HERE / "operands.json", HERE / "operands.md", HERE / "images"
TASK, ITEMS, SEED = "arithmetic operators=+ low=10 high=99 format=equation shots=2", 64, 0
PATCHED, DRAWN = 48, 256
"""Items patched for each of the two numbers, and items among which they are looked for, in order."""


class Subject(NamedTuple):
    """A model of the page."""

    model: str
    title: str
    picture: str
    told: Mapping[str, tuple[str, ...]]
    """Kind of head -> the heads that are told."""

    @property
    def heads(self) -> list[str]:
        """Those that are told, in order."""
        return [head for names in self.told.values() for head in names]


SUBJECTS = (
    Subject(
        "pretrained:smollm2-135m-instruct", "SmolLM2-135M", "operands.svg",
        {"screened on sums": ("L20H8", "L21H2", "L20H6", "L23H0"), "induction": ("L18H6", "L17H3", "L17H4", "L17H5")},
    ),
    Subject(
        "pretrained:qwen2.5-coder-0.5b-instruct", "Qwen2.5-Coder-0.5B", "operands-qwen.svg",
        {"in strong random sets": ("L16H11", "L16H8"), "induction": ("L16H3", "L9H8", "L16H2", "L11H12")},
    ),
)  # fmt: skip
PARTS = ("examples", "first, tens", "first, units", "+", "second, tens", "second, units", "=", "itself")
NAMED = {"operator": "+", "equals": "="}
Found = Mapping[str, Any]


def parts_of(item: Compiled, spelled: list[str]) -> list[str]:
    """For each prompt token of an item the part that it belongs to; a space before a number counts as the sign's.

    Args:
        item: a sum of two-digit numbers.
        spelled: its prompt tokens as text.
    """
    found = ["examples"] * item.prompt_length
    for role, spans in item.roles.items():
        for start, stop in spans:
            if role in NAMED:
                found[start:stop] = [NAMED[role]] * (stop - start)
            elif role.startswith("operand"):
                which = "first" if role == "operand_1" else "second"
                digits = [at for at in range(start, stop) if spelled[at].strip()]
                if len(digits) != 2:
                    raise ValueError(f"a two-digit number is {len(digits)} tokens long: {spelled[start:stop]}")
                found[start:stop] = ["+" if which == "second" else "examples"] * (stop - start)
                found[digits[0]], found[digits[1]] = f"{which}, tens", f"{which}, units"
    found[item.prompt_length - 1] = "itself"
    return found


def measure(name: str) -> dict[str, Any]:
    """Every head's attention from the last prompt token, by part, mean over items; and what patching each head does.

    Args:
        name: the model, as `open_model` takes it.
    """
    model = open_model(name)
    items = ask(model, TASK, ITEMS, SEED).compiled
    total = torch.zeros(model.sizes.n_layers, model.sizes.n_heads, len(PARTS), dtype=torch.float64)
    for item in items:
        ids = list(item.ids[: item.prompt_length])
        places = parts_of(item, [model.tokenizer.decode([token]) for token in ids])
        for layer, pattern in enumerate(attention_patterns(model.module, torch.tensor([ids]))):
            for part, weight in zip(places, pattern[0, :, -1].T.double(), strict=True):
                total[layer, :, PARTS.index(part)] += weight
    return {
        "patched": patched(model),
        "model": name, "weights_hash": model.weights_hash, "task": TASK, "items": len(items),
        "day": time.strftime("%Y-%m-%d"),
        "shares": {
            f"L{layer}H{at}": [round(float(share), 4) for share in total[layer, at] / len(items)]
            for layer in range(model.sizes.n_layers) for at in range(model.sizes.n_heads)
        },
    }  # fmt: skip


def patched(model: Model) -> dict[str, dict[str, Any]]:
    """For either number: what patching each head from the prompt with another such number does."""
    engine, library = engine_for(model), Library(model)
    drawn = ask(model, TASK, DRAWN, SEED).compiled
    heads = [head(layer, at) for layer in range(model.sizes.n_layers) for at in range(model.sizes.n_heads)]
    found: dict[str, dict[str, Any]] = {}
    for number, role in (("first", "operand_1"), ("second", "operand_2")):
        some = [item for item in drawn if changed(item) == {role} and item.answer_ids[0] != item.wrong_ids[0]][:PATCHED]
        grid = patch_grid(engine, of(some), library, heads, ("last",))
        cells = {cell.site: [round(each, 4) for each in (cell.change, cell.low, cell.high)] for cell in grid.cells}
        found[number] = {"items": grid.items, "whole": round(grid.whole, 4), "heads": cells}
    return found


def changed(item: Compiled) -> set[str]:
    """The roles in which an item's corrupted prompt has other tokens; nothing where it does not align."""
    if item.twin_ids is None:
        return set()
    differ = [at for at in range(item.prompt_length) if item.ids[at] != item.twin_ids[at]]
    return {role for role, spans in item.roles.items() for start, stop in spans for at in differ if start <= at < stop}


def carried(found: Found, name: str, number: str) -> tuple[float, float, float]:
    """The share of the way that patching a head goes, with its 95 % interval, ascending."""
    one = found["patched"][number]
    mean, *ends = (each / one["whole"] for each in one["heads"][name])
    return (mean, min(ends), max(ends))


def place(found: Found, name: str, number: str) -> int:
    """A head's place among all heads by that share; 1 goes furthest."""
    mine = carried(found, name, number)[0]
    return 1 + sum(carried(found, other, number)[0] > mine for other in found["shares"])


def on(found: Found, name: str, number: str) -> float:
    """A head's attention to one of the two numbers."""
    return sum(share for part, share in zip(PARTS, found["shares"][name], strict=True) if part.startswith(f"{number},"))


def rank(found: Found, name: str, number: str) -> int:
    """A head's place among all heads by its attention to one of the two numbers; 1 attends most."""
    return 1 + sum(on(found, other, number) > on(found, name, number) for other in found["shares"])


def page(every: Found) -> str:
    """The page's text."""
    return OPENING.format(
        task=TASK, drawn=DRAWN, many=ITEMS,
        answers="\n".join(answer(one, every[one.model]) for one in SUBJECTS),
    ) + "".join(section(one, every[one.model]) for one in SUBJECTS)  # fmt: skip


def section(one: Subject, found: Found) -> str:
    """A model's part of the page."""
    rows = [
        f"| {head} | {kind} | " + " | ".join(f"{share:.2f}" for share in found["shares"][head]) + " |"
        for kind, names in one.told.items()
        for head in names
    ]
    mean = [sum(each[at] for each in found["shares"].values()) / len(found["shares"]) for at in range(len(PARTS))]
    rows.append("| all heads | mean | " + " | ".join(f"{share:.2f}" for share in mean) + " |")
    shown = list(dict.fromkeys([*one.heads, *(name for number in found["patched"] for name in most(found, number))]))
    moved = [
        f"| {name} | {100 * on(found, name, 'first'):.0f} ({rank(found, name, 'first')}) | "
        f"{way(found, name, 'first')} | {place(found, name, 'first')} | "
        f"{100 * on(found, name, 'second'):.0f} ({rank(found, name, 'second')}) | "
        f"{way(found, name, 'second')} | {place(found, name, 'second')} |"
        for name in shown
    ]
    return SECTION.format(
        title=one.title, picture=one.picture, moved="\n".join(moved),
        first=found["patched"]["first"]["items"], second=found["patched"]["second"]["items"],
        items=found["items"], parts=" | ".join(PARTS), dashes="--:|" * len(PARTS), rows="\n".join(rows),
        many=len(found["shares"]), day=found["day"], weights=found["weights_hash"][:16],
        attending=" ".join(attending(found, number) for number in found["patched"]),
    )  # fmt: skip


def most(found: Found, number: str) -> list[str]:
    """The three heads that attend most to a number, and the two whose patches go furthest where it is another."""
    attend = sorted(found["shares"], key=lambda name: -on(found, name, number))[:3]
    return [*attend, *sorted(found["shares"], key=lambda name: -carried(found, name, number)[0])[:2]]


def way(found: Found, name: str, number: str) -> str:
    """A share of the way, percent, with its interval."""
    mean, low, high = (f"{round(100 * each) + 0:d}".replace("-", "−") for each in carried(found, name, number))
    return f"{mean} ({low} to {high})"


def answer(one: Subject, found: Found) -> str:
    """What a model's rows say: the two heads that go furthest for either number."""
    told = (
        f"with another {number} number "
        + " and ".join(f"{name} {way(found, name, number)}" for name in most(found, number)[-2:])
        for number in found["patched"]
    )
    return f"- {one.title}: {', '.join(told)}."


def attending(found: Found, number: str) -> str:
    """How far the patches go of those heads that attend more to a number than the head whose patch goes furthest."""
    best = most(found, number)[-2]
    more = [name for name in found["shares"] if on(found, name, number) > on(found, best, number)]
    if not more:
        return f"No head attends more to the {number} number than {best}."
    furthest = max(more, key=lambda name: carried(found, name, number)[0])
    return (
        f"More than {best} attend to the {number} number: {len(more)}; of these {furthest} goes furthest, "
        f"{way(found, furthest, number)} %."
    )


OPENING = """<!-- made from docs/operands.json: python docs/operands.py write -->

# Which heads bring the numbers of a sum to its answer

**In two models of two families one head carries part of the first number to the end of the prompt, and others
part of the second.** Each head is patched alone, at the last prompt token, from a prompt in which one number is
another. Percent of the way to that prompt's first digit, in logits, with the 95 % interval over items:

{answers}

**Exploratory.** Attention says where a head looks, not what it does; what sums lose without these heads is asked by
registered studies (publications/real-models: sum-heads, single-heads, operand-heads, sum-rescue, qwen-operands).

- Attention: {many} discovery items behind one set of examples
  (`{task}`); mean share of the attention from the last
  prompt token, unedited. One digit is one token. *Itself* is the last token, the space after the sign of equality.
- Patches: of {drawn} items drawn, those whose two answers differ in their first digit. A corrupted sum keeps the
  answer's length, so both answers begin with 1 from 100 on: only sums below 100 are here, and what changes is mostly a
  tens digit. Intervals take the whole way as known. This is noising: it does not say that a head suffices.
"""

SECTION = """
## {title}

![Attention from the last prompt token, by head and part of the prompt](images/{picture})

| head | kind | {parts} |
|---|---|{dashes}
{rows}

{first} items whose first and {second} whose second number changes; percent of the way, and the rank among all {many}
heads. *Attention* is that to the number, percent, with its rank. Below the heads that were told beforehand stand the
three that attend most to either number and the two whose patches go furthest.

| head | attention to the first | first number another | rank | attention to the second | second number another | rank |
|---|--:|--:|--:|--:|--:|--:|
{moved}

{attending}

{items} items for attention, measured on {day}; weights {weights}….
"""


def picture(one: Subject, found: Found) -> dict[str, Any]:
    """Heads by part of the prompt."""
    heads = one.heads
    rows = pl.DataFrame(
        [
            {"head": head, "part": part, "share": share, "text": f"{share:.2f}"}
            for head in heads
            for part, share in zip(PARTS, found["shares"][head], strict=True)
        ]
    )
    cells = alt.Chart(data(rows)).encode(
        x=alt.X("part:N", title="part of the prompt", sort=list(PARTS), axis=alt.Axis(labelAngle=0, domain=False)),
        y=alt.Y("head:N", title="head", sort=heads, axis=alt.Axis(domain=False, ticks=False)),
    )
    colour = alt.Color("share:Q", scale=alt.Scale(domain=[0, 1], range=SEQUENTIAL), legend=None)
    ink = alt.condition("datum.share > 0.75", alt.value("#ffffff"), alt.value("#1b1f24"))
    drawn = alt.layer(
        cells.mark_rect(stroke="#d5d9de", strokeWidth=0.5).encode(color=colour),
        cells.mark_text(fontSize=11).encode(text="text:N", color=ink),
    )
    return finished(drawn.properties(width=alt.Step(88), height=alt.Step(24)), "maps")


def draw(one: Subject, found: Found) -> str:
    """The picture as SVG."""
    return vl_convert.vegalite_to_svg(themed(picture(one, found)), vl_version=VEGA_LITE)


def read() -> dict[str, Any]:
    """What was measured, by model."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def main() -> None:
    """Measure or write."""
    if sys.argv[1:] == ["measure"]:
        torch.set_num_threads(1)
        found = {one.model: measure(one.model) for one in SUBJECTS}
        FILE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    elif sys.argv[1:] == ["write"]:
        PAGE.write_text(page(read()), encoding="utf-8")
        for one in SUBJECTS:
            (IMAGES / one.picture).write_text(draw(one, read()[one.model]), encoding="utf-8")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
