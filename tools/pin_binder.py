"""Write Binder's pins anew: `python tools/pin_binder.py`, in a Python 3.11, as Binder has.

Pinned is what diarnb and the extras of its notebooks bring to Binder's image. What JupyterLab brings as well stays as
it is in the image, so that the server there keeps working; only what pyproject.toml names is pinned whoever brings it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WANTED = ".[live,server]"
HEAD = """\
# Exact versions, so that Binder builds the same image for as long as it is asked to; written by tools/pin_binder.py.
# IPython, ipykernel, JupyterLab and what these need are those of the image.
"""


def resolved(wanted: str) -> dict[str, str]:
    """Give the versions that pip would install of a requirement and of all that it requires."""
    command = ["install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-", wanted]
    report = subprocess.run([sys.executable, "-m", "pip", *command], cwd=ROOT, check=True, stdout=subprocess.PIPE)
    found = [each["metadata"] for each in json.loads(report.stdout)["install"]]
    return {re.sub(r"[-_.]+", "-", each["name"]).lower(): each["version"] for each in found}


def main() -> None:
    if sys.version_info[:2] != (3, 11):
        sys.exit("Binder has Python 3.11 (binder/runtime.txt), and other versions get other packages: run this in 3.11")
    named = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    ours = {re.split(r"[<>=]", line)[0] for line in named}
    left = resolved("jupyterlab").keys() - ours | {"diarnb"}
    pins = [f"{name}=={version}\n" for name, version in sorted(resolved(WANTED).items()) if name not in left]
    (ROOT / "binder" / "requirements.txt").write_text(HEAD + "".join(pins) + WANTED + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
