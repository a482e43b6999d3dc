"""What every manifest says, whatever the command: the common part, its seal, and how older formats are read.

    run       a study, conducted or replayed          lesion.runs.manifest.run.Manifest
    call      any other command that computes         lesion.runs.manifest.command.Call
    training  a model's folder, sealed                lesion.runs.manifest.training.TrainingManifest

Format 1 had no common part: runs and trainings each had fields of their own. `read_sealed` gives them the new ones.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, cast

from pydantic import Field, JsonValue, ValidationError

from lesion.errors import InputError, Tampered
from lesion.identity import Document, content_hash
from lesion.outside.documents import read_json
from lesion.runs.folder.find import MOST_MANIFEST_BYTES

Status = Literal["exploratory", "confirmatory", "dry-run"]
ExecutorName = Literal["local", "ray"]
"""What hands out units of work: processes of this machine, or a Ray cluster."""
Match = Literal["bit-equal", "noise-floor", "verdict-equal", "different"]
"""How a replay compares with what it repeats, from best to worst."""
REPRODUCED: tuple[Match, ...] = ("bit-equal", "noise-floor")
"""The matches that count as reproduced."""
FORMATS = (1, 2, 3)
"""Formats of a manifest that this version reads. Runs are written in the last, calls and trainings in format 2."""


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
    device: str
    threads: int
    """Threads of each worker."""
    workers: int
    """Worker processes; rows do not depend on it."""
    executor: ExecutorName | None = None
    """What handed out their work when the run was closed; rows do not depend on it. None: this was not recorded yet."""
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
    answer: dict[str, JsonValue] = Field(default={}, exclude_if=lambda answer: not answer)
    """Runs of formats 1 and 2: a copy of what the instrument gate saw, which is checked and otherwise not read."""


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


class Sealed(Document):
    """The common part of every manifest."""

    format: Literal[2, 3] = 2
    command: str
    """What was run: `run`, `replay`, `train`, `heads`, …"""
    run: str
    """Name of the folder."""
    parameters: dict[str, object] = {}
    """Every parameter of the command with its value, defaults written out; empty where format 1 did not tell."""
    status: Status
    """`exploratory` wherever nothing was registered."""
    outcome: Literal["complete", "stopped", "failed"]
    """`stopped`: a gate or the budget ended a study. `failed`: the command ended with an error's code."""
    code: Code
    environment: Environment
    models: tuple[ModelFacts, ...]
    """Every model that was opened."""
    datasets: tuple[DatasetFacts, ...]
    """Every ordered set of questions."""
    seeds: dict[str, int] = {}
    """What was drawn from: name -> seed."""
    cost: Cost
    replay_of: str | None = None
    """Seal of the manifest that this repeated."""
    match: Match | None = None
    """How the replay compares."""
    files: dict[str, str]
    """Path within the folder -> SHA-256, for every artefact but this one."""
    seal: str = ""
    """Hash of all other fields."""

    def unsealed_hash(self) -> str:
        """Hash of all fields but the seal."""
        return content_hash(self.model_dump(mode="json", exclude={"seal"}))

    def sealed(self) -> Self:
        """The same manifest with its seal."""
        return self.model_copy(update={"seal": self.unsealed_hash()})


Upgrade = Callable[[dict[str, Any]], dict[str, Any]]
"""From a raw document of format 1 to one of format 2."""


def raw_manifest(path: Path) -> dict[str, Any]:
    """A manifest as it stands in its file, nothing checked but that it is a JSON object of a format that is known.

    Raises:
        InputError: when there is no such file, or it holds something else.
    """
    path = path / "manifest.json" if path.is_dir() else path
    raw: Any = read_json(path, MOST_MANIFEST_BYTES, finite=True)
    if isinstance(raw, dict):
        found = cast("dict[str, Any]", raw)
        if found.get("format") in FORMATS:
            return found
    raise InputError(f"{path}: not a manifest of format {' or '.join(map(str, FORMATS))}; a newer lesion may read it")


def kind_of(raw: Mapping[str, Any]) -> str:
    """`run`, `call` or `training`; format 1 did not say it."""
    return str(raw.get("kind", "training" if "recipe" in raw else "run"))


Kind = TypeVar("Kind", bound=Sealed)


def read_sealed(path: Path, shape: type[Kind], kind: str, upgrade: Upgrade) -> Kind:
    """Read a manifest of one kind, of any format that is known, and check its seal.

    Args:
        path: the file, or the folder in which it lies.
        shape: the document.
        kind: its name.
        upgrade: gives a document of an earlier format what it lacks. Its seal, which stays, covers it as it stands in
            the file.

    Raises:
        InputError: when there is no such file, or it is not a manifest of this kind.
        Tampered: when its content does not fit its seal.
    """
    path = path / "manifest.json" if path.is_dir() else path
    raw = raw_manifest(path)
    found = kind_of(raw)
    if found != kind:
        raise InputError(f"{path}: is the manifest of a {found[:40]}, and a {kind} is needed here")
    try:
        manifest = shape.model_validate(upgrade(raw))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not a manifest of format {raw['format']}: {_first(error)}") from error
    if raw.get("seal") != _hash_of(raw):
        raise Tampered(f"{path}: the manifest was changed after it was sealed (its content no longer fits its seal)")
    return manifest


def _hash_of(raw: Mapping[str, Any]) -> str:
    try:
        return content_hash({name: value for name, value in raw.items() if name != "seal"})
    except (ValueError, RecursionError):
        return ""


def _first(error: Exception) -> str:
    """Where and what, of the first thing that is wrong."""
    if not isinstance(error, ValidationError):
        return f"{type(error).__name__} {error}"[:200]
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the whole file'}: {first['msg']}"
