"""docs/erasing.md is what its numbers say; every arm has every item; a patch is compared item by item."""

from pathlib import Path
from typing import Any

import pytest

from tests.program import load_program

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def program() -> Any:
    return load_program(ROOT / "docs" / "erasing.py")


@pytest.fixture(scope="module")
def found(program: Any) -> Any:
    return program.json.loads(program.FILE.read_text(encoding="utf-8"))


def test_the_page_is_what_its_numbers_say(program: Any, found: Any) -> None:
    assert program.PAGE.read_text(encoding="utf-8") == program.page(found)
    assert program.FILE.read_text(encoding="utf-8") == program.written(found)


def test_every_arm_has_every_item(program: Any, found: Any) -> None:
    wanted = [f"{title}, {kind}" for title in program.SETS for kind in (program.PATCH, *program.ABLATIONS)]
    assert [*found["arms"]] == ["unedited", *wanted]
    for columns in found["arms"].values():
        assert {name: len(column) for name, column in columns.items()} == dict.fromkeys(
            program.MEASURES, found["asked"]
        )
    assert found["asked"] + found["no_companion"] <= found["drawn"]


def test_arms_are_compared_item_by_item(program: Any) -> None:
    nats = {"unedited": [0.0, -10.0, -20.0], "patched": [1.0, -9.0, -19.0]}
    made = {"arms": {arm: {"nats": column, "difference": [-1.0, 0.0, 2.0]} for arm, column in nats.items()}}
    assert program.apart(made, "patched", "unedited") == "+1.00 (+1.00 to +1.00)"
    assert program.preferred(made, "patched") == pytest.approx(100 / 3)
