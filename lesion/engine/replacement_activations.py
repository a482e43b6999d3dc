"""What mean, resampling, patching and steering put at a site: read beforehand, from declared sites only.

- *Patch*: the counterfactual twin of each row, run unedited. At answer positions the twin reads its own answer.
- *Mean*: over a reference set, in one streamed pass that keeps sums alone. By `position`, items of the same prompt and
  answer length are averaged; by `role`, tokens at the same place of a role's span of the same length; by `layout`,
  items of the same lengths whose roles all stand at the same places.
- *Median*: as the mean, element by element; in several passes where the values would need more than `MOST_BYTES`.
- *Resample*: another item of the reference set with the same lengths (and, at a role, the same spans), chosen by seed,
  draw and the item's own prompt, so that neither the batch nor its order matters. It never is the item itself.
- *Steer*: a vector that is named by its hash.

A prefix that all items share has its clean value as its mean, so there a mean ablation changes nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from lesion.engine.attach import Source
from lesion.engine.batch import Batch, batches
from lesion.engine.capture import Read, capture_places
from lesion.engine.patterns import patterns
from lesion.errors import InputError, InterventionError, nearest
from lesion.identity import content_hash, generator
from lesion.interventions.edit import vector_hash
from lesion.interventions.intervention import Central, Intervention, Patch, Resample, Steer
from lesion.interventions.site import Site
from lesion.models.model import Model
from lesion.tasks.tokenizers.layouts import Layout as Bucket
from lesion.tasks.tokenizers.layouts import layout_of
from lesion.tasks.tokenizers.prompt_contract import Compiled

By = Literal["position", "role", "layout", "all"]
Of = tuple[str, By, Site]
"""What is taken over the reference set, over which of its values together, and where."""
ROWS = 16
"""Reference items in one forward pass."""
MOST_BYTES = 256 * 2**20
"""Activations that are held at once to take their medians, bytes; one site at a time may need more."""


def reference_hash(items: Iterable[Compiled]) -> str:
    """The name of a reference set: content hash of its items' tokens in their order, 64 hexadecimal digits."""
    return content_hash([item.ids for item in items])


def observe(model: Model, batch: Batch, sites: Sequence[Site]) -> dict[Site, Tensor]:
    """What stands at sites in an unedited pass, (rows, positions, width) each; of a pattern, width is key positions.

    Raises:
        InterventionError: for a site that the model does not have.
    """
    layers = sorted({site.layer for site in sites if site.kind == "pattern"})
    known = patterns(model, batch.inputs, layers) if layers else {}
    found = {site: known[site.layer][:, site.index or 0] for site in sites if site.kind == "pattern"}
    reads = [read for site in sites if site.kind != "pattern" for read in _reads(model, site)]
    if reads:
        kept = capture_places(model, batch, reads)
        for site in sites:
            if site.kind != "pattern":
                parts = [kept[name] for name in (f"{site}", f"{site} entering") if name in kept]
                found[site] = torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]
    return found


def _reads(model: Model, site: Site) -> list[Read]:
    place = model.place(site)

    def unit(tensor: Tensor, batch: Batch) -> Tensor:  # noqa: ARG001  (every reduction has the same arguments)
        return tensor.reshape(*tensor.shape[:2], place.units, -1)[:, :, place.index].clone()

    reads = [Read(f"{site}", place.path, place.side, unit)]
    if site.kind == "resid_mid":
        reads.append(Read(f"{site} entering", model.block_path(site.layer), "input", unit))
    return reads


@dataclass
class _Average:
    """A sum that becomes a mean."""

    holds: ClassVar[bool] = False
    """Whether every value is held until the end."""

    total: Tensor | None = None
    count: int = 0

    def add(self, values: Tensor) -> None:
        """Take in values, (how many, ...)."""
        added = values.double().sum(0)
        self.total = added if self.total is None else self.total + added
        self.count += len(values)

    def taken(self) -> Tensor:
        """The mean, float32."""
        assert self.total is not None  # a bucket is made for its first values
        return (self.total / self.count).float()


@dataclass
class _Middle:
    """Values that become a median."""

    holds: ClassVar[bool] = True

    values: list[Tensor] = field(default_factory=list[Tensor])

    def add(self, values: Tensor) -> None:
        """Take in values, (how many, ...)."""
        self.values.append(values)

    def taken(self) -> Tensor:
        """The median element by element, float32; of an even number the mean of the two middle values."""
        ordered = torch.cat(self.values).sort(0).values
        count = len(ordered)
        return ((ordered[(count - 1) // 2].double() + ordered[count // 2].double()) / 2).float()


CENTRES = {"mean": _Average, "median": _Middle}
"""By the kind of the intervention, what takes its values in."""


@dataclass(eq=False)
class Library:
    """Everything that sources can be made of for one model."""

    model: Model
    reference: Sequence[Compiled] = ()
    """The reference set of means and resampling."""
    vectors: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    """Steering vectors by their hash; see `add`."""
    keep: bool = False
    """Whether what resampling reads of the reference set is kept, so that each item is run once: memory for time. The
    numbers then do not depend on which rows are asked for together."""
    _central: dict[Of, dict[Bucket, Tensor]] = field(default_factory=dict[Of, dict[Bucket, Tensor]], repr=False)
    _kept: dict[Site, list[Tensor]] = field(default_factory=dict[Site, list[Tensor]], repr=False)
    _places: dict[Bucket, list[tuple[int, tuple[int, ...]]]] = field(
        default_factory=dict[Bucket, list[tuple[int, tuple[int, ...]]]], repr=False
    )

    def others(self, item: Compiled) -> Sequence[int]:
        """The reference items with this item's layout and another prompt."""
        bucket = layout_of(item.roles, item.prompt_length, len(item.answer_ids))
        return self._alike(bucket, item.ids[: item.prompt_length])

    def _alike(self, bucket: Bucket, prompt: tuple[int, ...]) -> Sequence[int]:
        if not self._places:
            for number, item in enumerate(self.reference):
                known = layout_of(item.roles, item.prompt_length, len(item.answer_ids))
                self._places.setdefault(known, []).append((number, item.ids[: item.prompt_length]))
        return [number for number, known in self._places.get(bucket, ()) if known != prompt]

    def add(self, vector: Tensor) -> str:
        """Take in a steering vector, (width,); its name."""
        name = vector_hash(vector)
        self.vectors = {**self.vectors, name: vector.detach()}
        return name

    def sources(self, batch: Batch, interventions: Sequence[Intervention]) -> dict[Intervention, Source]:
        """The sources that a batch needs under some interventions; those that need none are left out.

        Raises:
            InputError: for a vector or a reference set that is not the one an intervention names.
            InterventionError: where a row has no twin, no other item to draw from, or no mean.
        """
        made: dict[Intervention, Source] = {}
        patched = distinct(site for one in interventions if isinstance(one, Patch) for site in one.sites)
        twins = self._twins(batch, patched) if patched else {}
        self._take([one for one in interventions if isinstance(one, Central)])
        for one in interventions:
            if isinstance(one, Patch):
                made[one] = {site: twins[site] for site in one.sites}
            elif isinstance(one, Central):
                made[one] = {site: self._centre(batch, one, site) for site in one.sites}
            elif isinstance(one, Resample):
                made[one] = self._resampled(batch, one)
            elif isinstance(one, Steer):
                made[one] = dict.fromkeys(one.sites, self._vector(one)[None, None])
        return made

    def _vector(self, steer: Steer) -> Tensor:
        if steer.vector not in self.vectors:
            there = nearest(steer.vector, self.vectors) if self.vectors else "there is none yet"
            raise InputError(f"{steer}: no such vector is known; {there}. Add it first (Library.add)")
        vector = self.vectors[steer.vector]
        if vector_hash(vector) != steer.vector:
            raise InputError(f"{steer}: the vector under this name has another hash: {vector_hash(vector)}")
        return vector

    def _twins(self, batch: Batch, sites: Sequence[Site]) -> dict[Site, Tensor]:
        if batch.twins is None:
            raise InterventionError(
                "a row of this batch has no counterfactual twin that aligns with it token by token: leave out items "
                "whose `twin_ids` is None, and count them"
            )
        return observe(self.model, replace(batch, ids=batch.twins, twins=None), sites)

    def _named(self, one: Central | Resample) -> None:
        name = reference_hash(self.reference) if self.reference else None
        if name != one.reference:
            had = "this library has none" if name is None else f"this library's has the hash {name}"
            raise InputError(f"{one}: it names the reference set {one.reference}, and {had}")

    def _resampled(self, batch: Batch, one: Resample) -> Source:
        self._named(one)
        donors = [self._donor(batch, row, one) for row in range(len(batch.rows))]
        if self.keep:
            kept = self._remembered(one.sites)
            return {site: torch.stack([kept[site][donor] for donor in donors]) for site in one.sites}
        (drawn,) = batches([self.reference[donor] for donor in donors], len(donors))
        return observe(self.model, drawn, one.sites)

    def _remembered(self, sites: Sequence[Site]) -> Mapping[Site, Sequence[Tensor]]:
        """What stands at sites in every reference item, run in one fixed order whatever is asked for."""
        missing = distinct(site for site in sites if site not in self._kept)
        if missing:
            found: dict[Site, dict[int, Tensor]] = {site: {} for site in missing}
            for batch in batches(self.reference, ROWS):
                for site, values in observe(self.model, batch, missing).items():
                    found[site].update(zip(batch.rows, values, strict=True))
            self._kept.update({site: [rows[i] for i in range(len(rows))] for site, rows in found.items()})
        return self._kept

    def _donor(self, batch: Batch, row: int, one: Resample) -> int:
        """Which item of the reference set stands in for a row."""
        shape = (batch.prompt_length, batch.answer.shape[1])
        role = one.positions.removeprefix("role:") if one.positions.startswith("role:") else ""
        prompt: tuple[int, ...] = tuple(map(int, batch.ids[row, : batch.prompt_length]))
        if one.by == "layout":
            fit = self._alike(layout_of(batch.roles[row], *shape), prompt)
        else:
            fit = [
                number
                for number, item in enumerate(self.reference)
                if (item.prompt_length, len(item.answer_ids)) == shape
                and item.ids[: item.prompt_length] != prompt
                and (not role or item.roles.get(role) == batch.roles[row].get(role))
            ]
        if not fit:
            raise InterventionError(
                f"{one}: the reference set has no other item of {shape[0]} prompt and {shape[1]} answer tokens"
                + (" whose roles stand at the same places" if one.by == "layout" else "")
                + (f" with '{role}' at the same place" if role else "")
            )
        rng = generator("resample", one.seed, one.draw, content_hash(prompt))
        return fit[int(rng.integers(len(fit)))]

    def _take(self, wanted: Sequence[Central]) -> None:
        """Take the middle values that are not known yet, in one pass unless their kind holds every value."""
        for one in wanted:
            self._named(one)
        asked: dict[Of, None] = {(one.kind, one.by, site): None for one in wanted for site in one.sites}
        missing = [of for of in asked if of not in self._central]
        sums, held = ([of for of in missing if CENTRES[of[0]].holds is holds] for holds in (False, True))
        for part in [sums, *self._parts(held)]:
            if part:
                self._pass(part)

    def _parts(self, holding: Sequence[Of]) -> list[list[Of]]:
        """Cut into parts whose held values fit into `MOST_BYTES`, by the first item of the reference set."""
        if not holding:
            return []
        first = observe(self.model, next(iter(batches(self.reference, 1))), distinct(site for _, _, site in holding))
        parts: list[list[Of]] = [[]]
        held = 0
        for of in holding:
            need = first[of[2]].nbytes * len(self.reference)
            if parts[-1] and held + need > MOST_BYTES:
                parts.append([])
                held = 0
            parts[-1].append(of)
            held += need
        return parts

    def _pass(self, wanted: Sequence[Of]) -> None:
        """One pass over the reference set, which takes what is wanted."""
        tables: dict[Of, dict[Bucket, _Average | _Middle]] = {of: {} for of in wanted}
        for batch in batches(self.reference, ROWS):
            seen = observe(self.model, batch, distinct(site for _, _, site in wanted))
            for (kind, by, site), table in tables.items():
                for bucket, values in _values(by, batch, seen[site]):
                    if bucket not in table:
                        table[bucket] = CENTRES[kind]()
                    table[bucket].add(values)
        for of, table in tables.items():
            self._central[of] = {bucket: values.taken() for bucket, values in table.items()}

    def _centre(self, batch: Batch, one: Central, site: Site) -> Tensor:
        """The mean or median for each row and position of a batch; NaN where there is none and none is wanted."""
        table = self._central[one.kind, one.by, site]
        if one.by == "all":
            return table[()][None, None]
        if one.by == "position":
            shape = (batch.prompt_length, batch.answer.shape[1])
            if shape not in table:
                there = ", ".join(f"{prompt}+{answer}" for prompt, answer in sorted(table))
                raise InterventionError(
                    f"{one}: no {one.kind} for {shape[0]}+{shape[1]} tokens; the reference set has {there}"
                )
            return table[shape][None]
        if one.by == "layout":
            wanted = [layout_of(roles, batch.prompt_length, batch.answer.shape[1]) for roles in batch.roles]
            if missing := [bucket for bucket in wanted if bucket not in table]:
                raise InterventionError(
                    f"{one}: {len(missing)} rows have no reference item whose roles stand at the same places; leave "
                    "them out and count them (Library.others)"
                )
            return torch.stack([table[bucket] for bucket in wanted])
        width = next(iter(table.values())).shape[-1]
        whole = torch.full((*batch.inputs.shape, width), torch.nan)
        for row, roles in enumerate(batch.roles):
            for bucket, (start, stop) in _spans(roles, whole.shape[1]):
                if bucket in table:
                    whole[row, start:stop] = table[bucket]
        if bool(whole[batch.mask(one.positions)].isnan().any()):
            raise InterventionError(
                f"{one}: a token at '{one.positions}' has no role, or one with no equally long span in the reference "
                f"set; ask for a role, or take the {one.kind} by position"
            )
        return whole


def distinct(sites: Iterable[Site]) -> list[Site]:
    """Each site once, in the order of their spellings."""
    return [site for _, site in sorted({str(site): site for site in sites}.items())]


def _values(by: By, batch: Batch, seen: Tensor) -> Iterable[tuple[Bucket, Tensor]]:
    """The values of a batch by bucket, (how many, …); what is averaged together is in one bucket."""
    if by == "all":
        return [((), seen.flatten(0, 1))]
    if by == "position":
        return [((batch.prompt_length, batch.answer.shape[1]), seen)]
    if by == "layout":
        lengths = batch.prompt_length, batch.answer.shape[1]
        return [(layout_of(roles, *lengths), seen[row : row + 1]) for row, roles in enumerate(batch.roles)]
    return [
        (bucket, seen[row : row + 1, start:stop])
        for row, roles in enumerate(batch.roles)
        for bucket, (start, stop) in _spans(roles, seen.shape[1])
    ]


def _spans(roles: Mapping[str, Sequence[tuple[int, int]]], length: int) -> Iterable[tuple[Bucket, tuple[int, int]]]:
    """Every span of a row's roles that the model reads, under (role, which span, its length)."""
    for role, spans in roles.items():
        for number, (start, stop) in enumerate(spans):
            if start < min(stop, length):
                yield (role, number, min(stop, length) - start), (start, min(stop, length))
