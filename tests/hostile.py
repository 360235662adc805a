"""Sixty texts that want to be more than text, and a count of those that become more on four surfaces (figure S10).

A text stands wherever one from outside can stand: it is the name of the recording and of a speaker, what is said, a
remark and an error of an engine. A surface is judged by its structure, its elements with their attributes: that of a
hostile text must equal that of a harmless one. (What scripts do with texts is seen in a browser only:
tests/test_widget_safety.py.)
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import warnings
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import ipywidgets
import nbformat
import numpy as np
import soundfile

from diarnb.engines.base import Answer, Offer
from diarnb.errors import AudioError, DiarnbWarning
from diarnb.widgets.cards import cards
from diarnb.widgets.controls import choices, controls
from diarnb.widgets.player import player
from diarnb.widgets.review import review

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from diarnb.engines.base import Progress
    from diarnb.params import Params

_DO = "window.hit=1"
TEXTS: tuple[str, ...] = (
    *(
        f"<script>{_DO}</script>",
        f"</script><script>{_DO}</script>",
        f"<ScRiPt>{_DO}</sCrIpT>",
        "<script src=//x.test>",
    ),
    *(
        f"<img src=x onerror={_DO}>",
        f'<img src=x onerror="{_DO}">',
        f"<img/src=x/onerror={_DO}>",
        f"<svg onload={_DO}>",
    ),
    *(f"<svg><script>{_DO}</script></svg>", f"<body onload={_DO}>", f"<input autofocus onfocus={_DO}>"),
    *(
        f"<details open ontoggle={_DO}>x</details>",
        f"<video><source onerror={_DO}></video>",
        f"<audio src onerror={_DO}>",
    ),
    *(f"<iframe srcdoc='<script>parent.{_DO}</script>'></iframe>", f"<iframe src=javascript:parent.{_DO}></iframe>"),
    *(f"<object data=javascript:{_DO}>", f"<embed src=javascript:{_DO}>", f"<a href=javascript:{_DO}>here</a>"),
    *(f'" onmouseover="{_DO}', f"' onmouseover='{_DO}", f'"><img src=x onerror={_DO}>', f"'><img src=x onerror={_DO}>"),
    *(f"</td><td><img src=x onerror={_DO}>", f"</table><img src=x onerror={_DO}>", f"</pre><img src=x onerror={_DO}>"),
    *(f"</style><img src=x onerror={_DO}>", f"</title><img src=x onerror={_DO}>", f"-->{_DO}<!--", f"]]><b>{_DO}</b>"),
    *(
        f"</textarea><img src=x onerror={_DO}>",
        f"</code></bdi></span><svg onload={_DO}>",
        f"</select><svg onload={_DO}>",
    ),
    *(f"javascript:{_DO}", f"data:text/html,<script>{_DO}</script>", f"${{{_DO}}}", f"{{{{{_DO}}}}}", f"`${{{_DO}}}`"),
    *(
        f"\\u003cimg src=x onerror={_DO}\\u003e",
        f"&lt;img src=x onerror={_DO}&gt;",
        f"&#60;img src=x onerror={_DO}&#62;",
    ),
    *("<b>bold</b>", "<h1>large", "<style>*{display:none}</style>", "<link rel=stylesheet href=//x.test/a.css>"),
    *("<base href=//x.test/>", "<meta http-equiv=refresh content=0;url=//x.test/>", "<form action=//x.test><button>go"),
    *(
        f"[here](javascript:{_DO})",
        "![x](//x.test/a.png)",
        f"\n\n<img src=x onerror={_DO}>\n\n",
        "\n# a heading\n\n---\n",
    ),
    *(f"```\n<img src=x onerror={_DO}>", f"$$\\href{{javascript:{_DO}}}{{x}}$$", "$\\unicode{60}$", "a|b|c\n-|-|-"),
    *(
        f"Beth\u202e<img src=x onerror={_DO}>",
        f"line\u2028<svg onload={_DO}>",
        f"\x00<img src=x onerror={_DO}>",
        "\x1b[31mred",
    ),
)
HARMLESS = "Beth"
SURFACES = ("repr", "widget state", "static export", "markdown")


class Talker:
    """An engine that says what it is told to say, as a service with a hostile answer would."""

    name = "talker"
    offer = Offer(models=("talker",))

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = list(texts)

    def version(self, model: str) -> str:
        """Give another one for other texts."""
        return hashlib.sha256("\0".join(self.texts).encode()).hexdigest()

    def diarize(self, recording: Any, params: Params, options: Mapping[str, Any], progress: Progress) -> Answer:
        """Name the speakers after the texts; say them in a remark; fail with the first where it is asked to."""
        if params.exclusive:
            raise AudioError(f"{recording.name}: {self.texts[0]}")
        turns = [
            {"start": 0.01 * place, "end": 0.01 * place + 0.01, "speaker": text}
            for place, text in enumerate(self.texts)
        ]
        return Answer({"duration": recording.duration, "diarization": turns, "warning": " ".join(self.texts)})


def recording(name: str) -> choices.Upload:
    """Half a second of silence under a hostile name."""
    sound = io.BytesIO()
    soundfile.write(sound, np.zeros(8000, np.float32), 16000, format="WAV")
    made = choices.Upload("x", sound.getvalue())
    made.name = name.replace("/", "\u2215").replace("\0", "")
    return made


def panels(text: str, others: Sequence[str] = ()) -> Iterator[tuple[Any, Any]]:
    """Every panel with the text wherever one can stand, and what of it is saved as ordinary output."""
    asked = controls(recording(text), engine=Talker([text, *others]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DiarnbWarning)
        turns = asked.run()
    yield asked, asked._repr_mimebundle_()
    asked._form.flags["exclusive"].value = True
    with contextlib.suppress(AudioError):
        asked.run()  # and the text is in the error that the panel shows
    yield asked, {}
    for made in (player, cards, review):
        shown = made(turns.assign(text=text), audio=asked.source)
        yield shown, shown._repr_mimebundle_()
        shown.close()
    asked.close()
    lost = controls(text)  # a path, and nothing is there
    yield lost, lost._repr_mimebundle_()
    lost.close()


class _Structure(HTMLParser):
    """The elements of a page and the names of their attributes, in order; no text, and no values but addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Any] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep an element."""
        schemes = [(value or "").strip().partition(":")[0].lower() for name, value in attrs if name in {"href", "src"}]
        self.found.append((tag, sorted(name for name, _ in attrs), schemes))

    def handle_endtag(self, tag: str) -> None:
        """Keep the end of one."""
        self.found.append(tag)

    def handle_comment(self, data: str) -> None:
        """Keep that there is a comment."""
        self.found.append("comment")

    def handle_decl(self, decl: str) -> None:
        """Keep that there is a declaration."""
        self.found.append("declaration")


def structure(page: str) -> list[Any]:
    """Give what a page is made of, beside its text."""
    parser = _Structure()
    parser.feed(page)
    parser.close()
    return parser.found


def _every(widget: ipywidgets.Widget) -> Iterator[ipywidgets.Widget]:
    yield widget
    for child in getattr(widget, "children", ()):
        yield from _every(child)


def _state(panel: ipywidgets.Widget) -> str:
    """Give all that a front end takes for HTML: values of HTML widgets, and what ipywidgets 7 takes for it as well."""
    parts = []
    for widget in _every(panel):
        if isinstance(widget, ipywidgets.HTML | ipywidgets.HTMLMath):
            parts.append(widget.value)
        if not isinstance(widget, ipywidgets.Button | ipywidgets.ToggleButton | ipywidgets.FileUpload):
            parts.append(getattr(widget, "description", ""))  # theirs is a text in both
    return "<hr>".join(parts)


def faces(text: str) -> tuple[list[str], list[str], list[nbformat.NotebookNode]]:
    """Give the pages of a text: what panels give as HTML, what their states hold, and the outputs of a cell."""
    reprs, states, outputs = [], [], []
    for panel, bundle in panels(text):
        states.append(_state(panel))
        data = bundle[0] if isinstance(bundle, tuple) else bundle  # anywidget gives metadata as well
        if data:
            reprs.append(data["text/html"])
            kept = {kind: data[kind] for kind in ("text/plain", "text/html")}
            outputs.append(nbformat.v4.new_output("display_data", kept))
    return reprs, states, outputs


def _exported(cells: Sequence[list[nbformat.NotebookNode]], exporter: Any) -> list[str]:
    """Export a notebook with these outputs, and cut the page at its cells."""
    made = [nbformat.v4.new_code_cell(f"cell_{number}", outputs=outputs) for number, outputs in enumerate(cells)]
    page, _ = exporter.from_notebook_node(
        nbformat.v4.new_notebook(cells=[*made, nbformat.v4.new_code_cell("cell_end")])
    )
    return re.split(r"cell_(?:\d+|end)", page)[1:-1]


def raw(texts: Sequence[str] = TEXTS) -> list[tuple[str, str]]:
    """Give the surfaces on which a text is more than text, with the text; an empty list is the aim.

    nbconvert makes the static export and the markdown.
    """
    from nbconvert import HTMLExporter, MarkdownExporter

    found = [faces(text) for text in (HARMLESS, *texts)]
    exports = [
        _exported([outputs for *_, outputs in found], exporter()) for exporter in (HTMLExporter, MarkdownExporter)
    ]
    pages = {
        "repr": ["<hr>".join(reprs) for reprs, *_ in found],
        "widget state": ["<hr>".join(states) for _, states, _ in found],
        "static export": exports[0],
        "markdown": exports[1],
    }
    assert all(len(each) == len(texts) + 1 for each in pages.values())
    return [
        (surface, text)
        for surface, (harmless, *each) in pages.items()
        for text, page in zip(texts, each, strict=True)
        if structure(page) != structure(harmless)
    ]
