"""Writes docs/licences.md: the licence of every package that an install brings, from the packages' own metadata.

A package that tells no licence, or one that asks for more than its notice to be kept, ends it with a sentence, unless
it is accepted below with the reason. `python docs/licences.py`, or `make schemas`; a test holds the page against it.
"""

import sys
import tomllib
from collections.abc import Iterable, Iterator
from email.message import Message
from importlib.metadata import distribution
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "licences.md"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = ("archive", "ray", "eval", "view")
PERMISSIVE = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0",
    "CNRI-Python", "ISC", "MIT", "PSF-2.0", "Zlib",
}  # fmt: skip
"""SPDX names of licences that ask for no more than their notice; `BSD` where a package does not say which."""
SPELLINGS = {
    "MIT License": "MIT",
    "3-Clause BSD License": "BSD-3-Clause",
    "BSD License": "BSD",
    "ISC License (ISCL)": "ISC",
    "ISC License": "ISC",
    "PSFL": "PSF-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "Apache": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache 2.0 License": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.1-or-later",
    "LGPL-3.0-or-newer": "LGPL-3.0-or-later",
    "The MIT License (MIT)": "MIT",
}
"""What packages write -> SPDX."""
ACCEPTED = {
    "tqdm": "MPL-2.0 holds for changes of its own files; it is used as it is, and comes with transformers",
    "certifi": "MPL-2.0 holds for changes of its own files; a list of certificates that requests reads",
    "chardet": "LGPL; a library on its own that lm-eval's packages import; only with the extra `eval`",
    "dominate": "LGPL; a library on its own that lm-eval's packages import; only with the extra `eval`",
}
"""Packages whose licences ask for more, and why they may come along."""


class Licensed(NamedTuple):
    """A package that an install brings."""

    name: str
    licence: str
    """SPDX, or what the package writes; empty: it tells none."""
    by: str
    """`core`, or the extra that brings it."""


def licence_of(metadata: Message) -> str:
    """SPDX from the licence expression, else from the licence field's first line, else from a classifier."""
    if expression := metadata.get("License-Expression"):
        return expression
    first = (metadata.get("License") or "").strip().partition("\n")[0].strip()
    classifiers = [each for each in metadata.get_all("Classifier") or [] if each.startswith("License ::")]
    told = [first, *(each.rpartition("::")[2].strip() for each in classifiers)]
    known = [SPELLINGS.get(word, word) for word in told if word in SPELLINGS or permissive(word)]
    return known[0] if known else first


def permissive(expression: str) -> bool:
    """Whether every part of an SPDX expression is, or one of those that it lets choose."""
    parts = ([term.strip(" ()") for term in part.split(" OR ")] for part in expression.split(" AND "))
    return all(any(term in PERMISSIVE for term in terms) for terms in parts)


def brought(lines: Iterable[str]) -> set[str]:
    """The distributions that requirements bring along here, themselves included."""
    todo, seen = [Requirement(line) for line in lines], set[tuple[str, frozenset[str]]]()
    while todo:
        asked = todo.pop()
        key = (canonicalize_name(asked.name), frozenset(asked.extras))
        if key not in seen:
            seen.add(key)
            inner = map(Requirement, distribution(key[0]).requires or ())
            todo += [each for each in inner if _wanted(each, asked.extras)]
    return {name for name, _ in seen}


def _wanted(asked: Requirement, extras: set[str]) -> bool:
    return asked.marker is None or any(asked.marker.evaluate({"extra": extra}) for extra in ("", *extras))


def licensed() -> list[Licensed]:
    """Every package that `pip install lesion` brings, then those that each extra adds."""
    found: dict[str, Licensed] = {}
    for by in ("core", *EXTRAS):
        lines = PROJECT["dependencies"] if by == "core" else PROJECT["optional-dependencies"][by]
        for name in sorted(brought(lines) - found.keys()):
            found[name] = Licensed(name, licence_of(distribution(name).metadata), by)
    return list(found.values())


def complaints(packages: Iterable[Licensed]) -> Iterator[str]:
    """A sentence about every package that may not come along without a reason."""
    for each in packages:
        if not permissive(each.licence) and each.name not in ACCEPTED:
            told = f"'{each.licence}', which is not known to be permissive" if each.licence else "no licence"
            yield f"{each.name} ({each.by}) tells {told}: replace it, or accept it with a reason in docs/licences.py"


def page(packages: list[Licensed]) -> str:
    """The page as Markdown."""
    rows = "\n".join(f"| {each.name} | {each.licence} | {each.by} |" for each in packages)
    reasons = "\n".join(f"- **{name}**: {reason}." for name, reason in ACCEPTED.items())
    return f"""# Licences

Licences of all packages that an installation brings. Written by `python docs/licences.py` from their metadata; do not
edit. A test fails if a licence is missing, or is not permissive and has no reason below. `lesion` and its models: MIT.

`core` is what `pip install lesion` installs on Linux with the processor build of torch. Other systems may differ.
torch's CUDA build adds NVIDIA's libraries, which are not free software; only `--device cuda` uses them.

## Accepted with a reason

{reasons}

## All packages

| package | licence | brought by |
|---|---|---|
{rows}
"""


def main() -> None:
    """Write the page, or end with what is wrong."""
    packages = licensed()
    if said := list(complaints(packages)):
        sys.exit("\n".join(said))
    PAGE.write_text(page(packages), encoding="utf-8")


if __name__ == "__main__":
    main()
