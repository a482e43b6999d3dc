"""The house rules that can be read off the source: who imports whom, who hooks, who draws random numbers."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch
from jaxtyping import TypeCheckError

from lesion.errors import INTERRUPTED_EXIT_CODE, InputError, LesionError
from lesion.interventions.edit import vector_hash

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "lesion"
ORDER = [
    {"errors"},
    {"device", "outside", "packed_numbers", "progress"},
    {"identity"},
    {"stats", "interventions", "tasks"},
    {"study"},
    {"models"},
    {"engine"},
    {"measures"},
    {"training"},
    {"runs"},
    {"report"},
    {"lab_results"},
    {"cli", "lab"},
]
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}
MOST_LINES = 450
TORCH_FREE = [
    "lesion",
    "lesion.study.format.load",
    "lesion.study.format.schema",
    "lesion.stats",
    "lesion.tasks",
    "lesion.cli",
]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8"), str(path)) for name, path in MODULES.items()}


def is_for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def imports(tree: ast.AST, *, types: bool = False) -> Iterator[str]:
    """Modules named by import statements anywhere in the tree, those for the type checker only where asked for."""
    for node in ast.iter_child_nodes(tree):
        if is_for_types_only(node) and not types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (target(node.module or "", alias.name) for alias in node.names)
        yield from imports(node, types=types)


def target(module: str, name: str) -> str:
    """`from lesion.study import plan` imports the module lesion.study.plan, not a name of lesion.study."""
    return f"{module}.{name}" if f"{module}.{name}" in MODULES else module


def own_imports(*, types: bool) -> dict[str, set[str]]:
    return {
        name: {found for found in imports(tree, types=types) if found.split(".")[0] == "lesion"}
        for name, tree in TREES.items()
    }


IMPORTS = own_imports(types=False)
NAMED = {name: found - {"lesion"} for name, found in own_imports(types=True).items() if name != "lesion"}
"""With the names that only the type checker reads: a reader meets these, too. The package's own file re-exports."""


def room(module: str) -> str:
    return [*module.split("."), ""][1]


def reach(start: str, table: Mapping[str, set[str]] = IMPORTS) -> set[str]:
    """All modules of the package that importing `start` imports, itself included."""
    seen: set[str] = set()
    todo = {start}
    while todo:
        module = todo.pop()
        seen.add(module)
        todo |= table.get(module, set()) - seen
    return seen


def modules_of(*rooms: str) -> list[str]:
    return [module for module in MODULES if room(module) in rooms]


def cycle_through(module: str) -> bool:
    return any(module in reach(imported, NAMED) for imported in NAMED.get(module, ()))


def calls_of(tree: ast.AST) -> Iterator[str]:
    return (ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call))


def test_every_import_of_the_package_is_a_module_that_exists():
    missing = {f"{module}: {name}" for module, found in IMPORTS.items() for name in found if name not in MODULES}
    assert not missing


def test_the_wheel_lists_every_folder_with_modules():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    folders = {".".join(path.parent.relative_to(ROOT).parts) for path in PACKAGE.rglob("*.py")}
    assert folders - {*listed} == set()


def test_every_room_has_its_place_in_the_order():
    assert {room(module) for module in MODULES} - {""} <= set(RANK)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_rooms_below_its_own(module: str):
    if module == "lesion":
        assert not IMPORTS[module], "import lesion is cheap: it imports nothing"
        return
    for imported in (IMPORTS[module] & MODULES.keys()) - {"lesion"}:
        same = room(imported) == room(module) or {room(imported), room(module)} <= ORDER[-1]
        assert same or RANK[room(imported)] < RANK[room(module)], f"{module} must not import {imported}"


@pytest.mark.parametrize("module", MODULES)
def test_no_module_imports_itself_around_a_circle(module: str):
    assert not cycle_through(module)


def test_a_circle_would_be_seen(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(NAMED, "lesion.errors", {"lesion.study.format.load"})
    assert cycle_through("lesion.errors")


@pytest.mark.parametrize("module", modules_of("report"))
def test_a_report_can_be_built_without_models_engine_and_measures(module: str):
    assert {room(reached) for reached in reach(module)}.isdisjoint({"models", "engine", "measures", "training"})


@pytest.mark.parametrize("module", modules_of("study"))
def test_a_study_reaches_only_torch_free_rooms(module: str):
    reached = reach(module)
    assert {room(name) for name in reached} <= {
        "",
        "errors",
        "device",
        "identity",
        "outside",
        "stats",
        "interventions",
        "tasks",
        "study",
    }
    assert "lesion.interventions.edit" not in reached


@pytest.mark.parametrize("module", modules_of("stats"))
def test_statistics_import_only_the_errors(module: str):
    assert {room(imported) for imported in IMPORTS[module]} <= {"", "errors", "stats"}


@pytest.mark.parametrize("module", MODULES)
def test_only_the_file_of_hooks_registers_hooks(module: str):
    if module != "lesion.engine.hooks":
        assert not re.search(
            r"register_\w*forward\w*|register_\w*backward\w*", MODULES[module].read_text(encoding="utf-8")
        )


def test_torch_is_named_only_where_tensors_are():
    rooms_with_tensors = {"models", "engine", "measures", "training", "runs", "cli", "lab", "lab_results", "terminal"}
    for module, tree in TREES.items():
        if any(found.split(".")[0] in {"torch", "transformers"} for found in imports(tree)):
            assert room(module) in rooms_with_tensors or module == "lesion.interventions.edit", module


@pytest.mark.parametrize("module", [module for module in TORCH_FREE if module in MODULES])
def test_torch_is_not_imported_by(module: str):
    check = f"import sys, {module}; sys.exit(any(m in sys.modules for m in ('torch', 'transformers')))"
    assert subprocess.run([sys.executable, "-c", check], cwd=ROOT, check=False, timeout=60).returncode == 0


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_short_and_says_what_it_is_for(module: str):
    assert len(MODULES[module].read_text(encoding="utf-8").splitlines()) <= MOST_LINES
    assert ast.get_docstring(TREES[module]), "a module opens with what it is for"


GLOBAL_RANDOMNESS = re.compile(
    r"random\.\w+|(np|numpy)\.random\.(?!Generator$|PCG64$)\w+|torch\.(manual_seed|seed|rand\w*|cuda\.manual_seed\w*)"
    r"|os\.urandom|secrets\.\w+|uuid\.uuid[14]"
)


def draws_from_nowhere(tree: ast.AST) -> list[str]:
    """Calls that draw from a global or an unseeded generator; one that is given `generator=` is no such call."""
    seeded = {
        ast.unparse(node.func)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and any(keyword.arg == "generator" for keyword in node.keywords)
    }
    return [call for call in calls_of(tree) if GLOBAL_RANDOMNESS.fullmatch(call) and call not in seeded]


@pytest.mark.parametrize("module", [module for module in MODULES if module != "lesion.identity"])
def test_randomness_comes_only_from_the_identity(module: str):
    assert draws_from_nowhere(TREES[module]) == []
    assert "random" not in set(imports(TREES[module]))


@pytest.mark.parametrize(
    "code", ["random.random()", "np.random.seed(0)", "np.random.default_rng()", "torch.manual_seed(1)"]
)
def test_global_randomness_would_be_seen(code: str):
    assert draws_from_nowhere(ast.parse(code))
    assert not draws_from_nowhere(ast.parse("torch.randn(3, generator=generator)"))


def test_generators_are_seeded_from_identities_and_never_from_the_clock():
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
                (".manual_seed", ".Generator", "seed_from")
            ):
                assert not re.search(r"\btime\b|datetime|perf_counter", ast.unparse(node)), module


def test_shapes_in_annotations_are_checked_while_testing():
    with pytest.raises(TypeCheckError, match="vector"):
        vector_hash(torch.ones(3, 4))


def test_the_table_of_exit_codes_is_complete():
    table = (ROOT / "docs" / "exit-codes.md").read_text(encoding="utf-8")
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", table, flags=re.MULTILINE)}
    kinds = [LesionError, *LesionError.__subclasses__(), *InputError.__subclasses__()]
    assert documented == {0, INTERRUPTED_EXIT_CODE} | {kind.exit_code for kind in kinds}
