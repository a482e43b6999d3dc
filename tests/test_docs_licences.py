"""docs/licences.md is what the installed packages tell, and a licence that is missing or asks for more is seen."""

from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from tests.program import load_program

PLACE = Path(__file__).resolve().parents[1] / "docs" / "licences.py"


@pytest.fixture(scope="module")
def licences() -> Any:
    """The program that writes the page."""
    return load_program(PLACE)


@pytest.fixture(scope="module")
def packages(licences: Any) -> Any:
    return licences.licensed()


def test_every_package_has_a_licence_that_may_come_along(licences: Any, packages: Any):
    assert not list(licences.complaints(packages))
    assert {"torch", "transformers", "polars"} <= {each.name for each in packages if each.by == "core"}


def test_the_page_is_what_the_packages_tell(licences: Any, packages: Any):
    assert licences.PAGE.read_text(encoding="utf-8") == licences.page(packages), "run: python docs/licences.py"


def test_every_exception_is_still_needed(licences: Any, packages: Any):
    needed = {each.name for each in packages if not licences.permissive(each.licence)}
    assert needed == licences.ACCEPTED.keys()
    weak = {each.name for each in packages if each.by == "core" and "LGPL" in each.licence}
    assert not weak, "the core brings no package under the LGPL"


@pytest.mark.parametrize(
    ("said", "licence", "complaint"),
    [
        ({}, "", "tells no licence"),
        ({"License": "UNKNOWN"}, "UNKNOWN", "'UNKNOWN', which is not known"),
        ({"License-Expression": "GPL-3.0-only"}, "GPL-3.0-only", "not known to be permissive"),
        ({"License-Expression": "MIT AND GPL-3.0-only"}, "MIT AND GPL-3.0-only", "not known to be permissive"),
        ({"License-Expression": "MIT OR GPL-3.0-only"}, "MIT OR GPL-3.0-only", None),
        ({"License": "Apache 2.0"}, "Apache-2.0", None),
        ({"License": "Copyright (c)\nall of it", "Classifier": "License :: OSI Approved :: MIT License"}, "MIT", None),
        ({"Classifier": "Typing :: Typed"}, "", "tells no licence"),
    ],
)
def test_a_licence_that_is_missing_or_asks_for_more_is_seen(licences: Any, said, licence, complaint):
    metadata = Message()
    for name, value in said.items():
        metadata[name] = value
    assert licences.licence_of(metadata) == licence
    told = list(licences.complaints([licences.Licensed("some-package", licence, "core")]))
    assert (complaint in told[0]) if complaint else not told
