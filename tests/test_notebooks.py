"""The notebooks as they are in git: light, clean, and run from the first cell to the last."""

from __future__ import annotations

import ast
import base64
import copy
import doctest
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

import diarnb
from tools.execute_notebooks import METADATA, head_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
KILOBYTES = 400
MACHINE_PATH = re.compile(r"(/(home|Users|root|tmp|work|mnt|var|opt|content)/[\w.-]+|[A-Za-z]:\\\\?[\w.-]+\\|file://)")
SECRET = re.compile(r"api_key\s*=\s*['\"]\w|\b(sk|hf|pk)_\w{16,}|Bearer\s+\w{16,}|\b[0-9a-f]{32,}\b", re.IGNORECASE)
LINK = re.compile(r"\]\(([^)#:\s]+)[^):]*\)")
WIDGET = "application/vnd.jupyter.widget"

Notebook = nbformat.NotebookNode


def code_cells(notebook: Notebook) -> list[Notebook]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook: Notebook) -> list[Notebook]:
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def parsed(source: str) -> ast.AST:
    """Parse what a cell may hold, magics and await included."""
    plain = TransformerManager().transform_cell(source)
    return compile(plain, "cell", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST)


def legible(notebook: Notebook) -> str:
    """Give all that a person reads; pictures and sounds, whose letters mean nothing, are left out."""
    return re.sub(r"base64,[A-Za-z0-9+/=\s]+", "", "\n".join(_strings(notebook)))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part)
    elif isinstance(value, dict):
        for name, part in value.items():
            yield name
            if name != "image/png":
                yield from _strings(part)


# Each rule gives what breaks it.


def invalid(notebook: Notebook) -> list[Any]:
    return [error.message for error in nbformat.validator.iter_validate(notebook)]


def drawn_ids(notebook: Notebook) -> list[Any]:
    """An id is a word, and no other cell's, so that a difference shows what changed."""
    ids = [cell.get("id", "") for cell in notebook.cells]
    return [name for name in ids if ids.count(name) > 1 or not re.fullmatch(r"[a-z][a-z0-9-]*[a-z][a-z0-9-]*", name)
            or re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f-]+)?", name)]  # fmt: skip


def too_heavy(notebook: Notebook) -> list[Any]:
    size = len(nbformat.writes(notebook).encode())
    return [size] if size >= KILOBYTES * 1000 else []


def not_run_in_order(notebook: Notebook) -> list[Any]:
    cells = code_cells(notebook)
    return [cell["id"] for number, cell in enumerate(cells, 1) if cell.execution_count != number]


def begins_otherwise(notebook: Notebook) -> list[Any]:
    """A cell that installs diarnb, and does so on Colab only; then the import."""
    install, first = (cell.source for cell in code_cells(notebook)[:2])
    wrong = [] if 'if "google.colab" in sys.modules:\n    %pip install' in install else [install]
    return wrong if first.startswith("import diarnb") else [*wrong, first]


def no_code(notebook: Notebook) -> list[Any]:
    wrong = []
    for cell in code_cells(notebook):
        try:
            parsed(cell.source)
        except SyntaxError as error:
            wrong.append(f"{cell['id']}: {error}")
    return wrong


def not_shown(notebook: Notebook) -> list[Any]:
    """Errors, warnings, what a progress bar leaves, widgets without their kernel; or nothing shown at all."""
    found = outputs(notebook)
    unfit = [
        output.output_type if output.output_type == "error" else sorted(output.get("data", {"stderr": 1}))
        for output in found
        if output.output_type == "error"
        or output.get("name") == "stderr"
        or output.get("data") == {}
        or any(kind.startswith(WIDGET) for kind in output.get("data", {}))
    ]
    return unfit if found else ["nothing"]


def of_the_machine(notebook: Notebook) -> list[Any]:
    """Widget state would stand in the metadata too."""
    about = [] if notebook.metadata == METADATA else [notebook.metadata]
    about += [key for cell in notebook.cells for key in cell.metadata if key != "tags"]
    return about + [hit[0] for hit in MACHINE_PATH.finditer(legible(notebook))]


def secrets(notebook: Notebook) -> list[Any]:
    return [hit[0] for hit in SECRET.finditer(legible(notebook))]


def undrawn(notebook: Notebook) -> list[Any]:
    drawing = [cell for cell in code_cells(notebook) if "diarnb.timeline(" in cell.source]
    return [cell["id"] for cell in drawing if not any("image/png" in output.get("data", {}) for output in cell.outputs)]


def dead_links(notebook: Notebook) -> list[Any]:
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    return [link for text in texts for link in LINK.findall(text) if not (FOLDER / link).is_file()]


def no_way_on(notebook: Notebook) -> list[Any]:
    """The reader's own recording comes last, and then other notebooks."""
    texts = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    _, own, rest = texts.partition("## Now your own")
    return [] if own and ".ipynb)" in rest else ["the end"]


RULES: list[Callable[[Notebook], list[Any]]] = [
    invalid,
    drawn_ids,
    too_heavy,
    not_run_in_order,
    begins_otherwise,
    no_code,
    not_shown,
    of_the_machine,
    secrets,
    undrawn,
    dead_links,
    no_way_on,
]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_colab_opens_it_and_installs_the_version_of_the_repository(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    badge, install = head_of(path.name)
    assert notebook.cells[0].source.startswith(f"{badge}# ")
    assert notebook.cells[1].source == install
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert f"/v{version}/notebooks/{path.name})" in badge
    assert install.endswith(f'@v{version}"')


@pytest.mark.parametrize("name", ["01_quickstart.ipynb", "05_deepgram.ipynb"])
@pytest.mark.parametrize("colab", [True, False])
def test_the_first_cell_installs_on_colab_and_nowhere_else(
    name: str, colab: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = []
    shell = SimpleNamespace(run_line_magic=lambda magic, line: ran.append(f"{magic} {line}"))
    if colab:
        monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    exec(TransformerManager().transform_cell(head_of(name)[1]), {"get_ipython": lambda: shell})
    assert len(ran) == colab
    assert all(line.startswith('pip install -q "diarnb') for line in ran)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_it_keeps_the_rule(path: Path, rule: Callable[[Notebook], list[Any]]) -> None:
    assert rule(nbformat.read(path, as_version=4)) == []


def _shows(**output: Any) -> Callable[[Notebook], None]:
    return lambda notebook: code_cells(notebook)[1].outputs.append(nbformat.v4.new_output(**output))


def _says(text: str) -> Callable[[Notebook], None]:
    return lambda notebook: notebook.cells.append(nbformat.v4.new_markdown_cell(text, id="more"))


def _runs(source: str, count: int | None = 7) -> Callable[[Notebook], None]:
    made = nbformat.v4.new_code_cell(source, id="more", execution_count=count)
    return lambda notebook: notebook.cells.append(made)


def _display(**data: Any) -> Callable[[Notebook], None]:
    kinds = {"png": "image/png", "view": f"{WIDGET}-view+json", "plain": "text/plain"}
    return _shows(output_type="display_data", data={kinds[name]: value for name, value in data.items()})


@pytest.mark.parametrize(
    ("rule", "spoil"),
    [
        (invalid, lambda notebook: notebook.cells[0].update(cell_type="prose")),
        (drawn_ids, lambda notebook: notebook.cells[0].update(id="0af31b2c")),
        (drawn_ids, lambda notebook: notebook.cells[0].update(id=notebook.cells[1]["id"])),
        (too_heavy, _display(png=base64.b64encode(bytes(300_000)).decode())),
        (not_run_in_order, _runs("1 + 1", count=None)),
        (not_run_in_order, _runs("1 + 1", count=9)),
        (begins_otherwise, lambda notebook: code_cells(notebook)[0].update(source="%pip install diarnb")),
        (no_code, _runs("turns = diarnb.diarize(")),
        (not_shown, _display()),
        (not_shown, _display(plain="<Player>", view={"model_id": "ab"})),
        (not_shown, _shows(output_type="stream", name="stderr", text="UserWarning")),
        (not_shown, _shows(output_type="error", ename="KeyError", evalue="x", traceback=[])),
        (of_the_machine, lambda notebook: notebook.metadata.update(widgets={f"{WIDGET}-state+json": {}})),
        (of_the_machine, lambda notebook: notebook.cells[0].metadata.update(collapsed=True)),
        (of_the_machine, lambda notebook: notebook.metadata.kernelspec.update(name="my-venv")),
        (of_the_machine, _display(plain="PosixPath('/home/maya/talk.wav')")),
        (of_the_machine, _display(plain=r"C:\Users\maya\talk.wav")),
        (secrets, _runs('diarnb.diarize("x.wav", engine="deepgram", api_key="a1b2")')),
        (secrets, _display(plain="Authorization: Bearer " + "a1" * 10)),
        (secrets, _says("Use " + "0123456789abcdef" * 2)),
        (undrawn, _runs("ax = diarnb.timeline(turns)")),
        (dead_links, _says("[next](11_nothing.ipynb)")),
        (dead_links, _says("[next](../NOTHING.md#here)")),
        (no_way_on, lambda notebook: notebook.update(cells=notebook.cells[:-1])),
    ],
)  # fmt: skip
def test_the_rule_can_be_broken(rule: Callable[[Notebook], list[Any]], spoil: Callable[[Notebook], None]) -> None:
    notebook = copy.deepcopy(nbformat.read(FOLDER / "01_quickstart.ipynb", as_version=4))
    before = rule(notebook)
    spoil(notebook)
    assert len(rule(notebook)) > len(before)


def _examples() -> Iterator[str]:
    """Give the code that readers meet: that of the notebooks, and that of docstrings, which runs as doctest."""
    for path in NOTEBOOKS:
        yield from (cell.source for cell in code_cells(nbformat.read(path, as_version=4)))
    parser = doctest.DocTestParser()
    for path in (ROOT / "diarnb").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield from (example.source for example in parser.get_examples(ast.get_docstring(node) or ""))


def _used(source: str) -> Iterator[str]:
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr


def test_every_public_name_is_used_in_a_notebook_or_an_example() -> None:
    used = {name for source in _examples() for name in _used(source)}
    assert sorted(set(diarnb.__all__) - used) == []


def test_names_in_prose_are_not_taken_for_uses() -> None:
    assert "player" not in set(_used("# diarnb.player(turns)\nprint('diarnb.player')"))
