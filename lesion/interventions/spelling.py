"""Reads an intervention as a person writes it: `scale L5H1 0.5`, `zero L5H1+L6H9 @last`.

`zero` is read as scaling by 0; it has no kind of its own. Interventions that need a source (mean, resample, patch,
steer) are written in a study or made in a notebook, not in one line.
"""

from lesion.errors import InputError, nearest
from lesion.interventions.intervention import Scale
from lesion.interventions.site import Site, parse_site

VERBS = ("scale", "zero")


def scale(sites: str | Site | list[str] | list[Site], alpha: float, positions: str = "all") -> Scale:
    """Multiply one or several sites by a factor; sites as values or as they are written, joined by `+`.

    >>> str(scale("L5H1+L6H9", 0.5))
    'scale 0.5 L5H1+L6H9'

    Raises:
        InputError: when a site's spelling is not known, or a site is named twice.
    """
    named = [sites] if isinstance(sites, str | Site) else sites
    found: list[Site] = []
    for one in named:
        found += [one] if isinstance(one, Site) else [parse_site(part) for part in one.split("+")]
    try:
        return Scale(sites=tuple(found), alpha=alpha, positions=positions)
    except ValueError as error:
        told = " ".join(str(error).splitlines()[2:3]).split(" [type=")[0].strip()
        raise InputError(f"this intervention cannot be: {told}") from error


def parse_intervention(text: str) -> Scale:
    """Read an intervention's spelling; site and factor may stand in either order.

    >>> parse_intervention("scale L5H1 0.5 @last") == scale("L5H1", 0.5, "last")
    True

    Raises:
        InputError: when it is not one.
    """
    words = text.split()
    if not words or words[0] not in VERBS:
        there = nearest((words or [""])[0], VERBS)
        raise InputError(f"'{text[:60]}' is not an intervention such as 'scale L5H1 0.5'; {there}")
    positions = [word.removeprefix("@") for word in words[1:] if word.startswith("@")]
    factors = [float(word) for word in words[1:] if _is_number(word)]
    sites = [word for word in words[1:] if not word.startswith("@") and not _is_number(word)]
    factors += [0.0] if words[0] == "zero" else []
    if len(factors) != 1 or not sites or len(positions) > 1:
        raise InputError(f"'{text[:60]}': write 'scale SITE FACTOR' or 'zero SITE', and at most one '@POSITIONS'")
    return scale(sites, factors[0], positions[0] if positions else "all")


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
