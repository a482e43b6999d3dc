"""Writes docs/planted.md: what share of planted circuits each way of looking finds, over many random models.

    python docs/planted.py measure [--minutes 20]    # adds rows to docs/planted.jsonl, a row a model
    python docs/planted.py write                    # makes the page from the rows

A draw that has its row is not measured again, so the first command can be stopped and repeated. The thresholds and the
number of draws were fixed before the first draw.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from lesion.engine.replacement_activations import Library
from lesion.engine.select_engine import choose
from lesion.identity import generator
from lesion.interventions.site import head, parse_site
from lesion.measures.attribution.gate_gradients import estimate
from lesion.measures.circuits.faithfulness import faithful
from lesion.measures.circuits.nodes import all_nodes, kept_values
from lesion.measures.circuits.pruning import prune
from lesion.measures.circuits.size_curve import single_effects
from lesion.measures.effects.ablation import counterfactual, scaling
from lesion.measures.heads.detection import detection
from lesion.measures.heads.repeated_sequences import repeats
from lesion.measures.prompt_set import Asked, of
from lesion.models.model import open_model
from lesion.stats.known_truth import auroc, mean_of, share
from lesion.tasks.tokenizers.prompt_contract import Compiled
from lesion.training.planted_heads import planted, write_planted

HERE = Path(__file__).parent
ROWS, PAGE = HERE / "planted.jsonl", HERE / "planted.md"
DRAWS, ITEMS, BLOCK = 60, 8, 16
THRESHOLD = 0.05
"""An effect counts above this share of the whole way; pruning takes out what costs at most this much."""
TARGET = "logit_diff"
DETECTOR = "induction score"
SCORED = ("single, zero", "single, counterfactual", "gradient, zero")
Scores = Mapping[str, float]


def questions(seed: int, start: int) -> Asked:
    """Repeated blocks, asked in the second copy; in the corrupted prompt the last token was followed by another."""
    compiled: list[Compiled] = []
    for row in repeats(np.arange(1, 33), 0, BLOCK, 0, ITEMS, generator("planted items", seed, start)).ids.tolist():
        prompt = 1 + BLOCK + 8
        twin = row.copy()
        twin[8], twin[11] = twin[11], twin[8]
        ids = tuple(row[: prompt + 1])
        compiled.append(Compiled(ids, {}, (ids[-1],), (row[12],), prompt, (*twin[:prompt], row[12])))
    return of(compiled)


def measured(seed: int) -> dict[str, Any]:
    """The row of a draw: what is true, what every way of looking named, and its scores."""
    begun = time.process_time()
    truth = planted(seed)
    with TemporaryDirectory() as folder:
        write_planted(truth, Path(folder))
        model = open_model(folder)
    engine, asked, others = choose(model), questions(seed, 0), questions(seed, 1)
    nodes = all_nodes(model.sizes)
    heads = [node for node in nodes if node.kind == "head"]
    detected = detection(model, "induction")
    named = {DETECTOR: [str(head(one.layer, one.head)) for one in detected.named]}
    scores: dict[str, Scores] = {DETECTOR: {str(head(one.layer, one.head)): one.score for one in detected.heads}}
    again: dict[str, float] = {}
    for name, how in (("zero", scaling(0.0)), ("counterfactual", counterfactual(Library(model)))):
        ends = kept_values(engine, asked, [frozenset(nodes), frozenset()], how, TARGET, "ends").mean(1)
        way = float(ends[0] - ends[1])
        effects = single_effects(engine, asked, how, TARGET)
        scores[f"single, {name}"] = {str(site): effects[site] / way for site in heads}
        if name == "zero":
            table = -estimate(model, asked.batches, TARGET).heads.mean(0) / way
            scores["gradient, zero"] = {str(site): float(table[site.layer, site.index or 0]) for site in heads}
        found = prune(engine, asked, effects, how, TARGET, THRESHOLD)
        named[f"pruning, {name}"] = list(found.kept)
        again[name] = faithful(engine, others, [parse_site(site) for site in found.kept], how, TARGET).faithfulness
    named |= {way: [site for site, score in scores[way].items() if abs(score) > THRESHOLD] for way in SCORED}
    return {
        "seed": seed,
        "engine": engine.choice.engine,
        "layers": model.sizes.n_layers,
        "heads": model.sizes.n_heads,
        "circuit": sorted(map(str, truth.circuit)),
        "backups": sorted(map(str, truth.backups)),
        "stripes": sorted(map(str, truth.stripes)),
        "named": named,
        "scores": {name: {site: round(score, 6) for site, score in some.items()} for name, some in scores.items()},
        "again": again,
        "seconds": round(time.process_time() - begun, 1),
    }


def measure(minutes: float) -> None:
    """Add the rows of the draws that are not there, until the processor time is spent."""
    done, begun = {row["seed"] for row in rows()}, time.process_time()
    for seed in range(DRAWS):
        if seed in done:
            continue
        if time.process_time() - begun > 60 * minutes:
            print(f"{minutes:g} processor minutes are spent: repeat the command for the rest", file=sys.stderr)
            return
        row = measured(seed)
        with ROWS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(f"{seed + 1} of {DRAWS}, {row['seconds']} s", file=sys.stderr, flush=True)


def rows() -> list[dict[str, Any]]:
    """All rows that were measured."""
    return [json.loads(line) for line in ROWS.read_text(encoding="utf-8").splitlines()] if ROWS.is_file() else []


def line(name: str, found: Sequence[Mapping[str, Any]]) -> str:
    """A way of looking: recall of heads that are needed alone, of backups, precision, AUROC over all draws."""
    needed = caught = pairs = one_of = named = right = 0
    areas: list[float] = []
    for row in found:
        circuit, backups, told = set(row["circuit"]), set(row["backups"]), set(row["named"][name])
        needed, caught = needed + len(circuit - backups), caught + len(told & (circuit - backups))
        pairs, one_of = pairs + bool(backups), one_of + bool(told & backups)
        named, right = named + len(told), right + len(told & circuit)
        scores = {site: score for site, score in row["scores"].get(name, {}).items() if site not in backups}
        area = auroc(scores, circuit)
        areas += [] if area is None else [area]
    ranked = mean_of(areas, generator("planted", 0))
    return f"| {name} | {share(caught, needed)} | {share(one_of, pairs)} | {share(right, named)} | {ranked} |\n"


def page(found: Sequence[Mapping[str, Any]]) -> str:
    """The page's text."""
    stripes = sum(len(row["stripes"]) for row in found)
    told = [(set(row["named"][DETECTOR]), set(row["stripes"])) for row in found]
    seen, listed = sum(len(a & b) for a, b in told), sum(len(a) for a, _ in told)
    faith = {name: [row["again"][name] for row in found] for name in ("zero", "counterfactual")}
    parts = [HEAD.format(draws=len(found), items=ITEMS, threshold=THRESHOLD)]
    parts += [line(name, found) for name in (DETECTOR, *SCORED, "pruning, zero", "pruning, counterfactual")]
    parts.append(
        PATTERN.format(
            recall=share(seen, stripes),
            precision=share(seen, listed),
            **{
                f"{name}_{what}": f"{of_(numbers):.3f}" for name, numbers in faith.items() for what, of_ in ENDS.items()
            },
        )
    )
    minutes, batched = sum(row["seconds"] for row in found) / 60, sum(row["engine"] == "fast" for row in found)
    parts.append(f"\n{minutes:.0f} processor minutes; the batched engine ran {batched} of {len(found)} models.\n")
    return "".join(parts)


ENDS = {"least": min, "most": max}
HEAD = """<!-- made by docs/planted.py from docs/planted.jsonl: python docs/planted.py write -->

# Planted circuits: what share does each way of looking find?

Here the truth is known. Each of {draws} random models has an induction circuit written into its weights, at random
places among distractors: heads that only look like it, noise, MLPs that do something else
(`lesion.training.planted_heads`). A way of looking *finds* a head if it names it. {items} items a model; an effect
counts above {threshold:g} of the way from the whole model to the empty one; pruning takes out what costs at most that.

- *Needed alone*: without this head the answer changes. *Backups*: two heads either of which suffices; found if one of
  them is named. *Precision*: share of the named that belong to the circuit. *AUROC*: of the ranking by |score|, heads
  needed alone against heads outside; mean over models, bootstrap interval over models.
- *single*: exact ablation of each head alone. *gradient*: attribution patching. *pruning*: greedy search, from weak to
  strong. *induction score*: the detector's named heads, taken as the list of what matters (it does not claim that).

| way | needed alone | backups | precision | AUROC |
|---|---|---|---|---|
"""
PATTERN = """
Taken for what it says, heads that attend like induction heads, the detector has a recall of {recall} and a precision
of {precision}. Attending so is not mattering: its false names above are distractors that write nothing, and its misses
are previous-token heads, which it does not look for.

Why the others miss: zeroing one of two backups changes nothing, so neither shows. The corrupted prompt's activation
does not leave a backup absent but makes it point to a wrong place; so each shows, and pruning keeps both. The gradient
is blind to previous-token heads: the attention that they feed is saturated. Faithfulness of the pruned sets on items
that the search did not see: zero {zero_least} to {zero_most}, counterfactual {counterfactual_least} to
{counterfactual_most}.

The 1.00s are those of clear circuits: by construction an induction head of the circuit writes a fifth of the answer or
more, and a distractor a hundredth at most, with the threshold between. Effects near the threshold are not tried here.

What this does not show: these circuits are sharp and small. Trained models have weak, shared and many-headed ones. On
other models with a known circuit (InterpBench, Gupta et al. 2024, [arXiv:2407.14494](https://arxiv.org/abs/2407.14494))
AUROC .95 for ACDC, .90 for EAP-IG and .20 for EAP is reported; these numbers come from a secondary source, were not
measured here, and do not compare.

[Compiled programs](compiled/index.md) are other models with a known circuit, of many kinds.
"""


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Measure planted circuits, or write their page.")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("measure", help="Add the draws that are missing.")
    one.add_argument("--minutes", type=float, default=20, help="Processor minutes at most; default 20.")
    commands.add_parser("write", help="Write docs/planted.md from the rows.")
    given = parser.parse_args()
    if given.command == "measure":
        measure(given.minutes)
    else:
        PAGE.write_text(page(rows()), encoding="utf-8")


if __name__ == "__main__":
    main()
