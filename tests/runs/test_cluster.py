"""A real Ray cluster of two nodes on this machine: the same rows as in one process, also when a node is killed."""

import os
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from lesion.runs.execute.cluster import LOOPBACK, QUIET

os.environ.update(QUIET | LOOPBACK)  # ray reads them when it is imported

import ray
from ray.cluster_utils import Cluster as Nodes

from lesion.errors import InputError, LesionError
from lesion.runs.execute import cluster as module
from lesion.runs.execute.cluster import Cluster, Place
from lesion.runs.execute.conduct import Tick
from lesion.runs.execute.run import start
from lesion.runs.measure.worker_state import prepare
from tests.runs.conftest import small_order

pytestmark = pytest.mark.filterwarnings("default")  # ray's own


@pytest.fixture
def nodes() -> Iterator[Any]:
    """Two nodes with a processor each, bound to 127.0.0.1; the head computes nothing."""
    made = Nodes(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": False},
    )
    both = [made.add_node(num_cpus=1) for _ in range(2)]
    made.wait_for_nodes()
    yield made, both
    ray.shutdown()
    made.shutdown()


def test_a_node_killed_in_the_middle_changes_no_row(nodes, small_run, no_report, tmp_path) -> None:
    cluster, (first, _) = nodes
    killed: list[str] = []

    def until(tick: Tick) -> None:
        if tick.stage == "baseline" and tick.done and not killed:
            cluster.remove_node(first, allow_graceful=False)
            killed.append(tick.stage)

    ran = start(small_order(), tmp_path, 2, until, no_report, cluster=cluster.address)
    assert killed
    assert ran.manifest.rows_hash == small_run.manifest.rows_hash
    assert ran.manifest.results == small_run.manifest.results
    assert ran.manifest.plan_hashes == small_run.manifest.plan_hashes
    assert (ran.manifest.environment.executor, ran.manifest.environment.workers) == ("ray", 2)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_a_worker_killed_on_a_cluster_of_any_size_changes_no_row(workers, small_run, no_report, tmp_path) -> None:
    killed: list[int] = []

    def until(tick: Tick) -> None:
        if tick.stage == "discovery" and not killed:
            killed.extend(_kill_one_actor())

    ran = start(small_order(), tmp_path, workers, until, no_report, cluster="local")
    assert killed
    assert ran.manifest.rows_hash == small_run.manifest.rows_hash
    assert ran.manifest.results == small_run.manifest.results


def test_a_cluster_of_this_machine_alone_gives_the_same_rows(small_run, quiet, no_report, tmp_path) -> None:
    ran = start(small_order(), tmp_path, 2, quiet, no_report, cluster="local")
    assert ran.manifest.rows_hash == small_run.manifest.rows_hash
    assert not ray.is_initialized(), "the cluster is given back"


def test_a_machine_that_is_not_like_the_drivers_may_not_take_part(monkeypatch) -> None:
    here = Place.here()
    other = here._replace(packages={**here.packages, "torch": "2.9.0"}, processor="another")
    monkeypatch.setattr(module.Place, "here", classmethod(lambda cls: other))
    with (
        pytest.raises(InputError, match=r"torch .* instead of 2\.9\.0; processor .* instead of another"),
        Cluster("local", 1, prepare) as cluster,
    ):
        list(cluster(_nothing, ["cell"]))  # pyright: ignore[reportArgumentType]
    ray.shutdown()


def test_other_weights_under_the_same_name_are_refused() -> None:
    cluster = Cluster.__new__(Cluster)
    cluster._weights = {}
    cluster._same_weights("zoo:a", "1" * 64)
    cluster._same_weights("zoo:a", "1" * 64)
    with pytest.raises(LesionError, match="different weights"):
        cluster._same_weights("zoo:a", "2" * 64)


def test_a_cluster_that_does_not_answer_is_named(small_text, quiet, no_report, tmp_path) -> None:
    with pytest.raises(InputError, match="no Ray cluster answers"):
        start(small_order(), tmp_path, 2, quiet, no_report, cluster="auto")
    assert not (tmp_path / "runs").exists(), "nothing is written"


def _kill_one_actor() -> list[int]:
    """Kill the process of one of the workers that this process's cluster runs."""
    workers = [each for each in psutil.Process().children(recursive=True) if "ray::Worker" in " ".join(each.cmdline())]
    workers[0].kill()
    return [workers[0].pid]


def _nothing(cell: object) -> None:
    """No work."""
