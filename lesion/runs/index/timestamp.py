"""An outside witness of a registration: the digest that is given to one, and how the proof is checked.

A seal shows *integrity*: nothing was changed. It cannot show *priority*: that the registration is older than the data.
For that somebody else must have seen the digest before the run. Two kinds of proof can be checked here: a time-stamp
token (RFC 3161), signed by an authority whose certificate the reader trusts, and a text that holds the digest, such as
a commit or a post, whose date the reader must check where it was published.
"""

from pathlib import Path
from typing import Literal, NamedTuple

from lesion.errors import InputError
from lesion.outside.files import read_bytes, require_regular
from lesion.runs.folder.atomic_io import write_text
from lesion.runs.folder.find import small_text
from lesion.study.registration.registration import Registration

MOST_TOKEN_BYTES = 1_000_000
Kind = Literal["time-stamp", "text"]


class Proof(NamedTuple):
    """What a proof shows."""

    kind: Kind
    time: str
    """UTC, ISO 8601, as the authority signed it; empty for a text."""
    words: str
    """In a sentence."""


def witness_text(registration: Registration) -> str:
    """The file that a witness is given: one line that names the registration by its digest."""
    return f"lesion registration {registration.study.name} sha256 {registration.hash()}\n"


def write_witness(registration: Registration, path: Path) -> Path:
    """Write that file beside the registration, `NNNN_NAME_HASH.witness.txt`; its path."""
    witness = path.with_suffix(".witness.txt")
    write_text(witness, witness_text(registration))
    return witness


def check_proof(registration: Registration, proof: Path, authority: Path | None = None) -> Proof:
    """Check that somebody outside has seen a registration.

    Args:
        registration: whose witness text was given away.
        proof: a time-stamp response (`.tsr`), or a text file that holds the digest.
        authority: PEM file with the authority's root certificate; needed for a time-stamp.

    Raises:
        InputError: when the proof is of something else, is not signed by the authority, or cannot be read.
    """
    if not proof.is_file():
        raise InputError(f"{proof}: no such file; give the time-stamp response or the text that holds the digest")
    if proof.suffix.lower() in (".tsr", ".tst"):
        return _token(registration, proof, authority)
    digest = registration.hash()
    if digest not in small_text(proof, MOST_TOKEN_BYTES):
        raise InputError(f"{proof}: does not hold the digest {digest}")
    words = "The text holds the digest. Its date can only be checked where it was published."
    return Proof("text", "", words)


def _token(registration: Registration, proof: Path, authority: Path | None) -> Proof:
    if authority is None:
        raise InputError("a time-stamp needs --authority FILE, the root certificate (PEM) that you trust")
    try:
        from cryptography.x509 import load_pem_x509_certificates  # noqa: PLC0415  (an optional extra)
        from rfc3161_client import VerificationError, VerifierBuilder, decode_timestamp_response  # noqa: PLC0415
    except ImportError as error:
        raise InputError("time-stamps need the extra 'witness': pip install 'lesion[witness]'") from error
    for path in (proof, authority):
        require_regular(path, MOST_TOKEN_BYTES)
    try:
        response = decode_timestamp_response(read_bytes(proof, MOST_TOKEN_BYTES))
        roots = load_pem_x509_certificates(read_bytes(authority, MOST_TOKEN_BYTES))
        builder = VerifierBuilder()
        for root in roots:
            builder = builder.add_root_certificate(root)
        builder.build().verify_message(response, witness_text(registration).encode())
    except (VerificationError, ValueError) as error:
        raise InputError(f"{proof}: not a time-stamp of this registration by that authority ({error})") from error
    moment = response.tst_info.gen_time.strftime("%Y-%m-%dT%H:%M:%SZ")
    return Proof("time-stamp", moment, f"The authority signed the digest on {moment}.")
