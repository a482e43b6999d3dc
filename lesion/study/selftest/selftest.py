"""Every gate and test is tried on evidence whose judgement is known, before it may judge a study.

A gate that cannot fail, a correction left out or a sign turned round would pass any run unseen, and its replay as well.
So each is given numbers that must fail it and numbers that must pass, and the tests numbers whose p is known from
independent implementations (the reference values of docs/verdict.md). Takes milliseconds.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path

import polars as pl

from lesion.errors import LesionError
from lesion.identity import content_hash, file_hash, generator
from lesion.stats.intervals import tango
from lesion.stats.multiplicity import holm
from lesion.stats.paired.rows import PairedRows
from lesion.stats.paired.tests import mcnemar_exact
from lesion.stats.verdict.judge import judge
from lesion.stats.verdict.rule import Discovered, Rule, Verdict
from lesion.study.rows import rows_hash
from lesion.study.selftest.ablations import ABLATION_CASES
from lesion.study.selftest.companions import COMPANION_CASES
from lesion.study.selftest.dissociations import DISSOCIATION_CASES
from lesion.study.selftest.gates import GATE_CASES
from lesion.study.selftest.known_rows import known_rows, same_seeds
from lesion.study.selftest.looks import LOOK_CASES
from lesion.study.selftest.matched_sets import SET_CASES
from lesion.tasks.drawing.numbering import PARTS, Stratum, lane

MCNEMAR = {(0, 0): 1.0, (5, 0): 0.0625, (6, 0): 0.03125, (9, 2): 0.0654297, (2, 9): 0.0654297, (15, 5): 0.0413895}
"""Gained and lost -> exact two-sided p, from statsmodels."""
KNOWN_HASH = "135f17a475a61afdeeaf3759ad2e45ad1c7abb192395abe47e41fc8e395dc1a9"
"""SHA-256 of `["a",1]`, from coreutils."""
WRONGLY = "the gates and tests of this installation judge wrongly, so nothing is run: "


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


def _verdicts() -> Iterator[str]:
    """Rows whose verdict is known; a lone p of .02 must not stand in a family of twenty."""
    known: Mapping[str, tuple[PairedRows, int, Verdict]] = {
        "a gain of p .03 at the first of two looks": (known_rows((75, 75, 75), 60), 1, "Null"),
        "a gain of p .0016 in a family of twenty": (known_rows((82, 82, 82), 60), 20, "Ambiguous"),
        "equal gains and losses": (known_rows((60, 60, 60), 60), 1, "Null"),
        "a clear gain": (known_rows((140, 140, 140), 40), 1, "Improvement"),
        "a clear loss": (known_rows((40, 40, 40), 140), 1, "Harm"),
        "seeds that disagree": (known_rows((100, 60, 20), 60), 1, "Ambiguous"),
        "a gain of p .01 in a family of twenty": (known_rows((78, 78, 78), 60), 20, "Null"),
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
    rows = same_seeds()
    if len({rows_hash(rows), rows_hash(rows.with_columns(entropy=pl.lit(1e-9))), rows_hash(rows.head(-1))}) != 3:
        yield "rows with other numbers have the same hash"


CASES: tuple[Callable[[], Iterator[str]], ...] = (
    _tests, _verdicts, _seeds, _lanes, _hashes, *GATE_CASES, *COMPANION_CASES, *ABLATION_CASES,
    *SET_CASES, *LOOK_CASES, *DISSOCIATION_CASES,
)  # fmt: skip
