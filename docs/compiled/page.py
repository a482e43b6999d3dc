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
TRAINED = HERE / "trained.jsonl"
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
            elif way.startswith("pruning") and means[site] < 0:
                why = "missed: ablating it raises the target, so pruning takes it out"
            elif way.startswith("pruning"):
                why = "missed: weaker nodes before it were taken out, and then it cost little"
            elif way.startswith(("gradient", "integrated", "eap")):
                why = "missed: the estimate is small where the exact effect is not"
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
            models=len(found),
            programs=len(bases),
            items=ITEMS,
            threshold=THRESHOLD,
            parts=parts_,
            outside=outside,
            one=sum(len(row["beside"]) == 1 for row in found),
            none=sum(not row["beside"] for row in found),
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
    for rows_, section in ((read(STUDIES), studies), (read(TRAINED), trained)):
        made += [section(rows_)] if rows_ else []
    return "".join([*made, NOT_SHOWN])


def studies(found: Sequence[Mapping[str, Any]]) -> str:
    """What registered studies said of planted models, by kind of target."""
    made = [STUDIES_HEAD.format(models=len(found))]
    for target, (words, right) in TARGETS.items():
        verdicts = [row["verdicts"][target] for row in found if target in row["verdicts"]]
        told = ", ".join(f"{verdict} {verdicts.count(verdict)}" for verdict in sorted(set(verdicts))) or "–"
        made.append(f"| {words} | {right} | {told} | {share(verdicts.count(right), len(verdicts))} |\n")
    made.append(STUDIES_TAIL.format(status=", ".join(sorted({row["status"] for row in found}))))
    return "".join(made)


def trained(found: Sequence[Mapping[str, Any]]) -> str:
    """What the ways of looking find in models that were trained around a written circuit."""
    written = [set(row["circuit"]) - set(row["backups"]) for row in found]
    made = [TRAINED_HEAD.format(models=len(found), nodes=sum(row["nodes"] for row in found))]
    for task in ("repetition", "bigrams"):
        rows_ = [row["tasks"][task] for row in found]
        right = ", ".join(f"{row['right']:.2f}" for row in rows_)
        made.append(f"\n{task} (right answers {right}):\n\n| way | recall | precision |\n|---|---|---|\n")
        for way in WAYS[:5]:
            true = written if task == "repetition" else [set(row["needed"]) for row in rows_]
            told = [set(row["named"][way]) - set(one["backups"]) for row, one in zip(rows_, found, strict=True)]
            caught = sum(len(a & b) for a, b in zip(true, told, strict=True))
            all_, named = sum(map(len, true)), sum(map(len, told))
            made.append(f"| {way} | {share(caught, all_)} | {share(caught, named)} |\n")
    kept = sum(len(a & set(row["tasks"]["repetition"]["needed"])) for a, row in zip(written, found, strict=True))
    both = sum(len(set(row["tasks"]["repetition"]["needed"]) & set(row["tasks"]["bigrams"]["needed"])) for row in found)
    made.append(TRAINED_TAIL.format(kept=share(kept, sum(map(len, written))), both=both))
    return "".join(made)


HEAD = """<!-- made by docs/compiled/page.py from docs/compiled/rows.jsonl: make compiled -->

# Compiled programs: what share of a known circuit does each way of looking find?

Each of {models} models is a RASP program that [tracr](https://arxiv.org/abs/2301.05062) compiled to the weights of a
transformer ({programs} programs, most for two lengths of input, each placed twice). A program lies in a
`GPT2LMHeadModel` among up to two other programs, *distractors* (one in {one} models, none in {none}), and idle heads.
Distractors read the same letters and weigh at most 1 % in each logit of the answer; on an item whose answer is a small
number that can be more of the item's way. Together the models have {parts} heads and MLPs that belong to the program
and {outside} that do not. {items} items a model.

- *Needed*: the program's answer changes on some input when this head or MLP is ablated. numpy decides it on the
  program's own weights, before any search, without lesion's engine (`lesion.training.compiled.oracle`). Under the
  counterfactual it tries at most 1,024 random pairs. So recall and precision of *single* say that engine and numpy
  agree; the other ways are tested as searches.
- *Redundant*: part of the program, but no input needs it. It counts neither as found nor as wrong.
- *single, mean*: exact ablation of each node alone; named if the mean effect is above {threshold:g} of the way from the
  whole model to the empty one. *any item*: named if the effect on some item is.
- *gradient*, *integrated*: attribution patching and integrated gradients of scaling to 0. *eap*, *eap-ig*: edge
  attribution patching, without and with integrated gradients, on the first placement of each program; a node's score
  is the sum of its edges' estimates. Integrated gradients have 5 steps; more were not tried.
  *pruning*: greedy search, which takes out what costs at most {threshold:g}.
- *Exactly found*: all needed nodes are named and no node outside the program. *AUROC*: of the ranking by |score|,
  needed nodes against those outside; mean over programs, bootstrap interval over programs. Other intervals are
  Wilson's. They take nodes and the two placements of a program as independent, and are too narrow.

| way | recall | precision | exactly found | AUROC |
|---|---|---|---|---|
"""
REASONS = """
Every miss and every wrong name, sorted by the engine's own exact effects:

| way | reason | nodes |
|---|---|---|
"""
TAIL = """
Redundant parts: under zero ablation in {zero}; under the counterfactual in {counterfactual}. `dyck` asks for the length
to find the last position, which causal attention makes the current one; `sort` looks for a fourth letter, which its
inputs lack. `length` and its parity are the same for every input of one length, so no counterfactual shows them.

The missed nodes that the asked items do not need are heads that count b in `smallest` and `largest`: one input of 81,
or of 729, needs them, such as `cccc`. The first rows of `pair_balance` asked items whose numbers cancel in the mean;
they were measured again with numbers above 0. Engine and numpy differ by {median:.3f} of the way (median over models,
leaks of distractors included), by {largest:.3f} at most. Faithfulness of the pruned sets on other items: {again}.
"""
TARGETS = {
    "needed": ("a head that the circuit needs", "Harm"),
    "noise": ("a distractor that writes elsewhere", "Null"),
    "silent_induction": ("attends like an induction head, writes nothing", "Null"),
    "backup": ("one of two backups", "Null"),
    "backups": ("both backups", "Harm"),
}
STUDIES_HEAD = """
## A registered study's verdicts

Does the whole line of a study, from registration to verdict, say the right thing? {models} of the
[planted models](../planted.md) each have a study of their own (docs/compiled/studies.py): zero ablation, accuracy,
margin 10 percentage points. What is right was written down before these runs. The four seeds were picked to hold every
kind of target, after seeds 0 and 3 had been run during development, which are left out: the intervals hold for no
other models.

| target | right | verdicts | share right |
|---|---|---|---|
"""
STUDIES_TAIL = """
The Null of a needed head (seed 10) is true, and what we had written down was not. That head is one of two induction
heads that share the answer: without it the logit falls and the first choice stays, so accuracy does not change. The
runs are {status}: these rows are written into the checkout, which is then not clean.
"""
TRAINED_HEAD = """
## Trained around a written circuit

{models} planted models of two layers keep their written induction circuit, and train all other heads for 100 steps on a
second task, bigrams, beside repetition (docs/compiled/trained.py). Two earlier runs of one model set the learning rate.
{nodes} nodes in all. The truth of repetition is
what was written. The truth of bigrams is learnt: nodes whose zeroing changes the first choice on 5 % of 100 items or
more, by separate hooks in float64. The searches see 32 other items.
"""
TRAINED_TAIL = """
By the first choice, {kept} of the heads written for repetition are needed after training, and {both} nodes are
needed for both tasks. A first choice and a logit difference are different questions. Of two induction heads that share
an answer, zeroing the weaker lowers the logit and changes no choice. So for bigrams precision is also the agreement of
two definitions; for repetition, what is named beside the written heads may be what training added.
"""
NOT_SHOWN = """
What this does not show: compiled circuits are clean. Each quantity has columns of its own in the stream, and attention
is nearly one-hot. The trained models are few, small, and started from a written circuit. No model here learnt all of
its circuits from text.
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
