"""docs/letter-patterns.md is what its rows say, and says where nothing can be lost."""

from pathlib import Path
from typing import Any

import pytest

from tests.program import load_program

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def page() -> Any:
    return load_program(ROOT / "docs" / "letter_patterns.py")


def table(page: Any, right: int, heads: int, random: int) -> list[dict[str, Any]]:
    """Rows of one model: so many of 96 items right in every pattern, unedited, without induction and random heads."""
    known = {"full": right, "heads": heads, "pattern": heads, "random": random}
    arms = ["full", *(f"{kind} {share}" for share in ("1%", "3%") for kind in ("heads", "pattern", "random"))]
    return [
        {
            "model": page.SMALL, "pattern": pattern, "arm": arm, "sites": ["L1H0"], "weights_hash": "0", "day": "today",
            "logit_diff": [[1.0 if 16 * s + i < known[arm.split()[0]] else -1.0 for i in range(16)] for s in range(6)],
        }
        for pattern in page.PATTERNS
        for arm in arms
    ]  # fmt: skip


def test_the_page_is_what_its_rows_say(page: Any) -> None:
    assert page.PAGE.read_text(encoding="utf-8") == page.page(page.rows())


def test_models_at_chance_are_called_floors(page: Any) -> None:
    text = page.page(table(page, 50, 30, 50))
    assert "say nothing about induction heads" in text
    assert text.count("**Not shown to be above chance") == 3


def test_induction_heads_are_named_only_where_they_cost_more_than_random_heads(page: Any) -> None:
    assert "comparisons ablating induction heads costs more than ablating random heads: " in page.page(
        table(page, 90, 40, 85)
    )
    text = page.page(table(page, 90, 60, 62))
    assert "is ablating induction heads shown to cost more" in text
    assert "−31.2" in text, "the change itself is shown"
