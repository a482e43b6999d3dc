"""Tasks of EleutherAI's lm-evaluation-harness under an intervention: its own code, on the model with the hooks held.

The harness gets the loaded Hugging Face module and the tokenizer of the model's folder, and asks as it always does:
prompts, few-shot examples, metrics and seeds are its own (lm_eval.simple_evaluate, arXiv:2405.14782). One request is
run at a time, because in larger batches it pads without saying where. So without an intervention its number is the one
that it gives alone with batch size 1 and the same precision, and with one the hooks are all that differs.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from lesion.engine.hooks import held
from lesion.engine.proof.cache import proved
from lesion.errors import InputError, nearest
from lesion.identity import Document, content_hash
from lesion.interventions.intervention import Intervention, Receipt
from lesion.models.model import Model
from lesion.models.text_conventions import Conventions, conventions, ends_of, greedily

KEPT = ("results", "groups", "group_subtasks", "configs", "versions", "n-shot", "higher_is_better", "n-samples")
"""Parts of what the harness returns; the others are the time, the machine and its own folder."""


class Harness(Document):
    """What the harness found."""

    model: str
    """As it was asked for."""
    intervention: str | None
    """What was changed, for people; none: nothing."""
    receipt: Receipt | None
    """All forward passes of all tasks together."""
    conventions: Conventions
    """How texts begin and end, and what of the model's generation config is set aside."""
    version: str
    """Of lm-eval."""
    batch_size: int = 1
    """Requests in one forward pass."""
    limit: int | None
    """Items of each task at most; none: all."""
    asked: dict[str, str]
    """Task -> hash over its items in their order: what was asked, word by word, and what was right."""
    found: dict[str, Any]
    """The harness's own document: its keys, names, numbers and standard errors."""


def harness(
    model: Model,
    tasks: Sequence[str],
    intervention: Intervention | None = None,
    limit: int | None = None,
    folder: Path | None = None,
    *,
    shots: int | None = None,
    samples: bool = False,
) -> Harness:
    """Evaluate a model on tasks of the harness.

    Args:
        model: a model with a folder, for its tokenizer.
        tasks: names of tasks or groups.
        intervention: what is changed in every forward pass, at all positions; a scale.
        limit: items of each task at most.
        folder: where more task files are (YAML).
        shots: worked examples before each item; none: what each task says.
        samples: whether each item, with what the model was asked and said, is in the result.

    Raises:
        InputError: without the extra, for a model without a folder, for an unknown task.
        InterventionError: for an intervention that has no meaning here or did not act as it must.
    """
    evaluate = _part("lm_eval").simple_evaluate
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    manager = _manager(tasks, folder)
    if intervention is not None:
        proved(model).require(intervention)
    wrapped = _wrapped(model)
    holding = nullcontext() if intervention is None else held(model, intervention)
    with greedily(model), holding as recorder:
        raw: Any = evaluate(
            wrapped, tasks=list(tasks), num_fewshot=shots, limit=limit, task_manager=manager, log_samples=True
        )
    return Harness(
        model=model.name,
        intervention=None if intervention is None else str(intervention),
        receipt=None if recorder is None else recorder.receipt(),
        conventions=conventions(model),
        version=version("lm-eval"),
        limit=limit,
        asked={task: content_hash([_question(one) for one in kept]) for task, kept in raw["samples"].items()},
        found=_plain({name: raw[name] for name in (*KEPT, *(["samples"] if samples else [])) if name in raw}),
    )


def _part(name: str) -> Any:
    """A module of the harness, which is an extra."""
    try:
        return import_module(name)
    except ImportError as error:
        raise InputError(f"tasks of lm-eval need the extra: pip install 'lesion[eval]' ({error})") from error


def _manager(tasks: Sequence[str], folder: Path | None) -> Any:
    """What finds tasks; the thousands of the harness itself are not read where the folder has all that is asked."""
    manage = _part("lm_eval.tasks").TaskManager
    if folder is not None:
        mine: Any = manage(include_path=str(folder), include_defaults=False)
        if all(task in mine.all_subtasks for task in tasks):
            return mine
    manager: Any = manage(include_path=None if folder is None else str(folder))
    for task in tasks:
        if task not in manager.all_tasks:
            raise InputError(f"lm-eval has no task '{task[:60]}'; {nearest(task, manager.all_tasks)}")
    return manager


def _wrapped(model: Model) -> Any:
    """The model as the harness knows it; its module is not copied.

    The harness asks for a token that ends texts; of a tokenizer that names none, it is the one of the model's config.
    """
    if model.folder is None:
        raise InputError(f"{model.name} has no folder with a tokenizer, which lm-eval needs; take zoo:NAME or a folder")
    tokenizer: Any = AutoTokenizer.from_pretrained(model.folder, local_files_only=True, trust_remote_code=False)
    ends = sorted(ends_of(model))
    if tokenizer.eos_token_id is None and ends:
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(ends[0])
    begins = model.bos is not None
    made = _part("lm_eval.models.huggingface").HFLM
    return made(pretrained=model.module, tokenizer=tokenizer, batch_size=1, add_bos_token=begins)


def _question(sample: Mapping[str, Any]) -> list[Any]:
    """What tells an item from others, by the harness's own hashes of its data, its words and its answer."""
    return [sample[name] for name in ("doc_id", "doc_hash", "prompt_hash", "target_hash")]


def _plain(found: dict[str, Any]) -> dict[str, Any]:
    """As JSON, in the way in which the harness writes its own files."""
    return json.loads(json.dumps(found, default=_part("lm_eval.utils").handle_non_serializable))
