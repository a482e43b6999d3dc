"""Pretrained models: brought whole or not at all, and opened by name."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lesion.errors import InputError
from lesion.models.pretrained import PRETRAINED, VARIABLE, models_folder, pretrained_folder
from lesion.models.sizes import locate, read_sizes

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A models folder without a model."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.mark.smoke
def test_a_pretrained_model_that_is_not_there_is_one_sentence_with_the_command(empty: Path, call: Call):
    code, said, error = call("tokens", "pretrained:smollm2-135m-instruct")
    assert (code, said) == (2, "")
    assert "`lesion get smollm2-135m-instruct`" in error
    assert len(error.splitlines()) == 1


@pytest.mark.smoke
def test_an_unknown_pretrained_model_names_the_nearest(empty: Path):
    with pytest.raises(InputError, match="did you mean 'smollm2-135m-instruct'"):
        locate("pretrained:smollm2-135m-instrukt")


@pytest.mark.smoke
def test_the_list_says_size_licence_and_presence(empty: Path, call: Call):
    code, said, _ = call("get", "--list", "--json")
    rows = {row["name"]: row for row in json.loads(said)["models"]}
    assert code == 0
    assert rows.keys() == PRETRAINED.keys()
    assert not any(row["here"] for row in rows.values())
    assert rows["gemma-3-270m"]["terms"]
    assert rows["smollm2-135m-instruct"]["licence"] == "Apache-2.0"


@pytest.mark.smoke
def test_terms_that_are_not_accepted_stop_before_any_download(empty: Path, call: Call, no_sockets: None):
    code, _, error = call("get", "gemma-3-270m")
    assert code == 2
    assert "--accept-terms" in error
    assert not empty.exists()


@pytest.mark.smoke
def test_the_models_folder_is_the_users_cache_unless_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert models_folder() == tmp_path / "lesion" / "models"


@pytest.mark.pretrained
def test_smollm2_has_the_sizes_of_its_family(smollm2: str):
    sizes = read_sizes(smollm2)
    assert (sizes.family, sizes.n_layers, sizes.n_heads, sizes.n_groups) == ("llama", 30, 9, 3)
    assert (pretrained_folder(smollm2.removeprefix("pretrained:")) / "origin.json").is_file()
