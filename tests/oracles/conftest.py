"""The same tiny networks for every peer: saved as transformers saves them, with ids that a peer's script reads.

A peer's script runs in the peer's own environment, and is no test. It says for itself where a family keeps its parts
and imports nothing of ours, so that a wrong row of lesion/models/families.py is seen.
"""

import subprocess
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from lesion.engine.batch import batches
from lesion.engine.capture import Read, capture, whole
from lesion.models.families import FAMILIES
from lesion.models.model import Model, open_model
from lesion.tasks.tokenization import Compiled

collect_ignore = ["lens.py", "detector.py", "tracer.py"]

ROOT = Path(__file__).parents[2]
ROWS, BLOCK = 4, 5
LONGEST = 1800
"""Seconds that a peer may take for all families; some take half a minute to be imported."""


class Case(NamedTuple):
    """A tiny network of one family, and what it is asked."""

    model: Model
    ids: torch.Tensor
    """(rows, positions): one token, then a block that begins again."""

    def items(self, prompt_length):
        """The rows as items whose answer begins at `prompt_length`."""
        asked = [tuple(row) for row in self.ids.tolist()]
        return [Compiled(r, {}, r[prompt_length:], r[prompt_length:], prompt_length, None) for r in asked]

    def read(self, places):
        """What our capture keeps of modules: name -> array, for name -> (path, side); the last position is not read."""
        reads = [Read(name, path, side, whole) for name, (path, side) in places.items()]
        (found,) = capture(self.model, batches(self.items(self.ids.shape[1] - 1), ROWS), reads)
        return {name: tensor.numpy() for name, tensor in found.kept.items()}


@pytest.fixture(scope="session")
def ask():
    """Runs a script in a peer's environment and gives it paths; a script that fails fails the test with its words."""

    def run(peer, script, *arguments):
        python = ROOT / ".bench" / peer / "bin" / "python"
        if not python.exists():
            pytest.skip(f"{peer} has an environment of its own: make oracles")
        command = [python, Path(__file__).with_name(script), *arguments]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=LONGEST)
        assert done.returncode == 0, done.stderr[-3000:]

    return run


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    """A folder with one folder per family, and the cases by family."""
    root, cases = tmp_path_factory.mktemp("families"), {}
    for family in FAMILIES:
        model, folder = open_model(f"tiny:{family}"), root / family
        model.module.save_pretrained(folder)
        token = model.tokenizer.id_to_token(0)
        PreTrainedTokenizerFast(tokenizer_object=model.tokenizer, bos_token=token, eos_token=token).save_pretrained(
            folder
        )
        block = np.random.default_rng(0).permuted(np.tile(np.arange(3, 40), (ROWS, 1)), axis=1)[:, :BLOCK]
        ids = np.concatenate([np.full((ROWS, 1), model.bos or 0), block, block], axis=1)
        np.save(folder / "ids.npy", ids)
        cases[family] = Case(model, torch.from_numpy(ids))
    return root, cases
