"""The notebooks as they are in git: light, clean, and run from the first cell to the last."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
KILOBYTES = 400
MACHINE_PATH = re.compile(r"(/(home|Users|root|tmp|work|mnt|var|opt|content)/[\w.-]+|[A-Za-z]:\\\\?[\w.-]+\\|file://)")
SECRET = re.compile(r"api_key\s*=\s*['\"]\w|\b(sk|hf|pk)_\w{16,}|Bearer\s+\w{16,}|\b[0-9a-f]{32,}\b", re.IGNORECASE)

pytestmark = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def legible(path: Path) -> str:
    """Give all that a person reads; pictures and sounds, whose letters mean nothing, are left out."""
    return re.sub(r'base64,[^"\\]+|"image/png": "[^"]+"', "", path.read_text(encoding="utf-8"))


def test_it_is_a_valid_notebook_with_stable_ids(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    ids = [cell["id"] for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    assert not [name for name in ids if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f-]+)?", name)], "an id is a word, not a draw"


def test_it_is_light(path: Path) -> None:
    assert path.stat().st_size < KILOBYTES * 1000


def test_it_was_run_once_from_the_first_cell_to_the_last(path: Path) -> None:
    cells = code_cells(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))


def test_its_first_cell_imports_diarnb(path: Path) -> None:
    assert code_cells(path)[0].source.startswith("import diarnb")


def test_no_output_is_an_error_a_warning_or_empty(path: Path) -> None:
    outputs = [output for cell in code_cells(path) for output in cell.outputs]
    assert outputs
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    assert all(output.get("data") != {} for output in outputs)


def test_it_says_nothing_of_the_machine_it_ran_on(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}, "widget state, or more, in the metadata"
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.language_info == {"name": "python"}
    assert all(set(cell.metadata) <= {"tags"} for cell in notebook.cells)
    assert not MACHINE_PATH.search(legible(path))


def test_it_holds_no_secret(path: Path) -> None:
    assert not SECRET.search(legible(path))


def test_it_shows_its_pictures(path: Path) -> None:
    drawing = [cell for cell in code_cells(path) if "diarnb.timeline(" in cell.source]
    assert all("image/png" in cell.outputs[0].data for cell in drawing)
