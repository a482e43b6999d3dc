"""What mean, median and resample ablation put at sites, from reference items that stand behind each row's own prefix.

The *group* of a row are the reference items of its layout behind its prefix. A group is always run as a whole and in
its order, in one clean pass that reads the union of all sites asked for; so the numbers do not depend on which rows,
edits or sets are asked for together. Every edit of a batch, and every matched set, is served from the same pass, and
the other item that a row is given is the same for all of them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from lesion.engine.attach import Source
from lesion.engine.batch import Batch, batches
from lesion.engine.replacement_activations import distinct, observe
from lesion.errors import InputError, InterventionError
from lesion.identity import content_hash, generator
from lesion.interventions.intervention import Central, Intervention, Resample
from lesion.interventions.site import Site
from lesion.models.model import Model
from lesion.tasks.tokenizers.prompt_contract import Compiled

Prompt = tuple[int, ...]
Made = tuple[str, int, int, Site]
"""Ablation, seed and draw of a resampling, site."""
MOST_BYTES = 256 * 2**20
"""Activations that are kept between batches, bytes; the groups that were used longest ago go first."""


def prompt_of(item: Compiled) -> Prompt:
    """The tokens before the answer."""
    return item.ids[: item.prompt_length]


@dataclass(frozen=True, eq=False)
class Group:
    """Reference items of one layout behind one prefix; the same object for all rows that share it."""

    items: tuple[Compiled, ...]

    def others(self, prompt: Prompt) -> tuple[int, ...]:
        """Numbers of the items whose prompt is another."""
        return tuple(number for number, item in enumerate(self.items) if prompt_of(item) != prompt)


class Row(NamedTuple):
    """A row of a batch, and who may stand in for it."""

    prompt: Prompt
    group: Group
    others: tuple[int, ...]


@dataclass(eq=False)
class Donors:
    """The groups of the rows of one tier and lane, and what was read of them."""

    model: Model
    name: str
    """Hash of the reference set; interventions name it."""
    groups: dict[Prompt, Group] = field(default_factory=dict[Prompt, Group])
    """Prompt of a row -> its group: reference items of the row's lengths and roles."""
    _kept: dict[Group, dict[Site, Tensor]] = field(default_factory=dict[Group, dict[Site, Tensor]], repr=False)

    def sources(self, batch: Batch, interventions: Sequence[Intervention]) -> dict[Intervention, Source]:
        """What mean, median and resample ablations of a batch put in place; other interventions are left out.

        Raises:
            InputError: for an intervention that names another reference set.
            InterventionError: for a row without a group.
        """
        asked = [one for one in interventions if isinstance(one, Central | Resample)]
        for one in asked:
            if one.reference != self.name:
                raise InputError(f"{one}: it names the reference set {one.reference}; this one is {self.name}")
        rows = self._rows(batch)
        seen = self._read([row.group for row in rows], distinct(site for one in asked for site in one.sites))
        chosen: dict[tuple[int, int], list[int]] = {}
        made: dict[Made, Tensor] = {}
        found: dict[Intervention, Source] = {}
        for one in asked:
            drawn = (one.seed, one.draw) if isinstance(one, Resample) else (0, 0)
            if isinstance(one, Resample) and drawn not in chosen:
                chosen[drawn] = [_donor(one, row) for row in rows]
            for site in one.sites:
                key: Made = (one.kind, drawn[0], drawn[1], site)
                if key not in made:
                    picked = [[donor] for donor in chosen[drawn]] if isinstance(one, Resample) else None
                    made[key] = _given(
                        rows, [seen[row.group][site] for row in rows], picked, CENTRES.get(one.kind, _mean)
                    )
            found[one] = {site: made[one.kind, drawn[0], drawn[1], site] for site in one.sites}
        return found

    def _rows(self, batch: Batch) -> list[Row]:
        prompts = [tuple(map(int, ids[: batch.prompt_length])) for ids in batch.ids]
        rows = [
            Row(prompt, group, group.others(prompt))
            for prompt in prompts
            if (group := self.groups.get(prompt)) is not None
        ]
        if absent := len(prompts) - sum(bool(row.others) for row in rows):
            raise InterventionError(f"{absent} rows have no other reference item; leave them out and count them")
        return rows

    def _read(self, groups: Sequence[Group], sites: list[Site]) -> Mapping[Group, Mapping[Site, Tensor]]:
        """What stands at sites in every item of every group: (items, positions, width)."""
        wanted = dict.fromkeys(groups)
        for group in wanted:
            known = self._kept.pop(group, {})
            if missing := [site for site in sites if site not in known]:
                (batch,) = batches(group.items, len(group.items))
                known = {**known, **observe(self.model, batch, missing)}
            self._kept[group] = known
        found = {group: self._kept[group] for group in wanted}
        self._forget()
        return found

    def _forget(self) -> None:
        """Drop what was used longest ago until the rest fits."""
        held = {group: sum(t.nbytes for t in known.values()) for group, known in self._kept.items()}
        total = sum(held.values())
        for group, many in held.items():
            if total <= MOST_BYTES:
                return
            total -= many
            del self._kept[group]


def _donor(one: Resample, row: Row) -> int:
    """Which item of its group stands in for a row; it depends on seed, draw and the row's own prompt alone."""
    rng = generator("resample", one.seed, one.draw, content_hash(row.prompt))
    return row.others[int(rng.integers(len(row.others)))]


def _mean(values: Tensor) -> Tensor:
    return values.mean(0)


def _median(values: Tensor) -> Tensor:
    """Of an even number of items the mean of the two middle values."""
    ordered, count = values.sort(0).values, len(values)
    return (ordered[(count - 1) // 2] + ordered[count // 2]) / 2


CENTRES = {"mean": _mean, "median": _median}
"""By the kind of the intervention, the middle value of (items, positions, width), float64."""


def _given(
    rows: Sequence[Row],
    values: Sequence[Tensor],
    picked: Sequence[Sequence[int]] | None,
    centre: Callable[[Tensor], Tensor],
) -> Tensor:
    """What each row is given at a site, (rows, positions, width): the middle of the picked items, or of all others."""
    chosen = picked or [row.others for row in rows]
    given = [centre(each[list(which)].double()).to(each.dtype) for each, which in zip(values, chosen, strict=True)]
    return torch.stack(given)
