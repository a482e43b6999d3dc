"""The looks that the attention explorer draws from, taken when a run has ended and before it is sealed.

Items are picked by a rule from the run's own discovery rows, so nobody chooses them by how they look. What cannot be
read is named and left out, for a picture must not keep a run from its end.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import torch
from tokenizers import Tokenizer

from lesion.errors import InterventionError, LesionError
from lesion.identity import file_hash
from lesion.interventions.intervention import Scale
from lesion.measures.item_view import Look, look
from lesion.models.model import Model
from lesion.runs.execute.finish import WriteReport
from lesion.runs.execute.logs import LOGGER
from lesion.runs.folder.atomic_io import write_table, write_text
from lesion.runs.folder.explorer_data import DOCUMENT, LOOKS, TABLE, Answered, Explored, Looked
from lesion.runs.folder.run_folder import RunFolder
from lesion.runs.manifest.environment import source_hash
from lesion.runs.manifest.run import Manifest
from lesion.runs.measure.cell_items import block_of
from lesion.runs.measure.worker_state import opened
from lesion.study.arms.arm import BASELINE, Arm, scaled
from lesion.study.plan import Cell, Plan, swept
from lesion.tasks.task import Item
from lesion.tasks.tokenizers.prompt_contract import Compiled, spelled

KINDS = (
    ("right unedited, wrong under the edit", True, False, 2),
    ("right both times", True, True, 1),
    ("wrong unedited, right under the edit", False, True, 1),
    ("wrong both times", False, False, 1),
)
"""What rows say of an item: in words, right unedited, right under the edit, and how many of them are shown."""
RULE = (
    "Of each tier the first discovery items, by number, that the strongest edit makes wrong (two of them), leaves"
    " right, makes right and leaves wrong (one each)."
)
MOST_EDITS = 2
LONGEST = 256
"""Tokens of an item, at most."""
MOST_NUMBERS = 4_000_000
"""Numbers of all patterns of a run, at most; tiers share it evenly."""


class _Shown(NamedTuple):
    """An item that is looked at."""

    item: Item
    compiled: Compiled
    picked: str


def exploring(report: WriteReport) -> WriteReport:
    """A report that is preceded by the explorer's looks, so that it can show them."""

    def write(folder: Path, manifest: Manifest) -> object:
        explore(folder, manifest)
        return report(folder, manifest)

    return write


def explore(folder: Path, manifest: Manifest, into: Path | None = None) -> Explored:
    """Look at a few items of every tier, unedited and under the target's edits, and write down what was seen.

    Args:
        folder: the run folder, its units finished.
        manifest: as it stands.
        into: where `explorer.json` and `explorer.parquet` are written; the run folder itself when not given.

    Raises:
        DiskError: when the files cannot be written.
    """
    started = time.process_time()
    rows = RunFolder(folder).items().filter((pl.col("stage") == "discovery") & (pl.col("seed") == 0))
    scales = manifest.study.sweep.edit.exchange is None  # a look shows one prompt, and patching needs two
    pairs = [pair for pair in manifest.plan.own_pairs() if scales and manifest.plan.aims(pair[0])]
    seen: list[Looked] = []
    tables = [pl.DataFrame(schema=LOOKS)]
    refused: dict[str, str] = {}
    for model, tier in pairs:
        try:
            here = _tier(manifest.plan, model, tier, rows, MOST_NUMBERS // len(pairs))
        except (
            LesionError,
            RuntimeError,
            TypeError,
        ) as error:  # what a block that is unlike others says in its own way
            refused[f"{model}|{tier}"] = " ".join(str(error).split())[:300]
            LOGGER.warning("explorer: %s, %s: %s", model, tier, refused[f"{model}|{tier}"])
        else:
            seen += [looked for looked, _ in here]
            tables += [table for _, table in here]
    place = into or folder
    write_table(place / TABLE, pl.concat(tables))
    document = Explored(
        run=manifest.run,
        source_hash=source_hash(),
        weights={name: opened(name).weights_hash for name in dict.fromkeys(looked.model for looked in seen)},
        rule=RULE,
        items=tuple(seen),
        refused=refused,
        table_hash=file_hash(place / TABLE),
        cpu_seconds=time.process_time() - started,
    )
    write_text(place / DOCUMENT, document.model_dump_json(indent=1) + "\n")
    return document


def edits(plan: Plan, model: str) -> tuple[Arm, ...]:
    """The target's edits that are looked at: the factors farthest from 1, the farthest first.

    They are those of the model's family; before it is formed, those of the sweep.
    """
    alphas = {chosen.alpha for chosen in plan.family if chosen.model == model} or set(swept(plan.study))
    farthest = sorted(alphas, key=lambda alpha: (-abs(alpha - 1), alpha))[:MOST_EDITS]
    return tuple(
        scaled("target", sites, alpha, plan.study, name) for _, name, sites in plan.aims(model) for alpha in farthest
    )


def _tier(plan: Plan, model: str, tier: str, rows: pl.DataFrame, most: int) -> list[tuple[Looked, pl.DataFrame]]:
    """Every picked item of a tier with its looks.

    Raises:
        LesionError: when nothing can be shown, or something cannot be read.
    """
    arms, network = (BASELINE, *edits(plan, model)), opened(model)
    here = rows.filter((pl.col("model") == model) & (pl.col("tier") == tier))
    looks: list[tuple[Looked, pl.DataFrame]] = []
    left = most
    longest = 0
    for shown in _picked(plan, network, tier, here, arms[1].name):
        tokens = len(shown.compiled.ids) - 1
        size = len(arms) * network.sizes.n_layers * network.sizes.n_heads * tokens * (tokens + 1) // 2
        longest = max(longest, tokens)
        if tokens <= LONGEST and size <= left:
            left -= size
            looks.append(_looked(network, tier, shown, arms))
    if not looks:
        raise LesionError(
            f"no item is short enough to be shown ({longest} tokens, {network.sizes.n_layers * network.sizes.n_heads}"
            " heads)"
            if longest
            else "discovery left no rows of the strongest edit"
        )
    return looks


def _picked(plan: Plan, model: Model, tier: str, rows: pl.DataFrame, strongest: str) -> Iterator[_Shown]:
    """The items that the rule names, in the order of its kinds."""
    was, now = (
        rows.filter(pl.col("arm") == name).select("index", pl.col("correct").alias(as_what))
        for name, as_what in ((BASELINE.name, "was"), (strongest, "now"))
    )
    both = was.join(now, on="index").sort("index")
    for words, before, after, most in KINDS:
        kind = both.filter((pl.col("was") == before) & (pl.col("now") == after))
        for index in kind["index"].head(most).to_list():
            cell = Cell(stage="discovery", model=model.name, tier=tier, start=index, stop=index + 1)
            for item, compiled in block_of(model, cell, plan).asked:
                yield _Shown(item, compiled, words)


def _looked(model: Model, tier: str, shown: _Shown, arms: Sequence[Arm]) -> tuple[Looked, pl.DataFrame]:
    """One item under every condition, as words and as rows."""
    compiled, item = shown.compiled, shown.item
    looks = {arm.name: look(model, compiled, _scale(arm)) for arm in arms}
    read = compiled.ids[:-1]
    described = Looked(
        model=model.name,
        tier=tier,
        index=item.index,
        item_id=item.id[:16],
        picked=shown.picked,
        ids=read,
        tokens=tuple(spelled(model.tokenizer, (token,)) for token in read),
        roles=_roles(compiled, len(read)),
        prompt_length=compiled.prompt_length,
        answer=item.answer,
        wrong=item.wrong,
        answered=tuple(_answered(model.tokenizer, compiled, name, each) for name, each in looks.items()),
    )
    rows = [
        {"model": model.name, "tier": tier, "index": item.index, "arm": name, **row}
        for name, each in looks.items()
        for row in _heads(each)
    ]
    return described, pl.DataFrame(rows, schema=LOOKS)


def _scale(arm: Arm) -> Scale | None:
    """What an arm of the sweep does; nothing is the unedited model.

    Raises:
        InterventionError: for another kind of edit, of which no looks are taken.
    """
    if arm.intervention is None or isinstance(arm.intervention, Scale):
        return arm.intervention
    raise InterventionError(f"{arm.name}: looks are taken of factors, not of {type(arm.intervention).__name__.lower()}")


def _answered(tokenizer: Tokenizer, compiled: Compiled, name: str, look: Look) -> Answered:
    return Answered(
        arm=name,
        predicted=spelled(tokenizer, look.predicted),
        correct=look.predicted == compiled.answer_ids,
        logit_diff=look.logit_diff,
    )


def _heads(look: Look) -> Iterator[dict[str, Any]]:
    """A row per head: its share, and its pattern without the keys that a query cannot see."""
    layers, heads, length, _ = look.patterns.shape
    query, key = torch.tril_indices(length, length)
    flat = look.patterns[..., query, key]
    for layer in range(layers):
        for head in range(heads):
            yield {
                "layer": layer,
                "head": head,
                "direct": float(look.direct[layer, head]),
                "pattern": flat[layer, head].numpy(force=True),
            }


def _roles(compiled: Compiled, length: int) -> tuple[str, ...]:
    """The role of every position that the model reads."""
    roles = [""] * length
    for role, spans in compiled.roles.items():
        for start, stop in spans:
            for place in range(start, min(stop, length)):
                roles[place] = f"{roles[place]}/{role}" if roles[place] else role
    return tuple(roles)
