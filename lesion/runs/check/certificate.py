"""The certificate of a replay in a fresh environment: `NAME.certificate.json` beside the run that it marks complete.

It says from what the replay was made (commit, difference, packages), what was checked, and how the rows compare.
"""

from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from lesion.errors import InputError, LesionError, Tampered
from lesion.identity import Document, content_hash
from lesion.runs.folder.atomic_io import write_text
from lesion.runs.folder.find import beside, small_text
from lesion.runs.manifest.base import REPRODUCED, Match, Sealed

MOST_CERTIFICATE_BYTES = 10_000_000


class Certificate(Document):
    """Version 1 of the certificate of a replay."""

    format: Literal[1] = 1
    run: str
    """Name of the run that was repeated."""
    run_seal: str
    replay: str
    """Name of the run folder of the replay."""
    replay_seal: str
    match: Match
    made: str
    """UTC, ISO 8601."""
    commit: str
    """Commit of the work tree, 40 hexadecimal digits."""
    diff_hash: str
    """Content hash of the recorded difference that was put on top of it."""
    source_hash: str
    """Hash over the sources of the work tree, equal to the recorded one."""
    packages: dict[str, str]
    """What was installed in the environment, by name."""
    other_packages: tuple[str, ...]
    """Packages whose version is not the recorded one, and how; empty in a proper replay."""
    python_recorded: str
    python: str
    """Version of the interpreter that repeated the run."""
    system: str
    processor: str
    weights: dict[str, str]
    """Model -> SHA-256 of the weights, equal in both runs."""
    datasets_equal: int
    """Ordered sets of questions whose hash is the recorded one."""
    seal: str = ""
    """Hash of everything above."""

    def unsealed_hash(self) -> str:
        """Hash of all fields but the seal."""
        return content_hash(self.model_dump(mode="json", exclude={"seal"}))

    def sealed(self) -> "Certificate":
        """The same certificate with its seal."""
        return self.model_copy(update={"seal": self.unsealed_hash()})


def certificate_path(home: Path, run: str) -> Path:
    """Where a run's certificate stands."""
    return beside(home, run, "certificate.json")


def write_certificate(home: Path, certificate: Certificate) -> Path:
    """Seal a certificate and write it beside its run."""
    path = certificate_path(home, certificate.run)
    write_text(path, certificate.sealed().model_dump_json(indent=1) + "\n")
    return path


def read_certificate(path: Path) -> Certificate:
    """Read a certificate and check its seal.

    Raises:
        InputError: when there is none, or it is not one.
        Tampered: when its content does not fit its seal.
    """
    try:
        certificate = Certificate.model_validate_json(small_text(path, MOST_CERTIFICATE_BYTES))
    except ValidationError as error:
        raise InputError(f"{path}: not a certificate of format 1: {error.errors()[0]['msg']}") from error
    if certificate.seal != certificate.unsealed_hash():
        raise Tampered(f"{path}: the certificate was changed after it was sealed")
    return certificate


def certified(home: Path, manifest: Sealed) -> bool:
    """Whether a certificate in a home that can be trusted says of this very run that it was repeated."""
    return is_certified(certificate_path(home, manifest.run), manifest)


def is_certified(path: Path, manifest: Sealed) -> bool:
    """The same of a certificate anywhere, such as one beside a published run."""
    try:
        found = read_certificate(path) if path.exists() else None
    except LesionError:
        return False
    return found is not None and found.run_seal == manifest.seal and found.match in REPRODUCED
