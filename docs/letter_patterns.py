"""Writes docs/letter-patterns.md: induction heads in Crosbie and Shutova's letter patterns, on the pretrained models.

    python docs/letter_patterns.py measure MODEL         # adds rows to docs/letter-patterns.jsonl
    python docs/letter_patterns.py write                 # makes the page from the rows

The design of arXiv 2407.07011 (Table 1): ten examples, labels Foo and Bar, the top 1 % and 3 % of heads by induction
score, mean-ablated or with their induction pattern knocked out, beside random heads of the same layers. Fixed before
any result: `SETS` example sets of sixteen items per pattern, the arms, the metric and the intervals.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lesion.engine.batch import batches
from lesion.engine.proof.cache import engine_for, proved
from lesion.engine.replacement_activations import Library, reference_hash
from lesion.engine.select_engine import Engine
from lesion.identity import generator
from lesion.interventions.intervention import Intervention, KnockOut, Mean
from lesion.interventions.site import Site, head
from lesion.measures.metrics import measure as measured
from lesion.models.model import Model, open_model
from lesion.report.wording.words import signed
from lesion.stats.intervals import tango, wilson
from lesion.tasks.catalogue import make_task
from lesion.tasks.config import LetterPattern, LetterPatternsConfig
from lesion.tasks.task import RUN, Draw
from lesion.tasks.tokenizers.prompt_contract import Compiled, compile_item

HERE = Path(__file__).parent
ROWS, PAGE = HERE / "letter-patterns.jsonl", HERE / "letter-patterns.md"
SMALL, GEMMA, QWEN = "smollm2-135m-instruct", "gemma-3-270m", "qwen2.5-coder-0.5b-instruct"
SETS = {SMALL: 6, GEMMA: 6, QWEN: 3}
"""Example sets of each pattern; sixteen items stand behind each. Fewer for the largest model: processor time."""
CUT = 8
"""Of those, the items under a knock-out, which the engine runs without sharing the examples: processor time."""
REFERENCE = 16
"""Items of the mean ablation, each with examples of its own."""
PATTERNS: tuple[LetterPattern, ...] = ("repetition", "recursion", "centre_embedding")
SHARES = (0.01, 0.03)
LABELS = {SMALL: ("foo", "bar")}
"""Labels with equally many tokens; Foo and Bar where the tokenizer allows them."""
CHANCE = 0.5
WORDS = {"full": "unedited", "heads": "induction heads", "pattern": "induction pattern", "random": "random heads"}


class Arm(NamedTuple):
    """One condition."""

    name: str
    """`full`, `heads 1 %`, `pattern 1 %`, `random 1 %`, …"""
    do: Intervention | None


class Items(NamedTuple):
    """The items of one pattern."""

    sets: list[list[Compiled]]
    """By example set."""
    reference: list[Compiled]


def drawn(model: Model, pattern: LetterPattern, sets: int, key: str = "letter patterns") -> Items:
    """Items behind shared example sets, and reference items with examples of their own.

    The mean over items with one example set would be that set's own activation, so nothing would be ablated there.
    """
    name = model.name.removeprefix("pretrained:")
    task = make_task(LetterPatternsConfig(pattern=pattern, labels=LABELS.get(name, ("Foo", "Bar"))))
    asked, other = (Draw("discovery", key, 0, 1, prefixes) for prefixes in (sets, 0))
    items = [_compiled(model, item) for item in task.items(asked, 0, sets * RUN)]
    reference = [_compiled(model, item) for item in task.items(other, sets * RUN, sets * RUN + REFERENCE)]
    return Items([items[start : start + RUN] for start in range(0, len(items), RUN)], reference)


def _compiled(model: Model, item: Any) -> Compiled:
    found = compile_item(item, model.tokenizer, model.bos)
    if not isinstance(found, Compiled):
        sys.exit(f"{model.name}: {found.reason}: {found.detail}")
    return found


def ranked(model: Model) -> tuple[list[tuple[int, int]], int]:
    """The named induction heads of docs/heads.json, the highest score first, and how many heads the model has.

    Raises:
        SystemExit: when the page is about other weights.
    """
    listed = json.loads((HERE / "heads.json").read_text(encoding="utf-8"))
    one = next(each for each in listed if each["model"] == model.name)
    if one["weights_hash"] != model.weights_hash:
        sys.exit(f"{model.name}: docs/heads.json was made with other weights; run lesion heads and docs/heads_page.py")
    named = sorted(one["named"]["induction"], key=lambda each: -each["score"])
    return [(each["layer"], each["head"]) for each in named], one["layers"] * one["heads_per_layer"]


def top(order: Sequence[tuple[int, int]], of: int, share: float) -> Sequence[tuple[int, int]]:
    """This share of all heads, at least one, by their induction score."""
    return order[: max(1, round(share * of))]


def like(heads: Sequence[tuple[int, int]], wide: int, number: int, name: str) -> list[tuple[int, int]]:
    """As many other heads of each layer, drawn anew for every example set; fewer where a layer has no more."""
    rng, chosen = generator("letter patterns", "random", name, len(heads), number), list[tuple[int, int]]()
    for layer in sorted({layer for layer, _ in heads}):
        held = {index for at, index in heads if at == layer}
        free = [index for index in range(wide) if index not in held]
        count = min(len(held), len(free))
        chosen += [(layer, free[int(i)]) for i in sorted(rng.choice(len(free), count, replace=False).tolist())]
    return chosen


def arms(order: Sequence[tuple[int, int]], of: int, model: Model, reference: str, number: int) -> list[Arm]:
    """The conditions of one example set."""
    found, wide = [Arm("full", None)], model.sizes.n_heads
    for share in SHARES:
        best = top(order, of, share)
        other = like(best, wide, number, model.name)
        found += [
            Arm(f"heads {share:.0%}", Mean(sites=_sites(best), reference=reference)),
            Arm(f"pattern {share:.0%}", KnockOut(sites=_sites(best), keys="induction")),
            Arm(f"random {share:.0%}", Mean(sites=_sites(other), reference=reference)),
        ]
    return found


def _sites(heads: Sequence[tuple[int, int]]) -> tuple[Site, ...]:
    return tuple(head(layer, index) for layer, index in sorted(heads))


def answered(engine: Engine, asked: Sequence[Compiled], conditions: Sequence[Arm], library: Library) -> dict[str, Any]:
    """By condition, the logit of the right label minus the other one's, of every item of an example set."""
    cut = [arm for arm in conditions if isinstance(arm.do, KnockOut)]
    whole = _gaps(engine, asked, [arm for arm in conditions if arm not in cut], library)
    return whole | _gaps(engine, asked[:CUT], cut, library)


def _gaps(engine: Engine, asked: Sequence[Compiled], conditions: Sequence[Arm], library: Library) -> dict[str, Any]:
    found = {arm.name: np.full(len(asked), np.nan) for arm in conditions}
    edits = [arm.do for arm in conditions if arm.do is not None]
    names = [arm.name for arm in conditions if arm.do is not None]
    for batch in batches(asked, 64):
        rows = list(batch.rows)
        clean = None
        if "full" in found:
            clean = engine.clean(batch)
            found["full"][rows] = measured(clean, batch, ["logit_diff"])["logit_diff"]
        for place, outcome in engine.run(batch, edits, clean, library.sources(batch, edits)):
            found[names[place]][rows] = measured(outcome.logits, batch, ["logit_diff"])["logit_diff"]
    return found


def measure(name: str, sets: int, key: str = "letter patterns") -> list[dict[str, Any]]:
    """All rows of a model: by pattern and condition, the logit differences of all items by example set."""
    begun = time.process_time()
    model = open_model(f"pretrained:{name}")
    proved(model)
    engine = engine_for(model)
    (order, of), rows = ranked(model), list[dict[str, Any]]()
    opened = time.process_time()
    for pattern in PATTERNS:
        items = drawn(model, pattern, sets, key)
        library, called = Library(model, items.reference), reference_hash(items.reference)
        planned = [arms(order, of, model, called, number) for number in range(sets)]
        means = [arm.do for each in planned for arm in each if isinstance(arm.do, Mean)]
        library.sources(batches(items.sets[0][:1], 1)[0], means)  # every mean from one pass over the reference items
        found: dict[str, list[list[float]]] = {}
        for asked, conditions in zip(items.sets, planned, strict=True):
            for arm, gaps in answered(engine, asked, conditions, library).items():
                found.setdefault(arm, []).append([round(float(gap), 4) for gap in gaps])
        rows += [_row(model, engine, pattern, arm, gaps, planned[0]) for arm, gaps in found.items()]
    spent = time.process_time() - opened
    print(f"{name}: {opened - begun:.0f} s to open, {spent:.0f} s to measure", file=sys.stderr, flush=True)
    return rows


def _row(
    model: Model, engine: Engine, pattern: str, name: str, gaps: Sequence[Sequence[float]], conditions: Sequence[Arm]
) -> dict[str, Any]:
    do = next(arm.do for arm in conditions if arm.name == name)
    sites = [] if do is None or name.startswith("random") else [str(site) for site in do.sites]
    return {
        "model": model.name.removeprefix("pretrained:"), "pattern": pattern, "arm": name, "logit_diff": gaps,
        "sites": sites, "weights_hash": model.weights_hash, "engine": engine.choice.engine,
        "day": time.strftime("%Y-%m-%d"),
    }  # fmt: skip


def rows() -> list[dict[str, Any]]:
    """All that was measured."""
    return [json.loads(line) for line in ROWS.read_text(encoding="utf-8").splitlines()] if ROWS.is_file() else []


OPENING = """<!-- made from docs/letter-patterns.jsonl: python docs/letter_patterns.py write -->

# Letter patterns without induction heads

{answer}

The design is that of Crosbie and Shutova ([arXiv 2407.07011](https://arxiv.org/abs/2407.07011), Table 1): a model reads
ten labelled letter sequences and labels another one. Accuracy is the share of items on which the right label has a
higher logit than the other label. Guessing scores 50 %.

- **Induction heads**: the top 1 % and 3 % of all heads by induction score ([heads](heads.md)), mean-ablated at every
  token. The mean is taken over {reference} other items, each with examples of its own.
- **Induction pattern**: the same heads, whose attention to the tokens that follow an earlier occurrence is cut.
- **Random heads**: as many other heads of the same layers, mean-ablated, drawn anew for each example set.
- **Sizes**, fixed before the measurement: {sizes}.
  Sixteen items stand behind each example set, and {cut} of them under a knock-out.
- **Intervals** (95 %, in brackets): Wilson for an accuracy, Tango for differences on the same items. They cover the
  items, not the choice of example sets, which are few. They are not corrected for their number.
- **Beyond random heads**: the accuracy minus that under random heads, on the same items. Only this tells induction
  heads from any heads of their layers.
- **Labels**: Foo and Bar; foo and bar for SmolLM2, whose tokenizer gives the capitalised ones different lengths.

- **Label preference**: a model that always prefers one label scores 50 %. An edit that shifts the preference can then
  raise accuracy, random heads included: a change at a floor is no ability that was lost or gained.

`python docs/letter_patterns.py measure MODEL` repeats a model's measurement.{missing}
"""
TITLES = {"repetition": "Repetition (A B A B)", "recursion": "Recursion (A B B B)",
          "centre_embedding": "Centre-embedding (A B C B A)"}  # fmt: skip


class Paired(NamedTuple):
    """A difference of two accuracies on the same items (share)."""

    delta: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{signed(100 * self.delta)} ({signed(100 * self.low)} to {signed(100 * self.high)})"


def right(row: Mapping[str, Any], items: int = RUN) -> NDArray[np.bool_]:
    """Whether each item's right label leads, for the first items behind every example set; shape [sets * items]."""
    return np.array([gap > 0 for gaps in row["logit_diff"] for gap in gaps[:items]], dtype=np.bool_)


def against(one: Mapping[str, Any], other: Mapping[str, Any]) -> Paired:
    """Accuracy of the first condition minus that of the second, on the items that both have, with Tango's interval."""
    items = min(len(one["logit_diff"][0]), len(other["logit_diff"][0]))
    mine, theirs = right(one, items), right(other, items)
    gained, lost = int((mine & ~theirs).sum()), int((~mine & theirs).sum())
    return Paired((gained - lost) / mine.size, *tango(gained, lost, mine.size))


def able(table: Mapping[str, Mapping[str, Any]]) -> bool:
    """Is the unedited model above chance: does Wilson's whole interval lie above it?"""
    return float(wilson(right(table["full"]).sum(), right(table["full"]).size)[0]) > CHANCE


def page(measured_rows: Sequence[Mapping[str, Any]]) -> str:
    """The page's text."""
    models = [name for name in SETS if any(row["model"] == name for row in measured_rows)]
    sizes = "; ".join(f"{name}: {SETS[name]} example sets, {SETS[name] * RUN} items of each pattern" for name in models)
    tables = {
        (name, pattern): {row["arm"]: row for row in measured_rows if (row["model"], row["pattern"]) == (name, pattern)}
        for name in models
        for pattern in PATTERNS
    }
    rest = [name for name in SETS if name not in models]
    missing = f" Not measured yet: {', '.join(rest)}." if rest else ""
    parts = [OPENING.format(answer=_answer(tables), sizes=sizes, reference=REFERENCE, cut=CUT, missing=missing)]
    for name in models:
        parts += [f"\n## {name}\n", *_heads(tables[name, PATTERNS[0]])]
        for pattern in PATTERNS:
            parts += [f"\n### {TITLES[pattern]} in {name}\n", *_table(tables[name, pattern])]
    return "\n".join(parts) + "\n"


def _answer(tables: Mapping[tuple[str, str], Mapping[str, Mapping[str, Any]]]) -> str:
    """What the tables say: where the unedited model is above chance, and where induction heads do more than random."""
    pairs = [key for key, table in tables.items() if able(table)]
    if not pairs:
        return (
            "**No model is shown to label any pattern better than chance with these example sets, so these tables say"
            " nothing about induction heads.**"
        )
    named = "; ".join(f"{name} on {pattern.replace('_', '-')}" for name, pattern in pairs)
    rest = len(tables) - len(pairs)
    floors = f" The other {rest} are not shown to be above chance with these example sets." if rest else ""
    found = [
        f"{name}, {pattern.replace('_', '-')}, {_share(share)}: {beyond} points"
        for name, pattern in pairs
        for share in SHARES
        if (beyond := _beyond_random(tables[name, pattern], "heads", share)).high < 0
    ]
    asked = len(pairs) * len(SHARES)
    shown = (
        f"In {len(found)} of {asked} comparisons ablating induction heads costs more than ablating random heads: "
        f"{'; '.join(found)}."
        if found
        else "Nowhere above chance is ablating induction heads shown to cost more than ablating random heads."
    )
    return (
        f"**Above chance unedited: {len(pairs)} of {len(tables)} pairs of model and pattern ({named}).{floors}"
        f" {shown}**"
        f" These are {asked} comparisons of few items, at 95 % each and not corrected for their number: read one alone"
        " as a lead, not as a finding. Random heads may be induction heads that are not ablated (only the ablated ones"
        " are kept out), which makes the comparison harder to win."
        " Intervals take items as independent, though items share example sets; they may be too narrow."
    )


def _beyond_random(table: Mapping[str, Mapping[str, Any]], kind: str, share: float) -> Paired:
    return against(table[f"{kind} {share:.0%}"], table[f"random {share:.0%}"])


def _share(share: float) -> str:
    return f"{100 * share:.0f} %"


def _heads(table: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for share in SHARES:
        row = table[f"heads {share:.0%}"]
        yield f"- Top {_share(share)}: {', '.join(row['sites'])}"
    yield f"\nWeights SHA-256 `{row['weights_hash']}`; measured on {row['day']}."


def _table(table: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    floor = (
        ""
        if able(table)
        else " **Not shown to be above chance with these example sets: read no loss from this table.**"
    )
    yield f"Chance 50 %.{floor}\n"
    yield "| Condition | Items | Accuracy, % | Change, points | Beyond random heads, points |"
    yield "|---|--:|--:|--:|--:|"
    yield f"| unedited | {right(table['full']).size} | {_percent(table['full'])} | | |"
    for share in SHARES:
        for kind in ("heads", "pattern", "random"):
            row = table[f"{kind} {share:.0%}"]
            beyond = "" if kind == "random" else str(_beyond_random(table, kind, share))
            cells = f"{right(row).size} | {_percent(row)} | {against(row, table['full'])} | {beyond}"
            yield f"| {WORDS[kind]}, {_share(share)} | {cells} |"


def _percent(row: Mapping[str, Any]) -> str:
    answers = right(row)
    low, high = wilson(answers.sum(), answers.size)
    return f"{100 * answers.mean():.1f} ({100 * float(low):.1f} to {100 * float(high):.1f})"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Measure letter patterns without induction heads, or write the page.")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("measure", help="Measure one model and replace its rows.")
    one.add_argument("model", choices=tuple(SETS))
    commands.add_parser("write", help="Write docs/letter-patterns.md from the rows.")
    given = parser.parse_args()
    if given.command == "measure":
        new = measure(given.model, SETS[given.model])
        kept = [row for row in rows() if row["model"] != given.model]
        ROWS.write_text("".join(json.dumps(row) + "\n" for row in [*kept, *new]), encoding="utf-8")
    else:
        PAGE.write_text(page(rows()), encoding="utf-8")


if __name__ == "__main__":
    main()
