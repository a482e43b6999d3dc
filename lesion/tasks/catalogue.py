"""Which tasks exist: the one table from a configuration's `task` to what makes its items."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, get_args

from lesion.errors import InputError, nearest
from lesion.identity import field_docstrings
from lesion.tasks.config import TaskConfig
from lesion.tasks.literature.greater_than import GreaterThanTask
from lesion.tasks.literature.ioi import IoiTask
from lesion.tasks.literature.letter_patterns import LetterPatternsTask
from lesion.tasks.problems.analogy import AnalogyTask
from lesion.tasks.problems.arithmetic import ArithmeticTask
from lesion.tasks.problems.custom import own_task
from lesion.tasks.problems.gsm8k import Gsm8kTask
from lesion.tasks.problems.multistep import MultistepTask
from lesion.tasks.problems.symbolic import SymbolicTask
from lesion.tasks.problems.word_problems import WordProblemsTask
from lesion.tasks.prompts.prompt_file import PromptFileTask
from lesion.tasks.task import Task

TASKS: Mapping[str, Callable[[Any], Task]] = {
    "arithmetic": ArithmeticTask,
    "symbolic": SymbolicTask,
    "analogy": AnalogyTask,
    "multistep": MultistepTask,
    "word_problems": WordProblemsTask,
    "gsm8k": Gsm8kTask,
    "ioi": IoiTask,
    "greater_than": GreaterThanTask,
    "letter_patterns": LetterPatternsTask,
    "file": PromptFileTask,
    "own": own_task,
}
_TIERS = {
    "arithmetic": "1, 2",
    "symbolic": "3",
    "analogy": "3",
    "multistep": "4",
    "word_problems": "5",
    "gsm8k": "5",
    "ioi": "any",
    "greater_than": "any",
    "letter_patterns": "any",
    "file": "any",
    "own": "any",
}


class Entry(NamedTuple):
    """A kind of task, as the list of tasks says it."""

    name: str
    tier: str
    """Tiers of the roadmap that it is for."""
    about: str
    """What it asks."""
    settings: dict[str, str]
    """What can be set: field -> what it means."""


def overview() -> tuple[Entry, ...]:
    """Every kind of task, in the order of the tiers."""
    kinds: dict[str, Any] = {kind.model_fields["task"].default: kind for kind in get_args(get_args(TaskConfig)[0])}
    return tuple(
        Entry(
            name,
            tier,
            (kinds[name].__doc__ or "").strip(),
            {field: text for field, text in field_docstrings(kinds[name]).items() if field != "task"},
        )
        for name, tier in _TIERS.items()
    )


def make_task(config: TaskConfig) -> Task:
    """The task that a configuration describes.

    Raises:
        InputError: for a kind of task that is not in `TASKS`.
    """
    if config.task not in TASKS:
        raise InputError(f"there is no task '{config.task}'; {nearest(config.task, TASKS)}")
    return TASKS[config.task](config)
