"""The JavaScript and the styles of the widgets: joined into one module, linted, and right where no page is needed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from diarnb.widgets import frontend

ROOT = Path(__file__).parents[1]
FOLDER = Path(frontend.__file__).parent
SCRIPTS = ("player/player.js", "clip.js", "copy.js", "guard.js", "rows.js")


def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("node is not installed, which runs the modules of the widgets without a page")
    return found


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_module_is_joined_with_those_it_imports_and_needs_nothing_from_elsewhere(name: str) -> None:
    source = frontend.load_script(name)
    for word in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "new Function", "import(",
                 "import ", "https://", "fetch(\"", "XMLHttpRequest", "localStorage"):  # fmt: skip
        assert word not in source, word
    assert len(re.findall(r"^export ", source, re.MULTILINE)) == 1  # the one that a front end looks for
    addresses = {part for part in source.split('"') if "//" in part and part.startswith("http")}
    assert addresses <= {"http://www.w3.org/2000/svg"}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_joined_module_is_one_that_can_be_read(name: str) -> None:
    command = [node(), "--input-type=module", "--check", "-"]  # a name that is there twice would be an error
    done = subprocess.run(command, input=frontend.load_script(name), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_module_is_part_of_a_widget() -> None:
    joined = "".join(map(frontend.load_script, SCRIPTS))
    for path in FOLDER.rglob("*.js"):
        body = path.read_text(encoding="utf-8").splitlines()[-3].strip()
        assert body in joined, path.name


def test_the_javascript_and_the_styles_are_linted() -> None:
    biome = shutil.which("biome") or shutil.which("biome", path=str(ROOT / "node_modules" / ".bin"))
    if biome is None:
        pytest.skip("biome is not installed, which lints the JavaScript: npm install --global @biomejs/biome")
    sources = [str(FOLDER), "diarnb/formats/page", "diarnb/widgets/still", "tests/player_arithmetic.mjs"]
    command = [biome, "lint", "--error-on-warnings", *sources]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_the_page_works_out_by_itself(tmp_path: Path) -> None:
    for source in (ROOT / "tests" / "player_arithmetic.mjs", FOLDER / "player" / "arithmetic.js"):
        target = tmp_path / source.relative_to(ROOT)
        target.parent.mkdir(parents=True)
        shutil.copy(source, target)
    (tmp_path / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    command = [node(), "tests/player_arithmetic.mjs"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
