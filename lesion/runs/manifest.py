"""The manifest: everything that is needed to repeat a run, and the hashes of all that it left behind.

Its `seal` is the hash of all its other fields, so that a changed digit shows; the ledger keeps the seal as well.
"""

from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from lesion.errors import InputError, Tampered
from lesion.identity import Document, content_hash
from lesion.runs.find import small_text
from lesion.study.plan import Ending, Plan, Verdict
from lesion.study.register import Registration
from lesion.study.study import Study

Status = Literal["exploratory", "confirmatory", "dry-run"]
Match = Literal["bit-equal", "noise-floor", "verdict-equal", "different"]
"""How a replay compares with its run, from best to worst."""
REPRODUCED: tuple[Match, ...] = ("bit-equal", "noise-floor")
"""The matches that count as reproduced."""


class Code(Document):
    """Which source ran."""

    version: str
    """Version of the package."""
    commit: str | None
    """Git commit, 40 hexadecimal digits; nothing outside a checkout."""
    dirty: bool
    """Whether tracked files differed from the commit."""
    diff: str
    """`git diff HEAD` of a dirty tree, whole."""
    source_hash: str
    """Hash over the package's own source files."""


class Environment(Document):
    """On what it ran. Holds no user name, host name or path."""

    python: str
    packages: dict[str, str]
    """Every installed distribution and its version."""
    system: str
    """Operating system and its release."""
    processor: str
    cores: int
    memory_bytes: int
    device: Literal["cpu"]
    threads: int
    """Threads of each worker."""
    workers: int
    """Worker processes; rows do not depend on it."""
    determinism: dict[str, str]
    """Settings that fix the numerics: deterministic algorithms, matmul precision, matrix kernel."""


class ModelFacts(Document):
    """A model as it was opened and proved."""

    name: str
    revision: str
    family: str
    dtype: str
    weights_hash: str
    """SHA-256."""
    tokenizer_hash: str
    """SHA-256."""
    answer: dict[str, object]
    """What the instrument stage measured: identities, placebo, noise floor, contract."""


class DatasetFacts(Document):
    """The ordered items of one tier, split and seed, as one model saw them."""

    model: str
    tier: str
    split: str
    seed: int
    items: int
    excluded: int
    """Items that broke the prompt contract; they stand in the prompt table with the reason."""
    dataset_hash: str
    """SHA-256 over the ordered item ids and prompt ids; the order counts."""


class UnitFacts(Document):
    """One finished unit of work."""

    key: str
    """Content hash of its cell."""
    stage: str
    rows_hash: str
    """Hash of its rows, or of its answer."""


class Cost(Document):
    """What it took."""

    started: str
    """UTC, ISO 8601."""
    ended: str
    wall_seconds: float
    cpu_seconds: float
    """Over all workers."""
    gpu_seconds: float
    flop: float = 0.0
    """Arithmetic of all rows had each been a whole forward pass of its own: what rates are measured by."""


class Manifest(Document):
    """Version 1 of the record of a run."""

    format: Literal[1] = 1
    command: str
    """What was run: `run`, `replay`."""
    run: str
    """Name of the run folder."""
    status: Status
    outcome: Literal["complete", "stopped"]
    """`stopped`: a gate or the budget ended it; `ending` says why."""
    ending: Ending
    study: Study
    """With every default written out."""
    study_text: str
    """The file as it was given."""
    study_hash: str
    registration: Registration | None
    """The registration, whole, when the study was registered."""
    deviations: tuple[str, ...]
    """Amendments, and why a registered study's run is not confirmatory, in sentences."""
    key: str
    """What the confirmation items are ordered by."""
    plan: Plan
    """As it stood at the end."""
    plan_hashes: tuple[str, ...]
    """Hash of the plan before each stage and at the end."""
    gates: tuple[Verdict, ...]
    """Every gate in order, with what it saw."""
    results: dict[str, object]
    """Verdicts of the family and the scenario."""
    code: Code
    environment: Environment
    models: tuple[ModelFacts, ...]
    datasets: tuple[DatasetFacts, ...]
    units: tuple[UnitFacts, ...]
    rows_hash: str
    """Hash of all item rows in canonical order."""
    cost: Cost
    replay_of: str | None
    """Seal of the manifest that this run repeated."""
    match: Match | None
    """How the replay compares."""
    files: dict[str, str]
    """Path within the run folder -> SHA-256, for every artefact but this one."""
    seal: str = ""
    """Hash of everything above."""

    def unsealed_hash(self) -> str:
        """Hash of all fields but the seal."""
        return content_hash(self.model_dump(mode="json", exclude={"seal"}))

    def sealed(self) -> "Manifest":
        """The same manifest with its seal."""
        return self.model_copy(update={"seal": self.unsealed_hash()})


def read_manifest(path: Path) -> Manifest:
    """Read a manifest and check its seal.

    Raises:
        InputError: when there is no such file, or it is not a manifest.
        Tampered: when its content does not fit its seal.
    """
    if path.is_dir():
        path = path / "manifest.json"
    try:
        manifest = Manifest.model_validate_json(small_text(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole file"
        raise InputError(f"{path}: not a manifest of format 1: {where}: {first['msg']}") from error
    if manifest.seal != manifest.unsealed_hash():
        raise Tampered(f"{path}: the manifest was changed after it was sealed (its content no longer fits its seal)")
    return manifest
