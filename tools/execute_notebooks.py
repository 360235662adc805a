"""Run the notebooks anew and keep what they show: `python tools/execute_notebooks.py [--check] [NOTEBOOK ...]`.

They are the shop window, so their outputs are in git; nothing of the machine they ran on is. Look at the difference
before you commit it: an output that changed without a reason is a fault. With `--check` nothing is written, and an
output that differs, sanitized as in the tests and pictures apart, ends it with an error.
"""

from __future__ import annotations

import argparse
import configparser
import json
import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"

# Where Colab gets diarnb and the notebooks from: the one place to change with a release (RELEASING.md).
TAG = "v0.2.0"
EXTRAS = {"04": "server", "05": "server,live", "15": "dask", "16": "moonshine"}
INSTALL = """\
# Only on Google Colab: install diarnb there. Anywhere else this cell does nothing.
import sys

if "google.colab" in sys.modules:
    %pip install -q "diarnb{extras} @ git+https://github.com/diarnb/diarnb@{tag}"
"""
BADGE = (
    "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
    "(https://colab.research.google.com/github/diarnb/diarnb/blob/{tag}/notebooks/{name})\n\n"
)


def head_of(name: str) -> tuple[str, str]:
    """Return the badge that opens a notebook in Colab, and the source of the cell that installs diarnb there."""
    extras = f"[{EXTRAS[name[:2]]}]" if name[:2] in EXTRAS else ""
    return BADGE.format(tag=TAG, name=name), INSTALL.format(tag=TAG, extras=extras).strip()


def put_head(notebook: nbformat.NotebookNode, name: str) -> None:
    """Begin a notebook with the badge and the cell for Colab, in place of those that it has."""
    badge, source = head_of(name)
    first = notebook.cells[0]
    first.source = badge + re.sub(r"^\[!\[Open in Colab\].*\n+", "", first.source)
    if notebook.cells[1].id != "colab":
        notebook.cells.insert(1, nbformat.v4.new_code_cell(id="colab", metadata={"tags": ["remove-cell"]}))
    notebook.cells[1].source = source


def executed(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Run a notebook from its first cell to its last, in a kernel and a run store of its own, and clean it."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"DIARNB_HOME": folder, "PYTHONPATH": str(ROOT)}
        resources = {"metadata": {"path": folder}}
        client = NotebookClient(
            notebook,
            kernel_name="python3",
            resources=resources,
            timeout=300,
            record_timing=False,
            store_widget_state=False,
        )
        client.execute(env=environment)
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({key: value for key, value in cell.metadata.items() if key == "tags"})
        if cell.cell_type == "code":
            # A progress bar leaves an output without data where the work took more than a second, and none elsewhere.
            cell.outputs = _join_streams([output for output in cell.outputs if output.get("data") != {}])
            for output in cell.outputs:
                # A widget without its kernel is "model not found"; the picture and the table beside it are shown then.
                output.get("data", {}).pop(WIDGET_VIEW, None)
    return notebook


def _join_streams(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Join what was printed in a row: in how many pieces it arrived depends on the machine."""
    joined: list[nbformat.NotebookNode] = []
    for output in outputs:
        if joined and output.output_type == "stream" and output.name == joined[-1].get("name"):
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


def compared(notebook: nbformat.NotebookNode) -> list[list[str]]:
    """Return what the outputs of each code cell are compared by."""
    sanitize = configparser.ConfigParser(interpolation=None)
    sanitize.read(ROOT / "tests" / "nbval_sanitize.cfg")
    shown = []
    for cell in notebook.cells:
        outputs = []
        for output in cell.get("outputs", []):
            text = json.dumps({**output, "data": {**output.get("data", {}), "image/png": ""}}, sort_keys=True)
            for section in sanitize.values():
                if "regex" in section:
                    text = re.sub(section["regex"], section["replace"], text)
            outputs.append(text)
        shown.append(outputs)
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where an output differs")
    parser.add_argument("notebooks", nargs="*", type=Path, default=sorted((ROOT / "notebooks").glob("*.ipynb")))
    asked = parser.parse_args()
    changed = []
    for path in asked.notebooks:
        before = compared(nbformat.read(path, as_version=4))
        notebook = nbformat.read(path, as_version=4)
        put_head(notebook, path.name)
        notebook = executed(notebook)
        if asked.check:
            pairs = zip(notebook.cells, before, compared(notebook), strict=True)
            changed += [f"{path.name}, cell {cell.id}" for cell, old, new in pairs if old != new]
        else:
            nbformat.write(notebook, path)
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")
    if changed:
        sys.exit("other outputs than in git:\n  " + "\n  ".join(changed))


if __name__ == "__main__":
    main()
