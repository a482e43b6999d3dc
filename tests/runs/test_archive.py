"""A run as a crate: every file with its hash, read back by the package itself, and only what is as it was sealed."""

import json
import zipfile

import pytest

from lesion.errors import InputError, LesionError, Tampered
from lesion.identity import file_hash
from lesion.runs.folder.archive import PROFILE, _check, export_crate


def test_a_crate_holds_every_file_of_the_run_and_says_what_made_it(copied_run, tmp_path) -> None:
    from rocrate.rocrate import ROCrate

    made = export_crate(copied_run.folder, tmp_path / "run.zip", "https://spdx.org/licenses/CC0-1.0")
    assert made.sha256 == file_hash(made.path)
    with zipfile.ZipFile(made.path) as archive:
        names = set(archive.namelist())
        described = json.loads(archive.read("ro-crate-metadata.json"))
        assert archive.read("manifest.json") == (copied_run.folder / "manifest.json").read_bytes()
    assert names == {*copied_run.manifest.files, "manifest.json", "ro-crate-metadata.json"}
    assert not any(name.startswith(("/", "..")) for name in names)
    assert str(copied_run.home) not in json.dumps(described)
    crate = ROCrate(str(made.path))
    action = crate.root_dataset["mentions"]
    action = action[0] if isinstance(action, list) else action
    assert action["instrument"]["version"] == copied_run.manifest.code.version
    assert "study.yaml" in [entity.id for entity in action["object"]]
    assert crate.root_dataset["conformsTo"].id == PROFILE
    with pytest.raises(LesionError, match="not read back"):
        _check(crate, copied_run.manifest, {"items/x.parquet": "0"})


def test_a_run_that_was_changed_is_not_archived(copied_run, tmp_path) -> None:
    (copied_run.folder / "study.yaml").write_text("other")
    with pytest.raises(Tampered, match=r"study\.yaml"):
        export_crate(copied_run.folder, tmp_path / "run.zip")
    assert list(tmp_path.glob("*.zip")) == list(tmp_path.glob(".*")) == []


@pytest.mark.parametrize("where", ["run.txt", "there.zip", "inside"])
def test_a_crate_never_replaces_a_file_or_enters_the_sealed_folder(where, copied_run, tmp_path) -> None:
    (tmp_path / "there.zip").write_text("mine")
    out = copied_run.folder / "x.zip" if where == "inside" else tmp_path / where
    with pytest.raises(InputError, match="must be a new file"):
        export_crate(copied_run.folder, out)
    assert (tmp_path / "there.zip").read_text() == "mine"
