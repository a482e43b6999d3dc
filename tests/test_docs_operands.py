"""docs/operands.md is what its rows say; every prompt token belongs to one part; ranks count all heads."""

from pathlib import Path
from typing import Any

import pytest

from lesion.tasks.tokenizers.prompt_contract import Compiled
from tests.program import load_program

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def program() -> Any:
    return load_program(ROOT / "docs" / "operands.py")


def test_the_page_is_what_its_rows_say(program: Any) -> None:
    assert program.PAGE.read_text(encoding="utf-8") == program.page(program.read())


def test_a_picture_has_a_cell_for_every_told_head_and_part(program: Any) -> None:
    for one in program.SUBJECTS:
        rows = next(iter(program.picture(one, program.read()[one.model])["datasets"].values()))
        wanted = [(head, part) for head in one.heads for part in program.PARTS]
        assert [(row["head"], row["part"]) for row in rows] == wanted


def test_attention_is_shared_out_whole_and_every_head_is_measured(program: Any) -> None:
    for one, many in zip(program.SUBJECTS, (270, 336), strict=True):
        found = program.read()[one.model]
        assert len(found["shares"]) == many
        assert all(found["patched"][number]["heads"].keys() == found["shares"].keys() for number in found["patched"])
        for head, shares in found["shares"].items():
            assert sum(shares) == pytest.approx(1, abs=1e-3), head


SPELLED = ["1", "1", "+", "2", "2", "=", "3", "3", "\n", "1", "6", " +", " ", "6", "7", " =", " "]
ROLES = {"shot": ((0, 9),), "operand_1": ((9, 11),), "operator": ((11, 12),), "operand_2": ((12, 15),),
         "equals": ((15, 16),), "answer": ((17, 19),)}  # fmt: skip


def test_every_token_belongs_to_one_part(program: Any) -> None:
    item = Compiled(tuple(range(19)), ROLES, (17, 18), (17, 18), 17, None)
    question = ["first, tens", "first, units", "+", "+", "second, tens", "second, units", "=", "itself"]
    assert program.parts_of(item, SPELLED) == ["examples"] * 9 + question


def test_a_number_of_one_token_is_refused(program: Any) -> None:
    item = Compiled(tuple(range(18)), {"operand_1": ((9, 10),)}, (17,), (17,), 17, None)
    with pytest.raises(ValueError, match="two-digit number"):
        program.parts_of(item, SPELLED)


def test_the_rank_counts_heads_that_attend_more(program: Any) -> None:
    found = {"shares": {head: [0, share, share, 0, 0, 0, 0, 0] for head, share in (("a", 0.1), ("b", 0.4), ("c", 0.2))}}
    assert [program.rank(found, head, "first") for head in "abc"] == [3, 1, 2]
    assert program.on(found, "b", "first") == pytest.approx(0.8)
    assert program.on(found, "b", "second") == 0


def test_an_items_changed_number_is_read_from_its_twin(program: Any) -> None:
    ids = tuple(range(19))
    for place, role in ((9, "operand_1"), (13, "operand_2"), (17, None)):
        twin = tuple(99 if at == place else token for at, token in enumerate(ids))
        item = Compiled(ids, ROLES, (17, 18), (17, 18), 17, twin)
        assert program.changed(item) == ({role} if role else set())
    assert program.changed(Compiled(ids, ROLES, (17, 18), (17, 18), 17, None)) == set()


def test_a_patch_goes_a_share_of_the_way_and_its_interval_ascends(program: Any) -> None:
    heads = {"a": [-1.0, -2.0, 0.0], "b": [-3.0, -3.5, -2.5]}
    found = {
        "shares": {name: [0.0] * 8 for name in "ab"},
        "patched": {"first": {"items": 48, "whole": -4.0, "heads": heads}},
    }
    assert program.carried(found, "a", "first") == (0.25, 0.0, 0.5)
    assert [program.place(found, name, "first") for name in "ab"] == [2, 1]
    assert program.most(found, "first")[-2:] == ["b", "a"]
    assert program.way(found, "b", "first") == "75 (62 to 88)"
