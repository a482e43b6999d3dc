"""Positive controls that are known: tasks that need a kind of head, so that ablating such heads must harm them.

- Repetition of a random block needs induction heads, and the previous-token heads that they read (Olsson et al. 2022,
  "In-context learning and induction heads").
- Indirect object identification needs duplicate-token heads (Wang et al. 2022, "Interpretability in the wild").
"""

from collections.abc import Mapping

from tokenizers import Tokenizer

from lesion.tasks.catalogue import make_task
from lesion.tasks.config import IoiConfig, SymbolicConfig, TaskConfig
from lesion.tasks.formats import suited
from lesion.tasks.task import Draw
from lesion.tasks.tokenizers.prompt_contract import Refused, compile_item, has_space

REPEATS = SymbolicConfig(patterns=("repeat",), shortest=6, longest=16)
_KNOWN: Mapping[str, tuple[str, TaskConfig]] = {
    "induction": ("repeats", REPEATS),
    "previous_token": ("repeats", REPEATS),
    "duplicate_token": ("names", IoiConfig()),
}
"""Detector -> name of the tier, and the task."""
_SAMPLE = 64
"""Items whose tokens are looked at."""


def known_control(kind: str, tokenizer: Tokenizer, bos: int | None) -> tuple[str, TaskConfig] | None:
    """The tier and task that heads of a kind serve, in the format of a vocabulary.

    Args:
        kind: a detector's name.
        tokenizer: of the model.
        bos: the token that begins a text.

    Returns:
        Nothing where no such task is known, or where one item of 64 cannot be asked in this vocabulary.
    """
    if kind not in _KNOWN:
        return None
    tier, config = _KNOWN[kind]
    config = suited(config, spaces=has_space(tokenizer))
    items = make_task(config).items(Draw("discovery", "control", 0, 1), 0, _SAMPLE)
    if any(isinstance(compile_item(item, tokenizer, bos), Refused) for item in items):
        return None
    return tier, config


def asks_the_same(task: TaskConfig, control: TaskConfig) -> bool:
    """Whether a study's own task is that of the control, which then controls nothing."""
    if isinstance(task, SymbolicConfig) and isinstance(control, SymbolicConfig):
        return bool({*task.patterns} & {*control.patterns})
    return type(task) is type(control)
