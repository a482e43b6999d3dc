"""Programs of the repository that are no part of the package, such as those that write pages: loaded by their path."""

import importlib.util
from pathlib import Path
from typing import Any


def load_program(path: Path) -> Any:
    """The module in a file."""
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
