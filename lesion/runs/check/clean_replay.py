"""A run repeated from its manifest and the project's repository alone, in a work tree and environment of its own.

    dossier: what would be run, shown first     tree: commit and recorded difference, held against the source hash
    environment: the recorded packages          again: `lesion replay` there; the folder is kept, a certificate written

Work tree, environment and rows lie in `runs/NAME.fresh` until the certificate is written, so what was cut off goes on
there: a replay takes as long as its run, hours for a real model.

It runs what a manifest names, so a caller must be told to trust it. Names and versions of packages are checked letter
by letter before an installer sees them, and the difference goes through git, which refuses paths outside the tree.
"""

import fcntl
import json
import os
import re
import shutil
import subprocess
import venv
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from lesion.device import VARIABLE
from lesion.errors import InputError, LesionError, Tampered
from lesion.identity import Document, content_hash
from lesion.runs.check.certificate import Certificate, write_certificate
from lesion.runs.check.verify import verify
from lesion.runs.folder.atomic_io import DiskError
from lesion.runs.folder.clock import iso, now
from lesion.runs.folder.find import beside
from lesion.runs.index.ledger import enter
from lesion.runs.manifest.environment import PACKAGE, source_hash
from lesion.runs.manifest.run import Manifest, read_manifest
from lesion.tasks.config import OwnConfig
from lesion.tasks.problems.custom import code_of
from lesion.tasks.trusted_code import VARIABLE as TRUSTED
from lesion.tasks.trusted_code import trust

COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII)
NAME = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?", re.ASCII)
VERSION = re.compile(r"[a-z0-9]+([._!+-]?[a-z0-9]+)*", re.ASCII | re.IGNORECASE)
OURSELVES = "lesion"
KEPT_VARIABLES = (
    "PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "CUDA_VISIBLE_DEVICES",
    VARIABLE, TRUSTED, "TERM", "COLUMNS", "NO_COLOR",
)  # fmt: skip
"""All that the repeated run sees of the caller's environment."""

Tell = Callable[[str], None]


class Dossier(Document):
    """What a fresh replay would run."""

    run: str
    seal: str
    commit: str
    remote: str
    """Where the repository says it comes from, without a user's name or password; empty when nowhere."""
    diff: str
    """What is put on top of the commit."""
    python: str
    packages: dict[str, str]
    models: dict[str, str]
    """Name -> SHA-256 of the weights."""
    code: dict[str, str] = {}
    """SHA-256 of every Python file of an own task -> its text, which is run as well."""


def dossier(manifest: Manifest, repository: Path = PACKAGE.parent) -> Dossier:
    """What would be run, and from where.

    Raises:
        InputError: when the manifest names no commit, or something that is no package and version.
    """
    commit = manifest.code.commit or ""
    if not COMMIT.fullmatch(commit):
        raise InputError(f"{manifest.run}: names no git commit, so no fresh work tree can be made; use plain replay")
    packages = {name: version for name, version in manifest.environment.packages.items() if name != OURSELVES}
    for name, version in packages.items():
        if not (NAME.fullmatch(name) and VERSION.fullmatch(version) and len(name + version) <= 200):
            raise InputError(f"{manifest.run}: '{name[:60]} {version[:60]}' is no package and version; not installed")
    own = [config for config in manifest.study.tasks.values() if isinstance(config, OwnConfig)]
    origin = subprocess.run(
        _git(repository, "remote", "get-url", "origin"), capture_output=True, text=True, check=False
    )
    return Dossier(
        run=manifest.run,
        seal=manifest.seal,
        commit=commit,
        remote=re.sub(r"//[^/@]*@", "//", origin.stdout.strip()),
        diff=manifest.code.diff,
        python=manifest.environment.python,
        packages=packages,
        models={model.name: model.weights_hash for model in manifest.models},
        code={config.sha256: code_of(config).decode("utf-8", "backslashreplace") for config in own},
    )


def replay_fresh(path: Path, home: Path, repository: Path, workers: int, tell: Tell | None) -> Certificate:
    """Repeat a run in a fresh environment and certify it; one that was cut off goes on.

    Args:
        path: the run folder or its manifest; rows are compared one by one when they lie beside it.
        home: where the replay's folder and the certificate go.
        repository: a checkout that has the commit.
        workers: processes of the replay.
        tell: told of every step, and then the replay shows its progress on the terminal; None: nothing is shown.

    Raises:
        InputError: when the commit is not there, a package cannot be installed, or another process does the same.
        Tampered: when the work tree is not the recorded source, or the replay is not one of this run.
        LesionError: when the replay did not end.
    """
    manifest = read_manifest(path)
    source = dossier(manifest, repository)
    for digest in source.code:
        trust(digest)  # the caller has seen the dossier and trusts all of it
    step: Tell = tell or _silent
    with _place(home, manifest.run) as (place, lock):
        step(f"work tree at {source.commit[:12]} …")
        _tree(manifest, source, repository, place / "tree")
        step(f"environment with {len(source.packages)} packages …")
        python = make_environment(source, place)
        step(f"replay, in {place}; if it is cut off, the same command goes on …")
        again = _again(python, path.resolve(), place / "home", workers, lock, shown=tell is not None)
        return _certify(manifest, source, again, _installed(python), home)


def _silent(_: str) -> None:
    """Tell nobody."""


@contextmanager
def _place(home: Path, run: str) -> Generator[tuple[Path, int]]:
    """Where a run is repeated, for this process alone. Whatever cuts a replay off, its rows stay.

    It is removed at the end, where something was tampered with, and where no replay was begun. Beside it the lock, a
    file descriptor: who inherits it holds the folder, too.
    """
    place = beside(home, run, "fresh")
    place.mkdir(parents=True, exist_ok=True)
    with (place / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"{place}: another process makes this replay; wait for it, or stop it") from error
        over = False
        try:
            yield place, lock.fileno()
            over = True
        except Tampered:
            over = True
            raise
        finally:
            if over or not (place / "home").exists():
                shutil.rmtree(place)


def _tree(manifest: Manifest, source: Dossier, repository: Path, tree: Path) -> None:
    """The work tree, made anew where the one that is there does not hold the recorded sources."""
    if tree.is_dir() and source_hash(tree / "lesion") == manifest.code.source_hash:
        return
    shutil.rmtree(tree, ignore_errors=True)
    make_tree(source, repository, tree)
    read = source_hash(tree / "lesion")
    if read != manifest.code.source_hash:
        raise Tampered(
            f"{manifest.run}: commit and difference do not give the recorded sources ({read[:12]}, recorded "
            f"{manifest.code.source_hash[:12]}); files that git did not know are the usual reason"
        )


def make_tree(source: Dossier, repository: Path, tree: Path) -> None:
    """A clone at the commit, with the recorded difference on top; no hook of anybody runs.

    Raises:
        InputError: when the repository has no such commit, or the difference does not fit.
    """
    _do(["git", "clone", "--quiet", "--no-checkout", "--no-hardlinks", "--", str(repository), str(tree)], "the clone")
    checkout = _git(tree, "-c", "core.hooksPath=/dev/null", "checkout", "--quiet", "--detach", source.commit)
    _do(checkout, f"commit {source.commit}: fetch it first, or name another --repository; the checkout")
    if source.diff:
        _do(_git(tree, "apply", "--whitespace=nowarn", "-"), "the recorded difference", source.diff)


def make_environment(source: Dossier, place: Path) -> Path:
    """An environment with the recorded packages and the work tree; its interpreter. A whole one is used again.

    Raises:
        InputError: when a package cannot be installed.
    """
    folder, whole = place / "environment", place / "installed.txt"
    python = folder / "bin" / "python"
    pinned = "".join(f"{name}=={version.split('+')[0]}\n" for name, version in sorted(source.packages.items()))
    if whole.is_file() and whole.read_text(encoding="utf-8") == pinned:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True, symlinks=True)
    requirements = place / "requirements.txt"
    requirements.write_text(pinned, encoding="utf-8")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps"]
    _do([*pip, "-r", str(requirements)], "the recorded packages")
    _do([*pip, "--no-build-isolation", "-e", str(place / "tree")], "the work tree as a package")
    requirements.rename(whole)
    return python


def _again(python: Path, path: Path, home: Path, workers: int, lock: int, *, shown: bool) -> Path:
    """The replay in its own interpreter, begun or gone on with, unless it has ended before; its run folder.

    The interpreter holds the lock, so that one that outlives this process is not joined by a second.
    """
    command = [str(python.parent / "lesion"), "replay", str(path), "--home", str(home), "--workers", str(workers)]
    variables = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    home.mkdir(exist_ok=True)
    words = "its last words stand above"
    if not _ended(home):
        done = subprocess.run(
            command, capture_output=not shown, text=True, check=False, env=variables, pass_fds=(lock,)
        )
        words = words if shown else (done.stderr or done.stdout).strip()[-400:]
    ended = _ended(home)
    if len(ended) != 1:
        raise LesionError(f"the replay did not end: {words}")
    return ended[0]


def _ended(home: Path) -> list[Path]:
    """Replays in a home that are sealed."""
    return [file.parent for file in (home / "runs").glob("*_replay/manifest.json")]


def _installed(python: Path) -> dict[str, str]:
    code = (
        "import json; from importlib.metadata import distributions as every; "
        "print(json.dumps({d.metadata['Name'].lower(): d.version for d in every() if d.metadata['Name']}))"
    )
    packages: dict[str, str] = json.loads(_do([str(python), "-I", "-c", code], "the list of packages"))
    return {name: version for name, version in sorted(packages.items()) if name != OURSELVES}


def _certify(manifest: Manifest, source: Dossier, made: Path, installed: dict[str, str], home: Path) -> Certificate:
    """Check the replay, keep its folder, and write the certificate."""
    again = read_manifest(made)
    weights = {model.name: model.weights_hash for model in again.models}
    if faults := verify(made):
        raise Tampered(f"the replay's folder is not what it sealed: {faults[0].what} {faults[0].fault}")
    if again.match is None or again.replay_of != manifest.seal or again.code.source_hash != manifest.code.source_hash:
        raise Tampered(f"{made.name}: is not a replay of {manifest.run} by the recorded sources")
    if weights != source.models:
        raise Tampered(f"{made.name}: was made with other weights than {manifest.run}")
    kept = home / "runs" / made.name
    if kept.exists():
        raise DiskError(f"{kept}: is taken by another replay of this minute; nothing is replaced, repeat it")
    shutil.copytree(made, kept, symlinks=True)
    enter(home, again)
    other = [
        f"{name} {source.packages.get(name, 'none')} -> {installed.get(name, 'none')}"
        for name in sorted(source.packages.keys() | installed.keys())
        if source.packages.get(name) != installed.get(name)
    ]
    certificate = Certificate(
        run=manifest.run,
        run_seal=manifest.seal,
        replay=again.run,
        replay_seal=again.seal,
        match=again.match,
        made=iso(now()),
        commit=source.commit,
        diff_hash=content_hash(source.diff),
        source_hash=again.code.source_hash,
        packages=installed,
        other_packages=tuple(other),
        python_recorded=source.python,
        python=again.environment.python,
        system=again.environment.system,
        processor=again.environment.processor,
        weights=weights,
        datasets_equal=sum(fact in manifest.datasets for fact in again.datasets),
    ).sealed()
    write_certificate(home, certificate)
    if (home / "runs" / manifest.run / "manifest.json").exists():
        enter(home, manifest)
    return certificate


def _git(where: Path, *arguments: str) -> list[str]:
    return ["git", "-C", str(where), *arguments]


def _do(command: list[str], what: str, text: str | None = None) -> str:
    """Standard output of a command.

    Raises:
        InputError: when it ends with an error, with its last words.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, input=text)
    except OSError as error:
        raise InputError(f"{what} failed: {command[0]} cannot be started ({error.strerror})") from error
    if done.returncode:
        raise InputError(f"{what} failed: {' '.join((done.stderr or done.stdout).split())[-300:]}")
    return done.stdout
