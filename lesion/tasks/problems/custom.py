"""A user's own task: one Python file, pinned by its hash, run only when the user trusts that hash (trust.py)."""

from collections.abc import Callable
from hashlib import sha256
from inspect import signature
from pathlib import Path
from traceback import walk_tb
from types import ModuleType
from typing import Any

from lesion.errors import InputError, Tampered, nearest
from lesion.outside.files import read_bytes
from lesion.tasks.config import OwnConfig
from lesion.tasks.task import Task
from lesion.tasks.trusted_code import is_trusted

MOST_BYTES = 1_000_000
"""Of the file: a larger one is no task."""


def own_task(config: OwnConfig) -> Task:
    """The task that the user's function makes.

    Raises:
        InputError: when the file or the function is missing, its hash is not trusted, it takes no such parameters, or
            what it returns is no task.
        Tampered: when the file's hash is not the configuration's.
    """
    path = Path(config.file)
    source = code_of(config)
    if not is_trusted(config.sha256):
        raise InputError(
            f"{path} is Python code that was not run, for its hash is not trusted; read it, then add --trust-code "
            f"{config.sha256} (in Python: lesion.tasks.trusted_code.trust)"
        )
    module = _loaded(path, source)
    functions = [name for name, value in vars(module).items() if callable(value)]
    if config.maker not in functions:
        raise InputError(f"{path} has no function '{config.maker}'; {nearest(config.maker, functions)}")
    task = _called(getattr(module, config.maker), config)
    lacking = [name for name in ("pool", "capacity", "items") if not hasattr(task, name)]
    if lacking:
        raise InputError(f"{path}: {config.maker}() returned no task: it lacks {', '.join(lacking)}")
    return task


def code_of(config: OwnConfig) -> bytes:
    """The source of an own task; nothing of it is run.

    Raises:
        InputError: when the file is missing, too large, or cannot be read.
        Tampered: when its hash is not the configuration's.
    """
    path = Path(config.file)
    source = read_bytes(path, MOST_BYTES)
    if (digest := sha256(source).hexdigest()) != config.sha256:
        raise Tampered(f"{path} has the hash {digest}, the configuration asks for {config.sha256}")
    return source


def _called(maker: Callable[..., Any], config: OwnConfig) -> Any:
    try:
        signature(maker).bind(**config.parameters)
    except TypeError as error:
        raise InputError(f"{config.file}: {config.maker}{signature(maker)} cannot be called so: {error}") from error
    return maker(**config.parameters)


def _loaded(path: Path, source: bytes) -> ModuleType:
    """The module of these bytes, which are those that were hashed."""
    if path.suffix != ".py":
        raise InputError(f"{path} is no Python file: its name must end with .py")
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)
    except Exception as error:  # whatever the user's code raises
        raise InputError(
            f"{path}{_line(error, path)}: {type(error).__name__}: {str(error)[:200]}; mend the task"
        ) from error
    return module


def _line(error: Exception, path: Path) -> str:
    """Where in the user's file an error arose, as far as that is known."""
    number = error.lineno if isinstance(error, SyntaxError) else None
    for frame, line in walk_tb(error.__traceback__):
        if frame.f_code.co_filename == str(path):
            number = line
    return "" if number is None else f", line {number}"
