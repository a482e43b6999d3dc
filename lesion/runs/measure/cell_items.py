"""The items of a cell: made by the task, asked as the study wants them, and compiled for a model."""

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from lesion.models.chat_template import open_frame
from lesion.models.model import Model
from lesion.study.arms.edits import EdgeKnockOut, Patching, asked_task
from lesion.study.plan import Cell, Plan
from lesion.study.stages.cells import draw_of
from lesion.study.study import Study
from lesion.tasks.config import TaskConfig
from lesion.tasks.task import Item
from lesion.tasks.tokenizers.chat_turn import Chat, Frame, framed, is_chat
from lesion.tasks.tokenizers.prompt_contract import Compiled, Refused, compile_item

BATCH_ROWS = 256
"""Most rows of a batch; batches never cross a block of the plan."""


@lru_cache(maxsize=8)
def frame_of(name: str, system: str | None) -> Frame:
    """What a model's chat template puts around a question, read once per worker."""
    return open_frame(name, Chat(system=system))


class Block(NamedTuple):
    """The items of a cell, compiled for a model."""

    made: list[Item]
    """As the task made them."""
    items: list[Item]
    """As they are asked: inside the chat template's text, where the study wants that."""
    compiled: list[Compiled | Refused]
    bos: int | None
    """The token that begins each prompt, where one does."""

    @property
    def asked(self) -> list[tuple[Item, Compiled]]:
        """Those that keep the prompt contract."""
        pairs = zip(self.items, self.compiled, strict=True)
        return [(item, compiled) for item, compiled in pairs if isinstance(compiled, Compiled)]


def block_of(model: Model, cell: Cell, plan: Plan) -> Block:
    """Make and compile a cell's items."""
    items = asked_task(plan.study.tasks[cell.tier], plan.study.sweep.edit).items(
        draw_of(cell, plan), cell.start, cell.stop
    )
    return compiled_block(model, plan.study, cell.tier, items)


def compiled_block(model: Model, study: Study, tier: str, made: Iterable[Item]) -> Block:
    """Items of a tier as a study asks them of a model, compiled, each with what the study's edit needs."""
    block = written_block(model, study, study.tasks[tier], made)
    return block._replace(compiled=[_edited(one, study) for one in block.compiled])


def written_block(model: Model, study: Study, task: TaskConfig, made: Iterable[Item]) -> Block:
    """Items of a task, written into the chat template where the study wants that, and compiled."""
    items = made = list(made)
    bos = model.bos
    if study.chat is not None:
        frame, turns = frame_of(model.name, study.chat.system), is_chat(task)
        items, bos = [framed(item, frame, turns=turns) for item in items], frame.bos_id(model.tokenizer)
    return Block(made, items, [compile_item(item, model.tokenizer, bos) for item in items], bos)


def _edited(compiled: Compiled | Refused, study: Study) -> Compiled | Refused:
    """An item as the study's edit needs it: with tokens where it acts, and the prompt of its pair where it patches."""
    edit = study.sweep.edit
    placed = _placed(compiled, study.sweep.positions)
    if isinstance(edit, EdgeKnockOut):
        placed = _placed(placed, edit.keys)
    if isinstance(placed, Refused) or not isinstance(edit, Patching):
        return placed
    if placed.twin_ids is None:
        return Refused("no_twin", "its corrupted prompt has other tokens or roles, so nothing can be patched")
    if edit.direction == "noising":
        return placed
    clean = placed.twin_ids[: placed.prompt_length]  # under denoising the answer is the clean prompt's own
    return replace(placed, twin_ids=(*clean, *placed.answer_ids))


def _placed(compiled: Compiled | Refused, positions: str) -> Compiled | Refused:
    """An item whose interventions have a place: a sign that shares its token with the answer has none."""
    role = positions.removeprefix("role:")
    if isinstance(compiled, Refused) or role == positions or role in compiled.roles:
        return compiled
    return Refused("role_crosses_token", f"'{role}' has no token of its own, and interventions act there")
