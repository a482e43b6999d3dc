"""Asks every way of looking what matters in compiled programs, whose needed parts are known.

    python docs/compiled/measure.py [--minutes 20]    # adds rows to docs/compiled/rows.jsonl, a row a model
    python docs/compiled/page.py                      # makes docs/compiled/index.md from the rows

The programs lie in .bench/programs (`make compiled` compiles them). Each is placed `DRAWS` times among random
distractors (`lesion.training.compiled.placement`). What is needed is computed by numpy on the program's own weights
(`lesion.training.compiled.oracle`), before any search. A model that has its row is not measured again. Thresholds,
items and draws were fixed before the first row.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from lesion.engine.replacement_activations import Library
from lesion.engine.select_engine import Engine, choose
from lesion.identity import generator
from lesion.interventions.site import Site, head, parse_site
from lesion.measures.attribution.attribution_patching import estimate
from lesion.measures.attribution.target import target_changes
from lesion.measures.circuits.faithfulness import faithful
from lesion.measures.circuits.nodes import all_nodes, kept_values
from lesion.measures.circuits.pruning import prune
from lesion.measures.effects.ablation import Ablation, counterfactual, scaling
from lesion.measures.prompt_set import Asked, of
from lesion.models.model import Model, open_model
from lesion.tasks.tokenizers.prompt_contract import Compiled
from lesion.training.compiled.oracle import needed, right, run
from lesion.training.compiled.placement import Placed, place
from lesion.training.compiled.program import Program, parts, read_program
from lesion.training.written_weights import GAIN

HERE = Path(__file__).parent
PROGRAMS = HERE.parents[1] / ".bench" / "programs"
ROWS = HERE / "rows.jsonl"
DRAWS, ITEMS, DISTRACTORS = 2, 32, 2
THRESHOLD = 0.05
"""An effect counts above this share of the whole way; pruning takes out what costs at most this much."""
TARGET = "logit_diff"
KINDS = ("zero", "counterfactual")


class Pair(NamedTuple):
    """An input and another of equal length with another answer."""

    text: str
    answer: str
    other: str
    wrong: str


def distractors(program: Program, programs: Mapping[str, Program], rng: np.random.Generator) -> list[Program]:
    """Some other programs that can read the inputs of this one."""
    base = program.name.rsplit("-", 1)[0]
    able = [
        other
        for name, other in sorted(programs.items())
        if name.rsplit("-", 1)[0] != base
        and set(other.tokens) >= set(program.tokens)
        and len(other.positions) >= len(program.positions)
    ]
    return [able[one] for one in rng.permutation(len(able))[:DISTRACTORS]]


def pairs(program: Program, rng: np.random.Generator) -> list[Pair]:
    """Random inputs, each with one of equal length that has another answer, or with no other if there is none.

    Numbers are above 0 and above the other's: positive and negative ones would cancel in the mean, and leave no way.
    """
    found: list[Pair] = []
    for one in rng.permutation(len(program.inputs)).tolist():
        text, answer = program.inputs[one], program.answers[one]
        others = [
            other
            for other, said in zip(program.inputs, program.answers, strict=True)
            if len(other) == len(text)
            and (min(answer, answer - said) > THRESHOLD if program.numerical else said != answer)
        ]
        if program.numerical:
            found += [Pair(text, "1", str(rng.choice(others)), "0")] if others else []
        elif others:
            other = str(rng.choice(others))
            found.append(Pair(text, answer, other, program.answers[program.inputs.index(other)]))
        else:
            rest = [said for said in program.outputs if said != answer]
            found.append(Pair(text, answer, "", str(rng.choice(rest))))
    aligned = [pair for pair in found if pair.other]
    return (aligned or found)[:ITEMS]


def asked_of(placed: Placed, some: Sequence[Pair]) -> Asked:
    """The pairs as questions."""
    ids = {token: place for place, token in enumerate(placed.vocabulary)}

    def spelled(text: str) -> tuple[int, ...]:
        return (0, *(ids[letter] for letter in text))

    return of(
        [
            Compiled(
                (*spelled(one.text), ids[one.answer]),
                {},
                (ids[one.answer],),
                (ids[one.wrong],),
                1 + len(one.text),
                (*spelled(one.other), ids[one.wrong]) if one.other else None,
            )
            for one in some
        ]
    )


def effects(engine: Engine, asked: Asked, how: Ablation, nodes: Sequence[Site]) -> np.ndarray:
    """What ablating each node alone takes away, (nodes, items)."""
    edits = [edit for node in nodes for edit in how.make((node,))]
    return -target_changes(engine, asked, edits, TARGET, "single nodes", how.library)


def true_effects(program: Program, some: Sequence[Pair], kind: str) -> dict[tuple[int, int | None], np.ndarray]:
    """What ablating each part alone takes away on the asked items, by the oracle, (items,), without leaks."""
    found = {part: np.zeros(len(some)) for part in parts(program)}
    for length in {len(pair.text) for pair in some}:
        places = [place for place, pair in enumerate(some) if len(pair.text) == length]
        here = [some[place] for place in places]
        whole = run(program, [pair.text for pair in here])
        other = run(program, [pair.other for pair in here]).written if kind == "counterfactual" else None
        for part, effect in found.items():
            gone = run(program, [pair.text for pair in here], {part: 0.0 if other is None else other[part]})
            change = whole.outputs - gone.outputs
            effect[places] = GAIN * np.array(
                [_difference(program, row, pair) for row, pair in zip(change, here, strict=True)]
            )
    return found


def _difference(program: Program, outputs: np.ndarray, pair: Pair) -> float:
    if program.numerical:
        return float(outputs[0])
    return float(outputs[program.outputs.index(pair.answer)] - outputs[program.outputs.index(pair.wrong)])


def drawn(name: str, draw: int, programs: Mapping[str, Program]) -> tuple[list[Pair], list[Program], Placed, Model]:
    """The questions of a draw, its distractors, where the program lies, and the opened model."""
    rng = generator("compiled", name, draw)
    some = pairs(programs[name], rng)
    beside = distractors(programs[name], programs, rng)
    placed = place(programs[name], beside, rng)
    with TemporaryDirectory() as folder:
        placed.write(Path(folder))
        return some, beside, placed, open_model(folder)


def measured(name: str, draw: int, programs: Mapping[str, Program]) -> dict[str, Any]:
    """The row of a model: what is needed, what every way of looking named, and its scores."""
    begun = time.process_time()
    program = programs[name]
    if not right(program).all():
        raise SystemExit(f"{name} does not answer as its RASP program does")
    truth = needed(program, generator("compiled truth", name))
    some, beside, placed, model = drawn(name, draw, programs)
    engine, asked = choose(model), asked_of(placed, some)
    nodes = all_nodes(model.sizes)
    row: dict[str, Any] = {
        "program": name,
        "draw": draw,
        "beside": [other.name for other in beside],
        "engine": engine.choice.engine,
        "nodes": len(nodes),
        "parts": [str(site) for site in placed.nodes.values()],
        "needed": {kind: sorted(str(placed.nodes[part]) for part in getattr(truth, kind)) for kind in KINDS},
        "named": {},
        "scores": {},
        "gap": {},
        "again": {},
    }
    for kind, how in (("zero", scaling(0.0)), ("counterfactual", counterfactual(Library(model)))):
        if kind == "zero" or some[0].other:
            look(row, engine, asked, kind, how, nodes)
            row["gap"][kind] = _gap(row, program, placed, some, kind)
    del row["items"]
    row["seconds"] = round(time.process_time() - begun, 1)
    return row


def look(row: dict[str, Any], engine: Engine, asked: Asked, kind: str, how: Ablation, nodes: Sequence[Site]) -> None:
    """Every way of looking under one kind of ablation."""
    ends = kept_values(engine, asked, [frozenset(nodes), frozenset()], how, TARGET, "ends").mean(1)
    way = float(ends[0] - ends[1])
    found = effects(engine, asked, how, nodes)
    row.setdefault("items", {})[kind] = (way, dict(zip(map(str, nodes), found, strict=True)))
    means = dict(zip(nodes, found.mean(1).tolist(), strict=True))
    ways = {
        f"single, {kind}, mean": {str(node): means[node] / way for node in nodes},
        f"single, {kind}, any item": {
            str(node): float(np.abs(one).max()) / abs(way) for node, one in zip(nodes, found, strict=True)
        },
    }
    if kind == "zero":
        for method in ("gradient", "integrated"):
            ways[f"{method}, zero"] = _estimated(engine, asked, method, way)
    row["scores"] |= {name: {site: round(score, 6) for site, score in some.items()} for name, some in ways.items()}
    row["named"] |= {
        name: [site for site, score in some.items() if abs(score) > THRESHOLD] for name, some in ways.items()
    }
    kept = prune(engine, asked, means, how, TARGET, THRESHOLD).kept
    row["named"][f"pruning, {kind}"] = list(kept)
    row["again"][kind] = faithful(engine, asked, [parse_site(site) for site in kept], how, TARGET).faithfulness


def _estimated(engine: Engine, asked: Asked, method: str, way: float) -> dict[str, float]:
    """Estimates from gradients of scaling each head and each MLP to 0."""
    made = estimate(engine.model, asked.batches, TARGET, method=method)
    heads, mlps = -made.heads.mean(0) / way, -made.neurons.mean(0).sum(-1) / way
    found: dict[str, float] = {}
    for layer in range(len(heads)):
        found |= {str(head(layer, index)): float(score) for index, score in enumerate(heads[layer])}
        found[str(Site(kind="mlp_out", layer=layer))] = float(mlps[layer])
    return found


def _gap(row: dict[str, Any], program: Program, placed: Placed, some: Sequence[Pair], kind: str) -> float:
    """Largest difference of an item's effect between engine and oracle, over the way, beyond what distractors leak."""
    way, by_engine = row["items"][kind]
    by_oracle = true_effects(program, some, kind)
    return round(
        max(
            float(np.abs(by_engine[str(placed.nodes[part])] - one).max()) / abs(way) for part, one in by_oracle.items()
        ),
        6,
    )


def compiled() -> dict[str, Program]:
    """All compiled programs by name."""
    programs = {path.stem: read_program(path) for path in sorted(PROGRAMS.glob("*.npz"))}
    if not programs:
        raise SystemExit(f"no compiled program in {PROGRAMS}: make compiled")
    return programs


def measure(minutes: float) -> None:
    """Add the rows of the models that are not there, until the processor time is spent."""
    programs = compiled()
    done, begun = {(row["program"], row["draw"]) for row in rows()}, time.process_time()
    for draw in range(DRAWS):
        for name in programs:
            if (name, draw) in done:
                continue
            if time.process_time() - begun > 60 * minutes:
                print(f"{minutes:g} processor minutes are spent: repeat the command for the rest", file=sys.stderr)
                return
            row = measured(name, draw, programs)
            with ROWS.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(f"{name}, draw {draw}, {row['seconds']} s", file=sys.stderr, flush=True)


def rows() -> list[dict[str, Any]]:
    """All rows that were measured."""
    return [json.loads(line) for line in ROWS.read_text(encoding="utf-8").splitlines()] if ROWS.is_file() else []


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure the compiled programs that have no row.")
    parser.add_argument("--minutes", type=float, default=20, help="Processor minutes at most; default 20.")
    measure(parser.parse_args().minutes)
