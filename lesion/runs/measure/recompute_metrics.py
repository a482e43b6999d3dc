"""A second reading of the numbers: the same ones from each row alone, by other arithmetic, so that none is misread.

The prompt is run by itself without any batch; the answer's places are counted from its own tokens; log-probabilities
are torch's log-softmax in float64. What `measure` says of a batch must come out again.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lesion.engine.batch import Batch
from lesion.measures.metrics import Numbers
from lesion.models.model import Model
from lesion.tasks.tokenizers.prompt_contract import Compiled

MOST = 8
"""Rows of a batch that are read again."""
CLOSE = 1e-3
"""Logits nearer than this are a tie, of which either may be the largest."""


def misread(model: Model, prompts: Sequence[Compiled], batch: Batch, numbers: Mapping[str, Numbers]) -> float:
    """Largest difference of a number from its second reading, over the first rows of a batch, in the number's unit.

    An answer that is right in one reading and wrong in the other counts 1, unless two logits nearly tie. A number that
    is there in one reading only counts as infinite.
    """
    worst = 0.0
    for place, row in enumerate(batch.rows[:MOST]):
        for name, value in _numbers(model, prompts[row]).items():
            told = float(numbers[name][place])
            if value != value and told != told:  # noqa: PLR0124  (both are NaN: there is no such number)
                continue
            gap = abs(value - told)
            worst = max(worst, gap if gap == gap else float("inf"))  # noqa: PLR0124
    return worst


def _numbers(model: Model, prompt: Compiled) -> dict[str, float]:
    """The numbers of one item, from its row alone."""
    ids, answer = torch.tensor([prompt.ids]), len(prompt.answer_ids)
    with torch.inference_mode():
        logits = model.module(ids, use_cache=False).logits[0].double()
    return numbers_of(logits[len(prompt.ids) - answer - 1 : -1], prompt)


def numbers_of(steps: Tensor, prompt: Compiled, close: float = CLOSE) -> dict[str, float]:
    """The numbers of one item from the logits that decide its answer's tokens, (answer, vocabulary), float64.

    Whether it is right is left out where two logits tie, or differ by no more than `close`.
    """
    spread, answer = steps.log_softmax(-1), len(prompt.answer_ids)
    found = {
        "answer_logprob": sum(float(spread[t, token]) for t, token in enumerate(prompt.ids[-answer:])),
        "entropy": float(-(spread[0].exp() * spread[0]).sum()),
        "logit_diff": float("nan"),
    }
    for t, (right, wrong) in enumerate(zip(prompt.ids[-answer:], prompt.wrong_ids, strict=True)):
        if right != wrong:
            found["logit_diff"] = float(steps[t, right] - steps[t, wrong])
            break
    found |= _digits(steps, prompt)
    best = steps.topk(2, -1)
    if float((best.values[:, 0] - best.values[:, 1]).min()) > close:
        found["correct"] = float(best.indices[:, 0].tolist() == list(prompt.ids[-answer:]))
    return found


def _digits(steps: Tensor, prompt: Compiled) -> dict[str, float]:
    """By how much each right digit leads the best other digit: the mean, and the first one's."""
    leads: list[float] = []
    for t, rivals in enumerate(prompt.digits):
        others = [float(steps[t, rival]) for rival in rivals if rival != prompt.answer_ids[t]]
        leads += [float(steps[t, prompt.answer_ids[t]]) - max(others)] if rivals else []
    mean = sum(leads) / len(leads) if leads else float("nan")
    return {"digit_diff": mean, "first_digit_diff": leads[0] if leads else float("nan")}
