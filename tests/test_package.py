"""What is installed is what was meant, and works where nothing else is."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import textwrap
import tomllib
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.environments import Environment, check

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MODELS = Path("engines", "local", "models")
SHIPPED = {".js", ".css", ".py", ".pyi", ".onnx", ".npy", ".json", ".flac", ".rttm", ".csv", ".typed"}


def run(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(list(map(str, command)), cwd=cwd, env=alone, capture_output=True, text=True, check=False)


def succeed(*command: object, cwd: Path) -> str:
    done = run(*command, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the source archive, and the wheel built from it."""
    folder = tmp_path_factory.mktemp("built")
    succeed(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    return folder


@pytest.fixture(scope="session")
def fresh(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment that holds the wheel, what it requires, and a kernel: no extra, not even pip."""
    (wheel,) = built.glob("*.whl")
    version = "{}.{}".format(*sys.version_info)
    return Environment(tmp_path_factory.mktemp("fresh") / "venv", version, wheel, "ipykernel")


def test_no_module_needs_a_library_that_is_not_installed_with_it() -> None:
    """SciPy, 143 MB of it, was: here it is installed for the tests, so that nothing else would notice."""
    imported = {
        name.partition(".")[0]
        for path in (ROOT / "diarnb").rglob("*.py")
        for name in re.findall(r"^\s*(?:import|from) ([\w.]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    lines = [*PROJECT["dependencies"], *(line for group in PROJECT["optional-dependencies"].values() for line in group)]
    assert "numpy" in imported
    assert any(line.startswith("numpy") for line in lines)
    assert not imported & {"scipy", "sklearn", "torch", "joblib", "numba"}
    assert not any(line.startswith("scipy") for line in PROJECT["dependencies"])


def test_every_extra_that_is_named_somewhere_exists() -> None:
    named = [line for lines in PROJECT["optional-dependencies"].values() for line in lines]
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "notebooks").glob("*.ipynb")]
    told = [
        path.read_text(encoding="utf-8")
        for path in [*pages, *(ROOT / "diarnb").rglob("*.py")]
        if "CHANGE" not in path.name
    ]
    extras = re.findall(r"(?:\bdiarnb|[\"' ]\.)\[([a-z,]+)\]", "\n".join([*named, *told]))
    unknown = {name for group in extras for name in group.split(",")} - set(PROJECT["optional-dependencies"])
    assert len(extras) > 10
    assert not unknown


@pytest.mark.slow
def test_the_wheel_holds_the_package_whole_and_nothing_else(built: Path) -> None:
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        listed = json.loads(wheel.read(f"diarnb/{(MODELS / 'provenance.json').as_posix()}"))
        for name, facts in listed.items():
            content = wheel.read(f"diarnb/{MODELS.as_posix()}/{name}.onnx")
            assert hashlib.sha256(content).hexdigest() == facts["sha256"]
    package = [name for name in names if name.startswith("diarnb/")]
    sources = [path for path in (ROOT / "diarnb").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert sorted(package) == sorted(path.relative_to(ROOT).as_posix() for path in sources)
    assert {Path(name).suffix for name in package} == SHIPPED
    for name in ("meeting", "interview", "call"):
        assert {f"diarnb/examples/{name}{end}" for end in (".flac", ".rttm", ".words.csv")} <= set(package)
    beside = {Path(name).name for name in set(names) - set(package)}
    assert beside == {"METADATA", "WHEEL", "RECORD", "LICENSE", "THIRD_PARTY_LICENSES", "entry_points.txt"}
    assert path.name.endswith("-py3-none-any.whl")
    assert path.stat().st_size < 25e6


@pytest.mark.slow
def test_the_source_archive_can_be_worked_on_and_holds_no_rubbish(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = {"pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "THIRD_PARTY_LICENSES", "tests/conftest.py"}
    assert needed <= names
    git = ["git", "ls-files", "-z"]
    tracked = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=False).stdout.split("\0")
    assert {name for name in tracked if name and (ROOT / name).exists()} <= names
    rubbish = (".venv", "__pycache__", ".hypothesis", "_cache", ".ipynb_checkpoints", ".pyc")
    assert not [name for name in names if any(part in name for part in rubbish)]


@pytest.mark.slow
@pytest.mark.release
def test_the_archives_are_fit_for_the_index(built: Path) -> None:
    archives = sorted(built.glob("diarnb-*"))
    assert len(archives) == 2
    assert succeed(sys.executable, "-m", "twine", "check", "--strict", *archives, cwd=ROOT).count("PASSED") == 2
    (wheel,) = built.glob("*.whl")
    assert succeed(sys.executable, "-m", "check_wheel_contents", wheel, cwd=built).endswith("OK\n")
    elsewhere = "AuthorEmail,BusFactor,SDist"  # there is no mail address, and the latter two ask PyPI
    told = succeed(sys.executable, "-m", "pyroma", "--skip-tests", elsewhere, "-n", "10", ROOT, cwd=built)
    assert "10/10" in told


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [
        ("github-workflows", ".github/workflows/*.yml"),
        ("dependabot", ".github/dependabot.yml"),
        ("github-issue-forms", ".github/ISSUE_TEMPLATE/[!c]*.yml"),
        ("github-issue-config", ".github/ISSUE_TEMPLATE/config.yml"),
        ("citation-file-format", "CITATION.cff"),
    ],
)
def test_what_github_reads_is_as_its_schema_says(schema: str, pattern: str) -> None:
    files = sorted(ROOT.glob(pattern))
    assert files
    succeed(sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", *files, cwd=ROOT)


def test_no_workflow_is_careless() -> None:
    """Actions are pinned to commits, rights are the least, nothing from outside is run: what zizmor looks for."""
    zizmor = shutil.which("zizmor", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    assert zizmor is not None
    succeed(zizmor, "--offline", "--quiet", ".github", cwd=ROOT)


def test_a_release_runs_what_is_in_the_repository() -> None:
    """Commands of a workflow that name a file of ours name one that exists, and the version is the same everywhere."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / ".github" / "workflows").glob("*.yml")]
    for name in re.findall(r"\brun: (\.?\w+/\w+)|-e \"\.\[(\w+)\]\"", "\n".join(texts)):
        assert (ROOT / name[0]).is_file() if name[0] else name[1] in PROJECT["optional-dependencies"]
    cited = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    assert cited is not None
    assert cited[1] == PROJECT["version"]


@pytest.mark.slow
def test_the_command_line_works_in_a_fresh_environment(fresh: Environment, tmp_path: Path) -> None:
    asked = ("--example", "interview", "-o", "t.png", "-o", "t.rttm", "--no-progress")
    out = succeed(fresh.python, "-m", "diarnb", *asked, cwd=tmp_path)
    assert "SPEAKER_01" in out
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "t.rttm").read_text().count("SPEAKER_0") > 10


@pytest.mark.slow
def test_the_command_is_installed(fresh: Environment, tmp_path: Path) -> None:
    program = fresh.python.with_name("diarnb.exe" if os.name == "nt" else "diarnb")
    assert succeed(program, "--version", cwd=tmp_path) == succeed(
        fresh.python, "-m", "diarnb", "--version", cwd=tmp_path
    )


@pytest.mark.slow
def test_diarize_works_in_a_fresh_environment_from_another_folder(fresh: Environment, tmp_path: Path) -> None:
    code = """
        import sys
        import diarnb
        light = set(sys.modules)
        turns = diarnb.diarize(diarnb.example("call"), progress=False)
        diarnb.timeline(turns)
        diarnb.clip(turns, 0, 1)
        print(turns["speaker"].nunique(), diarnb.__version__, diarnb.__file__)
        print(*({"numpy", "pandas", "matplotlib", "onnxruntime"} & light))
        """
    first, second = succeed(fresh.python, "-c", textwrap.dedent(code), cwd=tmp_path).splitlines()
    speakers, version, file = first.split(maxsplit=2)
    assert (speakers, second) == ("2", "")
    assert version in "".join(path.name for path in Path(file).parents[1].glob("diarnb-*.dist-info"))
    assert fresh.folder in Path(file).parents


@pytest.mark.slow
def test_the_notebooks_run_without_extras_and_a_sentence_says_what_is_missing(
    fresh: Environment, tmp_path: Path
) -> None:
    code = """
import diarnb, warnings
wants = {
    "server": lambda: diarnb.serve(),
    "live": lambda: next(diarnb.stream([b"\\\\0" * 32000], engine="deepgram", api_key="none", base_url="http://[::1]:9")),
    "moonshine": lambda: diarnb.diarize(diarnb.example("interview"), words="moonshine"),
    "sphinx": lambda: diarnb.diarize(diarnb.example("interview"), words="sphinx"),
    "whisper": lambda: diarnb.diarize(diarnb.example("interview"), words="whisper"),
    "parquet": lambda: diarnb.write(diarnb.read(diarnb.example("call").with_suffix(".rttm")), "turns.parquet"),
}
for extra, want in wants.items():
    try:
        want()
    except diarnb.errors.ConfigurationError as error:
        assert f"diarnb[{extra}]" in str(error), error
    else:
        raise AssertionError(extra)
diarnb.show_versions()
"""
    out = fresh.ask(code, tmp_path / "asked")
    assert re.search(r"^aiohttp +not installed +\[server\]$", out, re.MULTILINE)
    check(fresh, ("01", "02", "03"), tmp_path)


@pytest.fixture(scope="session")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "diarnb", folder / "diarnb", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture
def installation(copied: Path) -> Iterator[Path]:
    """Folder of a copy of the package whose models may be harmed; they heal afterwards."""
    yield copied
    shutil.rmtree(copied / "diarnb" / MODELS)
    shutil.copytree(ROOT / "diarnb" / MODELS, copied / "diarnb" / MODELS)


def _flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _garbage_with_its_own_hash(path: Path) -> None:
    path.write_bytes(b"not a network")
    listed = json.loads((path.parent / "provenance.json").read_text())
    listed[path.stem]["sha256"] = hashlib.sha256(b"not a network").hexdigest()
    (path.parent / "provenance.json").write_text(json.dumps(listed))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["segmentation.onnx", "embedding.onnx", "resnet34.onnx"])
@pytest.mark.parametrize(
    "harm",
    [Path.unlink, lambda path: path.write_bytes(b""), lambda path: os.truncate(path, 100_000), _flipped],
    ids=["missing", "empty", "truncated", "flipped bit"],
)
def test_a_harmed_model_is_named_with_the_way_to_heal_it(installation: Path, name: str, harm: object) -> None:
    harm(installation / "diarnb" / MODELS / name)  # type: ignore[operator]
    check_sentence(installation, name)


@pytest.mark.slow
def test_a_model_that_the_runtime_cannot_read_is_named(installation: Path) -> None:
    _garbage_with_its_own_hash(installation / "diarnb" / MODELS / "embedding.onnx")
    check_sentence(installation, "embedding.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe{", b"[]", b'{"segmentation": {}}'], ids=repr)
def test_a_harmed_list_of_models_is_named_with_the_way_to_heal_it(installation: Path, content: bytes | None) -> None:
    path = installation / "diarnb" / MODELS / "provenance.json"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    check_sentence(installation, "provenance.json")


def check_sentence(installation: Path, name: str) -> None:
    code = """
        import soundfile
        import diarnb
        from diarnb.errors import ConfigurationError
        try:
            sound, rate = soundfile.read(diarnb.example("interview"), frames=40_000)
            diarnb.diarize((sound, rate), progress=False)
        except ConfigurationError as error:
            print(error)
        assert diarnb.runs().empty
        """
    sentence = succeed(sys.executable, "-c", textwrap.dedent(code), cwd=installation)
    assert name in sentence
    assert "pip install --force-reinstall" in sentence
    assert len(sentence) <= 400
    assert str(installation) not in sentence
