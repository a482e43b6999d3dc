"""Whether a run folder still is what it was when it was sealed: every file that differs, is missing or was added."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from lesion.errors import Tampered
from lesion.identity import content_hash
from lesion.models.sizes import folder_here
from lesion.models.vocabulary import tokenizer_hash
from lesion.models.weights import weights_hash
from lesion.runs.check.consistency import contradictions
from lesion.runs.check.intact import doubled_key, odd_files, odd_log
from lesion.runs.check.recompute_stats import again, differences
from lesion.runs.check.recomputed import impossible
from lesion.runs.folder.published import UNITS, is_published, open_rows, published_faults
from lesion.runs.folder.run_folder import RunFolder
from lesion.runs.manifest.any import read_record
from lesion.runs.manifest.command import Call, read_repeat
from lesion.runs.manifest.command_results import comparable
from lesion.runs.manifest.run import Manifest
from lesion.runs.manifest.training import TrainingManifest
from lesion.study.rows import rows_hash


class Finding(NamedTuple):
    """Something that is not as the manifest says."""

    what: str
    """File, or model."""
    fault: str
    """`differs`, `is missing`, `was added`, …"""


def verify(path: Path) -> list[Finding]:
    """Everything in the folder of a run, a call or a training that is not as it was sealed; empty when all is well.

    Raises:
        InputError: when there is no readable manifest.
    """
    folder = path if path.is_dir() else path.parent
    try:
        if fault := doubled_key(folder / "manifest.json" if path.is_dir() else path):
            return [Finding("manifest.json", fault)]
        manifest = read_record(path)
    except Tampered:
        return [Finding("manifest.json", "was changed after it was sealed")]
    odd = [Finding(*each) for each in odd_files(folder, manifest.files)]
    if isinstance(manifest, Manifest):
        odd += [Finding(*each) for each in odd_log(folder, manifest)]
    return [*odd, *_content(folder, manifest)]


def _content(folder: Path, manifest: Manifest | Call | TrainingManifest) -> list[Finding]:
    """What hashes, and the parts of a manifest against each other, tell."""
    if isinstance(manifest, TrainingManifest):
        return _files(folder, manifest.files)
    if isinstance(manifest, Call):
        return _files(folder, manifest.files) or _result(folder, manifest)
    if is_published(folder):
        faults = [Finding(*fault) for fault in published_faults(folder, manifest)]
        faults = faults or [Finding(*each) for each in impossible(folder, manifest)]
        return [*(faults or _judged(folder, manifest)), *weights(manifest)]
    if changed := _files(folder, manifest.files):
        return [*changed, *weights(manifest)]
    return [*_rows(folder, manifest), *weights(manifest), *_parts(folder, manifest)]


def _judged(folder: Path, manifest: Manifest) -> list[Finding]:
    """Gates and results of a published run that its rows do not give; nothing where it keeps too little to judge."""
    if not (folder / UNITS).is_file():
        return []
    gates, _ = again(manifest, open_rows(folder))
    return [Finding(name, "is not what the rows give") for name in differences(manifest, gates)]


def _files(folder: Path, files: Mapping[str, str]) -> list[Finding]:
    present = RunFolder(folder).files()
    findings = [
        Finding(name, "is missing" if name not in present else "differs")
        for name, digest in files.items()
        if present.get(name) != digest
    ]
    findings += [Finding(name, "was added") for name in present if name not in files]
    return findings + _hidden(folder, present)


def _hidden(folder: Path, present: Mapping[str, str]) -> list[Finding]:
    """Links, which may lead anywhere, and hidden files; a run leaves none but its lock."""
    hidden: list[Finding] = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            hidden.append(Finding(name, "is a link, not a file of the run"))
        elif path.is_file() and name not in present and name not in (".lock", "manifest.json"):
            hidden.append(Finding(name, "was added"))
    return hidden


def _rows(folder: Path, manifest: Manifest) -> list[Finding]:
    """The rows as a whole, where every file is as it was."""
    same = rows_hash(RunFolder(folder).items()) == manifest.rows_hash
    return [] if same else [Finding("items", "do not give the recorded rows_hash")]


def _result(folder: Path, call: Call) -> list[Finding]:
    """What a call's manifest says of its result, where every file is as it was."""
    result = read_repeat(folder).result
    same = result is not None and content_hash(comparable(call.command, result)) == call.result_hash
    findings = [] if same else [Finding("result.json", "does not give the recorded result_hash")]
    if (call.outcome == "failed") != bool(call.exit_code):
        findings.append(Finding("outcome", "does not fit the recorded exit_code"))
    return findings


def _parts(folder: Path, manifest: Manifest) -> list[Finding]:
    """What the manifest says twice and differently, where every file is as it was."""
    findings = [Finding(*each) for each in contradictions(folder, manifest)]
    return findings or [Finding(*each) for each in impossible(folder, manifest)]


def weights(manifest: Manifest) -> list[Finding]:
    """Models on this machine whose weights or tokenizer are not the run's; others are checked when they are opened."""
    findings: list[Finding] = []
    for model in manifest.models:
        folder = folder_here(model.name)
        if folder is not None and weights_hash(folder) != model.weights_hash:
            findings.append(Finding(model.name, "has other weights than the run used"))
        if folder is not None and tokenizer_hash(folder) != model.tokenizer_hash:
            findings.append(Finding(model.name, "has another tokenizer than the run used"))
    return findings
