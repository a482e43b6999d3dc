"""The notebooks in examples/ run from top to bottom in a kernel of their own, and are kept without outputs."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "examples").glob("*.ipynb"))


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(path: Path):
    notebook = read(path)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None), f"clear the outputs of:\n{cell.source}"


def shown(cell: Any) -> set[str]:
    """The kinds of what a cell shows."""
    return {kind for output in cell.outputs for kind in output.get("data", {})}


@pytest.fixture
def executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, Any]]:
    """Runs a notebook from top to bottom in a kernel of its own: code -> cell."""

    def run(name: str) -> dict[str, Any]:
        monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
        monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(NOTEBOOKS[0].parents[1])]))
        notebook = read(NOTEBOOKS[0].with_name(f"{name}.ipynb"))
        where = {"metadata": {"path": str(tmp_path)}}
        NotebookClient(notebook, timeout=900, kernel_name="python3", resources=where).execute()
        return {cell.source: cell for cell in notebook.cells if cell.cell_type == "code"}

    return run


def require_shown(cells: dict[str, Any]) -> None:
    """Every cell shows something, pictures are pictures, and nothing is printed but what another package warns of."""
    for source, cell in cells.items():
        said = [output.text for output in cell.outputs if output.output_type == "stream"]
        assert all("ipywidgets" in text for text in said), "tqdm, of another package, warns that there are no widgets"
        assert shown(cell), f"a cell that shows nothing:\n{source}"
    assert all("image/svg+xml" in shown(cell) for source, cell in cells.items() if ".plot(" in source)


def test_the_first_ten_minutes_run_and_show_tables_pictures_and_a_receipt(executed: Callable[[str], dict[str, Any]]):
    cells = executed("first_ten_minutes")
    require_shown(cells)
    (receipt,) = [cell for source, cell in cells.items() if source == "held.receipt"]
    assert "firings=" in receipt.outputs[0].data["text/plain"]


def test_own_prompts_run_on_a_file_that_is_made_on_the_spot(executed: Callable[[str], dict[str, Any]]):
    require_shown(executed("own_prompts"))


@pytest.mark.pretrained
@pytest.mark.usefixtures("smollm2_model")
def test_the_notebook_on_a_real_model_runs(executed: Callable[[str], dict[str, Any]]):
    require_shown(executed("real_model"))
