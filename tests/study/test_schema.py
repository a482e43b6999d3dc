import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError
from pydantic import Field

from lesion.errors import InputError
from lesion.identity import Document, field_docstrings
from lesion.study.format.load import load_study, parse_document
from lesion.study.format.schema import SCHEMAS, format_page, json_schema, schema_text, write_pages
from lesion.study.study import Study

ROOT = Path(__file__).resolve().parents[2]
EDITOR_LINE = "# yaml-language-server: $schema=../docs/schema/study.json"
STUDIES = sorted((ROOT / "studies").glob("*.yaml"))


@pytest.mark.parametrize("kind", SCHEMAS)
def test_the_committed_schema_is_current(kind: str):
    committed = (ROOT / "docs" / "schema" / f"{kind}.json").read_text(encoding="utf-8")
    assert committed == schema_text(kind), "run `make docs`"


def test_the_committed_page_of_the_format_is_current():
    assert (ROOT / "docs" / "study-format.md").read_text(encoding="utf-8") == format_page(), "run `make docs`"


def test_writing_the_pages_gives_the_committed_bytes(tmp_path: Path):
    for path in write_pages(tmp_path):
        assert path.read_bytes() == (ROOT / path.relative_to(tmp_path)).read_bytes()


def test_the_schema_is_a_valid_one_and_judges_like_the_loader():
    Draft202012Validator.check_schema(json_schema("study"))
    judge = Draft202012Validator(json_schema("study"))
    study = {"name": "a", "question": "b", "models": ["zoo:x"], "tasks": {"tier1": {"task": "arithmetic"}}}
    judge.validate(study)
    for wrong in ({"name": "A"}, {"seeds": 3}, {"models": []}, {"tasks": {"tier1": {"task": "x"}}}, {"seed": -1}):
        with pytest.raises(ValidationError):
            judge.validate(study | wrong)
        with pytest.raises(InputError):
            parse_document(json.dumps(study | wrong), "study.yaml", Study)


def test_every_field_of_every_document_has_a_docstring():
    schema = json_schema("study")
    for name, part in {"Study": schema, **schema["$defs"]}.items():
        assert part["description"], name
        for key, field in part["properties"].items():
            assert field.get("description") or "const" in field, f"{name}.{key}"


def test_other_rooms_can_join_their_documents():
    class Card(Document):
        """A card."""

        title: str
        """Its title."""

    assert json_schema("card", {**SCHEMAS, "card": Card})["properties"]["title"]["description"] == "Its title."


def test_a_description_is_the_docstring_under_the_field_of_the_class_or_of_one_below_it():
    @dataclass(frozen=True)
    class Size:
        """A size."""

        wide: int
        """In bits.

        Not bytes.
        """
        high: int

    class Card(Document):
        """A card."""

        title: str
        """Its title."""
        size: Size
        """How large."""

    class Longer(Card):
        """A longer card."""

        pages: int = Field(default=1, description="How many.")
        """Not this."""

    assert field_docstrings(Longer) == {"title": "Its title.", "size": "How large.", "pages": "Not this."}
    found = json_schema("card", {"card": Longer})
    meanings = {name: field.get("description") for name, field in found["properties"].items()}
    assert meanings == {"title": "Its title.", "size": "How large.", "pages": "How many."}
    wide, high = found["$defs"]["Size"]["properties"].values()
    assert (wide.get("description"), high.get("description")) == ("In bits.\n\nNot bytes.", None)


def test_a_class_that_was_typed_at_a_prompt_has_no_descriptions():
    typed: dict[str, Any] = {"Document": Document, "__name__": "__main__"}
    exec('class Card(Document):\n    title: str\n    """Its title."""\n', typed)
    assert field_docstrings(typed["Card"]) == {}


def test_an_unknown_kind_is_refused_with_the_nearest():
    with pytest.raises(InputError, match="there is no schema 'stud'; did you mean 'study'"):
        json_schema("stud")


def test_the_example_in_the_page_is_a_valid_study():
    examples = re.findall(r"```yaml\n(.*?)```", format_page(), flags=re.DOTALL)
    assert parse_document(examples[-1], "docs/study-format.md", Study).name == "smallest"


@pytest.mark.smoke
@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_shipped_study_is_valid_and_points_the_editor_to_the_schema(path: Path):
    assert EDITOR_LINE in path.read_text(encoding="utf-8").splitlines()
    load_study(path)
