"""What guessing scores: the best constant answer, counted from the answers alone. No model is asked.

A baseline that is no better than this knows nothing of the task, so an edit can neither harm it nor leave it alone.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import log

from lesion.errors import InputError


@dataclass(frozen=True)
class Chance:
    """What the best forecast that ignores the question scores."""

    value: float
    """The floor: the largest of what follows (share), or a mean log-probability (nats)."""
    constant: str
    """The answer that is right most often."""
    overall: float
    """Share of items that it gets right."""
    by_form: float
    """Share that the best constant answer of each form gets right; a form is a length in characters."""
    items: int


def chance_accuracy(answers: Sequence[str]) -> Chance:
    """Accuracy of the best constant answer: one for all items, or one for each form of answer; the larger counts.

    Args:
        answers: the right answers of the discovery items.

    Raises:
        InputError: without answers.
    """
    counts, n = _counted(answers), len(answers)
    constant, most = counts.most_common(1)[0]
    forms: dict[int, int] = {}
    for answer, count in counts.items():
        forms[len(answer)] = max(forms.get(len(answer), 0), count)
    overall, by_form = most / n, sum(forms.values()) / n
    return Chance(max(overall, by_form), constant, overall, by_form, n)


def chance_logprob(answers: Sequence[str], *, unseen: bool = False) -> Chance:
    """Mean log-probability of the best constant forecast, nats: minus the entropy of the answers' distribution.

    Counted from n answers the entropy is at most ln n, so the floor is too high where few answers come twice: no model
    can then be shown to lose anything. `unseen` corrects for answers that were not drawn, after Chao & Shen 2003
    (Environmental and Ecological Statistics 10, 429). With coverage C = 1 - (answers seen once) / n and
    p = C count / n, H = -sum p ln p / (1 - (1 - p)^n).

    Args:
        answers: the right answers of the discovery items.
        unseen: whether to correct for answers that were not drawn.

    Raises:
        InputError: without answers.
    """
    counts, n = _counted(answers), len(answers)
    if unseen and n > 1:
        score = -_covered_entropy(list(counts.values()), n)
    else:
        score = sum(count * log(count / n) for count in counts.values()) / n
    return Chance(score, *_shares(chance_accuracy(answers)))


def _covered_entropy(counts: Sequence[int], n: int) -> float:
    """Chao and Shen's estimate of the entropy, nats; where every answer came once, one of them counts as seen twice."""
    once = min(sum(count == 1 for count in counts), n - 1)
    shares = [(1 - once / n) * count / n for count in counts]
    return -sum(share * log(share) / (1 - (1 - share) ** n) for share in shares)


def _shares(found: Chance) -> tuple[str, float, float, int]:
    return found.constant, found.overall, found.by_form, found.items


def _counted(answers: Sequence[str]) -> Counter[str]:
    if not answers:
        raise InputError("chance is counted from answers; none was given")
    return Counter(answers)
