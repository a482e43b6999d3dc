"""The condition of a row: its printable name is made from its parts; older rows that have only the name get them."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lesion.errors import InputError
from lesion.study.arms.arm import Arm, scaled
from lesion.study.arms.condition import Condition, condition
from lesion.study.arms.condition_columns import COLUMNS, older_condition, with_conditions
from lesion.study.selftest.known_rows import known_plan

NAMES = {
    "baseline": Condition("baseline"),
    "placebo": Condition("placebo", "scale", 1.0),
    "target@0.5": Condition("target", "scale", 0.5),
    "target@mean": Condition("target", "mean"),
    "set7@resample": Condition("set", "resample", None, "7"),
    "within0@zero": Condition("within", "zero", None, "0"),
    "control2@-50": Condition("control", "scale", -50.0, "2"),
    "control@0": Condition("control", "scale", 0.0),
    "L12H3@0": Condition("single", "scale", 0.0, "L12H3"),
    "staged3@0": Condition("staged", "scale", 0.0, "3"),
    "random12@1e-05": Condition("random", "scale", 1e-05, "12"),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_made_from_its_condition_and_an_older_row_gets_the_condition_back(name: str):
    assert NAMES[name].name == name
    assert older_condition(name) == NAMES[name]


@given(
    role=st.sampled_from(["target", "control", "set", "within", "staged", "random"]),
    edit=st.one_of(st.sampled_from(["zero", "mean", "resample"]), st.sampled_from([-50.0, 0.0, 0.25, 1.5, 2.0, 50.0])),
    number=st.one_of(st.just(""), st.integers(0, 999)),
)
def test_every_condition_of_a_study_comes_back_from_an_older_row(role, edit, number):
    made = condition(role, edit, number)
    assert older_condition(made.name) == made


@pytest.mark.parametrize(
    "name", ["", "other", "other@0", "target@", "target@half", "set7", "@mean", "target@mean@zero", "L1H2@x"]
)
def test_what_is_no_name_of_an_arm_is_refused(name: str):
    with pytest.raises(InputError, match="is not the name of the condition"):
        older_condition(name)


def test_columns_that_say_another_condition_than_the_name_are_refused():
    rows = with_conditions(pl.DataFrame({"arm": ["target@0.5", "baseline"]}))
    assert rows.columns == ["arm", *COLUMNS]
    with pytest.raises(InputError, match="is not the name of the condition"):
        with_conditions(rows.with_columns(role=pl.lit("control")))


@pytest.mark.parametrize(
    ("arm", "role", "edit", "amount", "member"),
    [
        ("target@mean", "single", "mean", None, "target"),
        ("baseline", "baseline", "zero", None, ""),
        ("baseline", "baseline", "none", 0.5, ""),
        ("target@0.5", "target", "none", 0.5, ""),
        ("target@0.5", "target", "scale", 0.6, ""),
        ("set7@mean", "set", "mean", None, ""),
    ],
)
def test_columns_that_spell_the_name_in_another_way_are_refused_too(arm, role, edit, amount, member):
    row = pl.DataFrame([(arm, role, edit, amount, member)], schema={"arm": pl.String, **COLUMNS}, orient="row")
    with pytest.raises(InputError, match="is not the name of the condition"):
        with_conditions(row)


def test_a_factor_whose_name_is_rounded_is_no_other_condition():
    third = condition("target", 1 / 3)
    row = pl.DataFrame([(third.name, *third)], schema={"arm": pl.String, **COLUMNS}, orient="row")
    assert with_conditions(row).equals(row)


def test_an_arm_that_an_older_run_stored_by_its_name_is_the_same_arm():
    arm = scaled("set", ("L0H1",), 0.5, known_plan().study, 3)
    stored = {"name": "set3@0.5", "intervention": arm.model_dump(mode="json")["intervention"]}
    assert Arm.model_validate(stored) == arm
    assert Arm.model_validate(stored).identity() == stored
