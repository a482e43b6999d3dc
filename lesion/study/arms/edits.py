"""What a study does to its target: scale, ablate, patch or steer it, or cut its edges."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, field_validator, model_validator

from lesion.identity import Document
from lesion.interventions.intervention import Keys
from lesion.study.arms.vectors import FileVector, VectorSource
from lesion.tasks.catalogue import make_task
from lesion.tasks.config import TaskConfig
from lesion.tasks.task import Draw, Item, Task

Exchange = Literal["noising", "denoising", "knock_out", "steer"]
"""Edits without a factor, beside the ablations. `noising` puts the corrupted prompt's activations into the run on the
clean one: Harm says that the target carries part of what the answer needs. `denoising` puts the clean prompt's into the
run on the corrupted one: Improvement says that the target brings part of the answer back. `knock_out` cuts attention
edges. `steer` adds a vector to the stream."""


class Scaling(Document):
    """Multiply the target's activations by each of `sweep.alphas`; at 0 the three ablations are measured."""

    kind: Literal["scale"] = "scale"

    @property
    def exchange(self) -> Exchange | None:
        """None: there is a factor."""
        return None


class Ablating(Document):
    """Ablate the target. This kind decides; zero, mean and resample ablation are measured beside it."""

    kind: Literal["zero", "mean", "median", "resample"]
    """What takes the place of the activation: `zero`, the `mean` or element-wise `median` over reference items, or the
    value of another reference item (`resample`)."""

    @property
    def exchange(self) -> Exchange | None:
        """None: it is an ablation, as a factor of 0 is."""
        return None


class Patching(Document):
    """Put activations of the other prompt of each pair in the place of the target's (activation patching)."""

    kind: Literal["patch"]
    direction: Literal["noising", "denoising"]
    """`noising`: from the corrupted prompt into the run on the clean one; Harm: the target carries
    part of what the answer needs (necessity, in part). `denoising`: from the clean prompt into the run on the corrupted
    one; Improvement: it brings part of the answer back (sufficiency, in part). The answer
    that counts is the clean prompt's in both."""

    @property
    def exchange(self) -> Exchange | None:
        """The direction."""
        return self.direction


class EdgeKnockOut(Document):
    """Cut attention edges of the target's heads, from the queries at `sweep.positions`; what is left sums to 1."""

    kind: Literal["knock_out"]
    keys: Keys = "induction"
    """Key positions: `induction` (the tokens that follow an earlier occurrence of the query's token), `last`,
    `role:NAME`, `index:N`, …"""
    control: Literal["heads", "edges"] = Field(default="heads", exclude_if=lambda control: control == "heads")
    """What the matched sets are: the same edges of other heads, or other edges of the same heads, as many and drawn at
    random. `edges` needs the keys `induction`."""

    @model_validator(mode="after")
    def _of_the_pattern(self) -> Self:
        if self.control == "edges" and self.keys != "induction":
            raise ValueError("control: random edges stand beside the induction pattern; set keys: induction")
        return self

    @property
    def exchange(self) -> Exchange | None:
        """The cut."""
        return "knock_out"


class Steering(Document):
    """Add a vector to the stream at the target, which is one stream such as L15.resid_pre."""

    kind: Literal["steer"]
    vector: VectorSource
    """Where the vector comes from."""
    strength: float = Field(ge=-100, le=100)
    """Length of what is added over the mean norm of the stream there (last prompt token, discovery items); negative:
    the other way. 1 is as much as the stream itself."""
    control: Literal["random", "shuffled"] = Field(default="random", exclude_if=lambda control: control == "random")
    """What the matched sets are: vectors of the same length in random directions, or those that the same prompts give
    with their pairs shuffled: which of the two prompts counts as clean (as shown) is drawn for each pair. `shuffled`
    needs a vector from pairs or a contrast."""

    @model_validator(mode="after")
    def _of_prompts(self) -> Self:
        if self.control == "shuffled" and isinstance(self.vector, FileVector):
            raise ValueError("control: a vector from a file has no pairs to shuffle; leave the key out")
        return self

    @field_validator("strength")
    @classmethod
    def _pushes(cls, strength: float) -> float:
        if strength == 0:
            raise ValueError("a strength of 0 adds nothing; every study runs a placebo anyway")
        return strength

    @property
    def exchange(self) -> Exchange | None:
        """The push."""
        return "steer"


StudyEdit = Annotated[Scaling | Ablating | Patching | EdgeKnockOut | Steering, Field(discriminator="kind")]


class PairsExchanged(NamedTuple):
    """A task whose prompts and corrupted prompts have changed places; the answers stay those of the clean prompts."""

    task: Task

    @property
    def pool(self) -> int:
        """How many different problems there are."""
        return self.task.pool

    def capacity(self, draw: Draw) -> int:
        """How many items a lane holds."""
        return self.task.capacity(draw)

    def items(self, draw: Draw, start: int, stop: int) -> Iterator[Item]:
        """The task's own items, of which those with a corrupted prompt ask it."""
        for item in self.task.items(draw, start, stop):
            yield replace(item, segments=item.twin, twin=item.segments) if item.twin else item


def same_sites(edit: StudyEdit) -> bool:
    """Whether matched sets are other edits of the target's own sites: other vectors, or random edges."""
    return isinstance(edit, Steering) or (isinstance(edit, EdgeKnockOut) and edit.control == "edges")


def asked_task(config: TaskConfig, edit: StudyEdit) -> Task:
    """The task as a study with this edit asks it: denoising asks the corrupted prompts."""
    task = make_task(config)
    return PairsExchanged(task) if edit.exchange == "denoising" else task
