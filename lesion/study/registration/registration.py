"""Preregistration: a study frozen before its data, in a chain in which each registration holds the hash of the last.

The hash of a registration orders the confirmation's items, so nobody can have looked at them before registering, and a
re-registration draws others. A later change is an amendment, with a reason, and stays in the chain.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal, cast

from pydantic import Field

from lesion.errors import Tampered
from lesion.identity import Document
from lesion.study.study import Study


class Registration(Document):
    """A study, frozen."""

    format: Literal[1] = 1
    number: int
    """Place in the chain, from 1."""
    previous: str | None
    """Hash of the registration before; none for the first."""
    time: str
    """UTC, ISO 8601."""
    commit: str | None
    """Git commit of the laboratory's source; nothing outside a checkout."""
    clean: bool
    """Whether the tree was clean at that commit."""
    source_hash: str
    """Hash over the package's own source files; a confirmatory run must have the same."""
    study: Study
    """With every default written out."""
    study_hash: str
    text: str
    """The study file as it was given."""
    amends: str | None
    """Hash of the registration of the same study that this one changes."""
    reason: str
    """Why it was amended; empty for a first registration."""
    runs_seen: tuple[str, ...]
    """Seals of all runs that the ledger knew, so that none can be slipped in later; the newest last."""
    looked: tuple[str, ...]
    """Names of earlier runs of this study: what may have been seen before this registration."""
    earlier: tuple[str, ...] = Field(default=(), exclude_if=lambda runs: not runs)
    """Names of all earlier runs on the same models, found in every ledger that could be read: runs of this study, of
    studies that share a model and a kind of task, and commands that opened one of the models."""
    ledgers: int = Field(default=0, exclude_if=lambda number: not number)
    """How many ledgers were searched for them; 0 in registrations from before they were searched."""
    seen_elsewhere: str = Field(default="", exclude_if=lambda text: not text)
    """What the registrant has seen of these models and tasks in any other place, in their own words."""


def check_chain(chain: Sequence[Registration]) -> None:
    """Make sure that no registration was changed, lost or slipped in.

    Raises:
        Tampered: naming the first that does not fit.
    """
    previous: str | None = None
    for number, registration in enumerate(chain, start=1):
        name = f"registration {registration.number} ({registration.study.name})"
        if registration.number != number:
            raise Tampered(f"{name}: number {number} is missing from the chain")
        if registration.previous != previous:
            raise Tampered(f"{name}: the registration before it was changed (its hash is not the recorded one)")
        if registration.study_hash != registration.study.hash():
            raise Tampered(f"{name}: its study was changed (its hash is not the recorded one)")
        previous = registration.hash()


def changes(old: Study, new: Study) -> list[str]:
    """What differs between two versions of a study, a line for each value: `sweep.alphas: [0.0, 0.5] -> [0.0]`."""
    before, after = (dict(_leaves(study.model_dump(mode="json"))) for study in (old, new))
    keys = sorted(before.keys() | after.keys())
    return [
        f"{key}: {before.get(key, '(absent)')} -> {after.get(key, '(absent)')}"
        for key in keys
        if before.get(key, ...) != after.get(key, ...)
    ]


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, part in cast("Mapping[str, Any]", value).items():
            yield from _leaves(part, f"{path}.{key}" if path else key)
    else:
        yield path, value


def lineage(chain: Sequence[Registration], registration: Registration) -> list[Registration]:
    """A registration and all that it amends, the oldest first."""
    by_hash = {entry.hash(): entry for entry in chain}
    found = [registration]
    while found[0].amends is not None and found[0].amends in by_hash:
        found.insert(0, by_hash[found[0].amends])
    return found


def deviations(chain: Sequence[Registration], registration: Registration) -> list[str]:
    """How a registration came to be: every amendment, what it changed, what had been seen by then."""
    told: list[str] = []
    line = lineage(chain, registration)
    for old, new in pairwise(line):
        ended = len(new.looked)
        seen = f"after {ended} run(s) of this study had been made" if ended else "before any run of it had ended"
        what = "; ".join(changes(old.study, new.study)) or "newer code; the study is unchanged"
        told.append(f"Amended on {new.time}, {seen}: {what}. Reason: {new.reason}")
    if line[0].looked:
        told.append(f"First registered after {len(line[0].looked)} exploratory run(s) of a study of this name.")
    return told


def akin(one: Study, other: Study) -> bool:
    """Whether looking at one study teaches about the other: they share a model and a kind of task."""
    kinds, others = ({config.task for config in study.tasks.values()} for study in (one, other))
    return not kinds.isdisjoint(others) and not set(one.models).isdisjoint(other.models)
