"""What runs cost: sizes and lengths that a forecast needs, the arithmetic of finished units, and this machine's rate.

Torch is not needed: sizes come from config.json, lengths from a sample of items and the model's tokenizer.
"""

# pyright: reportUnknownVariableType=false

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import takewhile
from math import ceil
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from lesion.device import wanted
from lesion.models.obtain.hub import hub_file
from lesion.models.sizes import locate, read_sizes
from lesion.models.vocabulary import read_tokenizer
from lesion.runs.execute.conduct import Reading
from lesion.runs.execute.rate import rate_of
from lesion.runs.folder.run_folder import Unit
from lesion.study.arms.arm import writes
from lesion.study.forecast.forecast import (
    ASSUMED_RATE,
    PSI,
    SD,
    TEXT_PASSES,
    Anatomy,
    Basis,
    Costed,
    Lengths,
    ahead,
    arm_weight,
    expected,
    forecast,
    minutes,
    needs,
    total,
)
from lesion.study.forecast.makespan import makespan, scaling
from lesion.study.plan import Plan
from lesion.study.stages.confirmatory_cells import assumed_n
from lesion.study.stages.overrun import afford
from lesion.study.study import Study
from lesion.tasks.catalogue import make_task
from lesion.tasks.config import OwnConfig
from lesion.tasks.task import Draw
from lesion.tasks.trusted_code import is_trusted

WIDER = 3
"""So many times the assumed spread of differences in nats; spreads between .5 and 6 were met."""
SAMPLE = 32
"""Items per tier whose tokens are counted."""
ASSUMED = Lengths(32.0, 4.0, 1.0)
"""Tokens of a tier whose code is not run for a forecast: prompt, answer, shared by all prompts."""


def basis_of(study: Study) -> Basis:
    """Sizes of the models and mean lengths of the tiers."""
    anatomy = {name: _anatomy(name) for name in study.subjects}
    lengths = {name: {tier: _lengths(study, tier, name) for tier in study.tasks} for name in study.subjects}
    return Basis(anatomy, lengths)


def _anatomy(name: str) -> Anatomy:
    sizes = read_sizes(name)
    return Anatomy(sizes.n_layers, sizes.d_model, sizes.n_heads * sizes.d_head, sizes.d_mlp, sizes.vocab_size)


def _lengths(study: Study, tier: str, name: str) -> Lengths:
    """Tokens of a sample; a tiny model has one token for each character. One more for the BOS."""
    config = study.tasks[tier]
    if isinstance(config, OwnConfig) and not is_trusted(config.sha256):
        return ASSUMED  # code that nobody trusts is not run for a forecast
    items = list(make_task(study.tasks[tier]).items(Draw("discovery", "lengths", 0, 1), 0, SAMPLE))
    tokenizer = tokenizer_of(name)

    def tokens(text: str) -> list[int] | list[str]:
        return list(text) if tokenizer is None else tokenizer.encode(text, add_special_tokens=False).ids

    prompts = [tokens(item.prompt) for item in items]
    answers = [len(tokens(item.answer)) for item in items]
    return Lengths(1 + _mean(map(len, prompts)), _mean(answers), 1 + _shared(prompts))


def _shared(prompts: Sequence[Sequence[int | str]]) -> int:
    """Leading tokens that all prompts have in common."""
    alike = (len(set(column)) == 1 for column in zip(*prompts, strict=False))
    return sum(1 for _ in takewhile(bool, alike))


@lru_cache(maxsize=16)
def tokenizer_of(name: str) -> Tokenizer | None:
    """A model's tokenizer, read from its folder; a tiny model has none of its own."""
    source = locate(name)
    if source.kind == "tiny":
        return None
    if source.kind == "hub":
        return read_tokenizer(hub_file(source.where, source.revision, "tokenizer.json").parent)
    return read_tokenizer(Path(source.where))


def _mean(numbers: Iterable[int]) -> float:
    listed = list(numbers)
    return sum(listed) / len(listed)


def work_of(study: Study, units: Sequence[Unit]) -> float:
    """FLOP of finished units, counted as the forecast counts them; instrument and detector left out, as overhead."""
    basis = basis_of(study)
    done = 0.0
    for unit in units:
        cell = unit.cell
        if cell.tier:
            lengths, anatomy = basis.lengths[cell.model][cell.tier], basis.anatomy[cell.model]
            weight = sum(arm_weight(anatomy, arm) for arm in cell.arms)
            weight += TEXT_PASSES * cell.decoded * sum(map(writes, cell.arms))
            done += (cell.stop - cell.start) * weight * anatomy.row(lengths.tokens, lengths.answer)
    return done


def outlook(plan: Plan, home: Path, workers: int) -> dict[str, Any]:
    """The forecast of a study as a document: stages, pools, rate, what it takes and whether the budget holds it."""
    workers = 1 if wanted() != "cpu" else workers
    basis = basis_of(plan.study)
    rate = rate_of(home, {name: each.width for name, each in basis.anatomy.items()})
    stages, budget = forecast(plan, basis), plan.study.budget
    most, likely = total(stages), expected(plan, basis)
    cpu_hours = likely / rate.flop_per_second / 3600
    gpu_hours = cpu_hours if wanted() != "cpu" else 0.0  # the process that drives the device waits for it
    wall = minutes(likely, rate.flop_per_second, workers)
    return {
        "study": plan.study.name,
        "study_hash": plan.study.hash(),
        "models": {
            name: {**each._asdict(), "parameters": each.parameters, "weight_bytes": 4 * each.parameters}
            for name, each in basis.anatomy.items()
        },
        "lengths": {
            name: {tier: each._asdict() for tier, each in tiers.items()} for name, tiers in basis.lengths.items()
        },
        "stages": [
            {**each._asdict(), "bytes": each.bytes, "minutes": minutes(each.flop, rate.flop_per_second, workers)}
            for each in stages
        ],
        "total": {**most._asdict(), "bytes": most.bytes, "minutes": minutes(most.flop, rate.flop_per_second, workers)},
        "rate": rate._asdict(),
        "workers": workers,
        "scaling": [each._asdict() for each in scaling(ahead(plan, basis), rate.flop_per_second)],
        "pools": needs(plan),
        "budget": {
            "cpu_hours": {"limit": budget.cpu_hours, "expected": cpu_hours, "fits": cpu_hours <= budget.cpu_hours},
            "gpu_hours": {"limit": budget.gpu_hours, "expected": gpu_hours, "fits": gpu_hours <= budget.gpu_hours},
            "wall_minutes": {"limit": budget.wall_minutes, "expected": wall, "fits": wall <= budget.wall_minutes},
        },
        "assumptions": [
            f"{_assumed(plan.study)} in every cell; discovery measures it",
            *_if_wider(plan, stages, rate.flop_per_second, workers),
            "expected: the first look alone; total: a second look of every cell, too",
            "arithmetic is an upper bound from the sizes (full keys and values, gated MLP), lower layers used again",
            f"minutes by a rate that was {rate.source}",
        ],
    }


def _assumed(study: Study) -> str:
    """How much answers are taken to change."""
    return f"differences that vary by {SD:g} nat (sd)" if study.continuous else f"psi {PSI:g}"


def _if_wider(plan: Plan, stages: Sequence[Costed], rate: float, workers: int) -> list[str]:
    """What the confirmation takes if differences in nats vary three times as much; items grow with the square."""
    study = plan.study
    confirm = next((each for each in stages if each.stage == "confirm" and each.items), None)
    if not study.continuous or confirm is None:
        return []
    assumed, wider = (ceil(assumed_n(study, times * SD) / study.block) * study.block for times in (1, WIDER))
    longer = minutes(confirm.flop, rate, workers) * wider / assumed
    return [
        f"if they vary by {WIDER * SD:g} nats, each cell asks {wider:,} items per seed, and confirmation takes"
        f" {longer:,.0f} minutes"
    ]


def affordable(plan: Plan, reading: Reading, basis: Basis, workers: int) -> Plan:
    """The overrun contingency, with the rate at which this run's own baseline went.

    Wall time is the makespan on these workers, each as fast as the dearer of its processor and its accelerator; without
    accelerator seconds in the baseline none are forecast.
    """
    before = plan.model_copy(update={"stage": "baseline"})
    passed = sum(each.flop for each in forecast(before, basis) if each.stage == "baseline")
    cpu, gpu = reading.by_stage.get("baseline", (0.0, 0.0))
    rate = passed / cpu if cpu else ASSUMED_RATE

    def left(of: Plan) -> dict[str, float]:
        flop = expected(of, basis)
        wall = makespan(ahead(of, basis), passed / max(cpu, gpu) if cpu or gpu else ASSUMED_RATE, workers)
        return {
            "cpu_hours": flop / rate / 3600,
            "gpu_hours": flop * gpu / passed / 3600 if passed else 0.0,
            "wall_minutes": wall / 60,
        }

    spent = {name: used for name, (used, _) in reading.spent.shares(plan.study.budget).items()}
    return afford(plan, spent, left)
