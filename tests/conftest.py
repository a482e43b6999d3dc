"""What all tests share: no network, a fixed hypothesis profile, the places of the repository and of outside data."""

import itertools
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
from hypothesis import HealthCheck, settings

from lesion import cli
from lesion.models.obtain.pretrained import is_there

if TYPE_CHECKING:
    from lesion.models.model import Model

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"

settings.register_profile(
    "lesion", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("lesion")


_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def _records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("records")


@pytest.fixture(autouse=True)
def _records_elsewhere(_records: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that are given no --home leave their records in a folder of the tests, not in the working tree.

    Each test has an empty cache of its own: it must not believe a proof that another test's patched code made.
    """
    monkeypatch.setenv("LESION_HOME", str(_records))
    monkeypatch.setenv("LESION_CACHE", str(_records / f"cache{next(_NUMBERS)}"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the working tree."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def outside_data(repository: Path) -> Path:
    """The folder of outside data (tokenizers, GSM8K), or a skip that says how to name it."""
    folder = Path(os.environ.get("LESION_TEST_DATA", repository.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no outside data at {folder}; name the folder in LESION_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def smollm2() -> str:
    """The name of a real language model on this machine; mark the test `pretrained`. It opens in a second."""
    name = "smollm2-135m-instruct"
    if not is_there(name):
        pytest.skip(f"the pretrained model {name} is not on this machine: make pretrained, or lesion get {name}")
    return f"pretrained:{name}"


@pytest.fixture(scope="module")
def smollm2_model(smollm2: str) -> "Model":
    """The same, opened once for a module of tests; none may change it."""
    from lesion.models.model import open_model

    return open_model(smollm2)


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every attempt to open a connection or to look up a name fails the test."""

    def refuse(*_: object, **__: object) -> NoReturn:
        raise AssertionError("this test must not reach the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Call the command line; exit code, standard output and standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main(list(arguments))
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run
