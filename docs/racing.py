"""Writes docs/racing.md: the top 10 of all heads by racing, held against the full exact map of a pretrained model.

python docs/racing.py measure FOLDER    # the full exact maps into FOLDER (about an hour of one core; can be resumed)
python docs/racing.py simulate FOLDER   # races on these maps, into docs/racing.json (some minutes)
python docs/racing.py write             # makes the page from docs/racing.json

What is fixed before a race stands in docs/design/decisions.md. A map may still lack layers: what is there is raced.
"""

# pyright: reportUnknownMemberType=false

import json
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from lesion.engine.proof.cache import engine_for
from lesion.identity import generator
from lesion.interventions.site import head
from lesion.measures.attribution.expected_loss import scalings
from lesion.measures.attribution.gate_gradients import estimate
from lesion.measures.attribution.target import target_changes
from lesion.measures.prompt_set import ask
from lesion.models.model import open_model
from lesion.stats.racing.control_variate import agreement, corrected
from lesion.stats.racing.race import Raced, RaceRule, race

HERE = Path(__file__).parent
FILE, PAGE = HERE / "racing.json", HERE / "racing.md"
MODEL = "pretrained:smollm2-135m-instruct"
TASKS = {"ioi": "ioi", "sums": "arithmetic format=equation high=99 shots=2"}
ITEMS, SEED, THIRDS = 128, 0, 3
RULE = RaceRule(top=10, error=0.05, budget=0.2, first=8)
RACES, DRAWN = 400, (8, 16, 32)
"""Simulated races, and items of the maps whose intervals are checked."""
Floats = NDArray[np.float64]


class Map(NamedTuple):
    """A full exact map."""

    task: str
    exact: Floats
    """(items, heads)."""
    estimates: Floats
    layers: NDArray[np.intp]
    """Of each head, numbered from 0 among those that were measured."""
    names: list[str]
    heads: int
    """Heads of the model."""
    seconds: float
    """Processor seconds of the exact map."""
    gradient_seconds: float


def measure(folder: Path) -> None:
    """Estimates and exact effects of zeroing every head on every item, layer by layer, so that it can be resumed."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    model = open_model(MODEL)
    engine = engine_for(model)
    sizes = model.sizes
    for first in range(THIRDS):
        for name, task in TASKS.items():
            asked = ask(model, task, ITEMS, SEED)
            begin = time.process_time()
            if not (folder / f"{name}-estimates.npz").exists():
                found = estimate(model, asked.batches).heads
                np.savez(folder / f"{name}-estimates.npz", found=found, seconds=time.process_time() - begin)
            for layer in range(first, sizes.n_layers, THIRDS):
                place = folder / f"{name}-{layer}.npz"
                if place.exists():
                    continue
                begin = time.process_time()
                edits = scalings([head(layer, index) for index in range(sizes.n_heads)])
                found = target_changes(engine, asked, edits, "logit_diff", "exact").T
                np.savez(place, found=found, seconds=time.process_time() - begin)
                print(name, layer, round(time.process_time() - begin, 1), flush=True)


def read(folder: Path, task: str) -> Map:
    """The layers of a map that are there."""
    made = np.load(folder / f"{task}-estimates.npz")
    layers = sorted(int(path.stem.partition("-")[2]) for path in folder.glob(f"{task}-[0-9]*.npz"))
    parts = [np.load(folder / f"{task}-{layer}.npz") for layer in layers]
    count = parts[0]["found"].shape[1]
    estimates = made["found"].reshape(len(parts[0]["found"]), -1, count)
    return Map(
        task,
        np.concatenate([part["found"] for part in parts], 1),
        estimates[:, layers].reshape(len(estimates), -1),
        np.repeat(np.arange(len(layers)), count).astype(np.intp),
        [str(head(layer, index)) for layer in layers for index in range(count)],
        estimates.shape[1] * count,
        float(sum(part["seconds"] for part in parts)),
        float(made["seconds"]),
    )


def raced(made: Map, number: int, *, blind: bool = False, budget: float = RULE.budget) -> Raced:
    """One race on a map; `blind`: without gradients."""
    estimates = np.zeros_like(made.estimates) if blind else made.estimates
    rng = generator("race", number)  # as `lesion screen --race --seed` draws
    return race(
        lambda items, heads: made.exact[np.ix_(items, heads)], estimates, made.layers, RULE._replace(budget=budget), rng
    )


def simulated(made: Map, *, blind: bool = False, budget: float = RULE.budget) -> dict[str, Any]:
    """What many races on a map give."""
    sizes = np.abs(made.exact.mean(0))
    truth = set(np.argsort(-sizes)[: RULE.top].tolist())
    lost = same = 0
    shares: list[float] = []
    undecided: list[int] = []
    overlap: list[int] = []
    for number in range(RACES):
        found = raced(made, number, blind=blind, budget=budget)
        dropped = {site for one in found.rounds for site in one.dropped}
        lost += bool(truth & dropped or set(found.accepted) - truth)
        same += set(found.top) == truth
        overlap.append(len(truth & set(found.top)))
        shares.append(found.spent / made.exact.size)
        undecided.append(len(found.undecided))
    return {
        "races": RACES,
        "lost": lost,
        "same": same,
        "overlap": float(np.mean(overlap)),
        "share": float(np.mean(shares)),
        "separated": float(np.mean([count == 0 for count in undecided])),
        "undecided": float(np.mean(undecided)),
    }


def coverage(made: Map, count: int) -> dict[str, float]:
    """How often 95 % intervals from `count` items hold the full map's mean, and how much narrower they are."""
    covered: list[float] = []
    bias: list[Floats] = []
    narrower: list[float] = []
    truth = made.exact.mean(0)
    for number in range(RACES):
        drawn = generator("map", count, number).permutation(len(made.exact))[:count].astype(np.intp)
        found = corrected(made.exact[drawn], made.estimates, drawn, made.layers)
        low, high = found.intervals()
        covered.append(float(((low <= truth) & (truth <= high)).mean()))
        bias.append(found.means - truth)
        plain = np.sqrt((1 - count / len(made.exact)) / count * made.exact[drawn].var(0, ddof=1))
        narrower.append(float(np.median(found.errors / plain)))
    spread = np.std(bias, 0) / np.sqrt(RACES)
    variance = np.var(bias, 0).sum()
    plain_variance = ((1 - count / len(made.exact)) / count * made.exact.var(0, ddof=1)).sum()
    return {
        "items": count,
        "covered": float(np.mean(covered)),
        "bias": float(np.mean(np.abs(np.mean(bias, 0)) <= 1.96 * spread)),
        "variance_ratio": float(variance / plain_variance),
        "narrower": float(np.mean(narrower)),
    }


def simulate(folder: Path) -> None:
    """Races and intervals on the maps."""
    kept: dict[str, Any] = {"model": MODEL, "rule": RULE._asdict(), "items": ITEMS, "tasks": {}}
    for task, spelling in TASKS.items():
        if not list(folder.glob(f"{task}-[0-9]*.npz")):
            continue
        made = read(folder, task)
        every = np.arange(len(made.exact), dtype=np.intp)
        whole = corrected(made.exact, made.estimates, every, made.layers)
        agree = agreement(made.exact, made.estimates, whole.residuals, made.layers)
        sizes = np.abs(made.exact.mean(0))
        order = np.argsort(-sizes)
        once = raced(made, SEED)
        kept["tasks"][task] = {
            "spelling": spelling,
            "heads": len(made.names),
            "of": made.heads,
            "seconds": round(made.seconds),
            "gradient_seconds": round(made.gradient_seconds),
            "top": [{"head": made.names[i], "effect": float(made.exact[:, i].mean())} for i in order[: RULE.top + 3]],
            "gradient_top": [made.names[i] for i in np.argsort(-np.abs(made.estimates.mean(0)))[: RULE.top]],
            "correlations": [
                {"layer": made.names[int(np.argmax(made.layers == number))].partition("H")[0], "r": one.correlation}
                for number, one in enumerate(agree)
            ],
            "race": {
                "chosen": [made.names[i] for i in once.top],
                "undecided": [made.names[i] for i in once.undecided],
                "share": once.spent / made.exact.size,
                "rounds": [(one.items, one.sites, len(one.accepted), len(one.dropped)) for one in once.rounds],
            },
            "races": simulated(made),
            "blind": simulated(made, blind=True),
            "endless": simulated(made, budget=1.0),
            "endless_blind": simulated(made, blind=True, budget=1.0),
            "coverage": [coverage(made, count) for count in DRAWN],
        }
    FILE.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def page(found: dict[str, Any]) -> str:
    """The page's text."""
    rule = found["rule"]
    parts = [
        HEAD.format(
            model=found["model"], items=found["items"], budget=rule["budget"], k=rule["top"], error=rule["error"],
            start=rule["first"], said=_summary(found),
        )
    ]  # fmt: skip
    for name, one in found["tasks"].items():
        race_, many, blind = one["race"], one["races"], one["blind"]
        top = [each["head"] for each in one["top"][: rule["top"]]]
        r = sorted(each["r"] for each in one["correlations"])
        low = [f"{each['layer']} {each['r']:.2f}" for each in one["correlations"] if each["r"] < 0.9]
        parts.append(
            TASK.format(
                name=name, spelling=one["spelling"], heads=one["heads"], of=_field(one), k=rule["top"],
                first=", ".join(f"{each['head']} ({each['effect']:+.2f})" for each in one["top"]),
                chosen=", ".join(race_["chosen"]), same=len(set(race_["chosen"]) & set(top)), share=race_["share"],
                undecided=", ".join(race_["undecided"]) or "none",
                rounds="; ".join(ROUND.format(*each) for each in race_["rounds"]),
                gradient=len(set(one["gradient_top"]) & set(top)), races=many["races"],
                r_low=r[0], r_middle=r[len(r) // 2], r_high=r[-1],
                below=f"below 0.9: {', '.join(low)}" if low else "none is below 0.9",
            )
        )  # fmt: skip
        parts.append(RACES_HEAD)
        ways = {
            "with gradients": many,
            "without gradients": blind,
            "with gradients, until separated": one["endless"],
            "without gradients, until separated": one["endless_blind"],
        }
        for words, sums in ways.items():
            parts.append(
                f"| {words} | {sums['lost']} of {sums['races']} | {sums['same']} of {sums['races']} | "
                f"{sums['overlap']:.2f} | {sums['separated']:.0%} | {sums['undecided']:.1f} | {sums['share']:.1%} |\n"
            )
        parts.append(COVERAGE_HEAD)
        parts += [
            f"| {each['items']} | {each['covered']:.1%} | {each['bias']:.0%} | {each['variance_ratio']:.1%} | "
            f"{each['narrower']:.2f} |\n"
            for each in one["coverage"]
        ]
    return "".join(parts) + TAIL


def _summary(found: dict[str, Any]) -> str:
    """What came of it, first."""
    rule, lines = found["rule"], list[str]()
    for name, one in found["tasks"].items():
        many, endless = one["races"], one["endless"]
        blind, share, top = one["endless_blind"]["share"], rule["budget"], rule["top"]
        lines += [
            f"- `{name}`: {many['lost']} of {many['races']} races lost a true top head. With {share:.0%} of the",
            f"  passes {many['same']} of {many['races']} named exactly the true top {top}; they named",
            f"  {many['overlap']:.1f} of the {top} on average.",
            f"  All {top} were separated after {endless['share']:.0%} of the passes, without gradients",
            f"  after {blind:.0%}.",
        ]
    return "\n".join(lines)


def _field(one: dict[str, Any]) -> str:
    if one["heads"] == one["of"]:
        return f"all {one['of']} heads"
    layers = ", ".join(each["layer"].removeprefix("L") for each in one["correlations"])
    return f"the {one['heads']} heads of layers {layers} (of {one['of']} heads; the others were not measured)"


HEAD = """\
# Racing for the top heads

`lesion screen --race` looks for the {k} heads with the largest effects. Here it is held against full exact maps of
`{model}`: every head zeroed on every one of {items} items, change of the logit difference.
Fixed beforehand: error {error:g}, budget {budget:.0%} of the passes, {start} items at first
([decisions](design/decisions.md)). [Diagnostics](diagnostics.md) says how a race works. `python docs/racing.py` makes
this page.

{said}
"""
TASK = """
## {name}: {of}

Task `{spelling}`. Largest exact effects, logits: {first}.

- The race with seed 0 names {same} of the true top {k} with **{share:.1%}** of the passes: {chosen}.
  Undecided: {undecided}.
- Its rounds: {rounds}.
- The {k} largest gradient estimates hold {gradient} of the true top {k}.
- r between gradients and exact effects over items, by layer: {r_low:.2f} to {r_high:.2f}, median {r_middle:.2f};
  {below}.

{races} races on the same map, each with another order of items. *Lost*: a true top head dropped or another one
accepted. *Right*: all heads named are the true ones, undecided places filled by the best estimates. *Separated*:
nothing undecided. *Until separated*: the same rule with a budget of all passes.
"""
ROUND = "{} items: {} heads, {} accepted, {} dropped"
RACES_HEAD = """
| race | lost | right | of the top named | separated | undecided heads | passes |
|---|--:|--:|--:|--:|--:|--:|
"""
COVERAGE_HEAD = """
Maps from few items (`--few`): how often the 95 % interval holds the full map's mean; for how many heads the mean error
over all draws is within 1.96 standard errors of 0 (95 % expected of an unbiased estimate); the estimate's variance over
that of the plain mean, over all heads; the median head's standard error over the plain one's.

| items | intervals that hold | no bias seen | variance | standard error |
|--:|--:|--:|--:|--:|
"""
TAIL = """
Intervals of so few items rest on near-normal means. Where fewer than 95 % hold, effects have rare large values that a
small sample misses.
"""


def main() -> None:
    """Measure, simulate or write."""
    what = sys.argv[1] if len(sys.argv) > 1 else ""
    if what == "measure":
        measure(Path(sys.argv[2]))
    elif what == "simulate":
        simulate(Path(sys.argv[2]))
    elif what == "write":
        PAGE.write_text(page(json.loads(FILE.read_text(encoding="utf-8"))), encoding="utf-8")
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
