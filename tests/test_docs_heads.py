"""docs/heads.md is what docs/heads.json says, and results that do not belong together make no page."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.program import load_program

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.fixture(scope="module")
def program() -> Any:
    """The program that writes the page."""
    return load_program(DOCS / "heads_page.py")


@pytest.fixture(scope="module")
def entries() -> list[dict[str, Any]]:
    return json.loads((DOCS / "heads.json").read_text(encoding="utf-8"))


def test_the_page_is_what_the_data_say(program: Any, entries: list[dict[str, Any]]):
    assert (DOCS / "heads.md").read_text(encoding="utf-8") == program.page(entries)


def test_every_named_head_passes_what_the_page_says_of_it(entries: list[dict[str, Any]]):
    assert len(entries) == 3
    for one in entries:
        assert len(one["weights_hash"]) == 64
        for heads in one["named"].values():
            assert heads
            for head in heads:
                assert min(head["score"], head["again"]) >= one["threshold"] > head["control"]
                assert head["low"] <= head["score"] <= head["high"]
                assert head["p"] <= 0.05


def test_results_of_different_probes_do_not_make_one_page(program: Any, entries: list[dict[str, Any]]):
    other = {**entries[1], "probe": {**entries[1]["probe"], "block": 20}}
    with pytest.raises(SystemExit, match="different probes"):
        program.page([entries[0], other])


def test_the_real_models_page_holds_the_answer_of_the_command(program: Any, call: Any, tmp_path: Path):
    """On a tiny model, whose answer is made here: an entry, and no named head."""
    _, out, _ = call("heads", "tiny:llama", "--sequences", "2", "--json")
    entry = program.entry(json.loads(out))
    assert entry["probe"]["sequences"] == 2
    assert "None." in program.page([entry])
    with pytest.raises(SystemExit, match="run lesion heads without --detector"):
        program.entry({**json.loads(out), "detectors": []})
