"""Activation patching over a grid, and path patching between two heads.

Activation patching puts the counterfactual twin's activation at one site and one place of the base run, and reads how
far the target moves towards the twin's: (m(patched) - m(base)) / (m(twin) - m(base)), 1 being all the way. *Noising*
takes the clean prompt as its base and tells necessity; *denoising* takes the corrupted one and tells sufficiency, both
as a share of the whole way. The answer is the clean prompt's in both. Items whose twin does not align are left out and
counted.

Path patching (Wang et al. 2022) asks for the effect along one path: a sender head is patched while every other head is
held at its base value; what the receiver would then compute is put, alone, into a base run. MLPs are recomputed. With
no receiver, the effect is the sender's own on the logits, past all later heads.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from lesion.engine.batch import Batch
from lesion.engine.hooks import edited, recorded
from lesion.engine.replacement_activations import Library
from lesion.engine.select_engine import Engine
from lesion.errors import InputError, InterventionError
from lesion.identity import Document
from lesion.interventions.intervention import Patch
from lesion.interventions.site import Site
from lesion.measures.attribution.target import Target, mean_interval, target_changes, values
from lesion.measures.prompt_set import Asked, of
from lesion.models.model import Model
from lesion.progress import track
from lesion.tasks.tokenizers.prompt_contract import Compiled

Direction = Literal["noising", "denoising"]
Heads = Mapping[int, Tensor]
"""By layer: z of all heads, (batch, pos, heads, d_head)."""


class Patched(Document):
    """One cell of a grid."""

    site: str
    """What was patched."""
    positions: str
    """Where."""
    change: float
    """Mean change of the target, patched minus base."""
    low: float
    """Lower end of its 95 % interval over items."""
    high: float
    """Upper end."""
    share: float | None
    """Change over the whole way from base to twin; null where base and twin do not differ."""


class Grid(Document):
    """Activation patching over sites and places."""

    target: str
    """What was read."""
    direction: Direction = "noising"
    """Into which run was patched: `noising` the clean one, `denoising` the corrupted one."""
    items: int
    """Items with a twin that aligns."""
    without_twin: int
    """Items left out."""
    whole: float
    """Mean target of the twin minus the base's: what patching everything does."""
    cells: tuple[Patched, ...]
    """Site by site, place by place."""


def with_twins(asked: Asked, direction: Direction = "noising") -> tuple[Asked, int]:
    """The items whose twin aligns, and how many do not.

    Args:
        asked: the items.
        direction: `noising`, or `denoising`: then prompt and corrupted prompt change places.

    Raises:
        InputError: when fewer than two do.
    """
    places = [place for place, compiled in enumerate(asked.compiled) if compiled.twin_ids is not None]
    if len(places) < 2:
        raise InputError(f"{len(places)} of {len(asked.compiled)} items have a twin that aligns; patching needs two")
    rows = [asked.compiled[place] for place in places]
    kept = [row if direction == "noising" else _exchanged(row, row.twin_ids or ()) for row in rows]
    items = [asked.items[place] for place in places] if asked.items else []
    return of(kept, items), len(asked.compiled) - len(kept)


def _exchanged(compiled: Compiled, twin: tuple[int, ...]) -> Compiled:
    """The corrupted prompt in the place of the clean one, and the clean one as its twin; the answer stays."""
    return replace(compiled, ids=(*twin[: compiled.prompt_length], *compiled.answer_ids), twin_ids=compiled.ids)


def patch_grid(
    engine: Engine,
    asked: Asked,
    library: Library,
    sites: Sequence[Site],
    positions: Sequence[str] = ("all",),
    target: Target = "logit_diff",
    direction: Direction = "noising",
) -> Grid:
    """Patch every site at every place, each alone.

    Args:
        engine: the model and the way it is run.
        asked: the items.
        library: gives the twins' activations; `lesion.engine.replacement_activations.Library`.
        sites: heads, neurons or streams; `L0.resid_pre` to `L5.resid_pre` make the layers of a grid.
        positions: `all`, `last`, `role:NAME`, `index:N`: the columns of the grid.
        target: what is read.
        direction: `noising` from the corrupted prompt into the clean run, `denoising` the other way.

    Raises:
        InputError: when fewer than two items have a twin that aligns.
        InterventionError: for a site or a place that there is not.
    """
    kept, without = with_twins(asked, direction)
    start = Site(kind="resid_pre", layer=0)
    edits = [Patch(sites=(start,)), *(Patch(sites=(site,), positions=where) for site in sites for where in positions)]
    changes = target_changes(engine, kept, edits, target, "patching", library)
    whole = float(changes[0].mean())
    cells = _cells([(edit.sites[0], edit.positions) for edit in edits[1:]], changes[1:], whole)
    return Grid(
        direction=direction, target=target, items=len(kept.compiled), without_twin=without, whole=whole, cells=cells
    )


def _cells(places: Sequence[tuple[Site, str]], changes: np.ndarray, whole: float) -> tuple[Patched, ...]:
    """One cell for each place; `changes` is (places, items)."""
    made: list[Patched] = []
    for (site, where), row in zip(places, changes, strict=True):
        mean, low, high = mean_interval(row)
        share = mean / whole if abs(whole) > 1e-9 else None
        made.append(Patched(site=str(site), positions=where, change=mean, low=low, high=high, share=share))
    return tuple(made)


def path_patch(
    model: Model, asked: Asked, sender: Site, receiver: Site | None = None, target: Target = "logit_diff"
) -> tuple[float, float, float]:
    """Mean change of the target along the path from a sender head to a receiver head (or to the logits), with interval.

    Raises:
        InputError: when fewer than two items have a twin that aligns.
        InterventionError: when sender or receiver is no head, or the receiver does not come later.
    """
    (cell,) = path_grid(model, asked, [sender], receiver, target=target).cells
    return cell.change, cell.low, cell.high


def path_grid(
    model: Model,
    asked: Asked,
    senders: Sequence[Site],
    receiver: Site | None = None,
    positions: Sequence[str] = ("all",),
    target: Target = "logit_diff",
) -> Grid:
    """The path from every sender head, patched at every place, to one receiver head, or past all heads to the logits.

    Raises:
        InputError: when fewer than two items have a twin that aligns.
        InterventionError: when a sender or the receiver is no head, or the receiver does not come later.
    """
    for sender in senders:
        _check_path(model, sender, receiver)
    kept, without = with_twins(asked)
    paths = [(sender, where) for sender in senders for where in positions]
    changes, whole = np.zeros((len(paths), len(kept.compiled))), np.zeros(len(kept.compiled))
    for batch in kept.batches:
        rows = list(batch.rows)
        twins = torch.tensor([list(kept.compiled[row].twin_ids or ())[:-1] for row in rows])
        (clean, base), (twin, other) = _heads(model, batch.inputs), _heads(model, twins)
        before = values(base[:, batch.first :].float(), batch, target)
        whole[rows] = values(other[:, batch.first :].float(), batch, target) - before
        for number, (sender, where) in enumerate(track(paths, "patching paths")):
            logits = _path(model, batch, (clean, twin), sender, receiver, where)
            changes[number, rows] = values(logits[:, batch.first :].float(), batch, target) - before
    return Grid(
        target=target,
        items=len(kept.compiled),
        without_twin=without,
        whole=float(whole.mean()),
        cells=_cells(paths, changes, float(whole.mean())),
    )


def _check_path(model: Model, sender: Site, receiver: Site | None) -> None:
    for site in (sender, *([] if receiver is None else [receiver])):
        if site.kind != "head":
            raise InterventionError(f"{site}: paths run between heads")
        model.sizes.check(site)
    if receiver is not None and receiver.layer <= sender.layer:
        raise InterventionError(f"{receiver} does not read {sender}: a receiver stands in a later layer")


def _path(
    model: Model, batch: Batch, arms: tuple[Heads, Heads], sender: Site, receiver: Site | None, where: str
) -> Tensor:
    """Logits with one path patched; `arms` are the base run's heads and the twin's."""
    clean, twin = arms
    layer, index, mask = sender.layer, sender.index or 0, batch.mask(where)[..., None]
    sent = clean[layer].clone()
    sent[:, :, index] = torch.where(mask, twin[layer][:, :, index], sent[:, :, index])
    computed, logits = _forced(model, batch.inputs, {**clean, layer: sent})
    if receiver is None:
        return logits
    z = clean[receiver.layer].clone()
    z[:, :, receiver.index or 0] = computed[receiver.layer][:, :, receiver.index or 0]
    return _forced(model, batch.inputs, {receiver.layer: z})[1]


def _path_of(model: Model, layer: int) -> str:
    return f"{model.block_path(layer)}.{model.family.attention_out}"


def _heads(model: Model, ids: Tensor) -> tuple[dict[int, Tensor], Tensor]:
    """Z of every layer, and the logits, of an unedited run."""
    layers = range(model.sizes.n_layers)
    with recorded(model, [_path_of(model, layer) for layer in layers]) as seen, torch.inference_mode():
        logits = model.module(ids, use_cache=False).logits
    shape = (*ids.shape, model.sizes.n_heads, -1)
    return {layer: seen[_path_of(model, layer)].input.reshape(shape) for layer in layers}, logits


def _forced(model: Model, ids: Tensor, held: Heads) -> tuple[dict[int, Tensor], Tensor]:
    """A run whose z is held at the given values, layer by layer; what the heads would have computed, and the logits."""
    computed: dict[int, Tensor] = {}

    def hold(layer: int) -> Callable[[Tensor], Tensor]:
        def edit(activation: Tensor) -> Tensor:
            computed[layer] = activation.reshape(held[layer].shape).clone()
            return held[layer].reshape(activation.shape)

        return edit

    with ExitStack() as stack, torch.inference_mode():
        for layer in held:
            stack.enter_context(edited(model.submodule(_path_of(model, layer)), hold(layer)))
        logits = model.module(ids, use_cache=False).logits
    return computed, logits
