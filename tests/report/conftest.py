"""Run folders as the line itself writes them: the real plan, gates, contingencies and store, on simulated answers."""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest

from lesion.identity import canonical_json, content_hash, file_hash, generator
from lesion.interventions.intervention import Receipt
from lesion.report.record import Record, read_record
from lesion.runs.execute.conduct import conduct
from lesion.runs.folder.atomic_io import write_table, write_text
from lesion.runs.folder.explorer_data import DOCUMENT, LOOKS, TABLE, Answered, Explored, Looked
from lesion.runs.folder.run_folder import ArmReceipt, Result, RunFolder
from lesion.runs.manifest.run import Code, Cost, DatasetFacts, Environment, Manifest, ModelFacts, Status, UnitFacts
from lesion.stats.intervals import tango
from lesion.stats.specificity.rank import RankSpecificity, SetEffects, rank_specificity
from lesion.stats.verdict.cell_verdict import CellVerdict
from lesion.study.arms.arm import Arm
from lesion.study.arms.condition_columns import with_conditions
from lesion.study.claims import Ablation
from lesion.study.gates.evidence.model_answers import InstrumentAnswer
from lesion.study.gates.gate_verdict import GateVerdict, LookEvidence, SpecificityEvidence
from lesion.study.plan import Cell, Plan, Shape, new_plan, pair_name
from lesion.study.results import findings
from lesion.study.rows import ITEMS, PROMPTS, rows_hash, shape_of
from lesion.study.stages.confirmatory_cells import rule_of
from lesion.study.study import Study
from lesion.tasks.config import ArithmeticConfig, SymbolicConfig
from tests.study.made import detector_answer, instrument_answer

MODEL = "zoo:abacus-llama"
SHAPE = Shape(layers=2, heads=8, neurons=256)


class World(NamedTuple):
    """What a simulated model does."""

    ability: dict[str, float]
    """Tier -> accuracy of the unedited model."""
    damage: dict[str, float]
    """Tier -> share of correct answers that zeroing the target loses."""
    churn: float = 0.0
    """Share of tier 1's answers that any edit turns over, to either side."""
    drift: float = 0.0
    """Accuracy lost from one seed to the next."""
    induction: tuple[str, ...] = ("L1H0", "L1H1")
    """Heads that the detector sees."""
    sound: bool = True
    """Whether the instrument's identities hold."""
    question: str = "Do the induction heads carry the arithmetic of this model, and does amplifying them help?"
    prompt: str = "{i}+3=7;2+2=4;{i}+2="
    """A question's text."""
    model: str = MODEL


ABACUS = World(
    ability={"tier1": 0.985, "tier2": 0.93, "tier3": 0.995}, damage={"tier1": 0.004, "tier2": 0.11, "tier3": 0.85}
)


def study_of(world: World, **changes: Any) -> Study:
    """The study of a world, small enough for a test."""
    tasks = {
        "tier1": ArithmeticConfig(high=99),
        "tier2": ArithmeticConfig(high=99, beyond=129),
        "tier3": SymbolicConfig(),
    }
    return Study.model_validate(
        {
            "lesion": 1,
            "name": "arithmetic",
            "question": world.question,
            "hypotheses": ["Zeroing the heads harms tier 3 and leaves tier 1 as it is."],
            "models": (world.model,),
            "tasks": {tier: tasks[tier] for tier in world.ability},
            "sweep": {"items": 256, "alphas": (0.0, 0.5, 1.25, 2.0)},
            "positive_control": "tier3" if "tier3" in world.ability else None,
            **changes,
        }
    )


def simulator(world: World) -> Callable[[Cell, Plan], Result]:
    """The work on a cell, with numbers drawn instead of computed."""

    def work(cell: Cell, plan: Plan) -> Result:
        if cell.stage == "instrument":
            return Result(None, None, _proof(world, plan), (), 0.1, {})
        if cell.stage == "detect":
            scores = [[_score(world, f"L{i}H{j}") for j in range(SHAPE.heads)] for i in range(SHAPE.layers)]
            return Result(None, None, detector_answer(scores), (), 0.2, {})
        return _measured(world, cell)

    return work


def conducted(home: Path, world: World = ABACUS, status: Status = "exploratory", **changes: Any) -> Path:
    """A run folder with its draft manifest beside it, unsealed, as the report finds it."""
    study = study_of(world, **changes)
    plan = new_plan(study, study.hash(), dict.fromkeys(study.models, SHAPE), dict.fromkeys(study.tasks, 20_480))
    folder = RunFolder(home / "20261122_1630_arithmetic_7f3a9c2")
    done = conduct(plan, folder, simulator(world), lambda work, cells: ((c, work(c)) for c in cells), lambda *_: None)
    (folder.path / "manifest.json").write_text(_draft(folder, done, status).model_dump_json(indent=1))
    return folder.path


def manifest_of(folder: Path) -> Manifest:
    """The draft manifest, which has no seal yet."""
    return Manifest.model_validate_json((folder / "manifest.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete exploratory run in which zeroing harms two tiers and spares one."""
    return conducted(tmp_path_factory.mktemp("complete"))


@pytest.fixture(scope="session")
def manifest(run_folder: Path) -> Manifest:
    """Its manifest."""
    return manifest_of(run_folder)


@pytest.fixture(scope="session")
def make_run() -> Callable[..., tuple[Path, Manifest]]:
    """Makes a run: `make_run(home, status=…, world={…changes of the world…}, …changes of the study…)`."""

    def make(home: Path, status: Status = "exploratory", world: dict[str, Any] | None = None, **changes: Any):
        folder = conducted(home, ABACUS._replace(**(world or {})), status, **changes)
        return folder, manifest_of(folder)

    return make


class Claimed(NamedTuple):
    """A run of format 2 whose evidence is made by hand, in the shapes that the gates give it."""

    folder: Path
    manifest: Manifest
    record: Record


@pytest.fixture(scope="session")
def claimed(tmp_path_factory: pytest.TempPathFactory) -> Claimed:
    """Resampling decides. Tier 1: Null, mean disagrees. Tier 2: Harm, specific. Tier 3, control: Harm, few sets."""
    return claim_by_hand(conducted(tmp_path_factory.mktemp("claimed")))


@pytest.fixture(scope="session")
def make_claimed() -> Callable[..., Claimed]:
    """Makes a run of format 2 by hand: `make_claimed(home, status=…, …changes of the study…)`."""

    def make(home: Path, status: Status = "exploratory", **changes: Any) -> Claimed:
        return claim_by_hand(conducted(home, ABACUS, status), **changes)

    return make


def claim_by_hand(folder: Path, **changes: Any) -> Claimed:
    """Turns a run of format 1 into one of format 2: ablations, ranks and chance by hand, rows to match."""
    old = manifest_of(folder)
    raw = old.study.model_dump(mode="json", exclude={"lesion"}) | {"claims": {"population": "model"}} | changes
    study = Study.model_validate(raw)
    family = tuple(
        each.model_copy(update={"ablation": "resample", "set_items": 258} if each.alpha == 0 else {})
        for each in old.plan.family
    )
    plan = old.plan.model_copy(update={"study": study, "family": family})
    verdicts = {name.replace("@0", "@resample") if name.endswith("@0") else name: cell
                for name, cell in old.results.cells.items()}  # fmt: skip
    items = RunFolder(folder).items()
    zeroed = items.filter(pl.col("stage") == "confirm", pl.col("arm") == "target@0")
    spared = (pl.col("tier") != "tier1") | (pl.col("index") % 3 != 0)
    ablated = {
        edit: zeroed.with_columns(
            pl.lit(f"target@{edit}").alias("arm"), pl.col("correct") & (spared | (edit != "mean"))
        )
        for edit in ("zero", "mean", "resample")
    }
    ablations: dict[str, dict[Ablation, CellVerdict]] = {}
    for name, cell in verdicts.items():
        if name.endswith("@resample"):
            apart = "tier1" in name
            other = _judged(items, ablated["mean"], name, cell) if apart else cell
            ablations[name] = {"zero": cell, "mean": other, "resample": cell}
            verdicts[name] = replace(cell, tags=(*cell.tags, *(["ablation_dependent"] if apart else [])))
    specific, sets, rows = _ranks_by_hand(study, verdicts)
    items = pl.concat([items, *ablated.values(), rows], how="diagonal")
    chance = {pair_name(model, tier): 0.021 for model in study.models for tier in study.tasks}
    gates: list[GateVerdict] = []
    for gate in old.gates:
        if gate.stage != "confirm":
            gates.append(gate)
            continue
        evidence = LookEvidence(look=1, verdicts=verdicts, ablations=ablations, chance=chance)
        ranked = SpecificityEvidence(specific=specific, sets=sets)
        gates.append(gate.model_copy(update={"evidence": evidence}))
        gates.append(gate.model_copy(update={"stage": "specificity", "evidence": ranked, "reason": "by hand"}))
    told = findings(plan, gates)
    manifest = old.model_copy(update={"study": study, "plan": plan, "gates": tuple(gates), "results": told})
    (folder / "manifest.json").write_text(manifest.model_dump_json(indent=1))
    return Claimed(folder, manifest, read_record(folder, manifest)._replace(items=items))


def _judged(items: pl.DataFrame, edited: pl.DataFrame, name: str, like: CellVerdict) -> CellVerdict:
    """A harmed cell whose counts are those of its rows; the rest is another cell's."""
    model, tier, _ = name.rsplit("|", 2)
    key = ["model", "tier", "split", "seed", "index"]
    before = items.filter(stage="confirm", arm="baseline").select(*key, pl.col("correct").alias("before"))
    both = edited.filter(model=model, tier=tier).join(before, on=key)
    gained = both.filter(pl.col("correct") & ~pl.col("before")).height
    lost = both.filter(~pl.col("correct") & pl.col("before")).height
    low, high = tango(gained, lost, both.height, like.confidence)
    counts = {"n": both.height, "gained": gained, "lost": lost, "delta": (gained - lost) / both.height}
    return replace(like, **counts, ci_low=low, ci_high=high, verdict="Harm", tags=())


def _ranks_by_hand(
    study: Study, verdicts: dict[str, CellVerdict]
) -> tuple[dict[str, RankSpecificity], dict[str, tuple[tuple[str, ...], ...]], pl.DataFrame]:
    """Ranks of every harmed cell among pairs of heads, and rows that give the same effects."""
    found: dict[str, SetEffects] = {}
    sets: dict[str, tuple[tuple[str, ...], ...]] = {}
    frames: list[pl.DataFrame] = []
    heads = [f"L{layer}H{head}" for layer in range(SHAPE.layers) for head in range(SHAPE.heads)]
    others = [head for head in heads if head not in ("L1H0", "L1H1")]
    for name, cell in verdicts.items():
        if cell.verdict not in ("Improvement", "Harm"):
            continue
        model, tier, arm = name.rsplit("|", 2)
        pairs = [*combinations(others, 2)]
        if tier == "tier3":
            pairs = [pair for pair in pairs if all(site.startswith("L1") for site in pair)]
        others_lost = [int(generator("set", name, i).integers(0, 14)) for i in range(len(pairs))]
        lost = [round(258 * abs(cell.delta or 0.0)), *others_lost]
        arms = [arm, *(f"set{i}@{arm.partition('@')[2]}" for i in range(len(pairs)))]
        frames += [_lost(model, tier, each, many) for each, many in zip(["baseline", *arms], [0, *lost], strict=True)]
        effects = [-many / 258 for many in lost]
        found[name] = SetEffects("Harm", effects[0], tuple(effects[1:]), 258, len(pairs), "model")
        sets[name] = tuple(pairs)
    ranked = rank_specificity(found, rule_of(study), asking=len(found)) if found else {}
    rows = pl.concat(frames).unique(["tier", "model", "seed", "index", "arm"], maintain_order=True)
    return ranked, sets, rows


def _lost(model: str, tier: str, arm: str, lost: int) -> pl.DataFrame:
    """258 items of which the first are wrong."""
    places = np.arange(258)
    columns = {
        "stage": "specificity", "model": model, "tier": tier, "split": "confirm", "seed": places // 86,
        "index": places % 86, "arm": arm, "item_id": [f"{i:016d}" for i in places], "ties": 0, "margin": 1.0,
        "correct": places >= lost, "answer_logprob": -0.1, "entropy": 0.1, "logit_diff": 5.0, "kl": 0.0,
        "digit_diff": 1.0, "first_digit_diff": 1.0,
    }  # fmt: skip
    return with_conditions(pl.DataFrame(columns, schema=ITEMS)).select(list(shape_of(decoded=False)))


@pytest.fixture(scope="session")
def explore_by_hand() -> Callable[..., Explored]:
    """Leaves looks in a run folder: of every head, each position attends to itself (¼) and to the one before (¾)."""
    return _explored


def _explored(folder: Path, tokens: tuple[str, ...] = ("[BOS]", "a", "b", "a", "b")) -> Explored:
    length, arms = len(tokens), ("baseline", "target@0")
    pattern = [1.0 if i == 0 else {0: 0.25, 1: 0.75}.get(i - j, 0.0) for i in range(length) for j in range(i + 1)]
    own = [float(i == j) for i in range(length) for j in range(i + 1)]
    rows = [
        {"model": MODEL, "tier": "tier3", "index": 7, "arm": arm, "layer": layer, "head": head,
         "direct": 2.0 if (layer, head, arm) == (1, 0, "baseline") else 0.0,
         "pattern": own if (layer, arm) == (1, "target@0") else pattern}
        for arm in arms for layer in range(SHAPE.layers) for head in range(SHAPE.heads)
    ]  # fmt: skip
    write_table(folder / TABLE, pl.DataFrame(rows, schema=LOOKS))
    looked = Looked(
        model=MODEL, tier="tier3", index=7, item_id=16 * "0", picked="right unedited, wrong under the edit",
        ids=tuple(sorted(set(tokens)).index(token) for token in tokens), tokens=tokens,
        roles=("bos", *("fact" for _ in tokens[2:]), "cue"), prompt_length=length, answer=tokens[1], wrong=tokens[2],
        answered=tuple(
            Answered(arm=arm, predicted=tokens[1 + place], correct=place == 0, logit_diff=3.0 - 5 * place)
            for place, arm in enumerate(arms)
        ),
    )  # fmt: skip
    document = Explored(
        run=folder.name, source_hash=64 * "a", weights={MODEL: 64 * "b"}, rule="The first item.", items=(looked,),
        refused={f"{MODEL}|tier1": "no item is short enough"}, table_hash=file_hash(folder / TABLE), cpu_seconds=0.1,
    )  # fmt: skip
    write_text(folder / DOCUMENT, document.model_dump_json())
    return document


def _score(world: World, site: str) -> float:
    rng = generator("score", site)
    return 0.97 - 0.1 * rng.random() if site in world.induction else 0.12 * float(rng.random())


def _proof(world: World, plan: Plan) -> InstrumentAnswer:
    identity = {
        "name": "zeroing a head = zeroing its weights", "about": "head", "error": 3.1e-7 if world.sound else 0.4,
        "tolerance": 1e-5, "holds": world.sound, "note": "",
    }  # fmt: skip
    contract = {tier: {"items": 64, "refused": 0, "reasons": []} for tier in plan.study.tasks}
    return instrument_answer(
        weights_hash=content_hash("weights"), tokenizer_hash=content_hash("tokenizer"), dtype="float32",
        identities=[identity], noise_floor=4.8e-7, contract=contract,
    )  # fmt: skip


def _measured(world: World, cell: Cell) -> Result:
    count = cell.stop - cell.start
    rng = generator("items", cell.tier, cell.split, cell.seed, cell.start)
    ability = world.ability[cell.tier] - world.drift * cell.seed
    able, fragile, lucky = rng.random(count) < ability, rng.random(count), rng.random(count)
    entropy, difference = rng.gamma(2.0, 0.05, count), rng.normal(9.0, 2.0, count)
    ids = [content_hash([cell.tier, cell.split, cell.seed, i]) for i in range(cell.start, cell.stop)]
    arms: list[dict[str, Any]] = []
    receipts: list[ArmReceipt] = []
    for arm in cell.arms:
        damage = _damage(world, cell.tier, arm)
        correct = (able & (fragile >= damage)) | (~able & (lucky < damage * 0.03))
        if world.churn and cell.tier == "tier1" and arm.intervention is not None and arm.name != "placebo":
            turned = generator("churn", cell.split, cell.seed, cell.start, arm.name).random(count) < world.churn
            correct = correct ^ turned
        arms.append(
            {
                "correct": correct, "answer_logprob": -entropy - damage * lucky, "entropy": entropy + damage * lucky,
                "logit_diff": difference - 6 * damage * fragile,
                "kl": np.zeros(count),
                "digit_diff": np.ones(count),
                "first_digit_diff": np.ones(count),
            }
        )  # fmt: skip
        if arm.intervention is not None:
            acted = getattr(arm.intervention, "alpha", 0) != 1
            sites = arm.intervention.sites
            layers = len({site.layer for site in sites})
            receipt = Receipt(
                forwards=2, firings=2 * layers, modules=layers, elements=count * 64 * len(sites),
                l2_change=(41.5 + len(receipts)) * acted, max_logit_change=(0.01 + 7 * damage) * acted,
            )  # fmt: skip
            receipts.append(ArmReceipt(arm=arm.name, receipt=receipt))
    times = len(arms)
    columns = {
        "stage": cell.stage, "model": cell.model, "tier": cell.tier, "split": cell.split, "seed": cell.seed,
        "index": np.tile(np.arange(cell.start, cell.stop), times),
        "arm": np.repeat([arm.name for arm in cell.arms], count).tolist(),
        "item_id": [i[:16] for i in ids] * times, "ties": 0, "margin": np.tile(np.abs(difference), times),
        **{name: np.concatenate([arm[name] for arm in arms]) for name in arms[0]},
    }  # fmt: skip
    items = with_conditions(pl.DataFrame(columns, schema=ITEMS)).select(list(shape_of(decoded=False)))
    seconds = count * times * 2e-4
    return Result(
        items, _asked(world, cell, ids), None, tuple(receipts), seconds, {"engine": "reference", "batches": 2}
    )


def _damage(world: World, tier: str, arm: Arm) -> float:
    if arm.intervention is None:
        return 0.0
    sites, alpha = [str(site) for site in arm.intervention.sites], getattr(arm.intervention, "alpha", 0)
    share = sum(site in world.induction for site in sites) / max(len(world.induction), 1)
    strength = abs(1 - alpha) ** 2 * (0.25 if alpha > 1 else 1.0)
    return min(1.0, world.damage[tier] * share**2 * strength + 0.002 * abs(1 - alpha))


def _asked(world: World, cell: Cell, ids: list[str]) -> pl.DataFrame:
    rows = [
        {
            "model": cell.model, "tier": cell.tier, "split": cell.split, "seed": cell.seed, "index": index,
            "item_id": ids[index - cell.start], "prompt": world.prompt.replace("{i}", str(index)),
            "answer": f"{index + 2};", "wrong": f"{index + 3};",
            "buckets": canonical_json({"operator": "+-"[index % 2]}).decode(), "prompt_tokens": 14,
            "answer_tokens": 2, "prompt_hash": ids[index - cell.start], "refused": None,
        }
        for index in range(cell.start, cell.stop)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=PROMPTS)


def _draft(folder: RunFolder, done: Any, status: Status) -> Manifest:
    plan: Plan = done.plan
    items, prompts = folder.items(), folder.prompts()
    asked = prompts.group_by("model", "tier", "split", "seed").agg(
        pl.len().alias("items"), pl.col("refused").is_not_null().sum().alias("excluded")
    )
    datasets = [
        DatasetFacts(**row, dataset_hash=content_hash(row))
        for row in asked.sort("model", "tier", "split", "seed").to_dicts()
    ]
    proof = _proof(ABACUS, plan)
    return Manifest(
        command="run", run=folder.path.name, status=status, outcome=plan.ending.outcome, ending=plan.ending,
        study=plan.study, study_text="name: arithmetic\n", study_hash=plan.study.hash(), registration=None,
        deviations=(),
        key=plan.key,
        plan=plan, plan_hashes=done.plan_hashes, gates=done.gates, results=findings(plan, done.gates),
        code=Code(version="0.1.0", commit="c19419f" + 33 * "0", dirty=True, diff="-a\n+b\n", source_hash=64 * "a"),
        environment=Environment(
            python="3.11.2", packages={"torch": "2.13.0", "transformers": "5.23.0"}, system="Linux 6.1 x86_64",
            processor="A processor", cores=2, memory_bytes=8 << 30, device="cpu", threads=1, workers=2,
            determinism={"dtype": "float32"},
        ),
        models=tuple(
            ModelFacts(
                name=name, revision="", family="llama", dtype="float32", weights_hash=proof.weights_hash,
                tokenizer_hash=proof.tokenizer_hash,
            )
            for name in plan.study.models
        ),
        datasets=tuple(datasets),
        units=tuple(
            UnitFacts(key=folder.key(u.cell), stage=u.cell.stage, rows_hash=u.rows_hash) for u in folder.units()
        ),
        rows_hash=rows_hash(items),
        cost=Cost(
            started="2026-11-22T16:30:00+00:00", ended="2026-11-22T16:34:10+00:00", wall_seconds=250.0,
            cpu_seconds=done.cpu_seconds, gpu_seconds=0.0,
        ),
        replay_of=None, match=None, files={},
    )  # fmt: skip
