"""Every gate and test is tried on evidence whose judgement is known, before it may judge a study.

A gate that cannot fail, a correction left out or a sign turned round would pass any run unseen, and its replay as well.
So each is given numbers that must fail it and numbers that must pass, and the tests numbers whose p is known from
independent implementations (the reference values of docs/verdict.md). Takes milliseconds.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lesion.errors import LesionError
from lesion.identity import content_hash, file_hash, generator
from lesion.stats.baseline import baseline_gate
from lesion.stats.decide import judge
from lesion.stats.intervals import tango
from lesion.stats.multiplicity import holm
from lesion.stats.paired import mcnemar_exact
from lesion.stats.rows import PairedRows
from lesion.stats.rule import Discovered, Rule, Verdict
from lesion.study import gates
from lesion.study.checks import contract, detector, instrument, quiet, worst
from lesion.study.evidence import paired_rows
from lesion.study.gates import Facts
from lesion.study.load import parse_document
from lesion.study.plan import Chosen, Plan, Shape, StageName, new_plan
from lesion.study.rows import ITEMS, PROMPTS, empty, rows_hash
from lesion.study.study import Study
from lesion.tasks.numbering import PARTS, Stratum, lane

MCNEMAR = {(0, 0): 1.0, (5, 0): 0.0625, (6, 0): 0.03125, (9, 2): 0.0654297, (2, 9): 0.0654297, (15, 5): 0.0413895}
"""Gained and lost -> exact two-sided p, from statsmodels."""
KNOWN_HASH = "135f17a475a61afdeeaf3759ad2e45ad1c7abb192395abe47e41fc8e395dc1a9"
"""SHA-256 of `["a",1]`, from coreutils."""
WRONGLY = "the gates and tests of this installation judge wrongly, so nothing is run: "
N = 1300
"""Items per seed of the rows that are judged: enough for the seed gate at a discovered psi of .1."""


@cache
def trial() -> None:
    """Try everything, once in a process.

    Raises:
        LesionError: naming what judged wrongly.
    """
    if wrong := [said for case in CASES for said in case()]:
        raise LesionError(
            f"{WRONGLY}{'; '.join(wrong)}. "
            "Install the package again, or undo what was changed in lesion/stats and lesion/study"
        )


def _tests() -> Iterator[str]:
    """P-values, corrections and intervals that are known."""
    for (gained, lost), p in MCNEMAR.items():
        if abs(float(mcnemar_exact(gained, lost)) - p) > 1e-6:
            yield f"McNemar's test gives {float(mcnemar_exact(gained, lost)):.6g} for {gained} and {lost}, not {p}"
    adjusted = [round(float(p), 9) for p in holm([0.01, 0.04, 0.03], 4)]
    if adjusted != [0.04, 0.09, 0.09]:
        yield f"Holm's correction of .01, .04, .03 in a family of 4 gives {adjusted}, not .04, .09, .09"
    low, high = tango(30, 15, 500)
    if not 0 < low < 0.03 < high < 0.07 or tango(15, 30, 500).high >= 0:
        yield f"Tango's interval of 30 gained and 15 lost of 500 is {low:.4f} … {high:.4f}"


def _rows(gained: tuple[int, int, int], lost: int) -> PairedRows:
    """Rows of three seeds with these gains by seed, a baseline of six in ten."""
    before, after, seed = list[Any](), list[Any](), list[Any]()
    for number, up in enumerate(gained):
        right = round(0.6 * N) - lost
        parts = [up, lost, right, N - up - lost - right]
        before.append(np.repeat([False, True, True, False], parts))
        after.append(np.repeat([True, False, True, False], parts))
        seed.append(np.full(N, number))
    return PairedRows(np.concatenate(before), np.concatenate(after), np.concatenate(seed), item=np.array(range(3 * N)))


def _verdicts() -> Iterator[str]:
    """Rows whose verdict is known; a lone p of .02 must not stand in a family of twenty."""
    known: Mapping[str, tuple[PairedRows, int, Verdict]] = {
        "a gain of p .03 at the first of two looks": (_rows((75, 75, 75), 60), 1, "Null"),
        "a gain of p .0016 in a family of twenty": (_rows((82, 82, 82), 60), 20, "Ambiguous"),
        "equal gains and losses": (_rows((60, 60, 60), 60), 1, "Null"),
        "a clear gain": (_rows((140, 140, 140), 40), 1, "Improvement"),
        "a clear loss": (_rows((40, 40, 40), 140), 1, "Harm"),
        "seeds that disagree": (_rows((100, 60, 20), 60), 1, "Ambiguous"),
        "a gain of p .01 in a family of twenty": (_rows((78, 78, 78), 60), 20, "Null"),
    }
    for what, (rows, family, verdict) in known.items():
        found = judge(
            {"cell": rows},
            Rule(),
            look=1,
            family_size=family,
            discovered={"cell": Discovered(0.1)},
            chance={"cell": 0.0},
        )["cell"]
        if found.verdict != verdict or (what.startswith("a gain") and found.tags):
            yield f"{what} is judged {found.verdict} {' '.join(found.tags)}".rstrip() + f", not {verdict}"


def _gates() -> Iterator[str]:
    """Every gate fails what must fail it, and passes what must pass."""
    sound: dict[str, Any] = {
        "identities": [{"name": "known", "about": "model", "holds": True}],
        "placebo_bit_equal": True, "repeat_flips": 0, "contract": {"tier": {"items": 64, "refused": 0}},
        "noise_floor": 0.0, "misread": 0.0, "contradictions": [],
    }  # fmt: skip
    broken: dict[str, Any] = {
        "identities": [{"name": "known", "about": "model", "holds": False}],
        "placebo_bit_equal": False, "repeat_flips": 3, "noise_floor": 1.0, "misread": 1.0,
        "contradictions": ["a token is not the text"],
    }  # fmt: skip
    told: dict[str, tuple[str, str]] = {"instrument": (worst(instrument("known", sound, frozenset())), "Pass")}
    for name, value in broken.items():
        told[f"instrument, {name}"] = (worst(instrument("known", {**sound, name: value}, frozenset())), "Fail")
    prints = {"cell": ["a", "b", "c"]}
    stable, sizes = {"cell": [7000, 7010, 7020]}, {"cell": 12_200}
    told |= {
        "contract": (contract("known", 32, 64, 0.01).outcome, "Fail"),
        "detector": (detector("known", [[0.1, 0.2]], [[0.1, 0.2]], 0.5).outcome, "Fail"),
        "detector, one set": (detector("known", [[0.6, 0.2]], [[0.1, 0.2]], 0.5).outcome, "Ambiguous"),
        "control quietness": (quiet("known", 0, 200, 1000, 0.03).outcome, "Fail"),
        "baseline": (baseline_gate(stable, sizes, fingerprints=prints).outcome, "Pass"),
        "baseline, unstable": (baseline_gate({"cell": [7000, 7000, 7800]}, sizes).outcome, "Fail"),
        "baseline, too few": (baseline_gate({"cell": [50, 50, 50]}, {"cell": 100}).outcome, "NotEvaluable"),
        "baseline, same seeds": (
            baseline_gate(stable, sizes, fingerprints={"cell": ["a", "a", "c"]}).outcome, "Degenerate",
        ),
    }  # fmt: skip
    for gate, (found, expected) in told.items():
        if found != expected:
            yield f"the gate '{gate}' says {found} where it must say {expected}"


def _seeds() -> Iterator[str]:
    """A seed varies what is drawn, and the same seed draws the same."""
    one, again, other = (generator("trial", seed).integers(0, 2**63, 4).tolist() for seed in (1, 1, 2))
    if one != again:
        yield "a generator of the same seed draws other numbers"
    if one == other:
        yield "generators of two seeds draw the same numbers"


def _lanes() -> Iterator[str]:
    """Every problem of a task stands in one place only: of one part, one seed, once."""
    strata = (Stratum("trial", 97), Stratum("another trial", 60))
    lanes = [lane(strata, part, "trial", seed, 3) for part in PARTS for seed in range(3)]
    places = [(at.stratum, at.number) for each in lanes for at in each.places(0, each.capacity)]
    if len(places) != len({*places}):
        yield "a lane through a task's numbers asks a problem twice"


def _hashes() -> Iterator[str]:
    """Hashes see every value, every row's numbers, and their order."""
    here = Path(__file__)
    if file_hash(here) != sha256(here.read_bytes()).hexdigest():
        yield "the hash of a file is not its SHA-256"
    if content_hash(["a", 1]) != KNOWN_HASH or content_hash([1, "a"]) == content_hash(["a", 1]):
        yield "the hash of a value is not that of its canonical JSON"
    rows = _same_seeds()
    if len({rows_hash(rows), rows_hash(rows.with_columns(entropy=pl.lit(1e-9))), rows_hash(rows.head(-1))}) != 3:
        yield "rows with other numbers have the same hash"


def _stages() -> Iterator[str]:
    """Each stage's gate, as the line calls it, on facts that must not pass."""
    plan = new_plan(
        parse_document(STUDY, "trial.yaml", Study), "trial", {MODEL: Shape(layers=2, heads=4, neurons=8)}, {"tier": 320}
    )
    nothing, asked = empty(ITEMS), _questions()
    scored = {MODEL: {"scores": [[0.1, 0.2]], "again": [[0.1, 0.2]]}}
    broken: dict[str, dict[str, Any]] = {
        MODEL: {"identities": [], "placebo_bit_equal": False, "repeat_flips": 0, "contract": {}}
    }
    chosen = Chosen(model=MODEL, tier="tier", alpha=0.0, items=32, psi=0.1, delta=0.0)
    looking = {"stage": "confirm", "family": (chosen,), "pending": (chosen.id,), "controls": {MODEL: ()}}
    given: dict[StageName, tuple[Plan, Facts]] = {
        "instrument": (plan, Facts(nothing, asked, broken)),
        "baseline": (plan.model_copy(update={"stage": "baseline"}), Facts(_same_seeds(), asked, {})),
        "detect": (plan.model_copy(update={"stage": "detect"}), Facts(nothing, asked, scored)),
    }
    for stage, (at, facts) in given.items():
        if (found := gates.judge(at, facts).outcome) != "Fail":
            yield f"the {stage} stage says {found} of facts that must fail it"
    looks = plan.model_copy(update=looking)
    pairs = paired_rows(looks, _opposites(), asked, chosen, "target")
    if not bool((pairs.baseline != pairs.edited).all()):
        yield "baseline and edited answers are not paired item by item"
    looked = gates.judge(looks, Facts(nothing, asked, {}))
    told: Any = looked.evidence.get("verdicts", {})
    if told.get(chosen.id, {}).get("verdict") != "Invalid":
        yield "a cell without rows is not Invalid"


def _questions() -> pl.DataFrame:
    """Thirty-two questions of each of three seeds."""
    rows = [
        {
            "model": MODEL, "tier": "tier", "split": "confirm", "seed": seed, "index": index, "item_id": f"{index}",
            "prompt": "", "answer": "", "wrong": "", "buckets": "{}", "prompt_tokens": 1, "answer_tokens": 1,
            "prompt_hash": "", "refused": None,
        }
        for seed in range(3) for index in range(32)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=PROMPTS)


def _same_seeds() -> pl.DataFrame:
    """A baseline whose seeds asked the same and were answered alike."""
    asked = _questions().select("model", "tier", "split", "seed", "index", "item_id")
    told = {"stage": pl.lit("baseline"), "arm": pl.lit("baseline"), "correct": pl.col("index") % 2 == 0}
    numbers = {name: pl.lit(0.0) for name in ("margin", "answer_logprob", "entropy", "logit_diff")}
    return asked.with_columns(**told, **numbers, ties=pl.lit(0, dtype=pl.Int64)).select(list(ITEMS))


def _opposites() -> pl.DataFrame:
    """A confirmation in which the edited model is right exactly where the baseline is wrong."""
    base = _same_seeds().with_columns(stage=pl.lit("confirm"))
    return pl.concat([base, base.with_columns(arm=pl.lit("target@0"), correct=~pl.col("correct"))])


MODEL = "tiny:llama"
STUDY = f"""\
name: trial
question: Can every gate fail?
models: [{MODEL}]
tasks: {{tier: {{task: arithmetic}}}}
sweep: {{target: {{kind: detected, detector: induction, threshold: 0.5}}}}
"""
CASES: tuple[Callable[[], Iterator[str]], ...] = (_tests, _verdicts, _gates, _seeds, _lanes, _hashes, _stages)
