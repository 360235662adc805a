"""What the notebooks need: `python -m benchmarks.notebooks [NOTEBOOK ...]` prints seconds, memory and size of each.

Each is run as a reader runs it, from the first cell to the last, in a kernel and a run store of its own. Memory is the
kernel's greatest resident set, that of processes it starts not included; Binder stops a kernel at 2 GB.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from benchmarks._machine import heading, table, versions

ROOT = Path(__file__).resolve().parents[1]
MEGABYTES = 1500
PEAK = nbformat.v4.new_code_cell("import resource\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)")


def measure(path: Path) -> dict[str, Any]:
    """Run one notebook."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(PEAK.copy())
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"DIARNB_HOME": folder, "PYTHONPATH": str(ROOT)}
        client = NotebookClient(notebook, kernel_name="python3", timeout=300, resources={"metadata": {"path": folder}})
        began = time.perf_counter()
        client.execute(env=environment)
        seconds = time.perf_counter() - began
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    peak = int(notebook.cells[-1].outputs[0]["text"]) * unit / 1e6
    return {"notebook": path.name, "seconds": seconds, "peak MB": peak, "kB": path.stat().st_size / 1000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="*", type=Path, default=sorted((ROOT / "notebooks").glob("*.ipynb")))
    rows = [measure(path) for path in parser.parse_args().notebooks]
    shown = [[str(row["notebook"]), *(f"{row[name]:.0f}" for name in ("seconds", "peak MB", "kB"))] for row in rows]
    print(heading({"diarnb": versions("diarnb", "ipykernel", "pandas", "onnxruntime")}))
    print(table(["notebook", "seconds", "peak MB", "kB"], shown))
    print(f"{sum(row['seconds'] for row in rows):.0f} s in all")
    if max(row["peak MB"] for row in rows) > MEGABYTES:
        sys.exit(f"more than {MEGABYTES} MB")


if __name__ == "__main__":
    main()
