"""The same tiny networks for every peer: saved as transformers saves them, asked the same, in the peer's environment.

A peer's script is no test. It imports nothing of ours and says for itself where a family keeps its parts, so that a
wrong row of lesion/models/families.py is seen. `make oracles` makes the environments.
"""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from lesion.engine.batch import Batch, batches
from lesion.engine.capture import Read, capture, whole
from lesion.interventions.intervention import Scale
from lesion.interventions.site import parse_site
from lesion.models.families import FAMILIES
from lesion.models.model import Model, open_model
from lesion.tasks.tokenizers.prompt_contract import Compiled

collect_ignore = ["lens.py", "detector.py", "tracer.py", "eap_ig.py"]

ROOT = Path(__file__).parents[2]
SCRIPTS = {"nnsight": "tracer.py", "transformer-lens": "lens.py"}
ROWS, BLOCK = 4, 5
PROMPT = 7
"""Prompt tokens of the eleven; the others are the answer."""
EDITS = tuple(
    Scale(sites=(parse_site(site),), alpha=0.5, positions=positions)
    for site in ("L0H1", "L1H2", "L0N5", "L1N40")
    for positions in ("all", "last")
)


@dataclass(frozen=True)
class Case:
    """A tiny network, what it is asked, and what a peer says of it."""

    model: Model
    ids: torch.Tensor
    """(rows, positions): one token, then a block that begins again."""
    theirs: dict[str, np.ndarray]
    """`logits`, `edit0`, …, and per layer `0.z`, `0.pattern`, …, at all positions."""
    block: int = BLOCK
    edits: tuple[Scale, ...] = EDITS

    def batch(self, prompt_length: int = PROMPT) -> Batch:
        """The rows as items whose answer begins at `prompt_length`; the last answer token is never read."""
        rows = [tuple(row) for row in self.ids.tolist()]
        cut = prompt_length
        (made,) = batches([Compiled(row, {}, row[cut:], row[cut:], cut, None) for row in rows], len(rows))
        return made

    def read(self, places):
        """What our capture keeps of modules: name -> (rows, positions read, width), for name -> (path, side)."""
        reads = [Read(name, path, side, whole) for name, (path, side) in places.items()]
        (found,) = capture(self.model, [self.batch()], reads)
        return found.kept

    def at_answers(self, name: str) -> torch.Tensor:
        """Their logits where ours decide the answer's tokens."""
        return torch.from_numpy(self.theirs[name][:, PROMPT - 1 : -1])


@pytest.fixture(scope="session")
def ask():
    """Runs a script in a peer's environment; a script that fails fails the test with its words."""

    def run(peer, script, *arguments):
        python = ROOT / ".bench" / peer / "bin" / "python"
        if not python.exists():
            pytest.skip(f"{peer} has an environment of its own: make oracles")
        command = [python, Path(__file__).with_name(script), *arguments]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]

    return run


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    """A folder with one folder per family and the edits; and per family our model and the ids."""
    root = tmp_path_factory.mktemp("families")
    (root / "edits.json").write_text(json.dumps([_written(edit) for edit in EDITS]))
    return root, {family: _save(root / family, open_model(f"tiny:{family}")) for family in FAMILIES}


@pytest.fixture(scope="session")
def said(saved, ask):
    """What a peer says of every family, by the family's name; each peer is asked once, in one process."""
    (root, models), told = saved, {}

    def by(peer):
        if peer not in told:
            ask(peer, SCRIPTS[peer], root, *models)
            told[peer] = {
                family: Case(model, ids, dict(np.load(root / family / f"{peer}.npz")))
                for family, (model, ids) in models.items()
            }
        return told[peer]

    return by


def _written(edit):
    (site,), begin = edit.sites, 0 if edit.positions == "all" else PROMPT - 1
    return {"kind": site.kind, "layer": site.layer, "index": site.index, "begin": begin, "alpha": edit.alpha}


def _save(folder, model):
    model.module.save_pretrained(folder)
    token = model.tokenizer.id_to_token(0)
    PreTrainedTokenizerFast(tokenizer_object=model.tokenizer, bos_token=token, eos_token=token).save_pretrained(folder)
    block = np.random.default_rng(0).permuted(np.tile(np.arange(3, 40), (ROWS, 1)), axis=1)[:, :BLOCK]
    ids = np.concatenate([np.full((ROWS, 1), model.bos or 0), block, block], axis=1)
    np.save(folder / "ids.npy", ids)
    return model, torch.from_numpy(ids)
