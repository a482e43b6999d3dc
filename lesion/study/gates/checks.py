"""The checks that gates are made of: each has a quantity, a threshold, and three answers, Ambiguous among them.

A check that blocks decides its stage; one that does not is written down, told in a note when it fails, and limits what
may be claimed. docs/gates.md explains each. Pure functions of numbers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt

from lesion.stats.distributions import beta_quantile
from lesion.stats.intervals import tango
from lesion.study.gates.evidence.model_answers import InstrumentAnswer
from lesion.study.plan import Outcome

WORST: tuple[Outcome, ...] = ("Fail", "Ambiguous", "Pass")
"""A stage's outcome is the first of these that any of its blocking checks has."""


@dataclass(frozen=True)
class Check:
    """One thing that was asked of a model, tier or control."""

    name: str
    about: str
    """Model, tier, control."""
    outcome: Outcome
    said: str
    """Quantity and threshold, in words."""
    blocks: bool


def worst(checks: Sequence[Check]) -> Outcome:
    """The outcome over all checks that block."""
    found = {check.outcome for check in checks if check.blocks}
    for outcome in WORST:
        if outcome in found:
            return outcome
    return "Pass"


def reasons(checks: Sequence[Check]) -> str:
    """What did not pass, of the checks that block."""
    return "; ".join(f"{each.about}: {each.said}" for each in checks if each.blocks and each.outcome != "Pass")


def contract(about: str, refused: int, items: int, limit: float) -> Check:
    """Tokenizer contract, on a sample: the share of prompts that break it must not exceed `limit`.

    Fail when it surely does (the lower 95 % bound, Clopper-Pearson, lies above the limit), Ambiguous when the sample's
    share is above it and the truth may not be; the baseline stage then decides on all items.
    """
    share = refused / items if items else 1.0
    sure = beta_quantile(0.05, refused, items - refused + 1) if refused and items else 0.0
    outcome: Outcome = "Pass" if items and share <= limit else "Fail" if not items or sure > limit else "Ambiguous"
    said = f"{refused} of {items} prompts break the contract (limit {limit:.1%})"
    return Check("tokenizer contract", about, outcome, said, outcome == "Fail")


def instrument(model: str, answer: InstrumentAnswer, kinds: frozenset[str]) -> list[Check]:
    """Identities on the weights, placebo, repeat; Ambiguous where a tier left nothing to try them on.

    An identity blocks when it is about the whole model or about a kind of site that the study edits (`kinds`); one that
    fails elsewhere disables its kind by name and is only written down.
    """
    checks = [
        Check(
            "identity",
            model,
            "Pass" if each.holds else "Fail",
            f"identity '{each.name}' fails",
            each.about in {"model", *kinds},
        )
        for each in answer.identities
    ]
    moved: Outcome = "Pass" if answer.placebo_bit_equal else "Fail"
    checks.append(Check("placebo", model, moved, "scaling by 1 changes the logits", True))
    flips = answer.repeat_flips
    said = f"{flips} answers flip when the same batch is run again"
    checks.append(Check("repeat", model, "Fail" if flips else "Pass", said, True))
    checks += [*_read(model, answer)]
    for tier, told in answer.contract.items():
        kept = told.items - told.refused
        said = f"{kept} prompts of {tier} could be tried"
        checks.append(Check("tried", model, "Pass" if kept else "Ambiguous", said, True))
    return checks


ALONE = {"float32": 1e-4, "bfloat16": 0.1}
"""Largest difference of log-probabilities between a row alone and in its batch, nats: what two ways of computing the
same may differ by in these numbers (the engine's agreement)."""
MISREAD = {"float32": 1e-3, "bfloat16": 0.1}
"""Largest difference of a number from the same one computed a second way, in its own unit. A sum over an answer's
tokens may differ by more than one token's log-probability; a wrong token, position or sign gives tenths and more."""


def _read(model: str, answer: InstrumentAnswer) -> Iterator[Check]:
    """Rows do not depend on their batch, numbers come out alike a second way, tokens spell the items.

    Records of runs from before these were measured have none of them, and are judged without.
    """
    if answer.misread is None:
        return
    floor, misread, told = answer.noise_floor, answer.misread, answer.contradictions
    alone, second = (limits[answer.dtype] for limits in (ALONE, MISREAD))
    said = f"a row alone differs by {floor:.2g} nats from the row in its batch (limit {alone:g})"
    yield Check("alone", model, "Pass" if floor <= alone else "Fail", said, True)
    said = f"a number differs by {misread:.2g} from the same one computed a second way (limit {second:g})"
    yield Check("second reading", model, "Pass" if misread <= second else "Fail", said, True)
    if answer.own_mean is not None:
        moved = answer.own_mean
        said = f"a row's own activations, given as their mean, change it by {moved:.2g} nats (limit {alone:g})"
        yield Check("own mean", model, "Pass" if moved <= alone else "Fail", said, True)
    if answer.whole_patch is not None:
        apart = answer.whole_patch
        said = f"patching everything differs from the other prompt's own run by {apart:.2g} nats (limit {alone:g})"
        yield Check("whole patch", model, "Pass" if apart <= alone else "Fail", said, True)
    if answer.others_mean is not None:
        apart = answer.others_mean
        said = f"what mean and resampling put in place is {apart:.2g} of its size from the same one by one"
        yield Check("others' mean", model, "Pass" if apart <= alone else "Fail", f"{said} (limit {alone:g})", True)
    said = f"tokens and items contradict each other: {'; '.join(told[:3])}" if told else "tokens spell the items"
    yield Check("tokens read back", model, "Fail" if told else "Pass", said, True)


def room(about: str, correct: int, items: int, margin: float) -> Check:
    """Floor and ceiling of a baseline: guessing (up to 2 standard errors) forbids Harm and Null, 1 - m Improvement.

    Fail at or beyond a bound, Ambiguous within 2 standard errors of one: the confirmation's items may fall beyond it.
    """
    share = correct / items
    error = sqrt(share * (1 - share) / items)
    low, high = 2 * error, 1 - margin
    beyond = share <= low or share >= high - 1e-12
    near = share <= low + 2 * error or share >= high - 2 * error
    outcome: Outcome = "Fail" if beyond else "Ambiguous" if near else "Pass"
    side = "Harm and Null are" if share < 0.5 else "Improvement is"
    said = f"baseline accuracy {share:.3f}" + (f": {side} out of reach" if beyond else "")
    return Check("floor and ceiling", about, outcome, said, False)


def quiet(about: str, gained: int, lost: int, items: int, margin: float) -> Check:
    """Control quietness: editing a matched random set must change accuracy by less than the margin on discovery items.

    Pass when Tango's 95 % interval lies inside the margin, Fail when it lies outside, else Ambiguous. A loud control
    does not stop a study: specificity is tested against it, and is the harder to show.
    """
    low, high = tango(gained, lost, items)
    inside, outside = -margin < low and high < margin, low >= margin or high <= -margin
    outcome: Outcome = "Pass" if inside else "Fail" if outside else "Ambiguous"
    said = f"{100 * (gained - lost) / items:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}], margin {100 * margin:g}"
    return Check("control quietness", about, outcome, said, False)


def detector(
    model: str, scores: Sequence[Sequence[float]], again: Sequence[Sequence[float]], threshold: float
) -> Check:
    """Detector validity: a head must pass the threshold on two independent sets of sequences.

    Ambiguous when every head that passes one set fails the other: then both are drawn anew and twice as large.
    """
    pairs = [pair for one, other in zip(scores, again, strict=True) for pair in zip(one, other, strict=True)]
    both, either = (any(test(score >= threshold for score in pair) for pair in pairs) for test in (all, any))
    best = max(max(row) for row in scores)
    outcome: Outcome = "Pass" if both else "Ambiguous" if either else "Fail"
    said = f"the highest score is {best:.3f}, {max(max(row) for row in again):.3f} again (threshold {threshold:g})"
    return Check("detector validity", model, outcome, said, True)
