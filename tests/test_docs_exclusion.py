"""docs/exclusion.md is what its rows say, and reads them as was fixed before they were measured."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lesion.engine.batch import batches
from lesion.engine.select_engine import choose
from lesion.measures.heads.in_context_score import in_context_score, token_losses
from lesion.measures.heads.repeated_sequences import StandardProbe, ordinary_tokens, standard
from lesion.models.model import open_model
from tests.program import load_program

DOCS = Path(__file__).parents[1] / "docs"
MAPS = ("capital", "plural", "past")


@pytest.fixture(scope="module")
def program() -> Any:
    return load_program(DOCS / "exclusion.py")


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DOCS))
        yield load_program(DOCS / "exclusion_page.py")


def made(vector: float, induction: float, loss_vector: float, loss_induction: float) -> list[dict[str, Any]]:
    """Rows of one model: what ablating each list changes in log-probability and in the loss of the second copy."""
    arms = {"full": 0.0, "induction": induction, "random 0 for induction": 0.0, "function-vector": vector,
            "random 0 for function-vector": 0.0}  # fmt: skip
    late = {**dict.fromkeys(arms, 0.0), "induction": loss_induction, "function-vector": loss_vector}
    noise = np.random.default_rng(0).normal(0, 0.02, (len(MAPS), 4))
    design = {"measure": "design", "heads": 50, "both": [[1, 1]], "day": "today", "weights_hash": "0", "engine": "fast",
              "arms": {name: [] if name == "full" else [[1, 0]] for name in arms}}  # fmt: skip
    few = [
        {"measure": "few_shot", "map": name, "arm": arm, "right": [int(i > 0 or change < 0) for _ in range(4)],
         "nats": (-1 + change * (1 + noise[i])).tolist()}
        for i, name in enumerate(MAPS)
        for arm, change in arms.items()
    ]  # fmt: skip
    repeats = [
        {"measure": "repeats", "arm": arm, "first": [12.0, 12.1, 12.2], "second": [2 + x, 2.1 + 1.1 * x, 2.2 + x]}
        for arm, x in late.items()
    ]
    return [{"model": "gemma-3-270m", **row} for row in [design, *repeats, *few]]


def test_the_page_is_what_its_rows_say(page: Any) -> None:
    assert page.PAGE.read_text(encoding="utf-8") == page.page(page.read())


def test_the_numbers_of_the_page_are_those_of_the_rows(page: Any) -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    rows = page.read()
    for model in {row["model"] for row in rows}:
        mine = [row for row in rows if row["model"] == model]
        few = {arm: np.concatenate([row["nats"] for row in mine if row["measure"] == "few_shot" and row["arm"] == arm])
               for arm in ("function-vector", "induction")}  # fmt: skip
        late = {
            row["arm"]: np.mean(row["second"]) - np.mean(row["first"]) for row in mine if row["measure"] == "repeats"
        }
        shots = page.signed(float((few["function-vector"] - few["induction"]).mean()), 2)
        loss = page.signed(float(late["induction"] - late["function-vector"]), 2)
        assert f"with function-vector heads ablated, minus that with induction heads ablated: {shots} (" in text
        assert f"minus that with function-vector heads ablated: {loss} (" in text


def test_the_heads_are_those_of_the_lists_without_each_other(program: Any) -> None:
    scores = json.loads(program.HEADS.read_text(encoding="utf-8"))
    for row in program.read():
        if row["measure"] != "design":
            continue
        here = [each for each in scores if each["model"].endswith(row["model"]) and each["detector"] == "induction"]
        top = {
            name: [[each["layer"], each["head"]] for each in sorted(here, key=lambda each: -each[name])]
            for name in ("score", "vector_effect")
        }
        two, four = max(1, round(0.02 * len(here))), max(1, round(0.04 * len(here)))
        for kind, mine, other in (
            ("induction", "score", "vector_effect"),
            ("function-vector", "vector_effect", "score"),
        ):
            wanted = [each for each in top[mine] if each not in top[other][:four]][:two]
            assert row["arms"][kind] == wanted
            for name, heads in row["arms"].items():
                if name.startswith("random") and name.endswith(kind):
                    assert not any(each in top[list_][:four] for each in heads for list_ in top)
                    assert sorted(layer for layer, _ in heads) == sorted(layer for layer, _ in wanted)


def test_a_claim_holds_only_with_both_intervals_beyond_zero(page: Any) -> None:
    (one,) = page.models(made(vector=-2, induction=-0.5, loss_vector=0.1, loss_induction=3))
    assert (one.verdict("few_shot"), one.verdict("repeats")) == ("as they claim", "as they claim")
    (one,) = page.models(made(vector=-0.5, induction=-2, loss_vector=3, loss_induction=0.1))
    assert (one.verdict("few_shot"), one.verdict("repeats")) == ("against their claim", "against their claim")
    (one,) = page.models(made(vector=0, induction=0.5, loss_vector=-1, loss_induction=0))
    assert (one.verdict("few_shot"), one.verdict("repeats")) == ("not shown", "not shown"), "random heads do as much"


def test_maps_at_their_floor_are_named(page: Any) -> None:
    rows = made(-2, -0.5, 0.1, 3)
    text = page.page(rows)
    assert "| capital (**at its floor**) | 0 of 4 |" in text
    assert "has little to lose): capital." in text


def test_losses_of_the_copies_are_those_of_the_in_context_score(program: Any) -> None:
    model = open_model("zoo:abacus-llama")
    ordinary = ordinary_tokens(model.tokenizer)
    group = standard(ordinary, model.bos, StandardProbe(block=5, sequences=3))
    items = program.read_whole(group)
    (batch,) = batches(items, 3)
    found = program.copies(choose(model, "reference").clean(batch), batch.answer, group)
    with torch.inference_mode():
        losses = token_losses(model.module(group.ids, use_cache=False).logits, group.ids)
    wanted = in_context_score(losses, group, 0)
    assert found.mean(1) == pytest.approx([wanted.first, wanted.second], abs=1e-4)
