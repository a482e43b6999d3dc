"""The positive control of a first study: a task that heads of its kind are known to serve, or why it has none."""

from typing import NamedTuple

from lesion.models.vocabulary import Vocabulary
from lesion.runs.draft.answers import TARGETS, WORDS, Wanted
from lesion.runs.draft.known_controls import REPEATS, asks_the_same, known_control
from lesion.tasks.config import TaskConfig
from lesion.tasks.formats import suited
from lesion.tasks.tokenizers.prompt_contract import has_space


class Control(NamedTuple):
    """The positive control of a study, or why it has none."""

    tier: str = ""
    """Name of the tier; empty: there is none."""
    task: TaskConfig | None = None
    """Its task, or where there is none an example of one."""
    why: str = ""
    """Why there is none, in a sentence."""

    @property
    def words(self) -> str:
        """What the control asks, or why there is none."""
        if self.tier:
            return f"Positive control: ablation must harm `{self.tier}`, or no claim says what kind of heads these are."
        return f"No positive control. {self.why}"


def control_of(wanted: Wanted, task: TaskConfig, vocabulary: Vocabulary) -> Control:
    """A task that heads of this kind are known to serve, or why the study has none."""
    repeats = suited(REPEATS, spaces=has_space(vocabulary.tokenizer))
    if wanted.edit not in TARGETS or wanted.edit in ("screen", "neurons"):
        return Control(task=repeats, why="The target is not of a named kind, so no task is known that needs it.")
    kind = WORDS[wanted.edit].removeprefix("its ")
    known = known_control(wanted.edit, *vocabulary)
    if known is None:
        why = f"No task is known that needs {kind} and that this model's vocabulary can write."
        return Control(task=repeats, why=why)
    if asks_the_same(task, known[1]):
        return Control(why=f"The task itself is the one that {kind} are known to serve.")
    return Control(*known)
