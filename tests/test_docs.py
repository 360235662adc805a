"""The documentation is built without a warning, holds every public name, and no link in it is dead."""

from __future__ import annotations

import ast
import importlib
import re
import shutil
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import av
import numpy as np
import pandas as pd
import pytest
import soundfile
from pyannote.core import Annotation, Segment

import diarnb

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))


# Not marked as slow, though building takes half a minute: any change of a docstring, page or notebook may break a page.


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the built site."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", f"{folder}-trees", DOCS, folder]
    done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return folder


def test_every_public_name_has_a_page(site: Path) -> None:
    expected = {f"diarnb.{name}" for name in diarnb.__all__}
    for module in (f"diarnb.{name}" for name in dir(diarnb) if not name.startswith("_") and name not in diarnb.__all__):
        names = importlib.import_module(module).__all__
        functions = {name for name in names if callable(getattr(importlib.import_module(module), name))}
        expected |= {f"{module}.{name}" for name in functions - set(diarnb.__all__)}
    text = "".join(path.read_text(encoding="utf-8") for path in (site / "reference").rglob("*.html"))
    described = set(re.findall(r'<dt class="sig[^>]*id="([\w.]+)"', text))
    aliases = {"diarnb.transcribers.Transcriber", "diarnb.engines.Engine"}  # of what is described elsewhere
    assert expected - described <= aliases


def test_a_name_says_since_when_it_is_there(site: Path) -> None:
    added = "Added in version 0.2.0"
    names = site / "reference" / "names"
    assert added in (names / "diarnb.search.html").read_text(encoding="utf-8")
    assert added not in (names / "diarnb.diarize.html").read_text(encoding="utf-8")


def test_models_are_shown_with_what_they_are_good_for(site: Path) -> None:
    page = re.sub(r"<[^>]+>", " ", (site / "engines.html").read_text(encoding="utf-8"))
    for name, (label, told) in diarnb.engines.get("local").offer.model_help.items():
        assert re.search(rf"{re.escape(name)}\s+{label}\s+{told}", page)


def test_every_notebook_is_a_page_with_its_stored_outputs(site: Path) -> None:
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        page = (site / "tutorials" / f"{path.stem}.html").read_text(encoding="utf-8")
        assert page.count("cell_output") >= 3, path.name
        assert "google.colab" not in page
        assert "jupyter-widgets" not in page or "application/vnd.jupyter.widget-view" not in page


def test_no_internal_link_is_dead(site: Path) -> None:
    found = (path for path in site.rglob("*.html") if "_static" not in path.parts)  # templates of the theme
    # Code that is shown may hold what looks like a link.
    pages = {path: re.sub(r"<pre>.*?</pre>", "", path.read_text(encoding="utf-8"), flags=re.DOTALL) for path in found}
    ids = {path: set(re.findall(r'\bid="([^"]+)"', text)) for path, text in pages.items()}
    dead = []
    for path, text in pages.items():
        for link in re.findall(r'\b(?:href|src)="([^"]*)"', text):
            target, _, anchor = unescape(link).partition("#")
            if re.match(r"[a-z]+:", target):
                continue
            file = (path.parent / unquote(target.partition("?")[0])).resolve() if target else path
            if not file.is_file() or (anchor and file in ids and unquote(anchor) not in ids[file]):
                dead.append(f"{path.relative_to(site)}: {link}")
    assert not dead


def test_the_gallery_has_a_small_picture_of_every_plot_and_widget_for_light_pages_and_for_dark_ones(site: Path) -> None:
    text = (DOCS / "gallery.md").read_text(encoding="utf-8")
    plots = {
        name for module in (diarnb.analysis, diarnb.comparing, diarnb.plot) for name in module.__all__ if "plot" in name
    }
    widgets = {"timeline", "show", "player", "cards", "review", "controls", "studio"}
    shown = dict(re.findall(r"(\w+)\([^\n]*\)\n```\n\n```\{image\} pictures/([\w-]+)\.png", text))
    assert set(shown) == plots | widgets
    page = (site / "gallery.html").read_text(encoding="utf-8")
    for name in shown.values():
        light, dark = (DOCS / "pictures" / f"{name}{suffix}.png" for suffix in ("", "-dark"))
        for path, kind in ((light, "only-light"), (dark, "only-dark")):
            assert path.stat().st_size < 60_000
            assert re.search(rf'<img alt="[^"]+" class="{kind}[^>]*{path.name}', page), path.name
        assert light.read_bytes() != dark.read_bytes()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_code_of_a_page_is_python_and_names_what_there_is(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        ast.parse(block)
    for names in re.findall(r"\bdiarnb((?:\.\w+)+)\(", text):
        value: object = diarnb
        for name in names.strip(".").split("."):
            value = getattr(value, name)
        assert callable(value)


@pytest.fixture
def recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder, now the working directory, that holds what the guides and the tour name."""
    meeting, rate = soundfile.read(diarnb.example("meeting"), dtype="float32")
    interview, _ = soundfile.read(diarnb.example("interview"), dtype="float32")
    maya = diarnb.read(diarnb.example("interview").with_suffix(".rttm")).query("speaker == 'Maya'")
    alone = [interview[int(turn.start * rate) : int(turn.end * rate)] for turn in maya.itertuples()]
    for name in ("meeting.wav", "field.wav"):
        soundfile.write(tmp_path / name, meeting, rate)
    soundfile.write(tmp_path / "beth.wav", np.concatenate(alone), rate)
    soundfile.write(tmp_path / "episode.mp3", interview, rate)
    soundfile.write(tmp_path / "talk.wav", interview, rate)
    soundfile.write(tmp_path / "call.wav", *soundfile.read(diarnb.example("call")))
    for folder in ("calls", "episodes"):
        (tmp_path / folder).mkdir()
        for number in range(2):
            soundfile.write(tmp_path / folder / f"{number}.flac", interview[number * 30 * rate :][: 30 * rate], rate)
    with av.open(str(tmp_path / "talk.mp4"), "w") as video:
        stream = video.add_stream("aac", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(interview[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        video.mux([*stream.encode(frame), *stream.encode()])
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def told(recordings: Path) -> dict[str, Any]:
    """Return what the code of the guides and the tour has before it begins."""
    transcript = pd.read_csv(diarnb.example("interview").with_suffix(".words.csv")).drop(columns="speaker")
    annotation = Annotation(uri="talk")
    annotation[Segment(0, 3)] = "A"
    samples, rate = soundfile.read(recordings / "meeting.wav", dtype="float32")
    shutil.copy(diarnb.example("meeting").with_suffix(".rttm"), recordings / "truth.rttm")
    return {
        "diarnb": diarnb,
        "ProcessPoolExecutor": ProcessPoolExecutor,
        "annotation": annotation,
        "transcript": transcript,
        "my_words": transcript,
        "chunks": [samples[start : start + rate] for start in range(0, 20 * rate, rate)],
        "other": diarnb.diarize("meeting.wav", num_speakers=2),
    }


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::diarnb.errors.DiarnbWarning")
@pytest.mark.parametrize(
    ("page", "written", "asked"),
    [
        ("howto", {"field.eaf", "talk.vtt", "speaker.wav"}, {"local", "pyannoteai"}),
        ("tour", {"meeting.html", "meeting.rttm"}, {"local", "pyannoteai", "deepgram"}),
    ],
)
def test_the_code_of_the_guides_and_of_the_tour_runs(
    page: str, written: set[str], asked: set[str], told: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    for name in ("whisper", "moonshine"):  # their weights are not here
        text = text.replace(f'diarize("meeting.wav", words="{name}")', 'diarize("meeting.wav", words=my_words)')
        text = text.replace(f'words="{name}"', "words=transcript" if name == "whisper" else "words=False")
    blocks = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "cuda" not in block.lower()]
    with diarnb.serve(words=False, workers=1) as server:
        for service in ("PYANNOTEAI", "DEEPGRAM"):
            monkeypatch.setenv(f"{service}_BASE_URL", server.base_url)
            monkeypatch.setenv(f"{service}_API_KEY", server.key)
        for block in blocks:
            exec(block, told)
    assert len(blocks) >= 8
    assert written <= {path.name for path in Path.cwd().iterdir()}
    assert set(diarnb.runs()["engine"]) == asked
