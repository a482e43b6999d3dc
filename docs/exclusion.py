"""Measures docs/exclusion.md: induction heads and function-vector heads ablated without each other, on small models.

    python docs/exclusion.py measure MODEL     # adds rows to docs/exclusion.jsonl (some minutes of one core)
    python docs/exclusion_page.py              # makes the page and its picture from the rows

The question is that of Yin and Steinhardt 2025 (arXiv 2502.14010): do few-shot answers depend on function-vector heads,
and does the token-loss difference depend on induction heads, when heads that are both are left alone?

Fixed before any result:

- Heads: all heads in the order of publications/real-models/heads.json, by induction score and by function-vector
  effect. Ablated are the `SHARE` highest of one list that are not among the `WIDER` highest of the other.
- Random heads: as many of each layer that are among the `WIDER` highest of neither list, in up to `DRAWS` different
  sets, one control for each of the two lists. Layers that lack such heads give fewer.
- Ablation: at every token, the head's mean over all tokens of reference prompts takes the place of its output. For a
  word map these are `REFERENCE` prompts of each *other* map, for repeated tokens `SEQUENCES` other sequences. The mean
  keeps what a head writes on average in this format. It keeps no map, no word and no position.
- Few-shot: `PROMPTS` prompts of each word map with ten right examples, as the function-vector detector writes them,
  drawn anew (other examples and questions than those that ranked the heads; the words are the same). Metrics: is the
  answer's first token the likeliest of all (accuracy), and its log-probability in nats (which decides).
- Token-loss difference: `SEQUENCES` sequences of a block of fifty random tokens that comes twice. Metric: mean loss in
  the second copy minus mean loss in the first, nats; each copy's first token is left out.
- Intervals (95 %): Wilson for an accuracy; for every paired difference Student's t over clusters, which are word maps
  in few-shot and sequences in repeated tokens. Random sets are averaged within an item first.
- Reading: their claim holds for few-shot where the log-probability under ablated function-vector heads is lower than
  under ablated induction heads and lower than under their random heads, both intervals below 0. It holds for the
  token-loss difference where that is larger under ablated induction heads than under ablated function-vector heads and
  than under their random heads, both intervals above 0. It is contradicted where the interval of the difference between
  the two lists lies on the other side of 0. All else is "not shown". Two claims a model, not corrected.
- Floor: a map of which the unedited model answers at most a quarter of the prompts. It is named, and not left out.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lesion.engine.batch import batches
from lesion.engine.proof.cache import engine_for, proved
from lesion.engine.replacement_activations import Library, reference_hash
from lesion.engine.select_engine import Engine
from lesion.identity import generator
from lesion.interventions.intervention import Mean
from lesion.interventions.site import head
from lesion.measures.heads.repeated_sequences import Repeats, StandardProbe, ordinary_tokens, standard
from lesion.models.model import Model, open_model
from lesion.tasks.literature.word_maps import WORD_MAPS
from lesion.tasks.literature.word_prompts import LEAST, SHOTS, drawn
from lesion.tasks.tokenizers.prompt_contract import Compiled

HERE = Path(__file__).parent
ROWS = HERE / "exclusion.jsonl"
HEADS = HERE.parent / "publications" / "real-models" / "heads.json"
SMALL, GEMMA = "smollm2-135m-instruct", "gemma-3-270m"
SHARE, WIDER, DRAWS = 0.02, 0.04, 3
PROMPTS, REFERENCE = 6, 2
SEQUENCES = {SMALL: 8, GEMMA: 6}
"""Fewer for the larger vocabulary: processor time."""
KINDS = ("induction", "function-vector")
Heads = list[tuple[int, int]]


class Lists(NamedTuple):
    """All heads of a model in two orders, the highest first."""

    induction: Heads
    vector: Heads

    def kept(self, kind: str) -> Heads:
        """The highest of one list that are not among the wider top of the other."""
        mine, other = (self.induction, self.vector) if kind == KINDS[0] else (self.vector, self.induction)
        barred = set(other[: self.count(WIDER)])
        return [each for each in mine if each not in barred][: self.count(SHARE)]

    def count(self, share: float) -> int:
        """This share of all heads, at least one."""
        return max(1, round(share * len(self.induction)))

    def known(self) -> set[tuple[int, int]]:
        """The wider top of both lists."""
        return {*self.induction[: self.count(WIDER)], *self.vector[: self.count(WIDER)]}

    def both(self) -> Heads:
        """Heads in the wider top of both lists, which are left alone, by induction score."""
        other = set(self.vector[: self.count(WIDER)])
        return [each for each in self.induction[: self.count(WIDER)] if each in other]


class Arm(NamedTuple):
    """A set of heads that is ablated; none is the unedited model."""

    name: str
    heads: Heads

    def mean(self, reference: str) -> Mean:
        """Its ablation."""
        sites = tuple(head(layer, index) for layer, index in sorted(self.heads))
        return Mean(sites=sites, reference=reference, by="all")


def ranked(name: str, weights: str) -> Lists:
    """The two lists of a model.

    Raises:
        SystemExit: when the scores are of other weights.
    """
    listed = json.loads(HEADS.read_text(encoding="utf-8"))
    found = [each for each in listed if each["model"] == f"pretrained:{name}" and each["detector"] == "induction"]
    if {each["weights_hash"] for each in found} != {weights}:
        sys.exit(f"{name}: {HEADS.name} was made with other weights")
    orders = (sorted(found, key=lambda each: -each[score]) for score in ("score", "vector_effect"))
    return Lists(*([(each["layer"], each["head"]) for each in order] for order in orders))


def arms(lists: Lists, wide: int, name: str) -> list[Arm]:
    """The conditions: unedited, both lists, and the random sets of each."""
    found = [Arm("full", [])]
    for kind in KINDS:
        chosen = lists.kept(kind)
        found.append(Arm(kind, chosen))
        found += [Arm(f"random {n} for {kind}", each) for n, each in enumerate(like(chosen, lists, wide, name))]
    return found


def like(chosen: Heads, lists: Lists, wide: int, name: str) -> list[Heads]:
    """Up to `DRAWS` different sets of as many heads of the same layers that stand high in neither list."""
    rng, known, found = generator("exclusion", name, *map(str, chosen)), lists.known(), list[Heads]()
    for _ in range(100):
        made = Heads()
        for layer in sorted({layer for layer, _ in chosen}):
            free = [(layer, index) for index in range(wide) if (layer, index) not in known]
            count = min(len(free), sum(at == layer for at, _ in chosen))
            made += [free[int(i)] for i in sorted(rng.choice(len(free), count, replace=False).tolist())]
        if made not in found:
            found.append(made)
        if len(found) == DRAWS:
            break
    return found


def few_shot(engine: Engine, conditions: Sequence[Arm]) -> Iterator[dict[str, Any]]:
    """Of every map and arm: is the answer's first token the likeliest, and its log-probability, prompt by prompt."""
    asked, other = (prompts(engine.model, kind, count) for kind, count in (("asked", PROMPTS), ("other", REFERENCE)))
    for name, items in asked.items():
        reference = [each for there, rows in other.items() if there != name for each in rows]
        library, edits = Library(engine.model, reference), means(conditions, reference)
        right = np.zeros((len(conditions), len(items)), dtype=int)
        nats = np.full((len(conditions), len(items)), np.nan)
        for batch in batches(items, 32):
            clean, rows = engine.clean(batch), list(batch.rows)
            right[0, rows], nats[0, rows] = answered(clean, batch.answer)
            for place, outcome in engine.run(batch, edits, clean, library.sources(batch, edits)):
                right[place + 1, rows], nats[place + 1, rows] = answered(outcome.logits, batch.answer)
        for arm, hits, values in zip(conditions, right, nats, strict=True):
            yield {"measure": "few_shot", "map": name, "arm": arm.name, "right": hits.tolist(),
                   "nats": np.round(values, 4).tolist()}  # fmt: skip


def prompts(model: Model, kind: str, count: int) -> dict[str, list[Compiled]]:
    """Prompts with right examples, by map; maps that the tokenizer cannot write are left out, as the detector does."""
    found = {
        name: drawn(model.tokenizer, model.bos, pairs, count, SHOTS, ("exclusion", kind, name), mixed=False)
        for name, pairs in WORD_MAPS.items()
    }
    return {name: items for name, items in found.items() if len(items) >= min(LEAST, count)}


def means(conditions: Sequence[Arm], reference: Sequence[Compiled]) -> list[Mean]:
    """The ablations of all arms but the unedited one."""
    return [arm.mean(reference_hash(reference)) for arm in conditions if arm.heads]


def answered(logits: Tensor, answer: Tensor) -> tuple[Any, Any]:
    """Whether the answer's first token is the likeliest, and its log-probability, by row."""
    shares, wanted = logits[:, 0].double().log_softmax(-1), answer[:, 0]
    nats = shares[torch.arange(len(wanted)), wanted]
    return (shares.argmax(-1) == wanted).int().numpy(force=True), nats.numpy(force=True)


def repeated(engine: Engine, conditions: Sequence[Arm], sequences: int) -> Iterator[dict[str, Any]]:
    """Of every arm: mean loss in the first and in the second copy, sequence by sequence."""
    ordinary, bos = ordinary_tokens(engine.model.tokenizer), engine.model.bos
    group, other = (standard(ordinary, bos, StandardProbe(sequences=sequences, seed=seed)) for seed in (2014, 2015))
    reference = read_whole(other)
    library, edits = Library(engine.model, reference), means(conditions, reference)
    found = np.full((len(conditions), 2, sequences), np.nan)
    for batch in batches(read_whole(group), 2):
        clean, rows = engine.clean(batch), list(batch.rows)
        found[0][:, rows] = copies(clean, batch.answer, group)
        for place, outcome in engine.run(batch, edits, clean, library.sources(batch, edits)):
            found[place + 1][:, rows] = copies(outcome.logits, batch.answer, group)
    for arm, (first, second) in zip(conditions, found, strict=True):
        yield {"measure": "repeats", "arm": arm.name, "first": np.round(first, 4).tolist(),
               "second": np.round(second, 4).tolist()}  # fmt: skip


def read_whole(group: Repeats) -> list[Compiled]:
    """Sequences of which everything but the first token is read as the answer, so that every loss is made."""
    rows = [tuple(map(int, row)) for row in group.ids.tolist()]
    return [Compiled(row, {}, row[1:], row[:0:-1], 1, None) for row in rows]


def copies(logits: Tensor, answer: Tensor, group: Repeats) -> Any:
    """Mean loss in each copy, (copies, rows); as `lesion.measures.heads.in_context_score`."""
    losses = [
        torch.nn.functional.cross_entropy(row.float(), wanted, reduction="none")
        for row, wanted in zip(logits, answer, strict=True)
    ]
    places = torch.arange(group.block - 1)
    starts = (group.start, group.start + group.period)
    return np.stack([torch.stack(losses)[:, start + places].double().mean(1).numpy(force=True) for start in starts])


def measure(name: str) -> list[dict[str, Any]]:
    """All rows of a model."""
    model = open_model(f"pretrained:{name}")
    proved(model)
    engine = engine_for(model)
    lists = ranked(name, model.weights_hash)
    conditions = arms(lists, model.sizes.n_heads, name)
    begun = time.process_time()
    design = {
        "measure": "design", "heads": len(lists.induction), "both": lists.both(), "day": time.strftime("%Y-%m-%d"),
        "arms": {arm.name: arm.heads for arm in conditions}, "weights_hash": model.weights_hash,
        "engine": engine.choice.engine,
    }  # fmt: skip
    found = [design, *repeated(engine, conditions, SEQUENCES[name]), *few_shot(engine, conditions)]
    print(f"{name}: {time.process_time() - begun:.0f} s of processor time", file=sys.stderr, flush=True)
    return [{"model": name, **row} for row in found]


def read() -> list[dict[str, Any]]:
    """All that was measured."""
    return [json.loads(line) for line in ROWS.read_text(encoding="utf-8").splitlines()] if ROWS.is_file() else []


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Ablate induction and function-vector heads without each other.")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("measure", help="Measure one model and replace its rows.")
    one.add_argument("model", choices=tuple(SEQUENCES))
    given = parser.parse_args()
    new = measure(given.model)
    kept = [row for row in read() if row["model"] != given.model]
    ROWS.write_text("".join(json.dumps(row) + "\n" for row in [*kept, *new]), encoding="utf-8")


if __name__ == "__main__":
    main()
