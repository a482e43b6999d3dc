"""What happens at sites, as a frozen value that can be written down, hashed and repeated.

`Scale` covers suppression (alpha < 1), zero ablation (0), the placebo (1) and amplification (alpha > 1); there is no
second word for zero. `Mean`, `Median`, `Resample` and `Patch` put another activation in the place of the model's own,
`Steer` adds a vector, `KnockOut` cuts attention edges. What is put in place is a tensor that the engine gets as a
*source*.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, field_validator

from lesion.identity import Document
from lesion.interventions.site import Site

Positions = Annotated[str, Field(pattern=r"^(all|last|role:[a-z][a-z0-9_]*)$")]
"""Those that a study may ask for; the first three of `Where`."""
Where = Annotated[str, Field(pattern=r"^(all|last|role:[a-z][a-z0-9_]*|prompt|generated|index:-?\d{1,6})$")]
"""`all`, `last` (the last prompt token and every answer step), `role:NAME` (the tokens of that role), `prompt`,
`generated` (the answer tokens that are read), `index:N` (prompt token N from 0, BOS counted; `index:-1` its last)."""
Keys = Annotated[
    str,
    Field(pattern=r"^(all|last|role:[a-z][a-z0-9_]*|prompt|generated|index:-?\d{1,6}|induction|random:\d{1,6})$"),
]
"""Key positions of a knock-out: those of `Where`, or others for each query. `induction`: the tokens that follow an
earlier occurrence of the query's own token. `random:N`: as many others as that, drawn by N and the row's tokens."""
BY_QUERY = ("induction", "random:")
"""How keys begin that differ from query to query."""
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _AtSites(Document):
    """What all interventions have in common."""

    sites: tuple[Site, ...] = Field(min_length=1)
    """Sites that are edited together, sorted, without repeats."""
    positions: Where = "all"
    """`all`, `last` (the last prompt token and every answer step), `role:NAME`, `prompt`, `generated` or `index:N`."""

    @field_validator("sites")
    @classmethod
    def _sorted_and_unique(cls, sites: tuple[Site, ...]) -> tuple[Site, ...]:
        if len(set(map(str, sites))) != len(sites):
            raise ValueError("a site is named twice; scale by a then by b is scale by a*b")
        return tuple(sorted(sites, key=lambda s: (s.layer, s.kind, s.index or 0)))

    def _where(self) -> str:
        at = "" if self.positions == "all" else f" @{self.positions}"
        return f"{'+'.join(map(str, self.sites))}{at}"


class Scale(_AtSites):
    """Multiply the activation at each site by `alpha`: h -> alpha * h."""

    kind: Literal["scale"] = "scale"
    alpha: float
    """Factor, no unit; 0 removes, 1 changes nothing."""

    @field_validator("sites")
    @classmethod
    def _not_a_pattern(cls, sites: tuple[Site, ...]) -> tuple[Site, ...]:
        if any(site.kind == "pattern" for site in sites):
            raise ValueError("scaling a pattern is scaling the head's z: write L5H1 in the place of L5H1.pattern")
        return sites

    def __str__(self) -> str:
        """For people: `scale 0.5 L1H0+L1H1`, with the positions where they are not all."""
        return f"scale {self.alpha:g} {self._where()}"


class _Central(_AtSites):
    """A middle value over a reference set takes the place of the activation; the subclasses say which."""

    reference: Sha256
    """`lesion.engine.replacement_activations.reference_hash` of the reference set."""
    by: Literal["position", "role", "layout", "all"] = "position"
    """`position`: items of the same length, position by position; `role`: token by token within a role of the same
    length; `layout`: items of the same length whose roles all stand at the same places, position by position; `all`:
    all items and positions together."""

    def __str__(self) -> str:
        """For people: `mean by position of 1a2b3c4d L1H0`."""
        return f"{type(self).__name__.lower()} by {self.by} of {self.reference[:8]} {self._where()}"


class Mean(_Central):
    """Put the mean over a reference set in the place of the activation."""

    kind: Literal["mean"] = "mean"


class Median(_Central):
    """Put the element-wise median over a reference set in the place of the activation.

    Of an even number of items it is the mean of the two middle values. A few extreme items do not move it.
    """

    kind: Literal["median"] = "median"


class Resample(_AtSites):
    """Put the activation of another item of a reference set in the place of the item's own, position by position."""

    kind: Literal["resample"] = "resample"
    reference: Sha256
    """`lesion.engine.replacement_activations.reference_hash` of the reference set."""
    seed: int = Field(ge=0)
    """Chooses the other item, together with `draw` and the item's own prompt."""
    draw: int = Field(default=0, ge=0)
    """Which of the K draws this is; each is an intervention of its own, and their effects are averaged."""
    by: Literal["position", "layout"] = "position"
    """Who may stand in: `position`: items of the same length (at a role, with that role at the same place); `layout`:
    only those whose roles all stand at the same places."""

    def __str__(self) -> str:
        """For people: `resample draw 0 of 1a2b3c4d L1H0`."""
        return f"resample draw {self.draw} of {self.reference[:8]} {self._where()}"


class Patch(_AtSites):
    """Put the activation of the item's counterfactual twin in the place of its own, position by position."""

    kind: Literal["patch"] = "patch"

    def __str__(self) -> str:
        """For people: `patch L1H0`."""
        return f"patch {self._where()}"


class Steer(_AtSites):
    """Add a multiple of a vector: h -> h + coefficient * vector."""

    kind: Literal["steer"] = "steer"
    vector: Sha256
    """`lesion.interventions.edit.vector_hash` of the vector, as long as each site is wide."""
    coefficient: float
    """Factor on the vector, no unit; 0 changes nothing."""

    @field_validator("sites")
    @classmethod
    def _not_a_pattern(cls, sites: tuple[Site, ...]) -> tuple[Site, ...]:
        if any(site.kind == "pattern" for site in sites):
            raise ValueError("a pattern cannot be steered: its rows must sum to 1; patch it, or knock out its edges")
        return sites

    def __str__(self) -> str:
        """For people: `steer 2 x 1a2b3c4d L5.resid_pre`."""
        return f"steer {self.coefficient:g} x {self.vector[:8]} {self._where()}"


class KnockOut(_AtSites):
    """Cut the attention of heads from the query `positions` to the key positions `keys`; what is left sums to 1."""

    kind: Literal["knock_out"] = "knock_out"
    keys: Keys
    """Key positions."""

    @field_validator("sites")
    @classmethod
    def _heads_only(cls, sites: tuple[Site, ...]) -> tuple[Site, ...]:
        if any(site.kind != "head" for site in sites):
            raise ValueError("edges are knocked out of heads, written as L5H1")
        return sites

    def __str__(self) -> str:
        """For people: `knock out L1H0 @last to role:operand_1`."""
        return f"knock out {self._where()} to {self.keys}"


Central = Mean | Median
"""A middle value over a reference set takes the place of the activation."""
CENTRAL: dict[str, type[Central]] = {"mean": Mean, "median": Median}
REPLACING: tuple[str, ...] = (*CENTRAL, "resample")
"""Ablations by the activations of other items, as a person names them."""
Intervention = Scale | Mean | Median | Resample | Patch | Steer | KnockOut
Written = Annotated[Intervention, Field(discriminator="kind")]
"""An intervention as a field of a document, told apart by its `kind`."""
_WRITTEN: TypeAdapter[Intervention] = TypeAdapter(Written)


def read_intervention(text: str | bytes) -> Intervention:
    """An intervention from its JSON.

    Raises:
        pydantic.ValidationError: when the JSON is none.
    """
    return _WRITTEN.validate_json(text, strict=True)


def replaces(intervention: Intervention) -> bool:
    """Whether another activation takes the place of the model's own, so that a source is needed for each token."""
    return isinstance(intervention, Central | Resample | Patch)


def draws(intervention: Resample, count: int) -> Sequence[Resample]:
    """The first `count` draws of a resampling, each to be run and their effects averaged."""
    return [intervention.model_copy(update={"draw": draw}) for draw in range(count)]


class Receipt(Document):
    """Proof that an intervention acted, or did not have to."""

    forwards: int
    """Forward passes in which it had to act."""
    firings: int
    """Hook firings over all edited modules; must equal `forwards` times the number of edited modules."""
    modules: int
    """Modules that carry a hook."""
    elements: int
    """Elements written; of a knock-out, the attention edges that were cut."""
    l2_change: float
    """Root of the summed squared change of the edited activations; of a knock-out, of the mask of its edges."""
    max_logit_change: float | None = None
    """Largest absolute change of a read logit against the unedited run, where one was at hand."""
