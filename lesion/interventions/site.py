"""One addressable activation of a transformer: a head, a neuron, a projection, a pattern, a point of the stream.

Canonical spellings, layers and indices from 0:

- `L5H1`: head 1 of layer 5, its slice z of the attention output projection's *input*; heads are query heads.
- `L5N12`: neuron 12, one column of the MLP down projection's input.
- `L5H1.q`, `L5G0.k`, `L5G0.v`: a head's query, a group's key and value, before rotation. A group is the query heads
  that share one key and one value; without grouped-query attention group and head are the same number.
- `L5H1.pattern`: the attention pattern of a head, from query to key positions.
- `L5N12.gate`, `L5N12.act`, `L5N12.up`: what a neuron's activation function is given, what it gives, and what that is
  multiplied with in a gated MLP.
- `L5.resid_pre`, `L5.resid_mid`: the stream that enters block 5, and between its attention and its MLP;
  `L5.attn_out`, `L5.mlp_out`: what they add to it. The stream that leaves block 5 is `L6.resid_pre`.

`parse_site` also reads what other tools write: `5.1`, `a5.h1`, `A5.1`, `m5`, `MLP 5`, `blocks.5.attn.hook_z[1]`,
`layers_output[5]`, `Block 5 Resid Mid`, and a representation of pyvene as JSON. `lesion.interventions.other_tools`
writes them, and says why an edge such as `a5.h1->m6` is none.
"""

import re
from collections.abc import Mapping
from typing import Literal, Self, get_args

from pydantic import Field, ValidationError, model_validator

from lesion.errors import InputError, nearest
from lesion.identity import Document
from lesion.interventions.other_tools.edges import refusal

Kind = Literal[
    "head", "neuron", "resid_pre", "q", "k", "v", "pattern", "gate", "act", "up", "resid_mid", "attn_out", "mlp_out"
]

KINDS: tuple[Kind, ...] = get_args(Kind)
UNITS: Mapping[Kind, Literal["head", "group", "neuron"]] = {
    "head": "head",
    "q": "head",
    "pattern": "head",
    "k": "group",
    "v": "group",
    "neuron": "neuron",
    "gate": "neuron",
    "act": "neuron",
    "up": "neuron",
}
"""What the index of a site counts; kinds that are not here are a whole stream and have none."""

_LETTERS = {"head": "H", "group": "G", "neuron": "N"}
_NUMBER = r"(\d{1,7})"
_INDEX = rf"(?:\[{_NUMBER}\]|[.:]{_NUMBER})?"


class Site(Document):
    """An activation by kind, layer and index within the layer."""

    kind: Kind
    """`head`, `neuron`, `resid_pre`, or one of the others that the module's docstring lists."""
    layer: int
    """Block number, from 0."""
    index: int | None = None
    """Head, group or neuron number within the layer, from 0; none for a stream."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.index is None) != (self.kind not in UNITS):
            raise ValueError(f"a {self.kind} site {'takes no index' if self.index is not None else 'needs an index'}")
        if self.layer < 0 or (self.index or 0) < 0:
            raise ValueError("layer and index count from 0")
        return self

    def __str__(self) -> str:
        """The canonical spelling, which `parse_site` reads back."""
        unit = f"{_LETTERS[UNITS[self.kind]]}{self.index}" if self.kind in UNITS else ""
        return f"L{self.layer}{unit}" + ("" if self.kind in ("head", "neuron") else f".{self.kind}")


def head(layer: int, index: int) -> Site:
    """One attention head: its slice of the input of the attention output projection.

    Args:
        layer: block, from 0.
        index: query head within the block, from 0.

    Raises:
        ValidationError: for a negative number.
    """
    return Site(kind="head", layer=layer, index=index)


def neuron(layer: int, index: int) -> Site:
    """One MLP neuron: its column of the input of the MLP's down projection.

    Args:
        layer: block, from 0.
        index: neuron within the block, from 0.

    Raises:
        ValidationError: for a negative number.
    """
    return Site(kind="neuron", layer=layer, index=index)


def stream(layer: int) -> Site:
    """The residual stream that enters a block.

    Args:
        layer: block, from 0; the number of layers means the stream that leaves the last block.

    Raises:
        ValidationError: for a negative number.
    """
    return Site(kind="resid_pre", layer=layer)


_CANONICAL = re.compile(rf"L(\d{{1,5}})(?:([HGN]){_NUMBER})?(?:\.([a-z_]+))?", re.ASCII)
_SHORT: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (re.compile(r"(\d{1,5})\.(\d{1,6})", re.ASCII), "head"),
    (re.compile(r"a(\d{1,5})\.h(\d{1,6})", re.ASCII), "head"),
    (re.compile(r"A(\d{1,5})\.(\d{1,6})", re.ASCII), "head"),
    (re.compile(r"m(\d{1,5})", re.ASCII), "mlp_out"),
    (re.compile(r"MLP (\d{1,5})", re.ASCII), "mlp_out"),
    (re.compile(r"Block (\d{1,5}) Resid Mid", re.ASCII), "resid_mid"),
    (re.compile(r"attentions_output\[(\d{1,5})\]", re.ASCII), "attn_out"),
    (re.compile(r"mlps_output\[(\d{1,5})\]", re.ASCII), "mlp_out"),
    (re.compile(r"attention_probabilities\[(\d{1,5})\]\[:, (\d{1,6})\]", re.ASCII), "pattern"),
    (re.compile(r"layers_input\[(\d{1,5})\]", re.ASCII), "resid_pre"),
)
_LEAVING = re.compile(
    r"L(\d{1,5})\.resid_post|layers_output\[(\d{1,5})\]|blocks\.(\d{1,5})\.hook_resid_post|Block (\d{1,5}) Resid Post",
    re.ASCII,
)
_HOOK = re.compile(rf"blocks\.(\d{{1,5}})\.((?:[a-z]+\.)?hook_[a-z_]+?){_INDEX}", re.ASCII)
HOOKS: Mapping[str, Kind] = {
    "attn.hook_z": "head",
    "attn.hook_q": "q",
    "attn.hook_k": "k",
    "attn.hook_v": "v",
    "attn.hook_pattern": "pattern",
    "mlp.hook_pre": "gate",
    "mlp.hook_pre_linear": "up",
    "mlp.hook_post": "neuron",
    "hook_resid_pre": "resid_pre",
    "hook_resid_mid": "resid_mid",
    "hook_attn_out": "attn_out",
    "hook_mlp_out": "mlp_out",
}
"""Names of transformer-lens, behind `blocks.LAYER.`; `hook_resid_post` is the next block's `resid_pre`."""
COMPONENTS: Mapping[str, Kind] = {
    "head_attention_value_output": "head",
    "head_query_output": "q",
    "head_key_output": "k",
    "head_value_output": "v",
    "block_input": "resid_pre",
    "attention_output": "attn_out",
    "mlp_output": "mlp_out",
}
"""Components of pyvene; those of heads take the unit `h` and a location. `block_output` is the next `resid_pre`."""


def parse_site(text: str) -> Site:
    """Read a site's spelling, canonical or another tool's.

    >>> [str(parse_site(text)) for text in ("L5H1", "5.1", "a5.h1", "blocks.5.attn.hook_z[1]", "layers_output[5]")]
    ['L5H1', 'L5H1', 'L5H1', 'L5H1', 'L6.resid_pre']

    Args:
        text: `L5H1`, `L5N17`, `L6.resid_pre`, or what TransformerLens, nnsight, EAP-IG, AutoCircuit or pyvene write.

    Raises:
        InputError: when the spelling is not one of the known ones, or leaves out which head or neuron is meant.
    """
    if text.startswith("{"):
        return _represented(text)
    if text == "Resid Start":
        return stream(0)
    if match := _LEAVING.fullmatch(text):
        return stream(int(next(part for part in match.groups() if part)) + 1)
    if match := _CANONICAL.fullmatch(text):
        layer, letter, index, name = match.groups()
        found = _named(letter, name)
        if found is not None:
            return Site(kind=found, layer=int(layer), index=None if index is None else int(index))
    for pattern, kind in _SHORT:
        if match := pattern.fullmatch(text):
            layer, *rest = (int(part) for part in match.groups())
            return Site(kind=kind, layer=layer, index=rest[0] if rest else None)
    if match := _HOOK.fullmatch(text):
        return _hooked(text, *match.groups())
    if said := refusal(text):
        raise InputError(said)
    raise InputError(
        f"'{text[:40]}' is not a site: write a head as L5H1, a neuron as L5N12, the residual stream as L5.resid_pre; "
        "there are also L5H1.q, L5G0.k, L5G0.v, L5H1.pattern, L5N12.gate, L5N12.act, L5N12.up, L5.resid_mid, "
        "L5.resid_post, L5.attn_out and L5.mlp_out"
    )


def _named(letter: str | None, name: str | None) -> Kind | None:
    """The kind with this letter and name, if there is one."""
    for kind in KINDS:
        plain = kind in ("head", "neuron")
        same_letter = (_LETTERS[UNITS[kind]] if kind in UNITS else None) == letter
        if same_letter and name == (None if plain else kind):
            return kind
    return None


class _Representation(Document):
    """What pyvene's RepresentationConfig says of a place, and which unit of it is meant."""

    layer: int = Field(ge=0)
    component: str
    unit: Literal["h", "pos"] = "pos"
    unit_locations: int | None = Field(default=None, ge=0)


def _represented(text: str) -> Site:
    """A site by its representation in pyvene."""
    try:
        found = _Representation.model_validate_json(text)
    except ValidationError as error:
        told = error.errors()[0]
        where = ".".join(map(str, told["loc"]))
        raise InputError(f"'{text[:60]}' is no representation of pyvene: {where}: {told['msg']}") from error
    if found.component == "block_output" and found.unit_locations is None:
        return stream(found.layer + 1)
    kind = COMPONENTS.get(found.component)
    if kind is None:
        raise InputError(f"'{found.component[:40]}' is no site here; {nearest(found.component, COMPONENTS)}")
    if (kind in UNITS) != (found.unit == "h" and found.unit_locations is not None):
        fix = 'needs "unit": "h" and "unit_locations": which' if kind in UNITS else "takes no unit and no location"
        raise InputError(f"'{text[:80]}': {found.component} {fix}")
    return Site(kind=kind, layer=found.layer, index=found.unit_locations)


def _hooked(text: str, layer: str, name: str, bracketed: str | None, dotted: str | None) -> Site:
    """A site by its name in transformer-lens."""
    kind = HOOKS.get(name)
    if kind is None:
        listed = ", ".join(f"blocks.{layer}.{known}" for known in HOOKS)
        raise InputError(f"'{text[:60]}' is not a site here; of transformer-lens's names these are: {listed}")
    index = bracketed or dotted
    if (index is None) != (kind not in UNITS):
        what = UNITS.get(kind)
        fix = f"names every {what} of the layer: add which one, as in {text[:60]}[0]" if what else "takes no index"
        raise InputError(f"'{text[:60]}' {fix}")
    return Site(kind=kind, layer=int(layer), index=None if index is None else int(index))
