"""The face of the package: its names, what they cost to import, and the examples in their documentation."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import diarnb

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
MODULES = ["diarnb", *(found.name for found in pkgutil.walk_packages(diarnb.__path__, "diarnb."))]
MODULES.remove("diarnb.__main__")  # it is a program


def named_in_the_stub() -> dict[str, str]:
    """What `diarnb/__init__.pyi` names, and the module that it comes from; submodules come from the package, ""."""
    tree = ast.parse(Path(diarnb.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    lines = [line for line in tree.body if isinstance(line, ast.ImportFrom)]
    names = [(name.name, line.module or "") for line in lines for name in line.names]
    assert len(names) == len(dict(names)), "a name stands twice"
    assert all(name.asname == name.name for line in lines for name in line.names), "type checkers see `x as x` only"
    return dict(names)


STUB = named_in_the_stub()
DOCUMENTED = [f"diarnb.{name}" for name, home in STUB.items() if not home] + ["diarnb.engines.base"]


def test_every_public_name_is_there_and_is_defined_where_the_stub_says() -> None:
    assert diarnb.__all__ == sorted(name for name, home in STUB.items() if home)
    assert set(dir(diarnb)) == {*STUB, "__version__"}
    for name in diarnb.__all__:
        assert getattr(diarnb, name).__name__ == name
        assert getattr(diarnb, name).__module__.startswith(f"diarnb.{STUB[name]}")
    assert re.fullmatch(r"\d+\.\d+\.\d+", diarnb.__version__)


def test_submodules_are_attributes_after_a_plain_import() -> None:
    names = [name for name, home in STUB.items() if not home]
    code = f"import diarnb\nfor name in {names}: print(getattr(diarnb, name).__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [f"diarnb.{name}" for name in names]
    assert {"formats", "analysis", "metrics", "cloud", "plot", "batch"} < set(names)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_documented_module_shows_only_what_is_its_own(name: str) -> None:
    module = importlib.import_module(name)
    assert dir(module) == sorted(set(module.__all__))
    for each in module.__all__:
        assert not each.startswith("_")
        value = getattr(module, each)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__module__.startswith("diarnb."), f"{name} shows {each}, which is not its own"
            assert inspect.getdoc(value), f"{name}.{each} has no docstring"


def test_every_error_is_listed() -> None:
    values = vars(diarnb.errors).items()
    assert set(diarnb.errors.__all__) == {name for name, value in values if name.endswith(("Error", "Warning"))}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'diarize_now'"):
        diarnb.diarize_now  # noqa: B018
    assert not hasattr(diarnb, "__wrapped__")


@pytest.mark.parametrize("name", diarnb.__all__)
def test_a_public_function_is_documented(name: str) -> None:
    function = getattr(diarnb, name)
    text = inspect.getdoc(function) or ""
    summary = text.splitlines()[0]
    assert summary.endswith(".")
    assert len(summary) < 100
    signature = inspect.signature(function)
    plain = [each.name for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
    if name not in {"raw", "words", "diarize_async"}:  # one obvious parameter, or those of `diarize`
        section = text.partition("Parameters\n----------\n")[2].partition("\n\n")[0]
        named = re.findall(r"^([\w*, ]+?)(?: :.*)?$", section, re.MULTILINE)
        assert [each.strip() for line in named for each in line.split(",") if "*" not in each] == plain
    assert signature.return_annotation is not inspect.Signature.empty


def test_the_readme_speaks_of_public_names_only_and_all_are_told_of() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\bdiarnb\.(\w+)\(", readme))
    assert named <= set(diarnb.__all__)
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(\w+)\(\)`", changes)) == set(diarnb.__all__)


def test_importing_diarnb_imports_nothing_heavy() -> None:
    code = "import sys, diarnb; dir(diarnb); diarnb.__version__; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "diarnb" in loaded
    heavy = {"numpy", "pandas", "matplotlib", "scipy", "onnxruntime", "soundfile", "IPython", "ipywidgets", "httpx"}
    assert heavy.isdisjoint(loaded)


def test_deciding_without_a_picture_imports_no_matplotlib() -> None:
    code = "import sys, diarnb.api, diarnb.engines.local; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "pandas" in loaded
    assert {"matplotlib", "IPython", "ipywidgets", "torch", "av"}.isdisjoint(loaded)


def test_a_recording_on_this_machine_is_diarized_without_what_only_a_network_needs(tmp_path: Path) -> None:
    code = """
        import sys, diarnb
        diarnb.diarize(diarnb.example("interview"), refresh=True, progress=False)
        print(*sorted(sys.modules))
        """
    mine = os.environ | {"DIARNB_HOME": str(tmp_path)}
    asked = [sys.executable, "-c", textwrap.dedent(code)]
    loaded = subprocess.run(asked, capture_output=True, text=True, check=True, env=mine).stdout.split()
    assert "onnxruntime" in loaded
    assert {"httpx", "anyio", "scipy", "matplotlib", "IPython"}.isdisjoint(loaded)


def _examples() -> Iterator[doctest.DocTest]:
    names = {name: getattr(diarnb, name) for name in diarnb.__all__}
    for module in map(importlib.import_module, MODULES):
        for test in doctest.DocTestFinder(exclude_empty=True).find(module, extraglobs=names):
            if test.examples:
                yield test


LISTENING = {"second_opinions", "without_bleed", "stream", "matches", "voiceprint", "identify"}  # for seconds each


def _parameters() -> Iterator[Any]:
    for test in _examples():
        marks = [pytest.mark.slow] if test.name.rpartition(".")[2] in LISTENING else []
        yield pytest.param(test, id=test.name, marks=marks)


@pytest.mark.parametrize("example", list(_parameters()))
def test_the_example_in_a_docstring_runs(
    example: doctest.DocTest, known: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.FAIL_FAST)
    told: list[str] = []
    runner.run(example, out=told.append)
    assert not runner.failures, "".join(told)
    assert runner.tries


VARIABLE = r"\b(?:DIARNB|PYANNOTEAI|DEEPGRAM)_[A-Z_]+\b"


def test_the_table_of_environment_variables_names_those_that_the_code_reads() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "diarnb").rglob("*.py"))
    table = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert set(re.findall(rf"^\| `({VARIABLE})`", table, re.MULTILINE)) == set(
        re.findall(f"[\"']({VARIABLE})[\"']", code)
    )
    told = "".join(path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
    assert set(re.findall(VARIABLE, told)) == set(re.findall(VARIABLE, table))


FOLLOWS = ["words", "utterances", "confidences", "exclusive", "player", "cards", "review", "write"]
OF_THE_RUN = ["frames", "recluster", "raw", "clip", "metrics.count_evidence"]


@pytest.mark.parametrize("name", [*FOLLOWS, *OF_THE_RUN])
def test_a_verb_says_first_whether_it_follows_the_rows_or_speaks_of_their_run(name: str) -> None:
    home, _, verb = name.rpartition(".")
    first = (getattr(getattr(diarnb, home) if home else diarnb, verb).__doc__ or "").partition("\n\n")[0]
    pattern = r"\brows\b|\bturns\b" if name in FOLLOWS else r"\b(a|the) run\b"
    assert re.search(pattern, first), first


def names_of_the_first_version() -> set[str]:
    """Return the public names that 0.1.0 had already."""
    text = (ROOT / "tests" / "names_of_0_1_0.txt").read_text(encoding="utf-8")
    lines = [line.partition(":") for line in text.replace("\n  ", " ").splitlines()]
    return {f"{module}.{name}" for module, _, names in lines for name in names.split()}


def test_a_name_that_0_1_0_did_not_have_says_since_when_it_is_there() -> None:
    first, added = names_of_the_first_version(), 0
    for module in map(importlib.import_module, ["diarnb", *DOCUMENTED]):
        for name in module.__all__:
            value = getattr(module, name)
            says = re.search(r"\.\. versionadded:: (\d+\.\d+\.\d+)$", inspect.getdoc(value) or "", re.MULTILINE)
            home = f"{value.__module__}.{name}" if inspect.isclass(value) else ""  # such as `engines.Engine`
            if first.isdisjoint({f"{module.__name__}.{name}", home}):
                assert says, f"{module.__name__}.{name} is new, and does not say since when it is there"
                assert says[1] != "0.1.0"
                added += 1
    assert added >= 10
    assert "versionadded" not in (inspect.getdoc(diarnb.diarize) or "")
