"""A run as a Process Run Crate (RO-Crate, profile 0.5): one zip file that an archive such as Zenodo can keep and read.

Source: https://w3id.org/ro/wfrun/process/0.5. The rocrate package writes it and reads it again; it is an extra.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lesion.errors import InputError, LesionError, Tampered
from lesion.identity import file_hash
from lesion.runs.check.status import counted
from lesion.runs.check.verify import verify
from lesion.runs.folder.published import NAME, QUESTIONS, ROWS, UNITS
from lesion.runs.manifest.run import Manifest, read_manifest

PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
KINDS = {
    ".json": "application/json", ".yaml": "application/yaml", ".parquet": "application/vnd.apache.parquet",
    ".html": "text/html", ".md": "text/markdown", ".svg": "image/svg+xml", ".png": "image/png",
}  # fmt: skip


class Archived(NamedTuple):
    """What was written."""

    path: Path
    files: int
    sha256: str
    """Of the zip file."""


def export_crate(folder: Path, out: Path, license_url: str = "") -> Archived:
    """Write a run folder as a crate and read it again.

    Args:
        folder: the run folder; it must be as it was sealed.
        out: the zip file, which must not exist yet.
        license_url: address of the licence under which it is given away; none is claimed without it.

    Raises:
        InputError: when rocrate is not installed, or `out` exists or is inside the run folder.
        Tampered: when a file of the run is not what was sealed.
    """
    try:
        from rocrate.rocrate import ROCrate  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise InputError(
            "an export needs the extra 'archive': pip install -c constraints.txt -e '.[archive]'"
        ) from error
    manifest = read_manifest(folder)
    if out.suffix != ".zip" or out.exists() or out.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{out}: must be a new file that ends in .zip, outside the run folder, which is sealed")
    if faults := verify(folder):
        raise Tampered(f"{folder.name}: not archived, for {faults[0].what} {faults[0].fault}; see lesion verify")
    files = _files(folder, manifest)
    crate = _crate(ROCrate(), manifest, folder, license_url)
    temporary = out.with_name(f".{out.stem}.part.zip")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        crate.write_zip(str(temporary))
        _check(ROCrate(str(temporary)), manifest, files)
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
    return Archived(out, len(files), file_hash(out))


def _crate(crate: Any, manifest: Manifest, folder: Path, license_url: str) -> Any:
    from rocrate.model.contextentity import ContextEntity  # noqa: PLC0415  (an extra)

    def add(identity: str, kind: str, **properties: Any) -> Any:
        return crate.add(ContextEntity(crate, identity, properties={"@type": kind, **properties}))

    standing = counted(folder, manifest)
    said = "; ".join([standing.status, *standing.claimed])
    crate.name = f"Run {manifest.run}"
    crate.description = f"{manifest.study.question} Scenario: {manifest.results.scenario} ({said})."
    root, code = crate.root_dataset, manifest.code
    root["datePublished"] = manifest.cost.ended
    root["conformsTo"] = add(PROFILE, "CreativeWork", name="Process Run Crate", version="0.5")
    if license_url:
        root["license"] = add(license_url, "CreativeWork", name="Licence of this crate")
    files = {
        name: crate.add_file(str(folder / name), dest_path=name, properties=_facts(folder / name, digest))
        for name, digest in _files(folder, manifest).items()
    }
    software = add(
        "#lesion",
        "SoftwareApplication",
        name="lesion",
        version=code.version,
        identifier=code.commit or code.source_hash,
    )
    given = [files.pop("study.yaml")]
    models = [
        add(f"#model-{number}", "CreativeWork", name=model.name, identifier=model.weights_hash, version=model.revision)
        for number, model in enumerate(manifest.models)
    ]
    root["mentions"] = add(
        "#run", "CreateAction", name=f"lesion {manifest.command}", startTime=manifest.cost.started,
        endTime=manifest.cost.ended, actionStatus={"@id": "http://schema.org/CompletedActionStatus"},
        description=manifest.ending.reason, instrument=software, object=[*given, *models], result=list(files.values()),
    )  # fmt: skip
    return crate


def _files(folder: Path, manifest: Manifest) -> dict[str, str]:
    """The folder's files and their hashes: the sealed ones, of a published run those that it keeps, and its own."""
    own = {"manifest.json": file_hash(folder / "manifest.json")}
    if not (folder / NAME).is_file():
        return {**manifest.files, **own}
    kept = {name: digest for name, digest in manifest.files.items() if (folder / name).is_file()}
    made = [name for name in (NAME, ROWS, QUESTIONS, UNITS) if (folder / name).is_file()]
    return {**kept, **own, **{name: file_hash(folder / name) for name in made}}


def _facts(path: Path, digest: str) -> dict[str, Any]:
    kind = KINDS.get(path.suffix, "application/octet-stream")
    return {"name": path.name, "sha256": digest, "contentSize": str(path.stat().st_size), "encodingFormat": kind}


def _check(crate: Any, manifest: Manifest, files: Mapping[str, str]) -> None:
    """Hold what the package reads against the manifest: profile, action, and the hash of every file."""
    hashes = {entity.id: entity.get("sha256") for entity in crate.get_entities()}
    lost = [name for name, digest in files.items() if hashes.get(name) != digest]
    action = crate.dereference("#run")
    if lost or action is None or action["instrument"].id != "#lesion" or crate.root_dataset["conformsTo"].id != PROFILE:
        raise LesionError(f"{manifest.run}: the crate is not read back as it was written ({', '.join(lost[:3])})")
