"""The documentation keeps to the field's words: a short glossary, and no private vocabulary outside it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GLOSSARY = ROOT / "docs" / "glossary.md"
PRIVATE = (
    "akin", "companions", "gone on with", "lane", "lanes", "made anew", "plain way", "put off", "quick way", "so many",
    "stands beside", "twin", "twins",
)  # fmt: skip
"""Words that a new reader would have to look up or read twice."""
OTHER_NAMES = ("docs/design/house.md", "docs/faults.md")
"""Pages with names from the code."""


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


PAGES = [
    page
    for page in [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    if named(page) not in OTHER_NAMES
]


def private_words(text: str) -> list[str]:
    """Private words of a page outside its code."""
    prose = re.sub(r"^```.*?^```|`[^`]*`", "", text, flags=re.MULTILINE | re.DOTALL)
    words = " ".join(prose.split()).lower()
    return [word for word in PRIVATE if re.search(rf"\b{word}\b", words)]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_page_uses_no_private_word(page: Path):
    assert private_words(page.read_text(encoding="utf-8")) == [], "use the words of docs/glossary.md"


def test_a_private_word_would_be_seen_and_a_key_is_none():
    assert private_words("Other heads are put\noff. Key `twin`.\n```sh\nlane\n```\nA lane of seeds.") == [
        "lane",
        "put off",
    ]


def test_the_glossary_has_at_most_twenty_terms_in_order_and_every_link_of_it_exists():
    text = GLOSSARY.read_text(encoding="utf-8")
    rows = re.findall(r"^\| \*\*(.+?)\*\* \| (.+) \|$", text, re.MULTILINE)
    terms = [term for term, _ in rows]
    assert terms == sorted(terms)
    assert 10 <= len(terms) <= 20
    assert all(len(meaning.split()) <= 45 for _, meaning in rows)
    assert all((GLOSSARY.parent / link).is_file() for link in re.findall(r"\]\(([^)#]+)\)", text))
