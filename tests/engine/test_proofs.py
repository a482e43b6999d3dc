import dataclasses
import os

import pytest
import torch

from lesion.device import cache_folder
from lesion.engine.proof import cache as proofs
from lesion.engine.proof.cache import engine_for, proved
from lesion.models.model import open_model


def _entries():
    return sorted((cache_folder() / "proofs").glob("*"))


@pytest.fixture
def counted(monkeypatch):
    """How often a proof and a comparison were made."""
    made = []
    for name in ("prove", "choose"):
        plain = getattr(proofs, name)

        def call(*given, name=name, plain=plain, **named):
            made.append(name)
            return plain(*given, **named)

        monkeypatch.setattr(proofs, name, call)
    return made


def test_a_model_is_proved_and_compared_once_and_the_record_says_so(counted):
    first, again = (open_model("tiny:gpt2") for _ in range(2))
    proof, engine = proved(first), engine_for(first)
    assert (proof.cached, engine.choice.cached) == (False, False)
    read, chosen = proved(again), engine_for(again)
    assert counted == ["prove", "choose"]
    assert (read.cached, chosen.choice.cached) == (True, True)
    assert read.model_copy(update={"cached": False}) == proof
    assert chosen.choice.model_copy(update={"cached": False}) == engine.choice
    assert chosen.fast.twin.kernel == engine.choice.kernel
    assert len(_entries()) == 1


def test_a_changed_module_is_proved_again(counted):
    model = open_model("tiny:gpt2")
    proved(model)
    with torch.no_grad():
        model.block(1).mlp.c_proj.bias[0] += 1e-3
    assert not proved(model).cached
    assert counted == ["prove", "prove"]


@pytest.mark.parametrize("damage", ["", "{", '{"key": "0"}', None])
def test_a_damaged_entry_is_proved_again_and_mended(counted, damage):
    model = open_model("tiny:gpt2")
    proved(model)
    (path,) = _entries()
    path.write_text(path.read_text()[:-40] if damage is None else damage)
    assert not proved(model).cached
    assert proved(model).cached
    assert counted == ["prove", "prove"]


@pytest.mark.parametrize("change", ["threads", "dtype", "row", "source"])
def test_an_entry_belongs_to_machine_numbers_row_and_source(counted, monkeypatch, change):
    model = open_model("tiny:gpt2")
    proved(model)
    if change == "threads":
        monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    elif change == "dtype":
        model = open_model("tiny:gpt2", dtype="float64")
    elif change == "row":
        model = dataclasses.replace(model, residual="parallel")
    else:
        monkeypatch.setattr(proofs, "_source_hash", lambda: "other")
    assert not proved(model).cached
    assert counted == ["prove", "prove"]


def test_a_cache_that_cannot_be_written_changes_nothing(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LESION_CACHE", str(tmp_path / "file"))
    assert proved(open_model("tiny:gpt2")).disabled == ()


def test_tests_leave_the_users_own_cache_alone():
    assert os.environ["LESION_CACHE"] == str(cache_folder())
    assert ".cache" not in str(cache_folder())
