"""The numbers that a paper prints, found again from the rows by the words of its register alone."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from publications.referee.check import Check
from publications.referee.findings import ABLATIONS, arm_of, confirmed
from publications.referee.published import Run
from publications.referee.rule import Cell, adjusted, compared, rank

NUMBER = re.compile(r"[−+-]?\d[\d,]*(?:\.\d+)?")
Values = Sequence[float]


class Place(NamedTuple):
    """What a claim is about: a cell of the family, and a part of it."""

    cell: str
    part: str
    """`seed 0`, `operator=+`, or nothing."""


def claims(runs: dict[str, Run], register: Path) -> tuple[list[Check], Counter[str]]:
    """Every claim of the register that rows decide, beside what they say; and how many of each kind they do not."""
    told = json.loads(register.read_text(encoding="utf-8"))
    found: list[Check] = []
    aside: Counter[str] = Counter()
    for claim in told:
        run = runs.get(claim["run"])
        ours = None if run is None else again(run, claim["what"])
        if ours is None:
            aside[claim["kind"]] += 1
            continue
        said = ", ".join(f"{value:.6g}" for value in ours)
        found.append(Check(f"{claim['number']}: {claim['what']}", claim["text"], said, printed(claim["text"], ours)))
    return found, aside


def printed(text: str, values: Values) -> bool:
    """Whether a text prints these numbers, each rounded as it stands there."""
    if text.startswith("<"):
        return values[0] < float(NUMBER.findall(text)[0])
    numbers = NUMBER.findall(text)
    if len(numbers) != len(values):
        return False
    return all(_rounds_to(value, number) for value, number in zip(values, numbers, strict=True))


def _rounds_to(value: float, number: str) -> bool:
    said = float(number.replace(",", "").replace("−", "-"))
    step = 10.0 ** -len(number.partition(".")[2])
    return abs(said - value) <= step / 2 * (1 + 1e-6) + 1e-12


def again(run: Run, what: str) -> Values | None:
    """The numbers that these words are about, as they are printed; nothing where no rows decide them."""
    about, _, asked = what.rpartition(": ")
    baseline = re.fullmatch(r"(.+), (.+), baseline, seed (\d+)", about)
    if baseline:
        return _baseline(run, *baseline.groups(), asked)
    if asked == "spread over seeds":
        return _spread(run, about)
    if asked == "change on discovery items":
        return _discovery(run, about)
    place = place_of(run, about)
    if place is None:
        return None
    maker = next((maker for words, maker in MAKERS if re.fullmatch(words, asked)), None)
    return None if maker is None else maker(run, place, asked)


def place_of(run: Run, about: str) -> Place | None:
    """The cell that words such as `llama, sums, resample, seed 0` name."""
    for name in run.manifest["results"]["cells"]:
        model, tier, arm = name.rsplit("|", 2)
        who, _, edit = arm.partition("@")
        target = who.partition(":")[2]
        told = edit if not re.fullmatch(r"[\d.]+", edit) else f"×{edit}"
        head = f"{short(model)}, {tier}, {f'{target}: ' if target else ''}{told}"
        if about == head:
            return Place(name, "")
        if about.startswith(f"{head}, "):
            return Place(name, about.removeprefix(f"{head}, "))
    return None


def short(model: str) -> str:
    """A model by the name that papers give it."""
    name = re.split(r"[:/]", model)[-1].partition("@")[0]
    return f"tiny random {name}" if model.startswith("tiny:") else name


def _part(run: Run, place: Place) -> Cell:
    cell = run.cell(*place.cell.rsplit("|", 2))
    if not place.part:
        return cell
    seed = re.fullmatch(r"seed (\d+)", place.part)
    if seed:
        kept = cell.seed == int(seed[1])
    else:
        name, _, level = place.part.partition("=")
        kept = cell.strata[name].astype(str) == level
    cluster = None if cell.cluster is None else cell.cluster[kept]
    return cell._replace(
        before=cell.before[kept], after=cell.after[kept], seed=cell.seed[kept], cluster=cluster, strata={}
    )


def _scaled(run: Run, values: Values) -> Values:
    """Shares as points; nats as they are."""
    return [100 * value for value in values] if run.settings.whole else list(values)


def _items(run: Run, place: Place, _: str) -> Values:
    return [_part(run, place).before.size]


def _moved(run: Run, place: Place, _: str) -> Values:
    rows = _answers(run, place)
    return [int((rows["after"] & ~rows["before"]).sum()), int((rows["before"] & ~rows["after"]).sum())]


def _accuracies(run: Run, place: Place, _: str) -> Values:
    rows = _answers(run, place)
    return [100 * rows["before"].mean(), 100 * rows["after"].mean()]


def _answers(run: Run, place: Place) -> pd.DataFrame:
    """Right and wrong answers of a whole cell, whatever its outcome is."""
    return run.paired("confirm", *place.cell.rsplit("|", 2), "correct")


def _change(run: Run, place: Place, _: str) -> Values:
    return _span_of(run, _part(run, place), 0.95 if place.part else 1 - 2 * run.settings.level)


def _ablation(run: Run, place: Place, asked: str) -> Values | None:
    edit = asked.split()[2]
    if edit not in ABLATIONS:
        return None
    cell = run.cell(*arm_of(run, place.cell, edit), like=place.cell.rpartition("|")[2])
    return _span_of(run, cell, 1 - 2 * run.settings.level)


def _span_of(run: Run, cell: Cell, confidence: float) -> Values:
    """A change with its interval."""
    found = compared(cell.change, cell.cluster, run.settings.margin, confidence, whole=run.settings.whole)
    return _scaled(run, [cell.change.mean(), found.low, found.high])


def _chance(run: Run, place: Place, _: str) -> Values:
    return _scaled(run, [run.chance(*place.cell.split("|")[:2])])


def _level(run: Run, place: Place, _: str) -> Values:
    return _scaled(run, [_part(run, place).before.mean()])


def _rank(run: Run, place: Place, _: str) -> Values:
    target, sets = run.effects(*place.cell.rsplit("|", 2))
    found = rank(target, sets, run.manifest["results"]["cells"][place.cell]["verdict"])
    return [found, 1 + sets.size, found / (1 + sets.size)]


def _holm(run: Run, place: Place, _: str) -> Values | None:
    if not place.part:
        return [confirmed(run)[place.cell].p_holm]
    cell = run.cell(*place.cell.rsplit("|", 2))
    parts = [f"{name}={level}" for name, levels in cell.strata.items() for level in np.unique(levels)]
    if place.part not in parts:
        return None
    each = [_part(run, place._replace(part=part)) for part in parts]
    p = [compared(one.change, one.cluster, run.settings.margin, whole=run.settings.whole).p for one in each]
    return [float(adjusted(p, len(p))[parts.index(place.part)])]


MAKERS: tuple[tuple[str, Callable[[Run, Place, str], Values | None]], ...] = (
    ("items", _items),
    ("items gained and lost", _moved),
    ("accuracy before and under the edit", _accuracies),
    (r"change in .+", _change),
    (r"change under \w+ ablation", _ablation),
    ("chance", _chance),
    ("baseline", _level),
    ("rank among matched sets", _rank),
    ("Holm p", _holm),
)


def _baseline(run: Run, model: str, tier: str, seed: str, asked: str) -> Values | None:
    whole = next((name for name in run.study["models"] if short(name) == model), None)
    if whole is None:
        return None
    rows = run.level(whole, tier, int(seed), "correct")
    if asked == "items":
        return [len(rows)]
    if asked != "accuracy":
        return None
    low, high = proportion_confint(int(rows.sum()), len(rows), method="wilson")
    return [100 * rows.mean(), 100 * low, 100 * high]


def _spread(run: Run, about: str) -> Values | None:
    model, _, tier = about.partition(", ")
    whole = next((name for name in run.study["models"] if short(name) == model), None)
    if whole is None:
        return None
    seeds = [run.level(whole, tier, seed, run.outcome) for seed in range(run.study["baseline"]["seeds"])]
    fewest = min(map(len, seeds))  # the gate compares as many items of each seed, the first ones
    levels = [rows[:fewest].mean() for rows in seeds]
    return _scaled(run, [max(levels) - min(levels)])


def _discovery(run: Run, about: str) -> Values | None:
    """How far a random set moved a tier's accuracy on discovery items, points."""
    rows = run.paired("discovery", *about.split(", "), "correct")
    change = rows["after"].astype(float) - rows["before"].astype(float)
    found = compared(change.to_numpy(), None, run.settings.margin, whole=True)
    return [100 * value for value in (change.mean(), found.low, found.high)]


def registers(folder: Path) -> Iterator[Path]:
    """The papers' registers of numbers in a publication."""
    return iter(sorted(folder.glob("*/claims.json")))


def reviewed_runs(folder: Path) -> dict[str, Run]:
    """Every published run of a folder, by name."""
    return {path.parent.name: Run(path.parent) for path in sorted(folder.glob("*/published.json"))}
