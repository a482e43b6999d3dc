"""Writes docs/racing.md: the top 10 of all heads by racing, held against the full exact map of a pretrained model.

python docs/racing.py measure FOLDER    # the full exact maps into FOLDER (about an hour of one core)
python docs/racing.py simulate FOLDER   # races on these maps, into docs/racing.json (a minute)
python docs/racing.py write             # makes the page from docs/racing.json
"""

# pyright: reportUnknownMemberType=false

import sys
import time
from pathlib import Path

import numpy as np
import torch

from lesion.engine.proof.cache import engine_for
from lesion.interventions.site import head
from lesion.measures.attribution.expected_loss import scalings
from lesion.measures.attribution.gate_gradients import estimate
from lesion.measures.attribution.target import target_changes
from lesion.measures.prompt_set import ask
from lesion.models.model import open_model

MODEL = "pretrained:smollm2-135m-instruct"
TASKS = {"ioi": "ioi", "sums": "arithmetic format=equation high=99 shots=2"}
ITEMS, SEED, THIRDS = 128, 0, 3


def measure(folder: Path) -> None:
    """Estimates and exact effects of zeroing every head on every item, layer by layer, so that it can be resumed."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    model = open_model(MODEL)
    engine = engine_for(model)
    sizes = model.sizes
    for (name, task), first in [(each, first) for first in range(THIRDS) for each in TASKS.items()]:
        asked = ask(model, task, ITEMS, SEED)
        begin = time.process_time()
        if not (folder / f"{name}-estimates.npz").exists():
            found = estimate(model, asked.batches).heads.reshape(len(asked.compiled), -1)
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


if __name__ == "__main__":
    measure(Path(sys.argv[2]))
