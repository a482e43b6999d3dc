"""An outside witness of a registration: real time-stamp tokens from an authority that the test sets up with openssl."""

import shutil
import subprocess
from pathlib import Path

import pytest

from lesion.cli import main
from lesion.errors import InputError
from lesion.runs.index.registrations import read_registration
from lesion.runs.index.timestamp import check_proof, witness_text, write_witness

CONFIG = """
[tsa]
default_tsa = one
[one]
dir = .
serial = ./serial
crypto_device = builtin
signer_cert = ./tsa.pem
signer_key = ./tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha512
accuracy = secs:1
ess_cert_id_chain = no
ess_cert_id_alg = sha256
[ca]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[req]
distinguished_name = dn
[dn]
"""


@pytest.fixture(scope="module")
def registration(repository: Path):
    (path,) = (repository / "publications/toy-models/registrations").glob("0001*.json")
    return read_registration(path)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory):
    """A folder with a time-stamp authority, and a function that has a file stamped there."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed, so no time-stamp authority can be set up")
    pytest.importorskip("rfc3161_client", reason="the extra 'witness' is not installed")
    folder = tmp_path_factory.mktemp("authority")
    (folder / "tsa.cnf").write_text(CONFIG)
    (folder / "serial").write_text("01\n")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ["-newkey", "rsa:2048", "-nodes", "-config", "tsa.cnf"]
    openssl("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Root", "-extensions", "ca")
    openssl("req", *new, "-keyout", "tsa.key", "-out", "tsa.csr", "-subj", "/CN=Stamp")
    openssl("x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "tsa.pem",
            "-extfile", "tsa.cnf", "-extensions", "leaf")  # fmt: skip

    def stamp(text: str, name: str) -> Path:
        (folder / "text").write_text(text)
        openssl("ts", "-query", "-data", "text", "-sha512", "-cert", "-out", "q.tsq")
        openssl("ts", "-reply", "-queryfile", "q.tsq", "-config", "tsa.cnf", "-section", "one", "-out", name)
        return folder / name

    return folder, stamp


def test_a_time_stamp_of_the_digest_is_a_proof_and_tells_its_time(registration, authority) -> None:
    folder, stamp = authority
    token = stamp(witness_text(registration), "good.tsr")
    proof = check_proof(registration, token, folder / "ca.pem")
    assert proof.kind == "time-stamp"
    assert proof.time.endswith("Z")


def test_a_time_stamp_of_another_text_is_refused(registration, authority) -> None:
    folder, stamp = authority
    with pytest.raises(InputError, match="not a time-stamp of this registration"):
        check_proof(registration, stamp("another text", "other.tsr"), folder / "ca.pem")


def test_a_time_stamp_by_an_authority_that_nobody_trusts_is_refused(registration, authority, tmp_path) -> None:
    _, stamp = authority
    token, other = stamp(witness_text(registration), "good.tsr"), tmp_path / "other.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "k", "-out", other, "-subj", "/CN=X"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    with pytest.raises(InputError, match="not a time-stamp of this registration by that authority"):
        check_proof(registration, token, other)
    with pytest.raises(InputError, match="--authority"):
        check_proof(registration, token)


def test_what_is_no_token_is_refused_in_a_sentence(registration, authority, tmp_path) -> None:
    folder, _ = authority
    (tmp_path / "x.tsr").write_bytes(b"no token")
    with pytest.raises(InputError, match="not a time-stamp"):
        check_proof(registration, tmp_path / "x.tsr", folder / "ca.pem")


def test_a_text_that_holds_the_digest_is_a_proof_without_a_time(registration, tmp_path) -> None:
    path = tmp_path / "0001_x.json"
    witness = write_witness(registration, path)
    assert witness.name == "0001_x.witness.txt"
    assert check_proof(registration, witness).time == ""
    witness.write_text("sha256 of something else")
    with pytest.raises(InputError, match="does not hold the digest"):
        check_proof(registration, witness)


def test_verify_tells_integrity_and_priority_apart(registration, repository, tmp_path, capsys) -> None:
    (path,) = (repository / "publications/toy-models/registrations").glob("0001*.json")
    with pytest.raises(SystemExit, match="0"):
        main(["verify", str(path), "--home", str(tmp_path)])
    assert "priority: no outside witness was given" in " ".join(capsys.readouterr().out.split())
    witness = write_witness(registration, tmp_path / "w.json")
    with pytest.raises(SystemExit, match="0"):
        main(["verify", str(path), "--proof", str(witness), "--home", str(tmp_path)])
    assert "priority: The text holds the digest" in " ".join(capsys.readouterr().out.split())
