"""Facts about the code and the machine that a manifest records. Never a user name, a host name or a path."""

import os
import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib.metadata import distributions
from pathlib import Path

import lesion
from lesion.device import processor
from lesion.runs.manifest.base import Code, Environment, ExecutorName
from lesion.runs.manifest.redact import without_secrets

PACKAGE = Path(lesion.__file__).parent


def _git(*arguments: str) -> str | None:
    """Standard output of a git command in the package's checkout; nothing when there is none.

    A difference may hold bytes that are no UTF-8 (of a file that git takes for text); a manifest has a mark there.
    """
    command = ["git", "-C", str(PACKAGE.parent), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None


def source_hash(package: Path = PACKAGE) -> str:
    """SHA-256 over the names and bytes of the package's own source files, in name order."""
    digest = sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def read_code() -> Code:
    """The commit, and the whole difference of a dirty tree, in which credentials are blotted out."""
    tracked = _git("ls-files", "--error-unmatch", "lesion/__init__.py") is not None
    commit = _git("rev-parse", "HEAD") if tracked else None
    diff = (_git("diff", "HEAD", "--binary") or "") if commit else ""
    return Code(
        version=lesion.__version__,
        commit=commit.strip() if commit else None,
        dirty=bool(diff),
        diff=without_secrets(diff),
        source_hash=source_hash(),
    )


@cache
def _packages() -> tuple[tuple[str, str], ...]:
    """Name and version of every installed package; read once in a process, for there are hundreds of files."""
    told = [each.metadata for each in distributions()]
    return tuple(sorted({each["Name"].lower(): each["Version"] for each in told if each["Name"]}.items()))


def read_environment(
    workers: int,
    threads: int,
    determinism: Mapping[str, str],
    executor: ExecutorName = "local",
    device: str = "cpu",
) -> Environment:
    """The interpreter, every installed package, and the hardware."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    return Environment(
        python=platform.python_version(),
        packages=dict(_packages()),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        processor=processor(),
        cores=os.cpu_count() or 1,
        memory_bytes=memory,
        device=device,
        threads=threads,
        workers=workers,
        executor=executor,
        determinism=dict(determinism),
    )
