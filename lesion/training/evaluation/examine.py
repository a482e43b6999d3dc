"""Measures a trained model and writes its card: every number on it comes from here.

The items come from the discovery split, so a card gives nothing away that a study confirms.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from lesion.errors import InputError
from lesion.identity import file_hash
from lesion.interventions.site import head
from lesion.measures.heads.pattern_scores import DETECTORS, detect_each
from lesion.models.model import Model, open_model
from lesion.outside.documents import read_document
from lesion.stats.intervals import wilson
from lesion.training.checkpoint import write_atomically
from lesion.training.evaluation.accuracy import REPEAT, compile_all, exactly_right, tier_items, tiers
from lesion.training.evaluation.card import THRESHOLD, Accuracy, Card
from lesion.training.evaluation.card_page import card_text
from lesion.training.evaluation.report import MOST_REPORT_BYTES, REPORT, TrainingReport
from lesion.training.folder import WEIGHTS
from lesion.training.network import gated, set_gates
from lesion.training.recipe import Recipe
from lesion.training.trainer import OnProgress, train

ITEMS = 2000
"""Items per tier."""
STRATA = ("operator", "pair", "pattern")
"""Buckets that are reported apart."""


def make_model(
    recipe: Recipe, out: Path, resume: bool = True, on_progress: OnProgress | None = None, items: int = ITEMS
) -> Card:
    """Train a recipe into the folder `out` and write its card: what `lesion train` does.

    Raises:
        InputError: as `lesion.training.trainer.train` does.
    """
    report = train(recipe, out, resume, on_progress)
    path = out / "card.json"
    if resume and path.is_file() and (card := read_document(path, Card, MOST_REPORT_BYTES)).training == report:
        return card
    return write_card(out, items)


def write_card(folder: Path, items: int = ITEMS) -> Card:
    """Measure the trained model in `folder` and write `card.json` and `README.md` beside it.

    Raises:
        InputError: when the folder has no finished training, or its weights are not those of the report.
    """
    card = measure_card(folder, items)
    write_atomically(folder / "card.json", card.model_dump_json(indent=1).encode() + b"\n")
    write_atomically(folder / "README.md", card_text(card).encode())
    return card


def measure_card(folder: Path, items: int) -> Card:
    """Everything that stands on the card, measured now.

    Raises:
        InputError: when the folder has no finished training, or its weights are not those of the report.
    """
    if not (folder / REPORT).is_file():
        raise InputError(f"{folder} has no {REPORT}: the card is written when a training has ended")
    training = read_document(folder / REPORT, TrainingReport, MOST_REPORT_BYTES)
    weights = file_hash(folder / WEIGHTS)
    if weights != training.weights:
        raise InputError(f"{folder / WEIGHTS} is not what the training left: SHA-256 {weights}, not {training.weights}")
    model = open_model(str(folder))
    scores = {found.detector: found for found in detect_each(model, tuple(DETECTORS))}
    group = [(int(layer), int(index)) for layer, index in np.argwhere(scores["induction"].table() > THRESHOLD)]
    return Card(
        training=training,
        weights=weights,
        tokenizer=file_hash(folder / "tokenizer.json"),
        parameters=sum(parameter.numel() for parameter in model.module.parameters()),
        megabytes=round((folder / WEIGHTS).stat().st_size / 1e6, 2),
        accuracy=tuple(_all_accuracies(model, training, items)),
        heads=tuple(scores.values()),
        group=tuple(str(head(layer, index)) for layer, index in group),
        without_group=_without(model, training, group, items) if group else None,
    )


def _all_accuracies(model: Model, training: TrainingReport, items: int) -> list[Accuracy]:
    rows: list[Accuracy] = []
    for tier, config in tiers(training.recipe.mixture.high).items():
        asked = tier_items(config, items)
        right = exactly_right(model.module, compile_all(asked, model.tokenizer))
        rows.append(_accuracy(tier, "all", right))
        rows += _strata(tier, [item.buckets for item in asked], right)
    return rows


def _strata(tier: str, buckets: Sequence[Mapping[str, str]], right: NDArray[np.bool_]) -> list[Accuracy]:
    rows: list[Accuracy] = []
    for bucket in (name for name in STRATA if name in buckets[0]):
        values = np.array([item[bucket] for item in buckets])
        different = sorted(set(values.tolist()))
        if len(different) > 1:
            rows += [_accuracy(tier, f"{bucket} = {value}", right[values == value]) for value in different]
    return rows


def _accuracy(tier: str, stratum: str, right: NDArray[np.bool_]) -> Accuracy:
    count, total = int(right.sum()), len(right)
    low, high = wilson(count, total)
    return Accuracy(
        tier=tier,
        stratum=stratum,
        items=total,
        right=count,
        accuracy=count / total,
        low=round(float(low), 4),
        high=round(float(high), 4),
    )


def _without(model: Model, training: TrainingReport, group: list[tuple[int, int]], items: int) -> Accuracy:
    """Tier 3, repeats, with a group of heads zeroed."""
    module = cast("PreTrainedModel", model.module)
    compiled = compile_all(tier_items(tiers(training.recipe.mixture.high)[REPEAT], items), model.tokenizer)
    factors = torch.ones(1, model.sizes.n_layers, model.sizes.n_heads)
    for layer, index in group:
        factors[0, layer, index] = 0
    with gated(module, training.recipe.family) as gates:
        set_gates(gates, factors)
        right = exactly_right(module, compiled)
    return _accuracy(REPEAT, f"{len(group)} heads zeroed", right)
