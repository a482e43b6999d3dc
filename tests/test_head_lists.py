"""The data set of head lists: every head once, read back by the format's own reader, as `lesion heads` gave it."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from lesion.measures.heads.detection import detections
from lesion.models.model import open_model

ROOT = Path(__file__).resolve().parents[1]
PUBLISHED = ROOT / "publications" / "real-models"


def module() -> Any:
    spec = importlib.util.spec_from_file_location("head_lists", ROOT / "publications" / "head_lists.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    model = open_model("zoo:abacus-llama")
    found = detections(model, ["induction", "previous_token"], permutations=99)
    site = str(found.detections[0].named[0])
    vectors = {"heads": [{"site": site, "effect": 0.2, "low": 0.1, "high": 0.3, "control": 0.05}]}
    return {
        "model": model.name, "weights_hash": model.weights_hash, "tokenizer_hash": model.tokenizer_hash,
        "detectors": [each.model_dump(mode="json") for each in found.detections],
        "function_vectors": {**vectors, "shared": {"induction": [site]}},
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # the reader's own dependencies
def test_the_formats_own_reader_gives_every_head_back(result: dict[str, Any], tmp_path: Path) -> None:
    library = pytest.importorskip("mlcroissant", reason="the package mlcroissant, the format's own reader, is missing")
    module().write([result], tmp_path)
    wrote = json.loads((tmp_path / "heads.json").read_text(encoding="utf-8"))
    data = library.Dataset(jsonld=str(tmp_path / "croissant.json"))
    assert not data.metadata.ctx.issues.errors
    read = [{key.removeprefix("heads/"): value for key, value in row.items()} for row in data.records("heads")]
    assert [row["id"].decode() for row in read] == [row["id"] for row in wrote]
    assert [row["score"] for row in read] == pytest.approx([row["score"] for row in wrote])
    heads = [head for found in result["detectors"] for head in found["heads"]]
    assert len({row["id"] for row in wrote}) == len(wrote) == len(heads)
    assert {*wrote[0]} == {*module().COLUMNS}


def test_only_named_heads_are_said_to_be_shared(result: dict[str, Any]) -> None:
    rows = list(module().records(result))
    assert [row["vector_shared"] for row in rows].count(True) == 1
    (shared,) = (row for row in rows if row["vector_shared"])
    assert (shared["named"], shared["vector_effect"]) == (True, 0.2)
    assert all(row["vector_shared"] is None for row in rows if not row["named"])
    without = list(module().records({**result, "function_vectors": None}))
    assert {row["vector_shared"] for row in without} == {None}


def test_a_model_is_replaced_and_the_others_stay(result: dict[str, Any], tmp_path: Path) -> None:
    def read() -> list[dict[str, Any]]:
        return json.loads((tmp_path / "heads.json").read_text(encoding="utf-8"))

    module().write([result, {**result, "model": "another"}], tmp_path)
    before = read()
    module().write([{**result, "function_vectors": None}], tmp_path)
    after = read()
    assert [row["id"] for row in after] == [row["id"] for row in before]
    assert [row for row in after if row["model"] == "another"] == [row for row in before if row["model"] == "another"]
    assert {row["vector_effect"] for row in after if row["model"] == result["model"]} == {None}


@pytest.mark.skipif(not (PUBLISHED / "heads.json").exists(), reason="no head lists are published yet")
def test_the_published_lists_are_those_of_their_metadata() -> None:
    from lesion.identity import file_hash

    told = json.loads((PUBLISHED / "croissant.json").read_text(encoding="utf-8"))
    assert told["distribution"][0]["sha256"] == file_hash(PUBLISHED / "heads.json")
    rows = json.loads((PUBLISHED / "heads.json").read_text(encoding="utf-8"))
    page = json.loads((ROOT / "docs" / "heads.json").read_text(encoding="utf-8"))
    there = [model for model in page if any(row["weights_hash"] == model["weights_hash"] for row in rows)]
    assert len(there) == len({row["model"] for row in rows})
    for model in there:
        named = {
            (kind, head["layer"], head["head"]) for kind, heads in model["named"].items() for head in heads
        }  # what docs/heads.md names
        same = [row for row in rows if row["weights_hash"] == model["weights_hash"] and row["named"]]
        assert {
            (row["detector"], row["layer"], row["head"]) for row in same if row["detector"] in model["named"]
        } == named
