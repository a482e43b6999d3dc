"""What an intervention does to a model, per item and in many measures: the long form of `lab.run`.

Baseline and intervention see the same items in the same batches; every difference is taken item by item, its mean with
a 95 % t interval over items (accuracy: Tango's interval of the paired difference). A row that has no number (a logit
that is not finite, no wrong answer) is unscored: null, counted, never a silent 0. Accuracy is exact match under teacher
forcing; parse rate and digit errors are read from text that was really decoded (`greedy_answers.py`).
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lesion.engine.attach import Source
from lesion.engine.batch import Batch
from lesion.engine.receipts import merged
from lesion.engine.replacement_activations import Library
from lesion.engine.select_engine import Engine
from lesion.errors import InputError, InterventionError
from lesion.identity import Document
from lesion.interventions.intervention import Intervention, Receipt, Scale, Steer
from lesion.measures.attribution.target import mean_interval
from lesion.measures.effects.collateral import neutral, neutral_text
from lesion.measures.effects.neutral_text import PASSAGE
from lesion.measures.greedy_answers import parsed, spoken_many
from lesion.measures.metrics import FUNCTIONS, measure
from lesion.measures.prompt_set import Asked
from lesion.progress import track
from lesion.stats.intervals import tango, wilson
from lesion.study.metric_table import METRICS, computed_from
from lesion.tasks.answers import Unparsed, extract, plain

Numbers = NDArray[np.float64]
NAMES = computed_from("logits", "entropy", "text")
"""Measures that both arms have."""
STRATA = ("carry", "operator", "pattern", "order", "class")
"""Buckets by which accuracy is shown."""
COMPARED = computed_from("both")
"""Measures that exist only between the arms."""


class Change(Document):
    """One measure in both arms, and their paired difference."""

    measure: str
    """Name."""
    unit: str
    """Unit."""
    baseline: float | None
    """Mean over scored items, unedited; null for measures that compare the arms, or when no item is scored."""
    edited: float | None
    """Mean over scored items, under the intervention."""
    delta: float | None
    """Mean paired difference, edited minus baseline."""
    low: float | None
    """Lower end of its 95 % interval; null with fewer than two scored items."""
    high: float | None
    """Upper end."""
    scored: int
    """Items with a number in both arms."""
    unscored: int
    """Items without."""
    floor: float | None = None
    """Error of one log-probability against float64 on these weights, nats; beside measures in nats and logits. A
    difference below it may be rounding. Null where it was not measured."""


class DigitErrors(Document):
    """Wrong digits of one place, counted from the lowest, among items whose answer is read digit by digit."""

    place: int
    """0 is the lowest digit."""
    items: int
    """Items whose answer has such a digit."""
    baseline: float
    """Share wrong, unedited."""
    edited: float
    """Share wrong under the intervention."""


class CarryErrors(Document):
    """Written answers that are wrong by exactly 10, 100, …: one carry or borrow was dropped, or made up."""

    items: int
    """Items with a whole number as their answer, and text in both arms."""
    baseline: int
    """Such answers, unedited."""
    baseline_wrong: int
    """All wrong numbers, unedited."""
    edited: int
    """Such answers under the intervention."""
    edited_wrong: int
    """All wrong numbers under the intervention."""


class Stratum(Document):
    """Accuracy among items of one bucket, such as those with a carry."""

    bucket: str
    """`carry=one`, `borrow=none`, …"""
    items: int
    """Items."""
    baseline: float
    """Share right, unedited."""
    edited: float
    """Share right under the intervention."""


class Effect(Document):
    """What an intervention did."""

    model: str
    """The model's name."""
    weights_hash: str
    """Its weights."""
    intervention: str
    """In words."""
    items: int
    """Items asked."""
    refused: dict[str, int]
    """Items that were not asked, by reason."""
    changes: tuple[Change, ...]
    """All measures; accuracy first."""
    digits: tuple[DigitErrors, ...]
    """Errors by place; empty where answers are no numbers."""
    carries: CarryErrors | None
    """Errors by one carry or borrow; null where answers are no numbers."""
    strata: tuple[Stratum, ...]
    """Accuracy by carry, borrow and sign; empty where the task has none of these."""
    neutral_text: str
    """Which text stands behind `text_loss` and `text_kl`, or why they are not there."""
    receipt: Receipt
    """Proof that the intervention acted."""

    def change(self, name: str) -> Change:
        """The change of one measure.

        Raises:
            InputError: when there is no such measure.
        """
        for change in self.changes:
            if change.measure == name:
                return change
        raise InputError(f"there is no measure '{name}' here; there are {', '.join(c.measure for c in self.changes)}")


class Measured(NamedTuple):
    """An effect and the rows that it was computed from."""

    effect: Effect
    rows: dict[str, list[Any]]
    """One column per measure and arm (`correct`, `correct_edited`, …) and `index`; null is unscored."""


def effect(
    engine: Engine,
    asked: Asked,
    intervention: Intervention,
    library: Library | None = None,
    collateral: bool = True,
    text: str | None = None,
) -> Measured:
    """Measure an intervention on a task's items and, for collateral damage, on neutral sequences and natural text.

    Args:
        engine: the model and the way it is run.
        asked: the items.
        intervention: what is changed.
        library: makes the sources of mean, resample, patch and steer; scaling and knocking out need none.
        collateral: whether neutral sequences are run too; only scaling and steering mean something there.
        text: what the intervention should leave alone; by default a passage of this project's own.

    Raises:
        InterventionError: when a site does not exist, or the intervention did not act as it must.
    """
    base, edited, receipts = _arms(engine, asked, intervention, library)
    changes = [_change(name, base[name], edited[name]) for name in NAMES]
    changes += [_change(name, None, edited[name]) for name in COMPARED]
    read = "not asked"
    if collateral and isinstance(intervention, Scale | Steer):
        given = {} if library is None else library.sources(asked.batches[0], [intervention])
        damage, read = _collateral(engine, intervention, given.get(intervention), text)
        changes += damage
    found = Effect(
        model=engine.model.name,
        weights_hash=engine.model.weights_hash,
        intervention=str(intervention),
        items=len(asked.compiled),
        refused=asked.refused,
        changes=tuple(_beside(change, engine.choice.floor) for change in changes),
        digits=_digits(asked, base["texts"], edited["texts"]),
        carries=_carries(asked, base["texts"], edited["texts"]),
        strata=_strata(asked, base["correct"], edited["correct"]),
        neutral_text=read,
        receipt=merged(receipts),
    )
    rows: dict[str, list[Any]] = {"index": [item.index for item in asked.items] or list(range(found.items))}
    for name in NAMES:
        rows[name], rows[f"{name}_edited"] = _nulls(base[name]), _nulls(edited[name])
    rows["text"], rows["text_edited"] = list(base["texts"]), list(edited["texts"])
    return Measured(found, rows | {name: _nulls(edited[name]) for name in COMPARED})


def _arms(
    engine: Engine, asked: Asked, do: Intervention, library: Library | None
) -> tuple[dict[str, Any], dict[str, Any], list[Receipt]]:
    n = len(asked.compiled)
    base: dict[str, Any] = {name: np.full(n, np.nan) for name in NAMES}
    edited: dict[str, Any] = {name: np.full(n, np.nan) for name in (*NAMES, *COMPARED)}
    receipts: list[Receipt] = []
    for batch in track(asked.batches, "baseline and intervention"):
        clean = engine.clean(batch)
        sources = None if library is None else library.sources(batch, [do])
        ((_, outcome),) = engine.run(batch, [do], clean, sources)
        if outcome.receipt is not None:
            receipts.append(outcome.receipt)
        _fill(base, clean, batch, None)
        _fill(edited, outcome.logits, batch, clean)

    def source(batch: Batch) -> Source | None:
        return None if library is None else library.sources(batch, [do]).get(do)

    arms = [(None, None), (do, None if library is None else source)]
    base["texts"], edited["texts"] = spoken_many(engine.model, asked, arms)
    numeric = [parsed(item.answer) == 1 for item in asked.items] or [True] * n
    for arm in (base, edited):
        arm["parsed"] = np.array(
            [parsed(t if wanted else None) for t, wanted in zip(arm["texts"], numeric, strict=True)]
        )
    return base, edited, receipts


def _fill(arm: dict[str, Any], logits: Tensor, batch: Batch, baseline: Tensor | None) -> None:
    rows = list(batch.rows)
    names = [*FUNCTIONS, *(COMPARED if baseline is not None else ())]
    for name, numbers in measure(logits, batch, names, baseline).items():
        arm[name][rows] = numbers
    arm["entropy_share"][rows] = arm["entropy"][rows] / math.log(logits.shape[-1])


def _change(name: str, base: Numbers | None, edited: Numbers) -> Change:
    scored = np.isfinite(edited) if base is None else np.isfinite(base) & np.isfinite(edited)
    count = int(scored.sum())
    before = np.zeros(count) if base is None else base[scored]
    difference = edited[scored] - before
    delta = low = high = None
    if count:
        delta = float(difference.mean())
    if count > 1:
        delta, low, high = mean_interval(difference)
        if METRICS[name].unit == "share":  # an interval of a share does not leave its scale
            gained, lost = int((difference > 0).sum()), int((difference < 0).sum())
            ends = wilson(gained, count) if base is None else tango(gained, lost, count)
            low, high = map(float, ends)
    return Change(
        measure=name,
        unit=METRICS[name].unit,
        baseline=float(before.mean()) if base is not None and count else None,
        edited=float(edited[scored].mean()) if count else None,
        delta=delta,
        low=low,
        high=high,
        scored=count,
        unscored=len(edited) - count,
    )


def _beside(change: Change, floor: float | None) -> Change:
    """The change with the engine's rounding beside it, where it is a change of log-probabilities."""
    return change.model_copy(update={"floor": floor if change.unit in ("nats", "logits") else None})


def _collateral(engine: Engine, do: Intervention, source: Source | None, text: str | None) -> tuple[list[Change], str]:
    """Loss and KL on what the intervention should not touch, and which text it was; roles do not exist there: `all`.

    Raises:
        InputError: when a given text cannot be read; the project's own is left out, and said to be, where it cannot.
    """
    everywhere = do.model_copy(update={"positions": "all"})
    base, edited, distance = neutral(engine.model, everywhere, source)
    changes = [_change("neutral_loss", base, edited), _change("neutral_kl", None, distance)]
    try:
        base, edited, distance = neutral_text(engine.model, everywhere, PASSAGE if text is None else text, source)
    except InputError as error:
        if text is not None or isinstance(error, InterventionError):
            raise
        return changes, f"not measured on natural text: {error}"
    name = "the built-in passage" if text is None else "the given text"
    changes += [_change("text_loss", base, edited), _change("text_kl", None, distance)]
    return changes, f"{name}, {len(base)} windows"


def _digits(asked: Asked, base: Sequence[str | None], edited: Sequence[str | None]) -> tuple[DigitErrors, ...]:
    """Errors by decimal place of decoded text; in one of another length all are wrong. Signs are no digits."""
    places: dict[int, list[tuple[bool, bool]]] = {}
    for row, item in enumerate(asked.items):
        right, *told = (plain(text or "", asked.written) for text in (item.answer, base[row], edited[row]))
        answer = "".join(c for c in right if c.isdigit())
        if not answer or right.strip("-; \n").strip() != answer or None in (base[row], edited[row]):
            continue
        guesses = ["".join(c for c in text if c.isdigit()) for text in told]
        for place, digit in enumerate(reversed(answer)):
            wrong = [len(guess) != len(answer) or guess[-1 - place] != digit for guess in guesses]
            places.setdefault(place, []).append((wrong[0], wrong[1]))
    return tuple(
        DigitErrors(
            place=place,
            items=len(pairs),
            baseline=sum(b for b, _ in pairs) / len(pairs),
            edited=sum(e for _, e in pairs) / len(pairs),
        )
        for place, pairs in sorted(places.items())
    )


def _carries(asked: Asked, base: Sequence[str | None], edited: Sequence[str | None]) -> CarryErrors | None:
    """Of the wrong numbers those that differ from the right one by a power of ten, 10 or more."""
    counts = np.zeros((2, 2), dtype=int)
    items = 0
    for item, *texts in zip(asked.items, base, edited, strict=bool(asked.items)):  # items may be compiled ones alone
        wanted = extract(plain(item.answer, asked.written))
        if isinstance(wanted, Unparsed) or wanted.denominator != 1 or None in texts:
            continue
        items += 1
        for arm, text in enumerate(texts):
            given = extract(plain(text or "", asked.written))
            if not isinstance(given, Unparsed) and given != wanted:
                counts[arm] += (_is_one_carry(abs(given - wanted)), True)
    if not items:
        return None
    (one, wrong), (one_edited, wrong_edited) = counts.tolist()
    return CarryErrors(items=items, baseline=one, baseline_wrong=wrong, edited=one_edited, edited_wrong=wrong_edited)


def _is_one_carry(difference: Fraction) -> bool:
    """Whether a difference is a power of ten, 10 or more."""
    text = str(difference)
    return len(text) > 1 and text[0] == "1" and set(text[1:]) == {"0"}


def _strata(asked: Asked, base: Numbers, edited: Numbers) -> tuple[Stratum, ...]:
    buckets: dict[str, list[int]] = {}
    for row, item in enumerate(asked.items):
        for key, value in item.buckets.items():
            if key in STRATA and np.isfinite(base[row]) and np.isfinite(edited[row]):
                buckets.setdefault(f"{key}={value}", []).append(row)
    return tuple(
        Stratum(bucket=name, items=len(rows), baseline=float(base[rows].mean()), edited=float(edited[rows].mean()))
        for name, rows in sorted(buckets.items())
    )


def _nulls(numbers: Numbers) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in numbers]
