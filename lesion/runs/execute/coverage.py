"""Before a run: how many items will have reference items for mean and resample ablation. Needs tokenizers, no model.

The instrument stage counts again with the model itself, over more problems (`lesion.runs.measure.reference_sets`). This
count looks at fewer, so it is a lower bound.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from lesion.runs.execute.costs import tokenizer_of
from lesion.study.arms.arm import ALIKE, zeroes
from lesion.study.study import Study
from lesion.tasks.catalogue import make_task
from lesion.tasks.config import OwnConfig
from lesion.tasks.task import Draw
from lesion.tasks.tokenizers.layouts import Layout, problem_layout
from lesion.tasks.tokenizers.prompt_contract import Compiled, compile_item
from lesion.tasks.trusted_code import is_trusted

ITEMS = 256
"""Discovery items whose references are counted."""
PROBLEMS = 1024
"""Discovery problems that are looked through, those items among them."""


def references_ahead(study: Study) -> list[str]:
    """One sentence for each model and tier; nothing where no ablation needs references, and in format 1."""
    if study.claims is None or not zeroes(study):
        return []
    return [_said(study, model, tier) for model in study.models for tier in study.tasks]


def _said(study: Study, model: str, tier: str) -> str:
    config, tokenizer = study.tasks[tier], tokenizer_of(model)
    opening = f"{tier}, {model}: reference items for mean and resample ablation"
    if study.chat is not None or tokenizer is None or (isinstance(config, OwnConfig) and not is_trusted(config.sha256)):
        return f"{opening} are counted when the run begins."
    layouts = list(_layouts(study, tier, model))
    if not layouts:
        return f"{opening}: this tokenizer can write none of the first {PROBLEMS:,} problems."
    alike, asked = Counter(layouts), layouts[:ITEMS]
    covered = sum(alike[layout] > ALIKE for layout in asked)
    return f"{opening}: {covered} of {len(asked)} discovery items have {ALIKE} or more."


def _layouts(study: Study, tier: str, model: str) -> Iterator[Layout]:
    """Layouts of the first discovery problems, without those that the tokenizer cannot write."""
    task, tokenizer = make_task(study.tasks[tier]), tokenizer_of(model)
    assert tokenizer is not None
    draw = Draw("discovery", f"discovery-{study.seed}", 0, 1, prefix=0)
    for item in task.items(draw, 0, min(PROBLEMS, task.capacity(draw))):
        compiled = compile_item(replace(item, twin=()), tokenizer, None)  # a layout asks for no corrupted prompt
        if isinstance(compiled, Compiled):
            yield problem_layout(compiled)
