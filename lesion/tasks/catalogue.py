"""Which tasks exist: the one table from a configuration's `task` to what makes its items."""

from collections.abc import Callable, Mapping
from typing import Any

from lesion.errors import InputError, nearest
from lesion.tasks.analogy import AnalogyTask
from lesion.tasks.arithmetic import ArithmeticTask
from lesion.tasks.config import TaskConfig
from lesion.tasks.gsm8k import Gsm8kTask
from lesion.tasks.multistep import MultistepTask
from lesion.tasks.own import own_task
from lesion.tasks.symbolic import SymbolicTask
from lesion.tasks.task import Task
from lesion.tasks.word_problems import WordProblemsTask

TASKS: Mapping[str, Callable[[Any], Task]] = {
    "arithmetic": ArithmeticTask,
    "symbolic": SymbolicTask,
    "analogy": AnalogyTask,
    "multistep": MultistepTask,
    "word_problems": WordProblemsTask,
    "gsm8k": Gsm8kTask,
    "own": own_task,
}


def make_task(config: TaskConfig) -> Task:
    """The task that a configuration describes.

    Raises:
        InputError: for a kind of task that is not in `TASKS`.
    """
    if config.task not in TASKS:
        raise InputError(f"there is no task '{config.task}'; {nearest(config.task, TASKS)}")
    return TASKS[config.task](config)
