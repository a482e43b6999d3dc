"""Reads an intervention as a person writes it: `scale L5H1 0.5`, `zero L5H1+L6H9 @last`, `mean L1H0`.

`zero` is read as scaling by 0; it has no kind of its own. Mean, median and resample put other items' values in place.
They become an intervention only where the items are known (`replacement`). Patch and steer are written in a study or
made in a notebook.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from lesion.errors import InputError, nearest
from lesion.interventions.intervention import CENTRAL, REPLACING, Mean, Median, Resample, Scale
from lesion.interventions.site import Site
from lesion.interventions.site_list import Named, parse_sites, sites_of

VERBS = ("scale", "zero")
_DOTTED = re.compile(r"\d+\.\d+", re.ASCII)


class Replacement(NamedTuple):
    """An ablation by other items' values, before those items are known."""

    kind: str
    """What is put in place: a name of `REPLACING`."""
    sites: tuple[Site, ...]
    """Where."""
    positions: str
    """At which positions."""

    def made(self, reference: str, seed: int) -> Mean | Median | Resample:
        """The intervention, once the items are known.

        Args:
            reference: the hash of the other items.
            seed: draws the item whose values are resampled.
        """
        if self.kind in CENTRAL:
            return CENTRAL[self.kind](sites=self.sites, positions=self.positions, reference=reference)
        return Resample(sites=self.sites, positions=self.positions, reference=reference, seed=seed)


def scale(sites: Named | Sequence[Named], alpha: float, positions: str = "all") -> Scale:
    """Multiply one or several sites by a factor.

    >>> str(scale("L5H1+L6H9", 0.5)), str(scale((5, 1), 0)), str(scale([(5, 1), (6, 9)], 0))
    ('scale 0.5 L5H1+L6H9', 'scale 0 L5H1', 'scale 0 L5H1+L6H9')

    Args:
        sites: a spelling (`L5H1`, `L5H1+L6H9`), a pair (layer, head), a `Site`, or a list of these.
        alpha: the factor, a finite number: 0 removes, 1 changes nothing, above 1 amplifies.
        positions: `all`, `last`, a role of the prompt's tokens, or token numbers.

    Raises:
        InputError: when a site's spelling is not known, or a site is named twice.
    """
    try:
        return Scale(sites=tuple(sites_of(sites)), alpha=alpha, positions=positions)
    except ValueError as error:
        told = " ".join(str(error).splitlines()[2:3]).split(" [type=")[0].strip()
        raise InputError(f"this intervention cannot be: {told}") from error


def zero(sites: Named | Sequence[Named], positions: str = "all") -> Scale:
    """Set one or several sites to 0.

    >>> str(zero("L5H1"))
    'scale 0 L5H1'

    Args:
        sites: where; as for `scale`.
        positions: `all`, `last`, a role of the prompt's tokens, or token numbers.

    Raises:
        InputError: when a site's spelling is not known, or a site is named twice.
    """
    return scale(sites, 0.0, positions)


def mean(sites: Named | Sequence[Named], positions: str = "all") -> Replacement:
    """Put at one or several sites the mean of their activations over other items of the task.

    >>> mean("L5H1").kind
    'mean'

    Args:
        sites: where; as for `scale`.
        positions: `all`, `last`, a role of the prompt's tokens, or token numbers.

    Raises:
        InputError: when a site's spelling is not known.
    """
    return Replacement("mean", tuple(sites_of(sites)), positions)


def median(sites: Named | Sequence[Named], positions: str = "all") -> Replacement:
    """Put at one or several sites the element-wise median of their activations over other items of the task.

    >>> median("L5H1").kind
    'median'

    Args:
        sites: where; as for `scale`.
        positions: `all`, `last`, a role of the prompt's tokens, or token numbers.

    Raises:
        InputError: when a site's spelling is not known.
    """
    return Replacement("median", tuple(sites_of(sites)), positions)


def resample(sites: Named | Sequence[Named], positions: str = "all") -> Replacement:
    """Put at one or several sites the activation of another item of the task, drawn for each item.

    >>> resample("L5H1+L6H9").kind
    'resample'

    Args:
        sites: where; as for `scale`.
        positions: `all`, `last`, a role of the prompt's tokens, or token numbers.

    Raises:
        InputError: when a site's spelling is not known.
    """
    return Replacement("resample", tuple(sites_of(sites)), positions)


def parse_intervention(text: str) -> Scale:
    """Read an intervention's spelling; sites and factor may stand in either order.

    >>> parse_intervention("scale L5H1 0.5 @last") == scale("L5H1", 0.5, "last")
    True
    >>> parse_intervention("zero [(5, 1), (6, 9)]") == scale("L5H1+L6H9", 0)
    True

    Args:
        text: `scale SITES FACTOR` or `zero SITES`, and at most one `@POSITIONS`.

    Raises:
        InputError: when it is not one.
    """
    verb, words, positions = _parts(text)
    if verb in REPLACING:
        raise InputError(
            f"'{text[:60]}': {verb} needs other items, and here there are none; `lesion measure --do` and "
            f"Lab.run take it, and `lesion ablate --ablation {verb}`"
        )
    if verb not in VERBS:
        there = nearest(verb, [*VERBS, *REPLACING])
        raise InputError(f"'{text[:60]}' is not an intervention such as 'scale L5H1 0.5'; {there}")
    factor = "0" if verb == "zero" else _taken_factor(words)
    if factor is None or not words:
        raise InputError(f"'{text[:60]}': write 'scale SITES FACTOR' or 'zero SITES', and at most one '@POSITIONS'")
    return scale(" ".join(words), float(factor), positions)


def replacement(text: str) -> Replacement | None:
    """An ablation by other items' values: `mean L1H0`, `median L1H0`, `resample L1H0 @last`; None for another verb.

    >>> replacement("mean L1H0").kind, replacement("zero L1H0")
    ('mean', None)

    Raises:
        InputError: for what names no site.
    """
    verb, words, positions = _parts(text)
    if verb not in REPLACING:
        return None
    return Replacement(verb, tuple(parse_sites(" ".join(words))), positions)


def _parts(text: str) -> tuple[str, list[str], str]:
    """Verb, the words behind it, and the positions."""
    verb, *words = text.split() or [""]
    places = [word.removeprefix("@") for word in words if word.startswith("@")]
    if len(places) > 1:
        raise InputError(f"'{text[:60]}': write at most one '@POSITIONS'")
    return verb, [word for word in words if not word.startswith("@")], places[0] if places else "all"


def _taken_factor(words: list[str]) -> str | None:
    """Take the one factor out of the words of a scale; None where there is none, or more than one.

    `5.1` is a number and a head. Where all words are numbers, heads stand first and the factor last: `scale 5.1 0.5`.
    """
    numbers = [place for place, word in enumerate(words) if _is_number(word)]
    heads = len(numbers) == len(words) > 1 and all(_DOTTED.fullmatch(word) for word in words[:-1])
    return words.pop(numbers[-1]) if heads or len(numbers) == 1 else None


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
