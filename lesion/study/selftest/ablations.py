"""Format 2: the judgement of all ablations is tried: words that agree and differ, rows that spoil, the gate's tag.

Ablations that always agree would let every zeroing name its heads; spoiled rows that nobody notices would, too.
"""

from collections.abc import Iterator, Mapping

import polars as pl

from lesion.study.arms.condition import target
from lesion.study.claims import ABLATIONS
from lesion.study.gates import judge
from lesion.study.plan import Chosen, Plan
from lesion.study.rows import ITEMS
from lesion.study.selftest.companions import spoiled_rows
from lesion.study.selftest.known_rows import MODEL, known_plan, questions, same_seeds

PER_SEED = 32
CHOSEN = Chosen(model=MODEL, tier="tier", alpha=0.0, items=PER_SEED, psi=0.1, delta=0.0, ablation="resample")
ARMS = tuple(target(kind).name for kind in ABLATIONS)


def confirming() -> Plan:
    """The small study's plan at its first look, with a member that resamples its target."""
    looking = {
        "stage": "confirm", "family": (CHOSEN,), "pending": (CHOSEN.id,), "controls": {MODEL: ()},
        "references": {MODEL: {"tier": ("a", "b", "c", "d")}}, "primary": {MODEL: {"tier": "resample"}},
    }  # fmt: skip
    return known_plan().model_copy(update=looking)


def sound_rows() -> pl.DataFrame:
    """A confirmation in which baseline and every ablation answered every question; ablations change the numbers."""
    named = pl.concat_str("seed", pl.lit("-"), "index")
    base = same_seeds().with_columns(stage=pl.lit("confirm"), item_id=named)
    moved = base.with_columns(answer_logprob=pl.lit(-1.0))
    return pl.concat([base, *(moved.with_columns(arm=pl.lit(arm)) for arm in ARMS)]).select(list(ITEMS))


def _spoiled() -> Iterator[str]:
    """Rows of ablations that make their cell Invalid, through the check that the gate calls."""
    sound = sound_rows()
    still = sound.with_columns(answer_logprob=pl.lit(0.0))
    told: Mapping[str, pl.DataFrame] = {"sound": sound, **spoiled_rows(sound), "unmoved": still}
    for what, rows in told.items():
        found = judge.spoiled_ablations(confirming(), rows, CHOSEN)
        if (found is None) != (what == "sound"):
            yield f"rows of ablations that are {what} are {'taken' if found is None else f'refused: {found}'}"


def _tagged() -> Iterator[str]:
    """One ablation that loses half of the right answers, beside two that lose none, must be told by the gate."""
    sound = sound_rows()
    zeroed = (pl.col("arm") == target("zero").name) & (pl.col("index") % 4 == 0)
    lost = sound.with_columns(correct=pl.when(zeroed).then(pl.lit(value=False)).otherwise(pl.col("correct")))
    label = pl.concat_str(pl.lit('{"prefix":"'), "seed", pl.lit("p"), pl.col("index") // 2, pl.lit('"}'))
    asked = questions().with_columns(buckets=label)
    prompts = pl.concat([asked, asked.with_columns(split=pl.lit("discovery"), answer=pl.col("item_id"))])
    for rows, agrees in ((sound, True), (lost, False)):
        verdict = judge.judged(confirming(), rows, prompts, {}).verdicts[CHOSEN.id]
        (clause,) = (each for each in verdict.clauses if each.name == "ablations agree")
        if clause.holds != agrees:
            yield f"ablations of which {'none differs' if agrees else 'one differs'} are said to be {clause.quantity}"


ABLATION_CASES = (_spoiled, _tagged)
