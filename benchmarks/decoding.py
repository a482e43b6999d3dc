"""G1: greedy text under four edits, beside transformers' `generate` under the same hooks.

    python benchmarks/decoding.py pretrained:smollm2-135m-instruct [--items N] [--tokens N] [--page docs/benchmarks.md]

The prompts are worded sums of this project's own, with worked examples in front (`word_problems`). Three sides, one
process, one thread, in turns, with the same weights and torch's own matrix kernel: this project's `generate_many`;
`generate` on all prompts at once, padded, one edit at a time; and `generate` prompt by prompt, of which some prompts
are run and the time is extrapolated. Every text is compared. Exit code 1 when one differs although its two largest
logits never came nearer than 1e-3. Rows are kept in benchmarks/decoding.json; `--page` writes them into a page.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from results import with_section

from lesion.engine.bench.bench import timed
from lesion.engine.decode.generate import generate_many
from lesion.engine.decode.padded_prompts import padded
from lesion.engine.decode.passes import Arm
from lesion.engine.hooks import edited
from lesion.interventions.intervention import Scale
from lesion.interventions.site import head
from lesion.measures.prompt_set import ask
from lesion.models.model import Model, open_model
from lesion.models.obtain.pretrained import is_there
from lesion.models.text_conventions import ends_of
from lesion.tasks.tokenizers.prompt_contract import Compiled

FILE = Path(__file__).resolve().parent / "decoding.json"
TASK = "word_problems solution=worked shots={}"
SURE = 1e-3
"""A text whose two largest logits come nearer than this, anywhere, may differ between sides."""
Tokens = tuple[int, ...]


def edits_of(model: Model) -> list[Scale | None]:
    """Nothing, and heads zeroed in an early, a middle and a late layer: at all tokens, or from the last one on."""
    layers = [model.sizes.n_layers * part // 4 for part in (1, 2, 3)]
    pairs = [(head(layer, 0), head(layer, model.sizes.n_heads - 1)) for layer in layers]
    made = [Scale(sites=pair, alpha=0.0, positions=at) for pair, at in zip(pairs, ("all", "all", "last"), strict=True)]
    return [None, *made]


def by_hooks(model: Model, prompts: Sequence[Compiled], most: int, stops: list[int], one: Scale | None) -> list[Tokens]:
    """`generate` of transformers, as it comes, with a plain hook for the edit."""
    batch = padded(prompts)
    real = torch.arange(batch.length)[None] >= batch.pads[:, None]
    named: dict[str, Any] = {
        "attention_mask": real.long(), "max_new_tokens": most, "do_sample": False, "eos_token_id": stops,
        "pad_token_id": stops[0],
    }  # fmt: skip
    with torch.inference_mode():
        if one is None:
            out = model.module.generate(batch.ids, **named)
        else:
            places = [model.place(site) for site in one.sites]
            units, chosen = places[0].units, [place.index for place in places]

            def edit(x: torch.Tensor) -> torch.Tensor:
                start = x.shape[1] - 1 if one.positions == "last" else 0
                copied = x.clone()
                copied.view(*x.shape[:2], units, -1)[:, start:, chosen] *= one.alpha
                return copied

            with edited(places[0].module, edit):
                out = model.module.generate(batch.ids, **named)
    texts = [row[batch.length :].tolist() for row in out]
    ends = [next((at + 1 for at, token in enumerate(text) if token in stops), len(text)) for text in texts]
    return [tuple(text[:end]) for text, end in zip(texts, ends, strict=True)]


def measure(model: Model, items: int, tokens: int, shots: int, alone: int) -> dict[str, Any]:
    """One row of the table."""
    prompts = ask(model, TASK.format(shots), items).compiled
    stops = sorted({prompt.answer_ids[-1] for prompt in prompts} | ends_of(model))
    edits = edits_of(model)
    spread = [prompts[(2 * i + 1) * len(prompts) // (2 * alone)] for i in range(alone)]
    sides: dict[str, Callable[[], list[list[Tokens]]]] = {
        "batched": lambda: [by_hooks(model, prompts, tokens, stops, one) for one in edits],
        "alone": lambda: [[by_hooks(model, [p], tokens, stops, one)[0] for p in spread] for one in edits],
    }
    by_hooks(model, spread[:1], 2, stops, None)
    spent, made = timed(lambda: generate_many(model, prompts, tokens, stops, [Arm(one) for one in edits]))
    seconds, texts = {"lesion": spent.processor}, {}
    for name, way in sides.items():
        spent, texts[name] = timed(way)
        seconds[name] = spent.processor * (len(prompts) / alone if name == "alone" else 1)
    ours = [[text.tokens for text in each.texts] for each in made]
    sure = [[text.margin > SURE for text in each.texts] for each in made]
    places = [prompts.index(prompt) for prompt in spread]
    lengths = [len(text) for each in ours for text in each]
    whole = [prompt.prompt_length for prompt in prompts]
    return {
        "model": model.name,
        "items": len(prompts),
        "tokens": tokens,
        "shots": shots,
        "prompt": [min(whole), max(whole)],
        "shared": padded(prompts).shared(),
        "written": sum(lengths) / len(lengths),
        "alone": alone,
        "seconds": seconds,
        "equal": _equal(ours, sure, texts["batched"]),
        "equal_alone": _equal(*([[e[p] for p in places] for e in each] for each in (ours, sure)), texts["alone"]),
        "changed": [sum(a != b for a, b in zip(each, ours[0], strict=True)) for each in ours],
        "day": time.strftime("%Y-%m-%d"),
        "load": os.getloadavg()[0],
    }


def _equal(ours: list[list[Tokens]], sure: list[list[bool]], theirs: list[list[Tokens]]) -> dict[str, int]:
    """Texts, equal ones, and those that differ although they are sure."""
    pairs = [
        (a == b, certain)
        for mine, other, each in zip(ours, theirs, sure, strict=True)
        for a, b, certain in zip(mine, other, each, strict=True)
    ]
    return {
        "texts": len(pairs),
        "equal": sum(same for same, _ in pairs),
        "wrong": sum(certain and not same for same, certain in pairs),
    }


def section(rows: Sequence[dict[str, Any]]) -> str:
    """The section of a page of benchmarks."""
    lines = [HEAD]
    for row in rows:
        seconds, low, high = row["seconds"], *row["prompt"]
        equal, alone = row["equal"], row["equal_alone"]
        lines.append(
            f"| {row['model']} | {row['items']} × 4 × {row['tokens']} | {low} to {high} ({row['shared']}) | "
            f"{row['written']:.0f} | {seconds['lesion']:.0f} | {seconds['batched'] / seconds['lesion']:.1f}× | "
            f"{seconds['alone'] / seconds['lesion']:.1f}× | {equal['equal']} of {equal['texts']} | "
            f"{alone['equal']} of {alone['texts']} | {row['load']:.1f} | {row['day']} |\n"
        )
    return "".join(lines) + TAIL


HEAD = """\
## Decoding: greedy text under four edits (G1)

`generate_many` beside transformers' own `generate` with plain hooks; same weights, same matrix kernel (torch's), one
thread, one process, processor time, one repeat. The edits: none, two heads zeroed at all tokens in an early and in a
middle layer, and two in a late layer zeroed from the last prompt token on. The prompts are this project's
`word_problems` with worked examples in front; a text ends with its line.

| model | items × edits × tokens at most | prompt tokens (shared) | written, mean | lesion, s | `generate`, all items \
at once, one edit at a time | `generate`, item by item | equal texts: batched | equal texts: alone | load | day |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|
"""
TAIL = f"""
Item by item, one or two items are run and the time is extrapolated; *equal texts: alone* has their texts. A text may
differ only where its two largest logits come nearer than {SURE:g} at some token; the program fails otherwise.

Wanted: at least 4× item by item and 1.5× batched, on 64 items × 4 edits × 160 tokens of the 0.5B model. What is gained
is what is not read twice, the shared beginning of the prompts and the prompt before the edit, and rows that have ended:
batched `generate` goes on until its longest text ends. The load says how many other jobs ran.
Measured by `benchmarks/decoding.py`.
"""


def main() -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", help="pretrained:NAME, or a folder; none: only write the page")
    parser.add_argument("--items", type=int, default=16, help="worded sums")
    parser.add_argument("--tokens", type=int, default=48, help="new tokens at most")
    parser.add_argument("--shots", type=int, default=2, help="worked examples in front")
    parser.add_argument("--alone", type=int, default=2, help="items that are run one by one")
    parser.add_argument("--page", type=Path, default=None, help="page of benchmarks that gets the section")
    given = parser.parse_args()
    name, wrong = given.model.removeprefix("pretrained:"), 0
    rows: list[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else []
    if given.model != "none":
        if name != given.model and not is_there(name):
            print(f"{given.model} is not on this machine, so nothing was measured: lesion get {name}")
            return 0
        torch.set_num_threads(1)
        row = measure(open_model(given.model), given.items, given.tokens, given.shots, given.alone)
        print(json.dumps(row), flush=True)
        wrong = row["equal"]["wrong"] + row["equal_alone"]["wrong"]
        rows = [one for one in rows if one["model"] != row["model"]] + [row]
        FILE.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    if given.page is not None:
        page = given.page.read_text(encoding="utf-8")
        given.page.write_text(with_section(page, "decoding", section(rows)), encoding="utf-8")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
