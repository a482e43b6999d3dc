"""Planted models: an induction circuit at random places among distractors: what a search should find is known.

Each draw has 2 to 4 layers of 4 to 8 heads. One or two previous-token heads write each position's previous token; one
three induction heads in later layers read it and write the answer, in unequal shares. Two previous-token heads are
*backups*: either alone does the work, so ablating one alone changes nothing. Every other place holds a distractor:

- `silent_induction`: attends like an induction head and writes nothing;
- `silent_previous`: attends to the previous token and writes where nobody reads;
- `duplicate`, `first`: attend to earlier copies or to position 0 and write nothing;
- `noise`: random attention; writes at random where nobody reads, and a little (1 % of the circuit) on the answer;
- `idle`: attends evenly and writes nothing.

MLPs read tokens at random and write where nobody reads.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import GPT2LMHeadModel

from lesion.identity import generator
from lesion.interventions.site import Site, head
from lesion.training.folder import save_network
from lesion.training.vocabulary import characters_tokenizer
from lesion.training.written_weights import (
    HEAD_SIZE,
    POSITIONS,
    REST,
    TOKENS,
    Part,
    Slots,
    blank_network,
    copy,
    duplicate_token_parts,
    first_token_parts,
    induction_parts,
    look,
    previous_token_parts,
)

DISTRACTORS = ("silent_induction", "silent_previous", "duplicate", "first", "noise", "idle")
LEAK = 0.01
"""What a noise head writes on the answer at most, as a share of what the circuit writes."""
LEAST_SHARE = 0.2
"""Least share of the answer that an induction head of the circuit writes."""
NEURONS = 8


class Planted(NamedTuple):
    """A planted model and what is true of it."""

    network: GPT2LMHeadModel
    """The model."""
    circuit: frozenset[Site]
    """Every head that takes part, backups included."""
    backups: frozenset[Site]
    """Heads of the circuit whose ablation alone changes nothing, since another does their work."""
    stripes: frozenset[Site]
    """Heads that attend like induction heads, whether they write or not: above a previous-token head of the circuit."""
    kinds: Mapping[Site, str]
    """What every head is: `previous`, `induction`, or a name of `DISTRACTORS`."""


def planted(seed: int) -> Planted:
    """The planted model of a seed."""
    rng = generator("planted heads", seed)
    layers, heads = int(rng.integers(2, 5)), int(rng.integers(4, 9))
    network: Any = blank_network(layers, heads, NEURONS)
    border = int(rng.integers(1, layers))  # previous-token heads lie below it, induction heads from it on
    below = [head(layer, index) for layer in range(border) for index in range(heads)]
    above = [head(layer, index) for layer in range(border, layers) for index in range(heads)]
    previous = _some(rng, below, int(rng.integers(1, 3)))
    induction = _some(rng, above, int(rng.integers(1, 4)))
    shares = LEAST_SHARE + (1 - LEAST_SHARE * len(induction)) * rng.dirichlet(np.ones(len(induction)))
    kinds = {site: str(rng.choice(DISTRACTORS)) for site in (*below, *above)}
    kinds |= dict.fromkeys(previous, "previous") | dict.fromkeys(induction, "induction")
    for site, kind in kinds.items():
        share = float(shares[induction.index(site)]) if site in induction else 0.0
        _write(network.transformer.h[site.layer].attn, site.index or 0, kind, share, rng)
    for block in network.transformer.h:
        _write_mlp(block.mlp, rng)
    return Planted(
        network=network,
        circuit=frozenset((*previous, *induction)),
        backups=frozenset(previous) if len(previous) > 1 else frozenset(),
        stripes=frozenset(
            site
            for site, kind in kinds.items()
            if kind in ("induction", "silent_induction") and site.layer > min(one.layer for one in previous)
        ),
        kinds=kinds,
    )


def write_planted(made: Planted, folder: Path) -> None:
    """Save a planted model with its tokenizer, to be opened like any other model's folder."""
    save_network(made.network, dict(made.network.named_parameters()), characters_tokenizer(TOKENS, POSITIONS), folder)


def _some(rng: np.random.Generator, sites: list[Site], many: int) -> list[Site]:
    return [sites[place] for place in rng.permutation(len(sites))[: min(many, len(sites))]]


_LOOKS: Mapping[str, Callable[[], list[Part]]] = {
    "previous": previous_token_parts,
    "silent_previous": previous_token_parts,
    "induction": induction_parts,
    "silent_induction": induction_parts,
    "duplicate": duplicate_token_parts,
    "first": first_token_parts,
}


def _write(attention: Any, index: int, kind: str, share: float, rng: np.random.Generator) -> None:
    """Write one head of a kind into the weights."""
    if kind in _LOOKS:
        look(attention, index, _LOOKS[kind]())
    if kind == "previous":
        copy(attention, index, Slots.previous)
    elif kind == "induction":
        copy(attention, index, Slots.output, share)
    elif kind in ("silent_previous", "noise"):
        if kind == "noise":
            _look_anywhere(attention, index, rng)
            copy(attention, index, Slots.output, LEAK * float(rng.uniform(-1, 1)))
        else:
            copy(attention, index, Slots.output, 0.0)
        _write_rest(attention.c_proj.weight[index * HEAD_SIZE : index * HEAD_SIZE + 33], rng)


def _look_anywhere(attention: Any, index: int, rng: np.random.Generator) -> None:
    """Random scores between tokens, with a deviation of about 2."""
    matrix = torch.from_numpy(rng.normal(0, 2 / 60, (33, 33))).float()
    look(attention, index, [(Slots.token, Slots.token, matrix)])


def _write_rest(matrix: Any, rng: np.random.Generator) -> None:
    """Random writing into pairs of columns that nobody reads; each pair sums to 0."""
    half = (matrix.shape[1] - REST) // 2
    values = torch.from_numpy(rng.normal(0, 0.5, (matrix.shape[0], half))).float()
    matrix[:, REST : REST + half] = values
    matrix[:, REST + half : REST + 2 * half] = -values


def _write_mlp(mlp: Any, rng: np.random.Generator) -> None:
    values = torch.from_numpy(rng.normal(0, 0.5, (33, NEURONS))).float()
    mlp.c_fc.weight[Slots.token] = values
    _write_rest(mlp.c_proj.weight, rng)
