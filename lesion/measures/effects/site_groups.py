"""Many sites in one word: `heads`, `L1.heads`, `L0-2.neurons`, `streams`, and any single site beside them.

What a grid, a path or a staged ablation runs over. The order is that of the words, then of layers and numbers.
"""

import re

from pydantic import TypeAdapter, ValidationError

from lesion.errors import InputError, nearest
from lesion.interventions.intervention import Where
from lesion.interventions.site import Site, head, neuron, parse_site, stream
from lesion.interventions.site_list import site_words
from lesion.models.sizes import Sizes

PLACES = ("all", "prompt", "last", "generated", "role:operand_1", "index:0")
WORDS = ("heads", "neurons", "streams")
_GROUP = re.compile(r"(?:L(\d{1,5})(?:-(\d{1,5}))?\.)?([a-z]+)", re.ASCII)


def select(sizes: Sizes, text: str) -> list[Site]:
    """The sites that a selection names, in any spelling of `lesion.interventions.site_list`; each once.

    `streams` are those that enter each block, and the one that leaves the last.

    Raises:
        InputError: for a word that is neither a selection nor a site, or layers in the wrong order.
        InterventionError: for a layer, head or neuron that the model does not have.
    """
    found: dict[Site, None] = {}
    for word in site_words(text):
        for site in _selected(sizes, word):
            sizes.check(site)
            found[site] = None
    return list(found)


def _selected(sizes: Sizes, word: str) -> list[Site]:
    match = _GROUP.fullmatch(word)
    if match is None:
        return [parse_site(word)]
    first, last, kind = match.groups()
    if kind not in WORDS:
        if first is not None:  # L5.attn_out and the like
            return [parse_site(word)]
        raise InputError(f"'{word[:40]}' selects no sites; {nearest(kind, WORDS)}, or write sites: L5H1+L6H9")
    start = int(first or 0)
    end = int(last or first or sizes.n_layers - (kind != "streams"))
    if end < start:
        raise InputError(f"'{word}': layers go from the lower to the higher, L{end}-{start}.{kind}")
    layers = range(start, end + 1)
    if kind == "streams":
        return [stream(layer) for layer in layers]
    count, make = (sizes.n_heads, head) if kind == "heads" else (sizes.d_mlp, neuron)
    return [make(layer, index) for layer in layers for index in range(count)]


def places(text: str) -> list[str]:
    """The places that a text names, joined by `+`.

    >>> places("all+role:operand_1")
    ['all', 'role:operand_1']

    Raises:
        InputError: for what is no place.
    """
    found = text.split("+")
    for place in found:
        try:
            TypeAdapter(Where).validate_python(place)
        except ValidationError as error:
            raise InputError(f"'{place[:40]}' is no place in a prompt; {nearest(place, PLACES)}") from error
    return found
