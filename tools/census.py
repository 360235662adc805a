"""Count what the house is made of: rooms, floors, arrows, lines, names and types.

    python -m tools.census [--write] [CHECKOUT]

With ``--write`` the figures replace those in CONTRIBUTING.

An entry is what stands in ``diarnb/`` itself, an arrow an import between two entries, for types too, a floor a step of
the longest chain of arrows, a circle a set of entries that import each other. Code lines are without docstrings,
comments and blank lines. Openings are the first words of docstrings that are not in numpydoc's imperative; participles
are functions that are named by one alone.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

OPENINGS = ("Give", "Say", "Tell")
IRREGULAR = {"chosen", "drawn", "found", "given", "heard", "held", "kept", "known", "left", "lost", "made", "meant"} | {
    *("paid", "said", "seen", "sent", "shown", "spoken", "taken", "told", "written")
}
VERBS = {"embed", "seed", "feed", "need", "proceed", "exceed"}


class Census:
    """The figures of one checkout."""

    def __init__(self, root: Path) -> None:
        self.package = root / "diarnb"
        self.paths = sorted(self.package.rglob("*.py"))
        self.texts = {path: path.read_text(encoding="utf-8") for path in self.paths}
        self.trees = {path: ast.parse(text) for path, text in self.texts.items()}

    def entries(self) -> int:
        """Count what stands in the package itself."""
        hidden = {"__pycache__"}
        return sum(1 for path in self.package.iterdir() if path.name not in hidden and not path.name.startswith("."))

    def arrows(self) -> set[tuple[str, str]]:
        """Find the imports between entries, wherever in a module they stand."""
        modules = {self._module(path) for path in self.paths}
        found = set()
        for path, tree in self.trees.items():
            for name in imported(tree):
                whole = name if name in modules else name.rpartition(".")[0]
                if whole.startswith("diarnb"):
                    found.add((self._entry(self._module(path)), self._entry(whole)))
        return {(one, other) for one, other in found if one != other}

    def floors(self) -> int:
        """Count the steps of the longest chain of arrows; entries in a circle stand on one floor."""
        circles = self.circles()
        room = {entry: min(circle) for circle in circles for entry in circle}
        arrows = {(room.get(one, one), room.get(other, other)) for one, other in self.arrows()}
        below: dict[str, set[str]] = {}
        for one, other in arrows:
            below.setdefault(one, set()).update({other} - {one})

        @cache
        def height(entry: str) -> int:
            return 1 + max((height(other) for other in below.get(entry, ())), default=0)

        return max(height(entry) for entry in below)

    def circles(self) -> list[set[str]]:
        """Find the sets of entries that import each other."""
        arrows = self.arrows()
        reach = {one: {one} for pair in arrows for one in pair}
        for _ in reach:  # as many steps as there are entries reach everything that can be reached
            for one, other in arrows:
                reach[one] |= reach[other]
        sets = {frozenset(other for other in reach[one] if one in reach[other]) for one in reach}
        return [set(each) for each in sets if len(each) > 1]

    def code_lines(self) -> int:
        """Count the lines of code."""
        return sum(code_lines(text) for text in self.texts.values())

    def functions(self) -> list[str]:
        """Name every function and method but the magic ones."""
        nodes = (node for tree in self.trees.values() for node in ast.walk(tree))
        names = [node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        return [name for name in names if not name.startswith("__")]

    def participles(self) -> list[str]:
        """Name the functions whose name is a past participle alone, properties left out."""
        nodes = (node for tree in self.trees.values() for node in ast.walk(tree))
        found = []
        for node in nodes:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            decorators = {ast.unparse(each) for each in node.decorator_list}
            word = node.name.strip("_")
            if not decorators & {"property", "functools.cached_property", "cached_property"} and is_participle(word):
                found.append(node.name)
        return found

    def openings(self) -> tuple[int, int]:
        """Count the docstrings of functions that begin with one of `OPENINGS`, and all of them."""
        nodes = (node for tree in self.trees.values() for node in ast.walk(tree))
        texts = [ast.get_docstring(n) for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
        said = [text for text in texts if text]
        return sum(1 for text in said if text.split()[0] in OPENINGS), len(said)

    def anys(self) -> tuple[int, int]:
        """Count the lines whose types name `Any`, imports left out, and the uses of ``dict[str, Any]``."""
        nodes = ((path, node) for path, tree in self.trees.items() for node in ast.walk(tree))
        lines = {(path, node.lineno) for path, node in nodes if isinstance(node, ast.Name) and node.id == "Any"}
        return len(lines), sum(text.count("dict[str, Any]") for text in self.texts.values())

    def lines(self) -> int:
        """Count all lines."""
        return sum(len(text.splitlines()) for text in self.texts.values())

    def twice(self) -> list[str]:
        """Name the classes that are defined in several modules."""
        names = [node.name for tree in self.trees.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
        return sorted({name for name in names if names.count(name) > 1})

    def _module(self, path: Path) -> str:
        parts = path.relative_to(self.package.parent).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def _entry(self, module: str) -> str:
        return ".".join(module.split(".")[:2])


def imported(tree: ast.Module) -> Iterator[str]:
    """Yield what a module imports: modules, and names with the module before them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def code_lines(text: str) -> int:
    """Count the lines of a module without docstrings, comments and blank lines."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    explained: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, documented) and ast.get_docstring(node):
            explained.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    lines = [line.strip() for number, line in enumerate(text.splitlines(), 1) if number not in explained]
    return sum(1 for line in lines if line and not line.startswith("#"))


def is_participle(word: str) -> bool:
    """Tell whether a name is nothing but a past participle."""
    return word not in VERBS and (word in IRREGULAR or bool(re.fullmatch(r"[a-z]{2,}ed", word)))


def with_this_python() -> dict[str, str]:
    """Return an environment in which basedpyright finds the packages of this Python: it takes the first on the path."""
    return {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
    }


def verify_types(root: Path) -> Any:
    """Ask basedpyright which public names have a known type."""
    command = [sys.executable, "-m", "basedpyright", "--verifytypes", "diarnb", "--ignoreexternal", "--outputjson"]
    done = subprocess.run(command, cwd=root, env=with_this_python(), capture_output=True, text=True, check=False)
    return json.loads(done.stdout)["typeCompleteness"] if done.stdout.startswith("{") else None


def describe_types(root: Path) -> str:
    report = verify_types(root)
    if report is None:
        return "basedpyright is not installed"
    known, all_of = report["completenessScore"], sum(report["exportedSymbolCounts"].values())
    return f"{known:.1%} of {all_of} symbols in {len(report['modules'])} public modules"


def figures(root: Path) -> dict[str, object]:
    """Count everything, by the name under which it is printed."""
    census = Census(root)
    functions, (opened, documented), (anys, dicts) = census.functions(), census.openings(), census.anys()
    code = census.code_lines()
    return {
        "entries in diarnb/": census.entries(),
        "floors of imports": census.floors(),
        "arrows between entries": len(census.arrows()),
        "circles": len(census.circles()),
        "files": len(census.paths),
        "code lines": code,
        "functions": len(functions),
        "named by a bare participle": len(census.participles()),
        f"docstrings that open with {', '.join(OPENINGS)}": f"{opened} of {documented} ({opened / documented:.0%})",
        "Any, in 1,000 lines": f"{1000 * anys / census.lines():.1f}",
        "dict[str, Any]": dicts,
        "class names defined twice": len(census.twice()),
        "verifytypes": describe_types(root),
    }


def main(root: Path, *, write: bool = False) -> None:
    """Print the figures, and write them into CONTRIBUTING if that is wanted."""
    text = "".join(f"{name:<45} {figure}\n" for name, figure in figures(root).items())
    print(text, end="")
    if write:
        page = root / "CONTRIBUTING.md"
        old = page.read_text(encoding="utf-8")
        page.write_text(re.sub(r"(?m)^entries in diarnb/.*?(?=^```)", text, old, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    places = [each for each in sys.argv[1:] if each != "--write"]
    main(Path(places[0] if places else ".").resolve(), write="--write" in sys.argv)
