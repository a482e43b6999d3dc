"""A user's own task: one Python file, pinned by its hash, and no change of ours."""

import importlib.util
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import Any

from lesion.errors import InputError, Tampered, nearest
from lesion.identity import file_hash
from lesion.tasks.config import OwnConfig
from lesion.tasks.task import Task


def own_task(config: OwnConfig) -> Task:
    """The task that the user's function makes.

    Raises:
        InputError: when the file or the function is missing, takes no such parameters, or what it returns is no task.
        Tampered: when the file's hash is not the configuration's.
    """
    path = Path(config.file)
    if not path.is_file():
        raise InputError(f"there is no file {path} to make a task from")
    if file_hash(path) != config.sha256:
        raise Tampered(f"{path} has the hash {file_hash(path)}, the configuration asks for {config.sha256}")
    module = _loaded(path)
    functions = [name for name, value in vars(module).items() if callable(value)]
    if config.maker not in functions:
        raise InputError(f"{path} has no function '{config.maker}'; {nearest(config.maker, functions)}")
    task = _called(getattr(module, config.maker), config)
    lacking = [name for name in ("pool", "capacity", "items") if not hasattr(task, name)]
    if lacking:
        raise InputError(f"{path}: {config.maker}() returned no task: it lacks {', '.join(lacking)}")
    return task


def _called(maker: Callable[..., Any], config: OwnConfig) -> Any:
    try:
        signature(maker).bind(**config.parameters)
    except TypeError as error:
        raise InputError(f"{config.file}: {config.maker}{signature(maker)} cannot be called so: {error}") from error
    return maker(**config.parameters)


def _loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} is no Python file: its name must end with .py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
