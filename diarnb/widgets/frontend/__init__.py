"""What runs in the page: modules of JavaScript and sheets of style, joined in Python when they are loaded.

A front end is given one module and one sheet a widget, from which it can import no neighbours. So a module and those
that it imports are put into one text here; their names must differ, as in any one module.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent
_IMPORT = re.compile(r'^import \{[^}]*\} from "(\.{1,2}/[\w/]+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?!default )", re.MULTILINE)
_BLANK = re.compile(r"^\s*(?://.*\n\s*)*", re.MULTILINE)  # indents, and lines of comment: no page reads them


@cache
def load_script(name: str) -> str:
    """Read a module and all that it imports, as one module without imports.

    Parameters
    ----------
    name : str
        A path in this folder, such as ``"player/player.js"``.

    Examples
    --------
    >>> "import" in load_script("clip.js")
    False
    """
    found: dict[Path, str] = {}

    def add(path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        for other in _IMPORT.findall(text):
            if (target := (path.parent / other).resolve()) not in found:
                add(target)
        found[path] = _EXPORT.sub("", _IMPORT.sub("", text))

    add((_FOLDER / name).resolve())
    return _BLANK.sub("", "\n".join(found.values()))


@cache
def load_style(name: str) -> str:
    """Read a sheet of style from this folder."""
    return (_FOLDER / name).read_text(encoding="utf-8")
