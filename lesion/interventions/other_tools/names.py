"""Sites in the names of other tools, and sets of heads as a document; `parse_site` reads back what is written here.

The names are those of TransformerLens's hook points, nnterp's accessors (nnsight), pyvene's RepresentationConfig, and
the nodes of EAP-IG and AutoCircuit; where each was read is told in docs/interchange.md. A site that a tool has no name
for is refused: a near one would be another tensor.
"""

import json
from collections.abc import Mapping
from typing import Any, Literal, Self, cast, get_args

from pydantic import Field, RootModel, ValidationError, field_validator

from lesion.errors import InputError
from lesion.identity import Document
from lesion.interventions.intervention import Written
from lesion.interventions.other_tools.circuit import circuit_sites, is_circuit
from lesion.interventions.site import COMPONENTS, HOOKS, UNITS, Kind, Site
from lesion.outside.documents import parse_json

Tool = Literal["lesion", "transformer-lens", "nnsight", "pyvene", "eap-ig", "auto-circuit"]
TOOLS: tuple[Tool, ...] = get_args(Tool)

_NNTERP: Mapping[Kind, str] = {
    "pattern": "attention_probabilities[{layer}][:, {index}]",
    "attn_out": "attentions_output[{layer}]",
    "mlp_out": "mlps_output[{layer}]",
}
_NODES: Mapping[Tool, Mapping[Kind, str]] = {
    "eap-ig": {"head": "a{layer}.h{index}", "mlp_out": "m{layer}"},
    "auto-circuit": {"head": "A{layer}.{index}", "mlp_out": "MLP {layer}", "resid_mid": "Block {layer} Resid Mid"},
    "nnsight": _NNTERP,
}


def name_site(site: Site, tool: Tool) -> str:
    """A site as a tool writes it; `parse_site` gives the same site back.

    >>> from lesion.interventions.site import parse_site
    >>> [name_site(parse_site("L5H1"), tool) for tool in ("transformer-lens", "eap-ig", "auto-circuit")]
    ['blocks.5.attn.hook_z[1]', 'a5.h1', 'A5.1']

    Raises:
        InputError: when the tool has no name for it.
    """
    if tool == "lesion":
        return str(site)
    name = _stream(site.layer, tool) if site.kind == "resid_pre" else _named(site, tool)
    if name is None:
        raise InputError(f"{tool} has no name for {site}; of this kind there are {', '.join(tools_for(site))}")
    return name


def tools_for(site: Site) -> list[Tool]:
    """The tools that have a name for a site."""
    streams = site.kind == "resid_pre"
    return [one for one in TOOLS if one == "lesion" or (_stream(site.layer, one) if streams else _named(site, one))]


def _stream(layer: int, tool: Tool) -> str | None:
    """The stream that enters a block, as what the one before it gives: a name that holds behind the last one, too."""
    if tool == "transformer-lens":
        return f"blocks.{layer - 1}.hook_resid_post" if layer else "blocks.0.hook_resid_pre"
    if tool == "nnsight":
        return f"layers_output[{layer - 1}]" if layer else "layers_input[0]"
    if tool == "pyvene":
        return json.dumps({"layer": max(0, layer - 1), "component": "block_output" if layer else "block_input"})
    return "Resid Start" if tool == "auto-circuit" and layer == 0 else None


def _named(site: Site, tool: Tool) -> str | None:
    """Any other site."""
    if tool == "transformer-lens":
        hook = {kind: name for name, kind in HOOKS.items()}.get(site.kind)
        return hook and f"blocks.{site.layer}.{hook}" + (f"[{site.index}]" if site.kind in UNITS else "")
    if tool == "pyvene":
        component = {kind: name for name, kind in COMPONENTS.items()}.get(site.kind)
        which = {"unit": "h", "unit_locations": site.index} if site.kind in UNITS else {}
        return component and json.dumps({"layer": site.layer, "component": component, **which})
    template = _NODES.get(tool, {}).get(site.kind)
    return template and template.format(layer=site.layer, index=site.index)


class HeadSet(Document):
    """A set of heads that can be handed on: what they are called, of which model, and why these."""

    kind: Literal["heads"] = "heads"
    format: Literal[1] = 1
    name: str = Field(default="", max_length=200)
    """What they are called, for people."""
    model: str = Field(default="", max_length=200)
    """The model that they are heads of, as it was asked for; empty: not said."""
    weights_hash: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    """SHA-256 of its weights, as `lesion` computes it; empty: not said."""
    source: str = Field(default="", max_length=1000)
    """Where the set comes from: a detector, a paper, a record."""
    heads: tuple[Site, ...] = Field(min_length=1)
    """Query heads, sorted by layer and number, none twice."""

    @field_validator("heads")
    @classmethod
    def _sorted_and_unique(cls, heads: tuple[Site, ...]) -> tuple[Site, ...]:
        if other := [str(site) for site in heads if site.kind != "head"]:
            raise ValueError(f"{other[0]} is no head; a head is written L5H1")
        if len(set(heads)) != len(heads):
            raise ValueError("a head is named twice")
        return tuple(sorted(heads, key=lambda site: (site.layer, site.index or 0)))

    @classmethod
    def of(cls, sites: tuple[Site, ...], name: str = "", model: str = "") -> Self:
        """The set of these heads.

        Raises:
            InputError: when one of them is no head, or named twice.
        """
        try:
            return cls(heads=sites, name=name, model=model)
        except ValidationError as error:
            raise InputError(f"this is no set of heads: {error.errors()[0]['msg']}") from error


class AnyIntervention(RootModel[Written]):
    """An intervention of any kind, told apart by its `kind`."""


def read_sites(text: str) -> tuple[Site, ...]:
    """The sites of a document: a set of heads, an intervention, or a circuit of EAP-IG.

    Raises:
        InputError: when the text is none of them.
    """
    try:
        document: Any = parse_json(text, "the document")
        if isinstance(document, dict):
            keys = cast("dict[str, object]", document)
            if keys.get("kind") == "heads":
                return HeadSet.model_validate_json(text).heads
            if is_circuit(keys):
                return circuit_sites(text)
        return AnyIntervention.model_validate_json(text).root.sites
    except ValidationError as error:
        told = error.errors()[0]
        where = ".".join(map(str, told["loc"]))
        raise InputError(f"neither heads nor an intervention: {where}: {told['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"neither heads nor an intervention: not JSON ({error})") from error
