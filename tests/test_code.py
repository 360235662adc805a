"""The code keeps to its own rules."""

from __future__ import annotations

import ast
import re
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = {path.relative_to(ROOT).with_suffix("").as_posix(): path for path in (ROOT / "diarnb").rglob("*.py")}
MODULES = {name.replace("/", ".").removesuffix(".__init__"): path for name, path in SOURCES.items()}

# What stands in a line may import what stands in the lines above it, and its own package. Names are of whole packages.
LAYERS = [
    {"diarnb.errors", "diarnb._activity", "diarnb._labels", "diarnb._run", "diarnb._versions", "diarnb.accessor"},
    {"diarnb._sniff", "diarnb._checks", "diarnb.params", "diarnb._progress", "diarnb.examples", "diarnb._lanes"},
    {"diarnb._loop", "diarnb._lock", "diarnb._styles"},
    {
        "diarnb._download",
        "diarnb._decode",
        "diarnb._av",
        "diarnb.turns",
        "diarnb.store",
        "diarnb.testing",
        "diarnb._excerpts",
        "diarnb._matching",
        "diarnb._moments",
    },
    {"diarnb.plot", "diarnb.journal", "diarnb._manifest", "diarnb._executing", "diarnb._linking", "diarnb._assigning"},
    {"diarnb.transcripts", "diarnb.scoring", "diarnb.comparing"},
    {"diarnb._content", "diarnb._wordtables"},
    {"diarnb._sources"},
    {"diarnb.audio", "diarnb._chunks"},
    {"diarnb.engines", "diarnb.transcribers"},
    {"diarnb.results", "diarnb._asking", "diarnb._transcribing", "diarnb.formats"},
    {"diarnb._keeping"},
    {"diarnb.listening", "diarnb.api", "diarnb.cloud", "diarnb.streaming"},
    {"diarnb.analysis"},
    {"diarnb.metrics", "diarnb.voiceprints", "diarnb._task"},
    {"diarnb._members"},
    {"diarnb.batch"},
    {"diarnb.widgets"},
    {"diarnb.server"},
    {"diarnb"},
    {"diarnb.__main__"},
]
LAYER = {name: number for number, layer in enumerate(LAYERS) for name in layer}


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


def home(module: str) -> str:
    """The entry of the table that a module belongs to."""
    while module not in LAYER:
        module = module.rpartition(".")[0]
    return module


def imported(path: Path) -> set[str]:
    """The modules of diarnb that a file imports when it runs, wherever in it; for its types it may name any."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    types = [node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    ignored = {id(child) for node in types for child in ast.walk(node)}
    found = set()
    for node in ast.walk(tree):
        if id(node) in ignored:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module or "" for name in whole}
    return {name for name in found if name.partition(".")[0] == "diarnb"}


@pytest.mark.parametrize("name", MODULES)
def test_imports_run_downward(name: str) -> None:
    own = home(name)
    assert own != "diarnb" or name == "diarnb", f"{name} has no place in the table of layers"
    for other in imported(MODULES[name]):
        assert home(other) == own or LAYER[home(other)] < LAYER[own], f"{name} imports {other}"


@pytest.mark.parametrize("name", MODULES)
def test_a_module_fits_in_a_head(name: str) -> None:
    text = MODULES[name].read_text(encoding="utf-8")
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    explained: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, documented) and ast.get_docstring(node):
            explained.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    lines = [line.strip() for number, line in enumerate(text.splitlines(), 1) if number not in explained]
    assert sum(1 for line in lines if line and not line.startswith("#")) <= 300


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
    "a key of 40 hexadecimal digits": r"(?<![0-9a-f])[0-9a-f]{40}(?![0-9a-f])",
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
