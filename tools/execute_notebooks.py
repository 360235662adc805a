"""Run the notebooks anew and keep what they show: `python tools/execute_notebooks.py [NOTEBOOK ...]`.

They are the shop window, so their outputs are in git; nothing of the machine they ran on is. Look at the difference
before you commit it: an output that changed without a reason is a fault.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


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
            cell.outputs = [output for output in cell.outputs if output.get("data") != {}]
    return notebook


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="*", type=Path, default=sorted((ROOT / "notebooks").glob("*.ipynb")))
    for path in parser.parse_args().notebooks:
        notebook = executed(nbformat.read(path, as_version=4))
        nbformat.write(notebook, path)
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
