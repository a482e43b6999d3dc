"""Writes docs/baselines.md: what the three pretrained models answer right, by operator, digits, format and examples.

    python docs/baselines.py measure smollm2-135m-instruct [--minutes 5]    # adds rows to docs/baselines.jsonl
    python docs/baselines.py gsm8k smollm2-135m-instruct test.jsonl         # the same for written solutions of GSM8K
    python docs/baselines.py write                                          # makes the page from the rows

Each row is one cell of the table. A row that exists is not measured again, so the first command can be stopped and
repeated. The examples of a cell are read once: all its prompts share them, and their keys and values are kept.
"""

import argparse
import copy
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from lesion.engine.decode.kept import cache_name
from lesion.models.chat_template import open_frame
from lesion.models.model import Model, open_model
from lesion.stats.intervals import wilson
from lesion.tasks.answers import Unparsed, extract
from lesion.tasks.catalogue import make_task
from lesion.tasks.config import ArithmeticConfig, Gsm8kConfig
from lesion.tasks.task import Draw, Item
from lesion.tasks.tokenizers.chat_turn import Chat, framed, is_chat
from lesion.tasks.tokenizers.prompt_contract import Compiled, Refused, compile_item

HERE = Path(__file__).parent
ROWS, PAGE, GSM8K = HERE / "baselines.jsonl", HERE / "baselines.md", HERE / "baselines-gsm8k.jsonl"
MODELS = ("smollm2-135m-instruct", "gemma-3-270m", "qwen2.5-coder-0.5b-instruct")
ITEMS, MOST = 100, 160
CARDS = {"smollm2-135m-instruct": "https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct"}
SHOTS, MOST_TOKENS, AT_ONCE = 5, 256, 20
"""Of GSM8K: examples, tokens of a written solution at most, and problems that are solved together."""
"""Items that are asked in a cell, and how many are drawn at most to find so many that keep the prompt contract."""
DIGITS = {1: (0, 9), 2: (10, 99), 3: (100, 999)}
"""Digits of both operands -> smallest and largest operand; a factor is at least 1."""
SIGNS = {"+": "a + b", "-": "a − b", "*": "a × b"}


class Cell(NamedTuple):
    """One number of the table."""

    operator: str
    digits: int
    format: str
    shots: int

    def config(self) -> ArithmeticConfig:
        """The task."""
        low, high = DIGITS[self.digits]
        said = {"low": low, "high": high, "factor_low": max(low, 1), "factor_high": high}
        return ArithmeticConfig.model_validate(
            {"operators": [self.operator], "format": self.format, "shots": self.shots, **said}
        )


def cells(*, chats: bool) -> Iterator[Cell]:
    """What is asked, the most wanted first: equations with four examples, then other formats, then fewer examples."""
    others = ["compact", "question", *(["chat"] if chats else [])]
    yield from (Cell(sign, digits, "equation", 4) for digits in DIGITS for sign in SIGNS)
    yield from (Cell(sign, digits, written, 4) for digits in (1, 2) for written in others for sign in SIGNS)
    yield from (Cell(sign, digits, "equation", shots) for shots in (0, 2) for digits in DIGITS for sign in SIGNS)
    yield from (Cell(sign, 1, "words", 4) for sign in SIGNS)


def drawn(cell: Cell) -> Iterator[Item]:
    """Items of a cell: of the discovery part, or where that holds too few of the confirmation part, each once."""
    task = make_task(cell.config())
    draws = [Draw(split, "baselines", 0, 1) for split in ("discovery", "confirm")]
    draw = next((one for one in draws if task.capacity(one) >= MOST), draws[-1])
    return task.items(draw, 0, min(MOST, task.capacity(draw)))


def measured(model: Model, cell: Cell) -> dict[str, Any]:
    """The row of a cell."""
    started = time.process_time()
    frame = open_frame(model.name, Chat()) if is_chat(cell.config()) else None
    kept: list[tuple[Item, Compiled]] = []
    refused: Counter[str] = Counter()
    for item in drawn(cell):
        asked, bos = item, model.bos
        if frame is not None:
            asked, bos = framed(item, frame, turns=True), frame.bos_id(model.tokenizer)
        made = compile_item(asked, model.tokenizer, bos)
        if isinstance(made, Refused):
            refused[made.reason] += 1
        else:
            kept.append((item, made))
        if len(kept) == ITEMS:
            break
    right = answered(model, [made for _, made in kept])
    below = [
        good for (item, _), good in zip(kept, right, strict=True) if item.answer.strip().startswith(("-", "minus"))
    ]
    return {
        "model": Path(model.name).name.removeprefix("pretrained:"),
        **cell._asdict(),
        "drawn": len(kept) + sum(refused.values()),
        "items": len(kept),
        "right": sum(right),
        "negative": len(below),
        "negative_right": sum(below),
        "refused": dict(refused),
        "system": "" if frame is None else frame.system,
        "bos": model.bos,
        "weights": model.weights_hash,
        "seconds": round(time.process_time() - started, 1),
    }


@torch.inference_mode()
def answered(model: Model, rows: Sequence[Compiled]) -> list[bool]:
    """Which items greedy decoding answers exactly: under teacher forcing, on the keys and values of the examples."""
    if not rows:
        return []
    shared = min(row.prompt_length for row in rows) - 1
    first = rows[0].ids
    shared = next((i for i in range(shared) if any(row.ids[i] != first[i] for row in rows)), shared)
    name = cache_name(model.module)
    kept: Any = None
    if shared:
        out = model.module(torch.tensor([first[:shared]]), use_cache=True, logits_to_keep=1)
        kept = getattr(out, name)
    right = [False] * len(rows)
    groups: dict[tuple[int, int], list[int]] = {}
    for place, row in enumerate(rows):
        groups.setdefault((row.prompt_length, len(row.answer_ids)), []).append(place)
    for (_, length), places in sorted(groups.items()):
        ids = torch.tensor([rows[place].ids[shared:] for place in places])
        given: dict[str, Any] = {}
        if kept is not None:
            cache = copy.deepcopy(kept)
            cache.batch_repeat_interleave(len(places))
            given = {name: cache}
        logits = model.module(ids[:, :-1], use_cache=kept is not None, logits_to_keep=length, **given).logits
        good = (logits.argmax(-1) == ids[:, -length:]).all(-1).tolist()
        for place, one in zip(places, good, strict=True):
            right[place] = one
    return right


def measure(name: str, minutes: float) -> None:
    """Add the rows of a model that are not there, until the processor time is spent."""
    short = Path(name).name.removeprefix("pretrained:")
    done = {Cell(*(row[part] for part in Cell._fields)) for row in rows() if row["model"] == short}
    model = open_model(name)
    chats = model.folder is not None and (model.folder / "chat_template.jinja").is_file()
    started = time.process_time()
    for cell in cells(chats=chats):
        if cell in done:
            continue
        if time.process_time() - started > 60 * minutes:
            print(f"{minutes} processor minutes are spent: repeat the command for the rest", file=sys.stderr)
            return
        row = measured(model, cell)
        with ROWS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
        print(f"{short} {cell}: {row['right']} of {row['items']}, {row['seconds']} s", file=sys.stderr, flush=True)


def measure_gsm8k(name: str, path: str) -> None:
    """Add the row of a model's written solutions: `ITEMS` problems, greedy text after five worked examples."""
    started = time.process_time()
    model = open_model(name)
    task = make_task(Gsm8kConfig(task="gsm8k", path=path, solution="worked", shots=SHOTS))
    items = list(task.items(Draw("discovery", "baselines", 0, 1), 0, ITEMS))
    marks: Counter[str] = Counter()
    for begin in range(0, len(items), AT_ONCE):
        some = items[begin : begin + AT_ONCE]
        for item, text in zip(some, written(model, [item.prompt for item in some]), strict=True):
            number = extract(text)
            right = number == extract(item.answer)
            marks["unparsed" if isinstance(number, Unparsed) else "right" if right else "wrong"] += 1
        print(f"{begin + len(some)} of {len(items)}: {dict(marks)}", file=sys.stderr, flush=True)
    row = {
        "model": Path(model.name).name.removeprefix("pretrained:"),
        "shots": SHOTS,
        "items": len(items),
        **{mark: marks[mark] for mark in ("right", "wrong", "unparsed")},
        "tokens": MOST_TOKENS,
        "weights": model.weights_hash,
        "seconds": round(time.process_time() - started, 1),
    }
    kept = [old for old in rows(GSM8K) if old["model"] != row["model"]]
    GSM8K.write_text("".join(json.dumps(one) + "\n" for one in [*kept, row]), encoding="utf-8")


@torch.inference_mode()
def written(model: Model, prompts: Sequence[str]) -> list[str]:
    """Greedy text after each prompt, up to the next question or `MOST_TOKENS` tokens."""
    ids = [model.tokenizer.encode(prompt, add_special_tokens=False).ids for prompt in prompts]
    ids = [row if model.bos is None else [model.bos, *row] for row in ids]
    longest = max(map(len, ids))
    padded = torch.tensor([[0] * (longest - len(row)) + row for row in ids])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in ids])
    made: Any = model.module.generate(  # pyright: ignore[reportCallIssue]
        padded, attention_mask=mask, do_sample=False, max_new_tokens=MOST_TOKENS, pad_token_id=0
    )
    texts = [model.tokenizer.decode(row, skip_special_tokens=True) for row in made[:, longest:].tolist()]
    return [text.split("\n\n")[0].split("Question:")[0] for text in texts]


def rows(path: Path = ROWS) -> list[dict[str, Any]]:
    """All rows that were measured."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def said(row: Mapping[str, Any]) -> str:
    """A cell's number with Wilson's interval, and whether it is a floor or a ceiling."""
    if not row["items"]:
        return "none asked"
    low, high = (100 * float(end) for end in wilson(row["right"], row["items"]))
    mark = " floor" if high < 10 else " ceiling" if low > 90 else ""
    return f"{100 * row['right'] / row['items']:.0f} ({low:.0f}–{high:.0f}){mark}"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Measure baselines, or write their page.")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("measure", help="Add the rows of one model that are missing.")
    one.add_argument("model", help="pretrained:NAME or the folder of one of the three models.")
    one.add_argument("--minutes", type=float, default=10, help="Processor minutes at most; default 10.")
    solved = commands.add_parser("gsm8k", help="Measure a model's written solutions of GSM8K.")
    solved.add_argument("model", help="pretrained:NAME or the folder of one of the three models.")
    solved.add_argument("path", help="The test file of GSM8K.")
    commands.add_parser("write", help="Write docs/baselines.md from the rows.")
    given = parser.parse_args()
    if given.command == "measure":
        measure(given.model, given.minutes)
    elif given.command == "gsm8k":
        measure_gsm8k(given.model, given.path)
    else:
        PAGE.write_text(page(rows()), encoding="utf-8")


HEAD = """<!-- made by docs/baselines.py from docs/baselines.jsonl: python docs/baselines.py write -->

# Baseline accuracy of three pretrained models

Which sums can a model do without an intervention? A study needs a tier that is neither floor nor ceiling. The format
often matters more than the model's size. Use this page to choose a tier; your study's discovery then measures it again.

Each number is the share of items (%) whose answer greedy decoding gives exactly, end mark included, with Wilson's 95 %
interval. *Floor*: the interval's upper end is below 10 %. *Ceiling*: its lower end is above 90 %. At a floor the model
cannot do the task in this format, and no ablation can show harm. Both operands have the digits of the column (one: 0–9,
two: 10–99, three: 100–999). Differences may be negative.

A cell has 100 items. One-digit cells have fewer, the whole confirmation part of their pool. All cells use one seed, so
one set of examples: the interval says nothing about other examples. Cells that are not listed were not measured.
Formats: [tasks.md](tasks.md).
"""


def page(found: Sequence[Mapping[str, Any]]) -> str:
    """The page: a table by digits and operator for each model, and the contract."""
    parts = [HEAD, *(_solved(row) for row in rows(GSM8K))]
    for model in MODELS:
        here = [row for row in found if row["model"] == model]
        if here:
            parts += [f"## {model}\n", *_tables(here), _told(here)]
    return "\n".join(parts)


def _solved(row: Mapping[str, Any]) -> str:
    """A model's written solutions of GSM8K, in words."""
    low, high = (100 * float(end) for end in wilson(row["right"], row["items"]))
    floor = "a floor, so no ablation can show harm; take sums of one or two digits" if high < 10 else "no floor"
    return (
        f"**GSM8K** is not in the tables. {row['model']} writes the right number in {row['right']} of {row['items']}\n"
        f"problems of the test file ({low:.0f}–{high:.0f} %): {floor}. {row['shots']} worked\n"
        f"examples, greedy text of at most {row['tokens']} tokens; from {row['unparsed']} no answer was read.\n"
        f"The [model card]({CARDS[row['model']]})\ngives 1.4 % with five examples.\n"
    )


def _tables(here: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    columns = [f"{sign} {digits}" for digits in DIGITS for sign in SIGNS]
    heads = [f"{SIGNS[sign]}, {digits} digit{'s' if digits > 1 else ''}" for digits in DIGITS for sign in SIGNS]
    by_row: dict[tuple[str, int], dict[str, str]] = {}
    for row in here:
        place = by_row.setdefault((row["format"], row["shots"]), {})
        place[f"{row['operator']} {row['digits']}"] = said(row)
    for digits in DIGITS:
        own = [place for place, column in enumerate(columns) if column.endswith(str(digits))]
        lines = [[by_row[key].get(columns[place], "") for place in own] for key in by_row]
        rows_here = [(key, line) for key, line in zip(by_row, lines, strict=True) if any(line)]
        if rows_here:
            yield "| format | examples | " + " | ".join(heads[place] for place in own) + " |"
            yield "|---|--:|" + "--:|" * len(own)
            yield from (f"| {key[0]} | {key[1]} | " + " | ".join(line) + " |" for key, line in rows_here)
            yield ""


def _told(here: Sequence[Mapping[str, Any]]) -> str:
    drawn, items = sum(row["drawn"] for row in here), sum(row["items"] for row in here)
    reasons = sum((Counter(row["refused"]) for row in here), Counter[str]())
    why = f" ({', '.join(f'{reason} {count}' for reason, count in reasons.items())})" if reasons else ""
    below, right = sum(row["negative"] for row in here), sum(row["negative_right"] for row in here)
    system = next((row["system"] for row in here if row["system"]), "")
    bos = {row["bos"] for row in here if row["format"] != "chat"}
    begun = ", ".join("none" if one is None else str(one) for one in bos)
    added = f" The format chat has the template's own system prompt, `{system}`." if system else ""
    minutes = sum(row["seconds"] for row in here) / 60
    return (
        f"{items:,} of {drawn:,} items kept the prompt contract{why}. {below:,} of them have a negative answer, and "
        f"{right:,} of these were right. BOS: {begun}.{added} Weights SHA-256 `{here[0]['weights'][:16]}…`, "
        f"{minutes:.1f} processor minutes.\n"
    )


if __name__ == "__main__":
    main()
