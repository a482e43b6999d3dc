"""The weights that are hashed are those that are loaded: inside the folder, named by the index, no links out of it."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lesion.errors import InputError
from lesion.identity import content_hash, file_hash
from lesion.models.weights import INDEX, ONE, weight_files, weights_hash


def weights(path: Path, value: float = 1.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"a": torch.full((2,), value)}, path)
    return path


def index(folder: Path, *names: str) -> None:
    (folder / INDEX).write_text(json.dumps({"weight_map": {f"w{i}": name for i, name in enumerate(names)}}))


def test_only_the_files_that_are_loaded_are_hashed(tmp_path: Path) -> None:
    weights(tmp_path / ONE)
    alone = weights_hash(tmp_path)
    weights(tmp_path / "other.safetensors", 2.0)
    assert weights_hash(tmp_path) == alone == file_hash(tmp_path / ONE)


def test_the_files_of_an_index_are_hashed_together(tmp_path: Path) -> None:
    names = ["model-1.safetensors", "model-2.safetensors"]
    files = [weights(tmp_path / name, i) for i, name in enumerate(names)]
    weights(tmp_path / "left-over.safetensors", 7.0)
    index(tmp_path, *names, names[0])
    assert weight_files(tmp_path) == files
    assert weights_hash(tmp_path) == content_hash({path.name: file_hash(path) for path in files})


@pytest.mark.parametrize("name", ["sub/x.safetensors", "../outside.safetensors", "/etc/x.safetensors", "x.bin", ".."])
def test_an_index_that_points_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    weights(folder / "sub" / "x.safetensors")
    weights(tmp_path / "outside.safetensors")
    index(folder, name)
    with pytest.raises(InputError, match="allowed are"):
        weights_hash(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weight_map": []}', '{"weight_map": null}', "[" * 100_000])
def test_what_is_no_index_is_refused_in_a_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / INDEX).write_text(text)
    with pytest.raises(InputError, match=r"index\.json: (is no index|is not JSON|must hold a JSON object|is nested)"):
        weights_hash(tmp_path)


def test_a_missing_shard_and_a_link_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    index(folder, "x.safetensors")
    with pytest.raises(InputError, match="not there"):
        weights_hash(folder)
    (folder / "x.safetensors").symlink_to(weights(tmp_path / "outside.safetensors"))
    with pytest.raises(InputError, match="leads out"):
        weights_hash(folder)


def test_links_of_the_hubs_cache_are_followed(tmp_path: Path) -> None:
    blob, folder = weights(tmp_path / "blobs" / "abc"), tmp_path / "snapshots" / "commit"
    folder.mkdir(parents=True)
    (folder / ONE).symlink_to(blob)
    assert weights_hash(folder) == file_hash(blob)
