"""Writes docs/compiled/index.md from docs/compiled/rows.jsonl: what share of the parts of programs each way finds.

    python docs/compiled/page.py

docs/compiled/measure.py makes the rows and says what is in them.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lesion.identity import generator
from lesion.stats.known_truth import auroc, mean_of, share

HERE = Path(__file__).parent
ROWS, EDGES, STUDIES = HERE / "rows.jsonl", HERE / "edges.jsonl", HERE / "studies.jsonl"
PAGE = HERE / "index.md"
ITEMS, THRESHOLD = 32, 0.05
"""Those of docs/compiled/measure.py."""
KINDS = ("zero", "counterfactual")
WAYS = (
    "single, zero, mean",
    "single, zero, any item",
    "gradient, zero",
    "integrated, zero",
    "pruning, zero",
    "single, counterfactual, mean",
    "single, counterfactual, any item",
    "eap, counterfactual",
    "eap-ig, counterfactual",
    "pruning, counterfactual",
)


def kind_of(way: str) -> str:
    """The ablation of a way of looking."""
    return "counterfactual" if "counterfactual" in way else "zero"


class Outcome(NamedTuple):
    """What a way of looking made of one model."""

    program: str
    needed: frozenset[str]
    told: frozenset[str]
    redundant: frozenset[str]
    """Parts of the program that are not needed; they count neither way."""
    area: float | None
    """AUROC of needed parts against nodes outside the program."""

    @property
    def missed(self) -> frozenset[str]:
        """Needed and not named."""
        return self.needed - self.told

    @property
    def wrong(self) -> frozenset[str]:
        """Named and no part of the program."""
        return self.told - self.needed - self.redundant


def outcomes(found: Sequence[Mapping[str, Any]], way: str) -> list[tuple[Mapping[str, Any], Outcome]]:
    """What a way made of every model that it was asked of."""
    made: list[tuple[Mapping[str, Any], Outcome]] = []
    for row in found:
        if way not in row["named"]:
            continue
        true = frozenset(row["needed"][kind_of(way)])
        redundant = frozenset(row["parts"]) - true
        scores = {site: score for site, score in row["scores"].get(way, {}).items() if site not in redundant}
        base = row["program"].rsplit("-", 1)[0]
        made.append((row, Outcome(base, true, frozenset(row["named"][way]), redundant, auroc(scores, true))))
    return made


def line(way: str, found: Sequence[Mapping[str, Any]]) -> str:
    """A way of looking: recall, precision, share of models whose needed parts are named and no others, AUROC."""
    all_ = [one for _, one in outcomes(found, way)]
    needed_, missed = sum(len(one.needed) for one in all_), sum(len(one.missed) for one in all_)
    wrong = sum(len(one.wrong) for one in all_)
    exact = sum(not one.missed and not one.wrong for one in all_)
    areas: dict[str, list[float]] = {}
    for one in all_:
        if one.area is not None:
            areas.setdefault(one.program, []).append(one.area)
    ranked = mean_of([float(np.mean(some)) for some in areas.values()], generator("compiled", 0))
    caught = needed_ - missed
    return (
        f"| {way} | {share(caught, needed_)} | {share(caught, caught + wrong)} "
        f"| {share(exact, len(all_))} | {ranked} |\n"
    )


def reasons(way: str, found: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Why needed parts were missed and others named, counted."""
    counted: dict[str, int] = {}
    for row, one in outcomes(found, way):
        means, most = (row["scores"][f"single, {kind_of(way)}, {what}"] for what in ("mean", "any item"))
        for site in sorted(one.missed):
            if most[site] <= THRESHOLD:
                why = "missed: the asked items do not need it, other inputs do"
            elif abs(means[site]) <= THRESHOLD:
                why = "missed: its effects on items are rare or cancel in the mean"
            elif way.startswith(("gradient", "integrated", "eap")):
                why = "missed: the gradient is flat where the exact effect is not"
            else:
                why = "missed: for no reason that is known, a bug"
            counted[why] = counted.get(why, 0) + 1
        for site in sorted(one.wrong):
            why = (
                "wrong: a distractor's leak"
                if most[site] > THRESHOLD
                else "wrong: the exact effect is below the threshold"
            )
            counted[why] = counted.get(why, 0) + 1
    return counted


def page(found: Sequence[Mapping[str, Any]]) -> str:
    """The page's text."""
    bases = {row["program"].rsplit("-", 1)[0] for row in found}
    parts_ = sum(len(row["parts"]) for row in found)
    outside = sum(row["nodes"] for row in found) - parts_
    made = [
        HEAD.format(
            models=len(found), programs=len(bases), items=ITEMS, threshold=THRESHOLD, parts=parts_, outside=outside
        )
    ]
    made += [line(way, found) for way in WAYS]
    made.append(REASONS)
    for way in WAYS:
        made += [f"| {way} | {why} | {many} |\n" for why, many in sorted(reasons(way, found).items())]
    unneeded = {
        kind: sorted({row["program"] for row in found if set(row["parts"]) - set(row["needed"][kind])})
        for kind in KINDS
    }
    gaps = [row["gap"][kind] for row in found for kind in row["gap"]]
    again = {kind: [row["again"][kind] for row in found if kind in row["again"]] for kind in KINDS}
    made.append(
        TAIL.format(
            zero=", ".join(unneeded["zero"]) or "none",
            counterfactual=", ".join(unneeded["counterfactual"]) or "none",
            median=float(np.median(gaps)),
            largest=max(gaps),
            again=", ".join(f"{kind} {min(some):.3f} to {max(some):.3f}" for kind, some in again.items()),
            names=", ".join(sorted(bases)),
        )
    )
    minutes, batched = sum(row["seconds"] for row in found) / 60, sum(row["engine"] == "fast" for row in found)
    made.append(f"\n{minutes:.0f} processor minutes; the batched engine ran {batched} of {len(found)} models.\n")
    return "".join(made)


HEAD = """<!-- made by docs/compiled/page.py from docs/compiled/rows.jsonl: make compiled -->

# Compiled programs: what share of a known circuit does each way of looking find?

Each of {models} models is a RASP program that [tracr](https://arxiv.org/abs/2301.05062) compiled to the weights of a
transformer ({programs} programs, most for two lengths of input, each placed twice). A program lies in a
`GPT2LMHeadModel` among two other programs, *distractors*, which read the same letters and write at most 1 % of the
answer, and idle heads. Together the models have {parts} heads and MLPs that belong to the program and {outside} that
do not. {items} items a model.

- *Needed*: the program's answer changes on some input when this head or MLP is ablated. numpy decides it on the
  program's own weights, before any search, without lesion's engine (`lesion.training.compiled.oracle`).
- *Redundant*: part of the program, but no input needs it. It counts neither as found nor as wrong.
- *single, mean*: exact ablation of each node alone; named if the mean effect is above {threshold:g} of the way from the
  whole model to the empty one. *any item*: named if the effect on some item is.
- *gradient*, *integrated*: attribution patching and integrated gradients of scaling to 0. *eap*, *eap-ig*: edge
  attribution patching, without and with integrated gradients; a node's score is the sum of its edges' estimates.
  *pruning*: greedy search, which takes out what costs at most {threshold:g}.
- *Exactly found*: all needed nodes are named and no node outside the program. *AUROC*: of the ranking by |score|,
  needed nodes against those outside; mean over programs, bootstrap interval over programs. Other intervals are
  Wilson's.

| way | recall | precision | exactly found | AUROC |
|---|---|---|---|---|
"""
REASONS = """
Every miss and every wrong name, by its reason:

| way | reason | nodes |
|---|---|---|
"""
TAIL = """
Redundant parts: under zero ablation in {zero}; under the counterfactual in {counterfactual}. `dyck` asks for the length
to find the last position, which causal attention makes the current one. `length` and its parity are the same for every
input of one length, so no counterfactual shows them.

The engine and the oracle agree: the largest difference of any item's effect is {median:.1e} of the way in the median
model, and {largest:.2g} at most, where the distractors leak. Faithfulness of the pruned sets on the same items:
{again}.

The programs: {names}.

What this does not show: compiled circuits are clean. Each quantity has columns of its own in the stream, and attention
is nearly one-hot. Trained models are not so.
"""


def rows() -> list[dict[str, Any]]:
    """All rows that were measured, with what edge attribution says of them."""
    found = {(row["program"], row["draw"]): row for row in read(ROWS)}
    for more in read(EDGES):
        row = found[more["program"], more["draw"]]
        row["scores"] |= more["scores"]
        row["named"] |= {
            way: [site for site, score in some.items() if abs(score) > THRESHOLD]
            for way, some in more["scores"].items()
        }
    return list(found.values())


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a file; none where it is not there."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


if __name__ == "__main__":
    PAGE.write_text(page(rows()), encoding="utf-8")
