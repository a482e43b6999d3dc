"""Which function is put on which module, so that an intervention acts: from sites to edits of tensors.

Most sites are the first input or the output of one module, and an edit there is all. Two are not. The stream between
attention and MLP is nobody's alone: it is edited through what attention adds, out + (edit(pre + out) - (pre + out)). A
replaced attention pattern A acts through z = A v, with v as the model computes it. An attention edge is cut in the mask
that the model hands to its attention module.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from lesion.engine.receipts import Recorder
from lesion.errors import InterventionError
from lesion.interventions.edit import rewrite
from lesion.interventions.intervention import Intervention, KnockOut
from lesion.interventions.site import Kind, Site
from lesion.models.model import Model, Place

Source = Mapping[Site, Tensor]
"""Per site, what is added or put in place: (rows or 1, positions or 1, width); of a pattern, width is key positions."""
Keys = Bool[Tensor, "batch keys"] | Bool[Tensor, "batch queries keys"]
"""Key positions of a knock-out: the same for every query, or of each query."""
Change = Callable[[Tensor], Tensor]


class Attachment(NamedTuple):
    """A function on one tensor of a module."""

    module: nn.Module
    side: Literal["input", "output", "mask"]
    """Its first input, its output, or the `attention_mask` that it is handed."""
    change: Callable[[Any], Any]
    counts: bool = True
    """Whether it edits; otherwise it only remembers what another one needs."""


def attachments(
    model: Model,
    recorder: Recorder,
    mask: Bool[Tensor, "batch pos"],
    source: Source | None = None,
    keys: Keys | None = None,
    times: Int[Tensor, "batch pos"] | None = None,
) -> list[Attachment]:
    """What the recorder's intervention needs on the model, in the order in which it must be put there.

    Args:
        model: the model.
        recorder: its intervention, and where firings are counted.
        mask: where it acts; of a knock-out, the query positions.
        source: what is added or put in place.
        keys: the key positions of a knock-out, for all queries or for each.
        times: for how many tokens each token stands; one where nothing is said. Knock-outs and patterns take none.

    Raises:
        InterventionError: for a site that the model does not have, or a missing source.
    """
    intervention = recorder.intervention
    if isinstance(intervention, KnockOut):
        if keys is None:
            raise InterventionError(f"{intervention}: its key positions were not given")
        return list(_cuts(model, recorder, intervention, mask, keys))
    made: list[Attachment] = []
    for sites in _together(model, intervention.sites):
        places = [model.place(site) for site in sites]
        given = _stacked(intervention, sites, source)
        if sites[0].kind == "pattern":
            made += _pattern(model, recorder, sites, places, mask, given)
            continue
        change = _change(recorder, places, mask, given, times)
        if sites[0].kind == "resid_mid":
            made += _through_sum(model.block(sites[0].layer), places[0], change)
        else:
            made.append(Attachment(places[0].module, places[0].side, change))
    return made


_ORDER: Mapping[Kind, int] = {"pattern": 1, "head": 2, "resid_mid": 3}
"""Kinds that are edited after the others of their module, or that read what others have edited; the rest are 0."""


def _together(model: Model, sites: Sequence[Site]) -> list[list[Site]]:
    """Sites that one function edits: those of one tensor."""
    groups: dict[tuple[str, str, int], list[Site]] = {}
    for site in sorted(sites, key=lambda site: _ORDER.get(site.kind, 0)):
        place = model.place(site)
        special = _ORDER[site.kind] if site.kind in ("pattern", "resid_mid") else 0
        groups.setdefault((place.path, place.side, special), []).append(site)
    return list(groups.values())


def _stacked(intervention: Intervention, sites: Sequence[Site], source: Source | None) -> Tensor | None:
    """The sources of several sites side by side, (rows or 1, positions or 1, sites, width)."""
    if source is None:
        return None
    missing = [str(site) for site in sites if site not in source]
    if missing:
        raise InterventionError(f"{intervention}: the source has nothing for {', '.join(missing)}")
    return torch.stack(torch.broadcast_tensors(*(source[site] for site in sites)), dim=2)


def _change(
    recorder: Recorder, places: Sequence[Place], mask: Tensor, source: Tensor | None, times: Tensor | None = None
) -> Change:
    """Edit the places' units of one tensor, and count."""
    chosen, units = [place.index for place in places], places[0].units
    counted = None if times is None else times[mask]

    def change(activation: Tensor) -> Tensor:
        after, before, now = rewrite(activation, mask, units, chosen, recorder.intervention, source)
        if counted is None:
            recorder.saw(before, now)
        else:
            recorder.saw(before, now, counted, int(counted.sum()) * before[:1].numel())
        return after

    return change


class _Memory:
    """Keeps what passes by."""

    def __init__(self) -> None:
        self.seen: Tensor | None = None

    def __call__(self, activation: Tensor) -> Tensor:
        self.seen = activation
        return activation

    def recall(self) -> Tensor:
        if self.seen is None:
            raise InterventionError("a module ran before the one whose value it needs; the order here is not known")
        return self.seen


def _through_sum(block: nn.Module, added: Place, change: Change) -> list[Attachment]:
    """Edit the sum of a block's input and of what a module adds to it, by editing what it adds."""
    entering = _Memory()

    def through(out: Tensor) -> Tensor:
        middle = entering.recall() + out.reshape(entering.recall().shape)
        return out + (change(middle) - middle).reshape(out.shape)

    return [Attachment(block, "input", entering, counts=False), Attachment(added.module, "output", through)]


def _pattern(
    model: Model,
    recorder: Recorder,
    sites: Sequence[Site],
    places: Sequence[Place],
    mask: Tensor,
    pattern: Tensor | None,
) -> list[Attachment]:
    """Put z = A v in the place of z, with the pattern A from the source and the values v of this pass."""
    if pattern is None:
        raise InterventionError(f"{recorder.intervention}: no source was given for a pattern; make one with sources.py")
    groups = [model.place(Site(kind="v", layer=s.layer, index=model.sizes.group(s.index or 0))) for s in sites]
    values = _Memory()

    def change(z: Tensor) -> Tensor:
        rows, length = mask.shape
        v = values.recall().reshape(rows, length, groups[0].units, -1)[:, :, [group.index for group in groups]]
        if pattern.shape[-1] != length:
            raise InterventionError(f"{recorder.intervention}: its pattern has {pattern.shape[-1]} keys, not {length}")
        attended = pattern.to(z.dtype).expand(rows, length, -1, -1)
        new = torch.einsum("bqck,bkcd->bqcd", attended, v)
        return _change(recorder, places, mask, new)(z)

    return [Attachment(groups[0].module, "output", values, counts=False), Attachment(places[0].module, "input", change)]


def _cuts(
    model: Model, recorder: Recorder, intervention: KnockOut, queries: Tensor, keys: Keys
) -> Iterator[Attachment]:
    """One cut per layer with an edge to be knocked out."""
    edges = keys[:, None, :] if keys.ndim == 2 else keys
    for layer in sorted({site.layer for site in intervention.sites}):
        here = [model.place(site) for site in intervention.sites if site.layer == layer]
        module = model.submodule(here[0].path.rpartition(".")[0])
        heads = torch.zeros(here[0].units, dtype=torch.bool)
        heads[[place.index for place in here]] = True
        cut = heads[None, :, None, None] & queries[:, None, :, None] & edges[:, None]
        yield Attachment(module, "mask", _cutting(recorder, module, cut, next(model.module.parameters()).dtype))


def _cutting(recorder: Recorder, module: nn.Module, cut: Tensor, dtype: torch.dtype) -> Callable[[Any], Any]:
    """From the mask that the model makes (none: causal) to one without the edges, and count the cut ones."""
    queries, keys = cut.shape[-2:]
    lowest = torch.finfo(dtype).min
    causal = torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries)[None, None]
    inside = getattr(module, "bias", None)  # attention with a window of its own keeps it in this buffer (GPT-Neo)

    def change(mask: Tensor | None) -> Tensor:
        seen = causal if mask is None else mask if mask.dtype == torch.bool else mask > lowest
        if isinstance(inside, Tensor) and inside.ndim == 4:
            seen = seen & inside[:, :, keys - queries : keys, :keys].bool()
        before = seen.expand(cut.shape)
        after = before & ~cut
        if bool((before.any(-1) & ~after.any(-1)).any()):
            raise InterventionError(f"{recorder.intervention}: a query position would have no key left; leave it one")
        changed = (before != after).double()
        recorder.saw(changed, torch.zeros_like(changed), elements=int(changed.sum()))
        if mask is None:
            mask = torch.zeros(causal.shape, dtype=dtype).masked_fill(~causal, lowest)
        return (
            mask.expand(cut.shape) & ~cut
            if mask.dtype == torch.bool
            else mask.expand(cut.shape).masked_fill(cut, lowest)
        )

    return change
