"""Several sites in one text, in the spellings that people use.

`L5H1+L6H9`, `L5H1,L6H9`, `L5H1 L6H9`, `5.1 6.9`, `[(5, 1), (6, 9)]`, `[[5, 1], [6, 9]]`, and `5,1` for one head.
"""

import re
from collections.abc import Sequence

from lesion.errors import InputError
from lesion.interventions.site import Site, head, parse_site

Named = str | Site | tuple[int, int]
"""A site: as a value, as it is written, or for a head as (layer, head)."""

_PAIR = re.compile(r"[(\[]\s*(\d{1,5})\s*,\s*(\d{1,6})\s*[)\]]", re.ASCII)
_TWO = re.compile(r"(\d{1,5})\s*,\s*(\d{1,6})", re.ASCII)
_BETWEEN = re.compile(r"[,;\s]+")


def site_words(text: str) -> list[str]:
    """The sites of a list, each as a word that `parse_site` reads; words that are no site are left as they are.

    >>> site_words("[(5, 1), (6, 9)]"), site_words("5,1"), site_words("L5H1, L6H9"), site_words("heads+L0N3")
    (['L5H1', 'L6H9'], ['L5H1'], ['L5H1', 'L6H9'], ['heads', 'L0N3'])
    """
    if pairs := _PAIR.findall(text):
        if not _PAIR.sub("", text).strip("[](),;+ \t\n"):
            return [f"L{layer}H{index}" for layer, index in pairs]
    elif match := _TWO.fullmatch(text.strip()):
        return [f"L{match[1]}H{match[2]}"]
    if text.strip().startswith("{"):
        return [text.strip()]
    words: list[str] = []
    for part in (part.strip() for part in text.split("+")):
        words += [part] if _is_site(part) else [word for word in _BETWEEN.split(part) if word] or [part]
    return words


def parse_sites(text: str) -> list[Site]:
    """The sites of a list, in its order.

    >>> [str(site) for site in parse_sites("5.1 6.9")]
    ['L5H1', 'L6H9']

    Raises:
        InputError: for a word that is no site.
    """
    return [parse_site(word) for word in site_words(text)]


def sites_of(named: Named | Sequence[Named]) -> list[Site]:
    """Sites given in Python: one or several, as values, as text, or heads as (layer, head).

    >>> [str(site) for site in sites_of([(5, 1), "L6H9"])]
    ['L5H1', 'L6H9']

    Raises:
        InputError: for what names no site.
    """
    if isinstance(named, str):
        return parse_sites(named)
    if isinstance(named, Site):
        return [named]
    if len(named) == 2 and all(isinstance(part, int) for part in named):
        layer, index = named
        assert isinstance(layer, int)
        assert isinstance(index, int)
        if layer < 0 or index < 0:
            raise InputError(f"{named}: layer and head count from 0")
        return [head(layer, index)]
    found: list[Site] = []
    for one in named:
        if not isinstance(one, str | Site | tuple | list):
            raise InputError(f"{one!r} is not a site: write 'L5H1' or (5, 1)")
        found += sites_of(one)
    return found


def _is_site(text: str) -> bool:
    try:
        parse_site(text)
    except InputError:
        return False
    return True
