"""The code keeps to its own rules."""

from __future__ import annotations

import ast
import re
import socket
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

from tools.census import Census, code_lines, imported

ROOT = Path(__file__).parents[1]
SOURCES = {path.relative_to(ROOT).with_suffix("").as_posix(): path for path in (ROOT / "diarnb").rglob("*.py")}
MODULES = {name.replace("/", ".").removesuffix(".__init__"): path for name, path in SOURCES.items()}

# What stands in a row may import what stands in the rows above it, and its own folder; for types as well.
LAYERS = [
    {"errors", "_text", "_types", "_versions"},
    {"params", "examples", "tables", "store", "_progress"},
    {"audio", "transcripts", "plot"},
    {"engines"},
    {"results", "transcribers", "comparing"},
    {"_pipeline", "playback", "corrections"},
    {"api", "analysis", "streaming", "cloud", "formats"},
    {"scoring"},
    {"metrics", "voiceprints", "batch", "widgets"},
    {"server", "accessor", "testing"},
    {""},
    {"__main__"},
]
LAYER = {name: number for number, layer in enumerate(LAYERS) for name in layer}
CROWDED = {"diarnb": 35, "diarnb/formats": 25}  # the house itself; a module a format


@pytest.mark.parametrize(
    "command", [["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]], ids=lambda command: " ".join(command)
)
def test_the_checkers_have_nothing_to_say(command: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_mypy_is_strict() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]["strict"] is True


@pytest.mark.parametrize("name", MODULES)
def test_annotations_cost_nothing_at_import(name: str) -> None:
    assert "from __future__ import annotations\n" in MODULES[name].read_text(encoding="utf-8")


def entry(module: str) -> str:
    """What a module belongs to: a folder or module of `diarnb`, or, with no name, the package's face."""
    return module.partition(".")[2].partition(".")[0]


def modules_imported(name: str) -> set[str]:
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    whole = {each for each in imported(tree) if each.partition(".")[0] == "diarnb"}
    return {each if each in MODULES else each.rpartition(".")[0] for each in whole}


@pytest.mark.parametrize("name", MODULES)
def test_imports_run_downward(name: str) -> None:
    assert entry(name) in LAYER, f"{name} has no place in the table of layers"
    for other in modules_imported(name):
        down = LAYER[entry(other)] < LAYER[entry(name)]
        assert down or entry(other) == entry(name), f"{name} imports {other}"


def test_there_is_no_circle_of_imports() -> None:
    assert Census(ROOT).circles() == []


@pytest.mark.parametrize("name", MODULES)
def test_a_module_fits_in_a_head(name: str) -> None:
    assert code_lines(MODULES[name].read_text(encoding="utf-8")) <= 450


def test_a_folder_can_be_taken_in_at_a_glance() -> None:
    for folder in {path.parent for path in SOURCES.values()}:
        inside = {path.name for path in folder.iterdir()} - {"__pycache__", "__init__.py"}
        name = folder.relative_to(ROOT).as_posix()
        assert len(inside) <= CROWDED.get(name, 14), f"{name}: {sorted(inside)}"


TESTS = list((ROOT / "tests").glob("test_*.py"))
SUBJECTS = {  # what is tested of the whole, and belongs to no module
    "public", "typing", "code", "package", "environments", "notebooks", "benchmarks", "golden", "kernel", "browser",
    "cli", "docs", "diarize", "http", "widget", "privacy", "canaries", "portability",
}  # fmt: skip


def is_named_for(stem: str, names: set[str]) -> bool:
    return any(stem == each or stem.startswith(f"{each}_") for each in names)


@cache
def names_in(*folders: str) -> set[str]:
    """The names of all modules and folders there."""
    paths = [path.relative_to(ROOT).with_suffix("") for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return {part.strip("_") for path in paths for part in path.parts}


QUALITIES = {  # what is measured of the whole, or made for it
    "accuracy", "speed", "readability", "reliability", "verbs", "notebooks", "strangers", "simulate", "peer", "run",
    "bounds", "calibration", "crops",  # of the local engine's accuracy
}  # fmt: skip


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_a_test_is_found_by_the_name_of_what_it_tests(path: Path) -> None:
    """`test_NAME.py` or `test_NAME_subject.py`, where NAME is a module or a folder, here or in tools and benchmarks."""
    assert is_named_for(path.stem.removeprefix("test_"), names_in("diarnb", "tools", "benchmarks") | SUBJECTS)


@pytest.mark.parametrize("path", (ROOT / "benchmarks").glob("[!_]*.py"), ids=lambda path: path.stem)
def test_a_benchmark_is_found_by_the_name_of_what_it_measures(path: Path) -> None:
    """`NAME.py` or `NAME_subject.py`, where NAME is a module, a folder, or a quality of the whole."""
    assert is_named_for(path.stem, names_in("diarnb") | QUALITIES)


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_a_test_fits_in_a_head(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 500


def test_the_version_is_the_newest_of_the_changelog() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    heading = re.search(
        r"^## (\S+) - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert heading is not None
    assert heading[1] == project["version"]


SECRETS = {
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY",
    "a token of a known kind": r"\b(sk|pk|hf|ghp|gho|github_pat|glpat|xoxb|pypi|AKIA)[-_]?[A-Za-z0-9_-]{16,}\b",
    "a key of 40 hexadecimal digits": r"(?<![0-9a-f@])[0-9a-f]{40}(?![0-9a-f])",  # after @ the commit of an action
    "a token of the web": r"\beyJ[A-Za-z0-9_-]{20,}\.",
    "a signed address": r"[?&](X-Amz-Signature|Signature|sig|token)=[A-Za-z0-9%]{16,}",
}
HOMES = r"(?<![\w.])(/home/|/Users/|/root/|[A-Z]:\\+Users\\+)\w"


def tracked() -> list[Path]:
    git = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is no checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_tells_of_a_secret_or_of_a_machine() -> None:
    here = {re.escape(f"{folder}/") for folder in (ROOT, ROOT.parent) if len(folder.parts) > 1}
    rules = {**SECRETS, **{f"a path of this machine ({folder})": rf"(?<![\w.]){folder}" for folder in here}}
    found = []
    for path in tracked():
        text = re.sub(r'base64,[^"\\]+|"image/png": "[^"]+"', "", path.read_bytes().decode("utf-8", errors="ignore"))
        if path.suffix in {".flac", ".onnx", ".png"} or path == Path(__file__):
            continue
        own = rules if "tests" in path.parts else {**rules, "a home": HOMES}  # tests need paths that are made up
        found += [f"{path.name}: {what}: {hit[0]!r}" for what, rule in own.items() if (hit := re.search(rule, text))]
    assert not found


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (SECRETS["a token of a known kind"], "key = 'sk_" + "0Az" * 8 + "'"),
        (SECRETS["a key of 40 hexadecimal digits"], "token=" + "0123456789" * 4),
        (SECRETS["a signed address"], "https://x.org/a?b=1&X-Amz-Signature=" + "ab12" * 8),
        (HOMES, '"/home/maya/talk.wav"'),
        (HOMES, r'"C:\\Users\\maya"'),
    ],
)
def test_the_rules_against_secrets_find_one(rule: str, text: str) -> None:
    assert re.search(rule, text)


def test_the_tests_themselves_cannot_leave_this_machine() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"192\.0\.2\.1"):
        socket.create_connection(("192.0.2.1", 9), timeout=1)
