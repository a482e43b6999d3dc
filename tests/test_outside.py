"""Files from outside have one way in: `lesion.outside`. What else reads a file is listed here, with the reason."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "lesion"
READS = {"read_text", "read_bytes", "open", "from_file", "read_parquet", "scan_parquet", "safe_load", "loads",
         "load", "safe_open", "from_pretrained", "model_validate_json", "validate_json", "from_json", "yaml.parse",
         "yaml.compose", "yaml.scan"}  # fmt: skip
"""Names of calls that read a file, or a text that came from one."""
OURS = "its own file, installed with the package"
WRITES = "writes or locks"
READ = "the text came through the reader"
OUTPUT = "the output of a program that it started"
LIBRARY = "the library's own loader, after the folder's files went through the reader"
ALLOWED = {
    "lesion/outside/files.py": "the reader",
    "lesion/outside/documents.py": "the reader",
    "lesion/outside/tables.py": "the reader",
    "lesion/study/format/yaml_reader.py": READ,
    "lesion/study/format/load.py": READ,
    "lesion/study/format/shipped.py": OURS,
    "lesion/study/selftest/selftest.py": OURS,
    "lesion/tasks/spelling.py": "words of the command line",
    "lesion/tasks/croissant.py": WRITES,
    "lesion/interventions/site.py": READ,
    "lesion/interventions/other_tools/names.py": READ,
    "lesion/interventions/other_tools/circuit.py": READ,
    "lesion/interventions/intervention.py": READ,
    "lesion/device.py": "what the system says of its processor",
    "lesion/engine/proof/device_fixture.py": OURS,
    "lesion/measures/edges/files.py": READ,
    "lesion/measures/effects/vector_file.py": "loaders that run no code, after the reader has looked at the file",
    "lesion/training/compiled/program.py": "files that docs/compiled wrote on this machine, without pickle",
    "lesion/engine/batched/memory.py": "what the system says of its memory",
    "lesion/engine/proof/cache.py": OURS,
    "lesion/measures/interop/lm_eval.py": LIBRARY,
    "lesion/models/model.py": LIBRARY,
    "lesion/models/obtain/from_gguf.py": LIBRARY,
    "lesion/models/obtain/get.py": WRITES,
    "lesion/models/obtain/wheels.py": "wheels whose hashes are pinned, and the log of pip",
    "lesion/training/checkpoint.py": LIBRARY,
    "lesion/report/wording/error_rates.py": OURS,
    "lesion/report/paper/typst.py": OURS,
    "lesion/runs/check/certificate.py": READ,
    "lesion/runs/folder/atomic_io.py": WRITES,
    "lesion/runs/manifest/environment.py": OURS,
    "lesion/runs/execute/executors.py": "work that it hands to its own workers",
    "lesion/runs/folder/explorer_data.py": READ,
    "lesion/runs/check/clean_replay.py": OUTPUT,
    "lesion/runs/folder/homes.py": "the user's own list, whose size is checked",
    "lesion/runs/index/tags.py": READ,
    "lesion/runs/index/earlier_runs.py": READ,
    "lesion/runs/folder/published.py": READ + ", or the run was verified before it is copied",
    "lesion/runs/check/recompute_stats.py": "values of its own, taken through JSON",
    "lesion/runs/index/query.py": "tables of finished runs, which polars scans",
    "lesion/runs/index/registrations.py": READ,
    "lesion/runs/execute/run.py": WRITES,
    "lesion/runs/folder/run_folder.py": READ,
    "lesion/cli/__init__.py": WRITES,
    "lesion/cli/publish/reports.py": "opens a browser",
    "lesion/cli/records/view.py": "opens a browser",
    "lesion/report/view/look.py": "a request of the server's own page, at most 64,000 bytes",
    "lesion/report/view/home.py": "what the system says of locks",
    "lesion/report/view/running.py": READ,
    "lesion/cli/studies/new.py": WRITES,
}
"""File -> why it may read by itself."""


def reads(path: Path) -> Iterator[str]:
    """Calls that read a file by another way than the reader's functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    ours = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lesion.")
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if not READS.isdisjoint({called, called.rpartition(".")[2]}) and called not in ours:
                yield f"line {node.lineno}: {called[-60:]}"


FILES = {path.relative_to(PACKAGE.parent).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}


@pytest.mark.parametrize("name", FILES)
def test_a_file_from_outside_is_read_by_the_one_reader(name: str) -> None:
    found = list(reads(FILES[name]))
    if name in ALLOWED:
        assert found, f"{name} reads nothing any more: take it off the list"
    else:
        assert not found, f"{name}: read it with lesion.outside ({'; '.join(found)})"


def test_another_way_in_would_be_seen(tmp_path: Path) -> None:
    path = tmp_path / "new.py"
    path.write_text("import json\nfrom pathlib import Path\nx = json.loads(Path('config.json').read_text())\n")
    assert len(list(reads(path))) == 2
    path.write_text("from lesion.outside.files import read_text\nx = read_text('config.json', 10)\n")
    assert not list(reads(path))
