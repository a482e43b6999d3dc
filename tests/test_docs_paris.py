"""docs/paris.md is what its rows say, and what agrees with the published map is counted from them."""

import copy
from pathlib import Path
from typing import Any

import pytest

from tests.program import load_program

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def program() -> Any:
    return load_program(ROOT / "docs" / "paris.py")


@pytest.fixture
def published(program: Any) -> dict[str, Any]:
    """Rows as the published map has them, over those that were measured."""
    found = copy.deepcopy(program.read())
    for block, row in enumerate(found["patched"]["paris"]):
        here = 0.34 if block == 0 else 0.96 if block < 22 else 0.89
        row[:] = [0.0, 0.0, here, *[0.0] * 6] if block < 23 else [0.0] * 8 + [0.95]
    found["unedited"]["clean"]["paris"], found["zeroed"][23] = 0.95, 0.37
    return found


def test_the_page_is_what_its_rows_say(program: Any) -> None:
    assert program.PAGE.read_text(encoding="utf-8") == program.page(program.read())


def test_the_picture_has_a_cell_for_every_block_and_position(program: Any) -> None:
    found = program.read()
    grid = found["patched"]["paris"]
    drawn = program.picture(found)
    values = [row["paris"] for row in next(iter(drawn["datasets"].values()))]
    assert values == [value for row in grid for value in row]
    assert len(values) == 30 * 9
    svg = program.PICTURE.read_text(encoding="utf-8")
    assert all(f">{value:.2f}<" in svg for value in values if value >= 0.05)


def test_the_numbers_of_the_page_are_those_of_the_rows(program: Any) -> None:
    found, text = program.read(), program.PAGE.read_text(encoding="utf-8")
    subject, last = ([row[place] for row in found["patched"]["paris"]] for place in (2, 8))
    assert min(range(30), key=lambda block: last[block] <= subject[block]) == 23
    assert "moves at block 23" in text
    clean = found["unedited"]["clean"]["paris"]
    assert last[29] == pytest.approx(clean, abs=1e-5), "the last block's stream at the last position is the clean run's"
    low, high, wrong = min(subject[1:23]), max(subject[1:23]), sum(value <= 0.5 for value in subject[1:23])
    assert f"| > 0.5 | {low:.2f} to {high:.2f} | **differs** in {wrong} of 22 blocks |" in text
    assert f"attention output zeroed | 0.37 | {found['zeroed'][23]:.2f} | **differs** |" in text
    assert len(found["tokens"]["clean"]) == len(found["tokens"]["corrupted"]) == 9
    assert [found["tokens"][name][2] for name in ("clean", "corrupted")] == ["iffel", "osse"]


def test_the_published_map_would_agree_in_everything(program: Any, published: dict[str, Any]) -> None:
    text = program.page(published)
    assert "10 of 10 published statements agree" in text
    assert "differs" not in text


def test_a_map_that_moves_elsewhere_is_told_so(program: Any, published: dict[str, Any]) -> None:
    published["patched"]["paris"][22] = [0.0] * 8 + [0.95]
    text = program.page(published)
    assert "moves at block 22 from the subject to the last position, not at block 23" in text
    assert "**differs** in 1 of 23 blocks" in text


def test_a_published_number_agrees_within_five_hundredths_only(program: Any) -> None:
    assert program.near(0.37)(0.42)
    assert not program.near(0.37)(0.43)
