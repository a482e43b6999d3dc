"""Cells on a Ray cluster: workers on any of its machines keep their models warm and take the next cell when free.

Results stream back to the driver, which alone writes the run folder. A cell whose worker or machine is lost goes to
another worker. A machine takes part only if nothing on it could change a row: the same source, the same versions of
what computes, the same kind of processor; and what it opened must have the same weights. Ray is an extra.
"""

# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

import os
import platform
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from typing import Any, NamedTuple

from lesion.errors import InputError, LesionError
from lesion.runs.execute.executors import Work, too_many
from lesion.runs.execute.logs import LOGGER
from lesion.runs.folder.run_folder import Result
from lesion.runs.manifest.environment import processor, source_hash
from lesion.study.plan import Cell

COMPUTE = ("torch", "transformers", "tokenizers", "safetensors", "numpy", "polars")
"""Packages whose versions may change a row."""
MOST_LOSSES = 16
"""Workers that may be lost within a stage."""
PATIENCE = 120.0
"""Seconds without any worker after which the run ends; it can be resumed."""
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
"""Ray sends nothing anywhere, and leaves the processes' view of accelerators alone."""
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Ray's own name for: this machine's address is 127.0.0.1, and nobody else can join. Read when ray is imported."""


class Place(NamedTuple):
    """What of a worker's surroundings a row may depend on."""

    source: str
    """Hash of the package's source."""
    packages: dict[str, str]
    processor: str
    python: str

    @classmethod
    def here(cls) -> "Place":
        """This process's surroundings."""
        versions = {name: version(name) for name in COMPUTE}
        return cls(source_hash(), versions, processor(), ".".join(platform.python_version_tuple()[:2]))

    def differences(self, other: "Place") -> list[str]:
        """What is not alike, in words; `self` is the driver's."""
        said = [] if self.source == other.source else ["another source of lesion"]
        for name, number in self.packages.items():
            if other.packages.get(name) != number:
                said.append(f"{name} {other.packages.get(name, 'missing')} instead of {number}")
        pairs = (("processor", self.processor, other.processor), ("python", self.python, other.python))
        return said + [f"{name} {theirs} instead of {mine}" for name, mine, theirs in pairs if mine != theirs]


class Worker:
    """What runs on the cluster: one process of one thread, its models warm."""

    def __init__(self, driver: Place, prepare: Callable[[], None]) -> None:
        self._said = driver.differences(Place.here())
        if not self._said:
            prepare()

    def unlike(self) -> list[str]:
        """How this worker's surroundings differ from the driver's; nothing may be computed here if they do."""
        return self._said

    def do(self, work: Work, cell: Cell) -> Result:
        """A cell's result; it names the weights that gave it."""
        return work(cell)


class Cluster:
    """Workers of a Ray cluster that stay warm between stages; use it as a context manager.

    Args:
        address: `local` starts a cluster of this machine alone, bound to 127.0.0.1; `auto` joins the one that this
            machine belongs to; otherwise the address of its head, such as `10.0.0.5:6379`.
        workers: so many, one processor each.
        prepare: fixes the numerics of a worker.

    Raises:
        InputError: when ray is not installed or there is no such cluster.
    """

    def __init__(self, address: str, workers: int, prepare: Callable[[], None]) -> None:
        os.environ.update(QUIET | (LOOPBACK if _is_local(address) else {}))
        try:
            import ray  # noqa: PLC0415  (an extra)
        except ImportError as error:
            raise InputError("a cluster needs the extra 'ray': pip install -c constraints.txt -e '.[ray]'") from error
        self._ray: Any = ray
        self._join(address, workers)
        one_thread = {"env_vars": {"OMP_NUM_THREADS": "1", **QUIET}}
        options: dict[str, Any] = {
            "num_cpus": 1,
            "scheduling_strategy": "SPREAD",
            "runtime_env": one_thread,
        }
        self._remote: Any = self._ray.remote(**options)(Worker)
        self._driver, self._prepare = Place.here(), prepare
        self._starting: dict[Any, Any] = {}
        """Reference to a worker's first answer -> the worker."""
        self._idle: list[Any] = []
        self._weights: dict[str, str] = {}
        """Model -> hash of the weights that its first result came from."""
        for _ in range(workers):
            self._hire()

    def _join(self, address: str, workers: int) -> None:
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        try:
            if address == "local":
                self._ray.init(num_cpus=workers, include_dashboard=False, **quiet)
            else:
                self._ray.init(address=address, **quiet)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise InputError(
                f"--cluster {address}: no Ray cluster answers there ({str(error).splitlines()[0]}); start one with "
                "`ray start --head`, or say `--cluster local`"
            ) from error

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        self._ray.shutdown()

    def __call__(self, work: Work, cells: Sequence[Cell]) -> Iterator[tuple[Cell, Result]]:
        """Results in the order in which they finish.

        Raises:
            LesionError: when too many workers were lost, none is left, or a machine holds other weights.
            InputError: when a machine of the cluster is not like the driver's.
        """
        shared, waiting, busy, losses = self._ray.put(work), deque(cells), dict[Any, tuple[Any, Cell]](), 0
        seen = time.monotonic()
        while waiting or busy:
            while waiting and self._idle:
                worker, cell = self._idle.pop(), waiting.popleft()
                busy[worker.do.remote(shared, cell)] = (worker, cell)
            seen = time.monotonic() if busy else seen
            if not busy and time.monotonic() - seen > PATIENCE:
                raise LesionError(
                    f"the cluster gave no worker for {PATIENCE:g} seconds; the same command goes on later"
                )
            done, _ = self._ray.wait([*busy, *self._starting], num_returns=1, timeout=5.0)
            for reference in done:
                if reference in self._starting:
                    losses += not self._welcome(reference)
                    continue
                worker, cell = busy.pop(reference)
                answer = self._answer(reference)
                if answer is None:
                    losses += 1
                    waiting.appendleft(cell)
                    self._hire()
                    continue
                self._idle.append(worker)
                self._same_weights(cell.model, answer.engine["weights_hash"])
                yield cell, answer
            if losses > MOST_LOSSES:
                raise LesionError(too_many(losses))

    def _hire(self) -> None:
        worker = self._remote.remote(self._driver, self._prepare)
        self._starting[worker.unlike.remote()] = worker

    def _welcome(self, reference: Any) -> bool:
        """Take in a worker that has started; False, with another on its way, when it was lost before that."""
        worker, said = self._starting.pop(reference), self._answer(reference)
        if said is None:
            self._hire()
            return False
        if said:
            raise InputError(
                f"a machine of the cluster has {'; '.join(said)}: rows could differ there, so it may not take part; "
                "install the same there (constraints.txt), or use machines of one kind"
            )
        self._idle.append(worker)
        return True

    def _answer(self, reference: Any) -> Any:
        """What a worker answered, or nothing when it was lost."""
        errors = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except (errors.RayActorError, errors.ObjectLostError, errors.WorkerCrashedError) as error:
            LOGGER.warning("a worker of the cluster was lost (%s); its unit goes to another", type(error).__name__)
            return None
        except errors.RayTaskError as error:
            raise (error.cause if isinstance(error.cause, LesionError) else error) from error

    def _same_weights(self, model: str, found: str) -> None:
        known = self._weights.setdefault(model, found)
        if known != found:
            raise LesionError(
                f"{model}: machines of the cluster hold different weights under this name ({known[:12]} and "
                f"{found[:12]}); put the same folder on each, or name a pinned hub revision"
            )


def _is_local(address: str) -> bool:
    """Whether an address is of this machine alone."""
    return address == "local" or address.partition(":")[0] in ("localhost", "127.0.0.1")
