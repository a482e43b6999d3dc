"""The four answers that a study is drafted from: model, task, what to edit, how long it may take."""

from pathlib import Path
from typing import Any, NamedTuple

from lesion.errors import InputError, nearest
from lesion.identity import file_hash
from lesion.interventions.site import parse_site
from lesion.outside.files import require_regular
from lesion.tasks.catalogue import make_task
from lesion.tasks.config import PromptFileConfig, TaskConfig
from lesion.tasks.spelling import parse_task
from lesion.tasks.task import Draw

WORDS = {
    "induction": "its induction heads", "previous_token": "its previous-token heads",
    "duplicate_token": "its duplicate-token heads", "function_vector": "its function-vector heads",
    "screen": "the heads that a screen ranks highest", "neurons": "the neurons that write most",
}  # fmt: skip
TARGETS = tuple(WORDS)
"""What may be edited, besides sites by name."""
MOST = 4
"""Heads of a kind that are edited, at most: those with the highest scores."""
FILES = (".csv", ".jsonl", ".parquet")


class Wanted(NamedTuple):
    """The four answers."""

    name: str
    """Name of the study: that of its file."""
    model: str
    task: str
    """A task's spelling, or a file of prompts."""
    edit: str
    """One of `TARGETS`, or sites joined by commas."""
    minutes: float
    """How long the run may take."""
    workers: int


def task_of(text: str) -> TaskConfig:
    """A task from its spelling, or from a file of prompts.

    Raises:
        InputError: when there is neither.
    """
    path = Path(text)
    if path.suffix not in FILES:
        return parse_task(text)
    require_regular(path)
    return PromptFileConfig(path=text, sha256=file_hash(path))


def require_target(text: str) -> None:
    """Make sure that something can be edited under this name.

    Raises:
        InputError: when it cannot.
    """
    if text not in TARGETS:
        try:
            target_of(text)
        except InputError as error:
            known = nearest(text, TARGETS)
            raise InputError(f"'{text[:60]}' is nothing to edit; {known}; or sites: L5H1,L6H0") from error


def target_of(text: str) -> dict[str, Any]:
    """`sweep.target`."""
    if text == "screen":
        return {"kind": "screened", "tier": "main"}
    if text == "neurons":
        return {"kind": "neurons", "tier": "main"}
    if text in TARGETS:
        return {"kind": "detected", "detector": text, "most": MOST}
    return {"kind": "sites", "sites": [str(parse_site(part.strip())) for part in text.split(",")]}


def require_enough(wanted: Wanted, task: TaskConfig, least: int) -> None:
    """Refuse a file with too few prompts for every design, and say what asks it without a study.

    Args:
        wanted: the answers.
        task: the task.
        least: discovery items of the smallest design.

    Raises:
        InputError: when it holds fewer.
    """
    if not isinstance(task, PromptFileConfig):
        return
    held = make_task(task).capacity(Draw("discovery", "discovery-0", 0, 1))
    if held < least:
        raise InputError(
            f"{task.path}: {held} prompts are for discovery, and the smallest study of `lesion init` needs {least}; add"
            f" prompts, or ask these without a study: lesion measure {wanted.model} --task 'file path={task.path}'"
            f" --items {max(2, held)} --do 'zero L0H0'"
        )
