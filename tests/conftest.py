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
HEAVY = {
    "cli/test_reports.py", "engine/test_correct_models.py", "engine/test_edges.py", "engine/test_proofs.py",
    "engine/test_random.py", "measures/test_edge_sets.py", "measures/test_harness.py",
    "measures/test_passage.py", "measures/test_pretrained.py",
    "measures/test_screening.py", "measures/test_steering.py", "measures/test_stress.py", "models/test_device.py",
    "report/test_across.py", "report/test_explorer.py", "report/test_paper.py", "runs/test_cluster.py",
    "runs/test_crashes.py", "runs/test_explore.py", "runs/test_forgeries.py", "runs/test_hacking.py",
    "runs/test_planted.py", "runs/test_processes.py", "runs/test_recording.py", "runs/test_recount.py",
    "runs/test_replicated.py", "test_diagnostics.py", "test_docs_code.py", "test_doctor.py", "test_examples.py",
    "test_far_away.py", "test_notebook.py", "test_own_model.py", "training/test_formation.py",
    "training/test_redundancy.py", "training/test_trainer.py",
}  # fmt: skip
"""Files that take a minute of processor or more each: `make slow` runs them, so that `make test` stays under half an
hour on two cores."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of a heavy file as slow."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and item.path.relative_to(here).as_posix() in HEAVY:
            item.add_marker(pytest.mark.slow)


def pytest_sessionstart() -> None:
    """Every heavy file is there; one that was renamed would run with the others again."""
    gone = [name for name in sorted(HEAVY) if not (Path(__file__).parent / name).is_file()]
    assert not gone, f"take {gone} off the list of heavy files in tests/conftest.py"


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
