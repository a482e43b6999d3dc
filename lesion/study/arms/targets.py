"""The sites that a study edits: heads that a detector finds, sites by name, or those that are ranked on its items."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from lesion.errors import InputError
from lesion.identity import Document
from lesion.interventions.site import Kind, Site, head, parse_site
from lesion.study.names import Detector

Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
Share = Annotated[float, Field(gt=0, lt=1)]


class DetectedHeads(Document):
    """Heads that a detector finds on discovery sequences. They are edited as one group."""

    kind: Literal["detected"] = "detected"
    detector: Detector = "induction"
    """Score that selects the heads: an attention pattern, or the effect as a function vector."""
    threshold: Share | None = Field(
        default_factory=lambda known: None if known.get("detector") == "function_vector" else 0.5,
        json_schema_extra={"default": 0.5},
    )
    """Smallest score of a selected head on the standard probe, 0 to 1. Of function_vector: what the lower end of the
    head's 95 % interval must exceed, as a rise of probability; default: the largest control effect of any head."""
    most: int = Field(default=4, ge=1, le=64)
    """Maximum number of heads, the highest scores first."""
    exclude: Detector | None = Field(default=None, exclude_if=lambda name: name is None)
    """Leaves out heads that this detector finds, too. function_vector: the ten heads with the largest effects whose
    intervals lie above 0. An attention pattern: heads with a score of 0.3 or more in either set of sequences."""
    overlap: Literal["function_vector"] | None = Field(default=None, exclude_if=lambda name: name is None)
    """Measures function vectors so that claims can say which of the heads are among them. Takes minutes per model; not
    needed where `exclude` or `detector` measures them."""

    @property
    def function_vectors(self) -> bool:
        """Whether function vectors are measured for this target."""
        return "function_vector" in (self.detector, self.exclude, self.overlap)

    @model_validator(mode="after")
    def _other_detector(self) -> Self:
        if self.threshold is None and self.detector != "function_vector":
            raise ValueError(f"threshold: {self.detector} needs a number between 0 and 1")
        if self.exclude == self.detector:
            raise ValueError(f"exclude: {self.detector} selects the heads itself; name another detector")
        if self.overlap == self.detector:
            raise ValueError("overlap: function_vector selects the heads itself; leave the key out")
        return self


class GivenSites(Document):
    """Sites that the study names. They are edited as one group."""

    kind: Literal["sites"] = "sites"
    sites: tuple[str, ...] = Field(min_length=1, max_length=10_000)
    """Site names such as L1H3 or L0N12, all of one kind."""

    @field_validator("sites")
    @classmethod
    def _readable(cls, sites: tuple[str, ...]) -> tuple[str, ...]:
        try:
            kinds = {parse_site(site).kind for site in sites}
        except InputError as error:
            raise ValueError(str(error)) from error
        if len(kinds) > 1:
            raise ValueError("the sites of one target must be of one kind")
        if len(set(sites)) < len(sites):
            raise ValueError("a site is named twice")
        return tuple(str(parse_site(site)) for site in sites)

    def parsed(self) -> tuple[Site, ...]:
        """The sites as values."""
        return tuple(parse_site(site) for site in self.sites)


class AllBut(Document):
    """All heads but those named: what is left is kept. MLPs and embeddings stay as they are."""

    kind: Literal["all_but"]
    sites: tuple[str, ...] = Field(min_length=1, max_length=10_000)
    """Heads that are kept, such as L17H3. Null: the other heads are not needed, up to the margin. There are no matched
    sets."""

    @field_validator("sites")
    @classmethod
    def _heads(cls, sites: tuple[str, ...]) -> tuple[str, ...]:
        kept = GivenSites.model_validate({"sites": sites})
        if any(site.kind != "head" for site in kept.parsed()):
            raise ValueError("all_but keeps heads: write them as L17H3")
        return kept.sites

    def rest(self, layers: int, heads: int) -> tuple[str, ...]:
        """The heads that are edited, of a model of this shape."""
        every = (str(head(layer, index)) for layer in range(layers) for index in range(heads))
        return tuple(site for site in every if site not in self.sites)


class RankedNeurons(Document):
    """MLP neurons that write most to the residual stream on a tier's items. They are edited as one group."""

    kind: Literal["neurons"]
    tier: Slug
    """Tier whose discovery items rank the neurons, by mean |activation| times the norm of the output weights."""
    most: int = Field(default=16, ge=1, le=1024)
    """Number of neurons, the highest scores first."""


class ScreenedSites(Document):
    """Sites that a screen ranks highest on a tier's discovery items: those whose loss should harm most.

    They are edited as one group.
    """

    kind: Literal["screened"]
    tier: Slug
    """Tier on whose first discovery items, at most 128, the sites are ranked."""
    of: Literal["head", "neuron", "mlp", "attention"] = "head"
    """What is ranked. `mlp` and `attention`: everything that the MLP, or all heads, of a layer write."""
    most: int = Field(default=4, ge=1, le=1024)
    """Maximum number of sites, the largest expected loss of the logit difference first; sites without a loss are left
    out."""
    by: Literal["zero", "corrupted"] = "zero"
    """What should take the place of an activation: zero, or the corrupted prompt's. Heads and neurons are ranked by
    gradients (attribution patching), layers by exact effects."""

    @property
    def site_kind(self) -> Kind:
        """Their kind of site."""
        return _SCREENED[self.of]


_SCREENED: Mapping[str, Kind] = {"head": "head", "neuron": "neuron", "mlp": "mlp_out", "attention": "attn_out"}

Target = Annotated[DetectedHeads | GivenSites | AllBut | RankedNeurons | ScreenedSites, Field(discriminator="kind")]

TargetName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,29}$")]
"""Name of one of several targets. It begins with a letter, so that no name is taken for a set's number."""


NAMED = GivenSites | AllBut
"""Targets whose sites follow from the study and a model's shape."""


def named_sites(target: Target, layers: int, heads: int) -> tuple[str, ...]:
    """The sites of a target that the study names, on a model of this shape; none where they must be looked for."""
    if isinstance(target, AllBut):
        return target.rest(layers, heads)
    return target.sites if isinstance(target, GivenSites) else ()


def aim(model: str, target: str) -> str:
    """What a model's target is called where a table is keyed by both; the model alone where a target has no name."""
    return f"{model}|{target}" if target else model


def kind_of(target: Target) -> Kind:
    """The kind of site that a target is made of."""
    if isinstance(target, GivenSites):
        return target.parsed()[0].kind
    if isinstance(target, ScreenedSites):
        return target.site_kind
    return "head" if isinstance(target, DetectedHeads | AllBut) else "neuron"
