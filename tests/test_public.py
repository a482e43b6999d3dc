"""What users import stands in `lesion` itself, is loaded when it is asked for, and says its arguments one by one."""

import inspect
import os
import subprocess
import sys

import pytest

import lesion


@pytest.mark.parametrize("name", lesion.__all__)
def test_every_public_name_is_there_and_says_what_it_is(name: str):
    value = getattr(lesion, name)
    assert inspect.getdoc(value)
    assert name in dir(lesion)


@pytest.mark.parametrize("name", [name for name in lesion.__all__ if inspect.isfunction(getattr(lesion, name))])
def test_a_public_function_documents_its_arguments_one_by_one(name: str):
    function = getattr(lesion, name)
    told = inspect.getdoc(function) or ""
    wanted = [each for each in inspect.signature(function).parameters if each not in {"args", "kwargs"}]
    assert [each for each in wanted if f"{each}:" not in told] == []


def test_import_lesion_loads_no_other_module_of_it_and_no_torch():
    program = "import sys, lesion; print([m for m in sys.modules if m == 'torch' or m.startswith('lesion.')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_name_that_is_not_there_lists_those_that_are():
    with pytest.raises(AttributeError, match=r"'lesion' has no attribute 'ablate'; it has .*Lab"):
        lesion.ablate  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(("given", "wanted"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_wait_without_spinning_unless_the_user_says_otherwise(given: str | None, wanted: str) -> None:
    others = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    mine = {} if given is None else {"OMP_WAIT_POLICY": given}
    code = "import lesion, os; print(os.environ['OMP_WAIT_POLICY'])"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**others, **mine}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == wanted
