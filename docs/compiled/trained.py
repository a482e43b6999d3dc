"""Trains planted models on a second task around their written circuit, and asks every way of looking for both tasks.

    python docs/compiled/trained.py    # adds rows to docs/compiled/trained.jsonl; a processor minute a model

A planted model of two layers (`lesion.training.planted_heads`) keeps its written induction circuit frozen. All other
heads start near their distractors, and learn *bigrams* (each letter has a successor, which follows it 9 times of 10)
beside *repetition* (a block of 8 letters again). So repetition has a circuit that is written down, bigrams one that was
learnt; embeddings and unembedding are shared.

A head or MLP is *needed* if zeroing it changes the model's first choice on `SHARE` of 100 items or more, by hooks of
this program in float64. Threshold, steps and seeds were fixed before the first row; two runs of seed 2 set the learning
rate.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import measure
import numpy as np
import torch
from torch import Tensor

from lesion.engine.select_engine import choose
from lesion.identity import generator
from lesion.interventions.site import Site
from lesion.measures.circuits.nodes import all_nodes
from lesion.measures.effects.ablation import scaling
from lesion.measures.heads.repeated_sequences import repeats
from lesion.measures.prompt_set import Asked, of
from lesion.models.model import open_model
from lesion.tasks.tokenizers.prompt_contract import Compiled
from lesion.training.planted_heads import Planted, planted, write_planted
from lesion.training.written_weights import HEAD_SIZE, REST, Slots

ROWS = Path(__file__).with_name("trained.jsonl")
MODELS, LAYERS = 3, 2
STEPS, RATE, NOISE, BATCH = 100, 3e-3, 0.01, 16
BLOCK, FOLLOWS = 8, 0.9
SHARE, ITEMS, OTHERS = 0.05, 32, 100
TASKS = ("repetition", "bigrams")


class Lesson(NamedTuple):
    """What a model is trained on."""

    rng: np.random.Generator
    successor: np.ndarray
    """Of each letter's id, (33,); that of BOS is not used."""

    def repetition(self, rows: int) -> Tensor:
        """BOS, a block, the block again."""
        return repeats(np.arange(1, 33), 0, BLOCK, 0, rows, self.rng).ids[:, : 2 * BLOCK + 1]

    def bigrams(self, rows: int) -> Tensor:
        """BOS and letters, most of them followed by their successor."""
        ids = np.zeros((rows, 2 * BLOCK + 1), np.int64)
        ids[:, 1] = self.rng.integers(1, 33, rows)
        for place in range(2, ids.shape[1]):
            other = self.rng.integers(1, 33, rows)
            ids[:, place] = np.where(self.rng.random(rows) < FOLLOWS, self.successor[ids[:, place - 1]], other)
        return torch.from_numpy(ids)


def trainable(truth: Planted) -> dict[Any, Tensor]:
    """Which weights may change: those of heads outside the circuit, which write answers or the rest."""
    masks: dict[Any, Tensor] = {}
    for layer, block in enumerate(truth.network.transformer.h):
        into, back = block.attn.c_attn.weight, block.attn.c_proj.weight
        masks[into], masks[back] = torch.zeros_like(into), torch.zeros_like(back)
        for site in truth.kinds:
            if site.layer == layer and site not in truth.circuit:
                start = (site.index or 0) * HEAD_SIZE
                for part in range(3):
                    at = part * into.shape[0] + start
                    masks[into][: 2 * Slots.size, at : at + HEAD_SIZE] = 1
                masks[back][start : start + HEAD_SIZE, Slots.output] = 1
                masks[back][start : start + HEAD_SIZE, REST:] = 1
    return masks


def train(truth: Planted, lesson: Lesson) -> list[float]:
    """Train what may change; the last step's losses of both tasks, in nats."""
    network: Any = truth.network
    masks, losses = trainable(truth), [0.0, 0.0]
    for weight, mask in masks.items():
        weight.add_(mask * NOISE * torch.from_numpy(lesson.rng.normal(size=weight.shape)).float())
        weight.requires_grad_(True)
    optimizer = torch.optim.Adam(list(masks), lr=RATE)
    for _ in range(STEPS):
        ids = torch.cat([lesson.repetition(BATCH), lesson.bigrams(BATCH)])
        logits = network(ids[:, :-1]).logits
        each = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
        each = each.view(2, BATCH, -1)
        parts = [each[0, :, BLOCK:].mean(), each[1, :, 1:].mean()]
        optimizer.zero_grad()
        (parts[0] + parts[1]).backward()
        for weight, mask in masks.items():
            weight.grad *= mask
        optimizer.step()
        losses = [round(float(part.detach()), 3) for part in parts]
    network.requires_grad_(False)
    return losses


def questions(task: str, lesson: Lesson, rows: int) -> Asked:
    """Items of a task: a prompt, its answer, and another letter as the wrong one."""
    found: list[Compiled] = []
    for row in (lesson.repetition if task == "repetition" else lesson.bigrams)(rows).tolist():
        prompt = 1 + BLOCK + BLOCK // 2
        answer = row[prompt] if task == "repetition" else int(lesson.successor[row[prompt - 1]])
        wrong = int(lesson.rng.choice([letter for letter in range(1, 33) if letter != answer]))
        found.append(Compiled((*row[:prompt], answer), {}, (answer,), (wrong,), prompt, None))
    return of(found)


def needed(network: Any, nodes: Sequence[Site], asked: Asked) -> tuple[list[str], float]:
    """Nodes whose zeroing changes the first choice on enough items, in float64; and the share of right answers."""
    wide, ids = network.double(), torch.tensor([item.ids[:-1] for item in asked.compiled])
    answers = torch.tensor([item.answer_ids[0] for item in asked.compiled])

    def choices(gone: Site | None) -> Tensor:
        hook = None
        if gone is not None and gone.kind == "head":
            start = (gone.index or 0) * HEAD_SIZE
            zero = _zeroing(slice(start, start + HEAD_SIZE))
            hook = wide.transformer.h[gone.layer].attn.c_proj.register_forward_pre_hook(zero)
        elif gone is not None:
            hook = wide.transformer.h[gone.layer].mlp.register_forward_hook(lambda _, __, out: torch.zeros_like(out))
        with torch.no_grad():
            said = wide(ids).logits[:, -1].argmax(-1)
        if hook is not None:
            hook.remove()
        return said

    whole = choices(None)
    changed = {str(node): float((choices(node) != whole).double().mean()) for node in nodes}
    network.float()
    return [node for node, share in changed.items() if share >= SHARE], float((whole == answers).double().mean())


def _zeroing(at: slice) -> Callable[[Any, tuple[Tensor, ...]], tuple[Tensor]]:
    def zero(_: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
        z = inputs[0].clone()
        z[..., at] = 0
        return (z,)

    return zero


def measured(seed: int) -> dict[str, Any]:
    """The row of a seed: both tasks' needed nodes, what every way named, and its scores."""
    begun, truth, rng = time.process_time(), planted(seed), generator("trained around", seed)
    lesson = Lesson(rng, np.concatenate([[0], 1 + rng.permutation(32)]))
    losses = train(truth, lesson)
    with TemporaryDirectory() as folder:
        write_planted(truth, Path(folder))
        model = open_model(folder)
    engine, nodes, tasks = choose(model, "reference"), all_nodes(model.sizes), dict[str, Any]()
    for task in TASKS:
        true, right = needed(truth.network, nodes, questions(task, lesson, OTHERS))
        row: dict[str, Any] = {"needed": true, "right": right, "named": {}, "scores": {}, "again": {}}
        measure.look(row, engine, questions(task, lesson, ITEMS), "zero", scaling(0.0), nodes)
        del row["items"]
        tasks[task] = row
    return {
        "seed": seed,
        "circuit": sorted(map(str, truth.circuit)),
        "backups": sorted(map(str, truth.backups)),
        "losses": losses,
        "nodes": len(nodes),
        "tasks": tasks,
        "seconds": round(time.process_time() - begun, 1),
    }


def main() -> None:
    """Add the rows that are missing."""
    lines = ROWS.read_text(encoding="utf-8").splitlines() if ROWS.is_file() else []
    done = {json.loads(line)["seed"] for line in lines}
    seeds = [seed for seed in range(60) if planted(seed).network.config.n_layer == LAYERS]
    for seed in seeds[:MODELS]:
        if seed not in done:
            row = measured(seed)
            with ROWS.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(f"seed {seed}: {row['losses']}, {row['seconds']} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
