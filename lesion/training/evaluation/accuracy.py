"""How well an embedded model solves each tier: greedy exact match, by teacher forcing.

Every argmax along the right answer being right is the same as greedy decoding giving that answer. Items come from the
discovery split alone, so that no confirmation item has been looked at when a model is chosen. Batches hold sequences of
equal length: there is no padding.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import nn

from lesion.errors import InputError
from lesion.identity import generator
from lesion.measures.heads.pattern_scores import robust_induction
from lesion.tasks.catalogue import make_task
from lesion.tasks.config import ArithmeticConfig, SymbolicConfig, TaskConfig
from lesion.tasks.drawing.heldout import held_out
from lesion.tasks.task import Draw, Item, Segment
from lesion.tasks.tokenizers.prompt_contract import Compiled, Refused, compile_item
from lesion.training.checkpoint import Measurement
from lesion.training.mixture import LARGEST_LINK, solve
from lesion.training.recipe import Recipe
from lesion.training.stopping import CHAINS, TIER_1, TIER_2
from lesion.training.vocabulary import BOS_ID, SYMBOL_IDS, build_tokenizer

NEAR = 80
"""Tier 2: one operand lies up to so far above the trained range."""
REPEAT = "tier 3: repeat"
_QUICK_ITEMS, _BATCH = 256, 256


def tiers(high: int) -> dict[str, TaskConfig | None]:
    """The tasks on which a model trained on operands 0 … `high` is measured; None for the chains, made here."""
    return {
        TIER_1: ArithmeticConfig(high=high),
        TIER_2: ArithmeticConfig(high=high, beyond=high + NEAR),
        REPEAT: SymbolicConfig(),
        "tier 3: copy": SymbolicConfig(patterns=("copy",), shortest=3, longest=8),
        "tier 3: reverse": SymbolicConfig(patterns=("reverse",), shortest=3, longest=8),
        "tier 3: abab and aab": SymbolicConfig(patterns=("abab", "aab")),
        CHAINS: None,
    }


def tier_items(config: TaskConfig | None, count: int) -> list[Item]:
    """The first `count` discovery items of a tier."""
    if config is None:
        return chain_items(count)
    return list(make_task(config).items(Draw("discovery", "model card", 0, 1), 0, count))


def chain_items(count: int) -> list[Item]:
    """Problems `a+b-c` with operands 0–49 and a + b >= c, after two examples that were in training."""
    rng = generator("chains of the model card")

    def operands() -> tuple[int, ...]:
        while True:
            a, b, c = (int(x) for x in rng.integers(0, LARGEST_LINK + 1, 3))
            if c <= a + b:
                return a, b, c

    shots: list[str] = []
    while len(shots) < 2:
        if not held_out("+-", *(drawn := operands())):
            shots.append("".join(solve("+-", drawn)) + ";")
    return [_chain(index, shots, operands()) for index in range(count)]


def _chain(index: int, shots: Sequence[str], operands: tuple[int, ...]) -> Item:
    prompt, answer = solve("+-", operands)
    last = str((int(answer[-1]) + 1) % 10)
    return Item(
        index=index,
        segments=(*(Segment(shot, "shot") for shot in shots), Segment(prompt, "")),
        answer=answer + ";",
        wrong=answer[:-1] + last + ";",
        buckets={"pair": "unseen" if held_out("+-", *operands) else "seen"},
    )


def compile_all(items: Iterable[Item], tokenizer: Tokenizer) -> list[Compiled]:
    """All items in tokens.

    Raises:
        InputError: when one of them breaks the prompt contract: the embedded vocabulary spells every item of its tiers.
    """
    compiled: list[Compiled] = []
    for item in items:
        one = compile_item(item, tokenizer, BOS_ID)
        if isinstance(one, Refused):
            raise InputError(f"item {item.index} ({item.prompt!r}) cannot be asked: {one.reason}, {one.detail}")
        compiled.append(one)
    return compiled


def exactly_right(module: nn.Module, compiled: Sequence[Compiled]) -> NDArray[np.bool_]:
    """Whether greedy decoding gives each item's answer, end mark included; shape [items]."""
    right = np.zeros(len(compiled), dtype=np.bool_)
    training = module.training
    module.eval()
    order = sorted(range(len(compiled)), key=lambda i: len(compiled[i].ids))
    for _, group in groupby(order, key=lambda i: len(compiled[i].ids)):
        members = list(group)
        for start in range(0, len(members), _BATCH):
            batch = members[start : start + _BATCH]
            right[batch] = _batch_right(module, [compiled[i] for i in batch])
    module.train(training)
    return right


def _batch_right(module: nn.Module, batch: Sequence[Compiled]) -> NDArray[np.bool_]:
    ids = torch.tensor([item.ids for item in batch])
    with torch.no_grad():
        guesses = module(input_ids=ids[:, :-1], use_cache=False).logits.argmax(-1)
    position = torch.arange(1, ids.shape[1])
    asked = position >= torch.tensor([[item.prompt_length] for item in batch])
    return ((guesses == ids[:, 1:]) | ~asked).all(1).numpy()


class Examination:
    """The items of all tiers in tokens, made once and asked again at every measurement."""

    def __init__(self, recipe: Recipe):
        self._tiers = _quick_items(recipe.mixture.high, recipe.length)

    def measure(self, module: nn.Module, step: int, loss: float) -> Measurement:
        """Accuracy per tier and robust induction score per head, now."""
        accuracy = {name: float(exactly_right(module, items).mean()) for name, items in self._tiers.items()}
        scores: list[list[float]] = cast("Any", robust_induction(module, SYMBOL_IDS, BOS_ID)).tolist()
        return Measurement(step=step, loss=loss, accuracy=accuracy, induction=tuple(map(tuple, scores)))


@lru_cache(maxsize=4)
def _quick_items(high: int, length: int) -> dict[str, list[Compiled]]:
    tokenizer = build_tokenizer(length).backend_tokenizer
    return {name: compile_all(tier_items(config, _QUICK_ITEMS), tokenizer) for name, config in tiers(high).items()}
