"""What is handed out: the wheel holds the package whole, the source release everything, and a plain install no more."""

import ast
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PARTS = {"pydantic-core": "pydantic", "markupsafe": "jinja2"}
"""Distributions that are the inside of a core dependency, whose own documentation names them."""
OLDEST = ROOT / "benchmarks" / "requirements-oldest.txt"


class Built(NamedTuple):
    wheel: Path
    source: Path


def tracked(*under: str) -> set[str]:
    """The files that git knows; a source release has no git."""
    done = subprocess.run(["git", "ls-files", "-z", *under], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("this is no checkout, so nothing says which files belong to it")
    return {name for name in done.stdout.split("\0") if name and (ROOT / name).exists()}


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The source release of the tracked files, and the wheel that is built from it."""
    place = tmp_path_factory.mktemp("package")
    for name in tracked():
        (place / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (place / "tree" / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(place / "dist"), str(place / "tree")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stdout + done.stderr
    (wheel,), (source,) = (place / "dist").glob("*.whl"), (place / "dist").glob("*.tar.gz")
    return Built(wheel, source)


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def told(wheel: Path, name: str) -> str:
    """A file of the wheel's own description."""
    with zipfile.ZipFile(wheel) as archive:
        (path,) = [each for each in archive.namelist() if each.endswith(f".dist-info/{name}")]
        return archive.read(path).decode()


def test_the_wheel_holds_every_file_of_the_package_what_is_shipped_and_nothing_else(built: Built):
    inside = {name for name in names_in(built.wheel) if ".dist-info/" not in name}
    folders = ("studies", "examples", "recipes")
    carried = {f"lesion/{name}" for folder in folders for name in tracked(folder)}
    assert {"lesion/studies/first.yaml", "lesion/examples/own_task.py", "lesion/recipes/abacus-llama.yaml"} <= carried
    assert inside == tracked("lesion") | carried
    assert {"lesion/py.typed", "lesion/report/templates/report.html"} <= inside
    assert any(name.startswith("lesion/models/zoo/") and name.endswith(".safetensors") for name in inside)


def test_the_source_release_holds_everything_but_hidden_files(built: Built):
    with tarfile.open(built.source) as archive:
        inside = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    assert {name for name in tracked() if not name.startswith(".")} <= inside


def test_the_wheel_tells_its_licence_its_python_and_its_command(built: Built):
    said = Parser().parsestr(told(built.wheel, "METADATA"))
    assert (said["License-Expression"], said["Requires-Python"]) == ("MIT", PROJECT["requires-python"])
    assert "[console_scripts]\nlesion = lesion.cli:main" in told(built.wheel, "entry_points.txt")


def test_a_plain_install_asks_for_the_core_alone(built: Built):
    said = Parser().parsestr(told(built.wheel, "METADATA")).get_all("Requires-Dist") or []
    asked = [Requirement(line) for line in said]
    plain = {str(each) for each in asked if each.marker is None or each.marker.evaluate({"extra": ""})}
    assert plain == {str(Requirement(line)) for line in PROJECT["dependencies"]}
    extras = {
        name_of(line)
        for extra in ("archive", "ray", "eval", "view")
        for line in PROJECT["optional-dependencies"][extra]
    }
    assert not reached(core()) & {*extras, "datasets", "pandas", "matplotlib", "pytest", "mkdocs"}


def name_of(line: str) -> str:
    return canonicalize_name(Requirement(line).name)


def core() -> set[str]:
    return {name_of(line) for line in PROJECT["dependencies"]}


def reached(names: set[str]) -> set[str]:
    """These distributions and all that they bring along here."""
    found: set[str] = set()
    todo = set(names)
    while todo:
        name = todo.pop()
        found.add(name)
        for line in requires(name) or ():
            asked = Requirement(line)
            if asked.marker is None or asked.marker.evaluate({"extra": ""}):
                todo |= {canonicalize_name(asked.name)} - found
    return found


def imported(tree: ast.AST, *, at_once: bool) -> Iterator[str]:
    """Roots of the packages that a module imports: when it is imported itself, or anywhere."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]
        elif not (at_once and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            yield from imported(node, at_once=at_once)


def distributions(*, at_once: bool) -> set[str]:
    """The installed distributions that the package imports."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "lesion").rglob("*.py")]
    roots = {root for tree in trees for root in imported(tree, at_once=at_once)} - {"lesion"}
    owners = packages_distributions()
    return {canonicalize_name(name) for root in roots for name in owners.get(root, ())}


def test_what_is_imported_at_once_is_in_the_core_and_the_core_is_imported():
    assert distributions(at_once=True) <= {*core(), *PARTS}, "an extra is imported only by what needs it"
    assert all(part in reached({whole}) for part, whole in PARTS.items())
    assert core() <= distributions(at_once=False), "what nothing imports is not needed"


def test_every_lower_bound_is_a_version_that_is_tried():
    pins = dict(re.findall(r"^([\w-]+)==([\w.]+)$", OLDEST.read_text(encoding="utf-8"), re.MULTILINE))
    tried = {canonicalize_name(name): version for name, version in pins.items()}
    for line in PROJECT["dependencies"]:
        asked = Requirement(line)
        assert str(asked.specifier) == f">={tried[canonicalize_name(asked.name)]}", line
