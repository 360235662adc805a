"""Where the recording comes from: the first question of the panel."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets

from diarnb._text import public_url, visible
from diarnb.engines.cloud.links import is_link
from diarnb.widgets import parts
from diarnb.widgets.controls import choices

if TYPE_CHECKING:
    from collections.abc import Callable

    from diarnb._types import Options

_SOUNDS = {".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".mp4", ".webm", ".aiff", ".aif"}
_MOST_FILES = 200


class Picker:
    """Where the recording comes from: an example, a file, an upload, an address, or what was passed.

    Attributes
    ----------
    source : choices.Source
        What is chosen; another object whenever that changes.
    """

    def __init__(self, source: Any, changed: Callable[[], None]) -> None:
        self._changed, self._given = changed, source
        self._upload: choices.Upload | None = None
        self._address: tuple[str, str] = ("", "")  # as it is shown, and as it is
        kind = choices.kind_of(source)
        kinds = [("example", "example"), ("file", "file"), ("upload", "upload"), ("address", "url")]
        if kind == "given":
            kinds.append(("as passed", "given"))
        self.kind: ipywidgets.RadioButtons = parts.radio("Recording", kinds, kind)
        place = parts.wide("31em")
        named = Path(source).stem if kind == "example" and source is not None else choices.EXAMPLES[0]
        self.example: ipywidgets.Dropdown = parts.make(
            ipywidgets.Dropdown, description="Example", options=choices.EXAMPLES, value=named, **place
        )
        self.path: ipywidgets.Combobox = parts.make(
            ipywidgets.Combobox,
            description="Path",
            value=os.fsdecode(source) if kind == "file" else "",
            options=_sounds_here(),
            placeholder="talk.wav",
            continuous_update=False,
            **place,
        )
        self.upload: ipywidgets.HBox = parts.row(self._uploader())
        self._uploaded = parts.make(ipywidgets.HTML)
        self._clear = parts.make(ipywidgets.Button, description="Clear", icon="times", layout={"width": "auto"})
        self._clear.on_click(lambda _: self._take_upload(None))
        parts.visible_if(self._clear, False)
        self._browser = Browser(self._take_path)
        self.url: ipywidgets.Text = parts.make(
            ipywidgets.Text, description="Address", placeholder="https://…", continuous_update=False, **place
        )
        self.facts: ipywidgets.HTML = parts.help_line()
        file = parts.row(self.path, self._browser.button)
        upload = parts.row(self.upload, self._uploaded, self._clear)
        self._places = {"example": self.example, "file": file, "upload": upload, "url": self.url}
        self.box: ipywidgets.VBox = parts.column(
            self.kind, parts.row(*self._places.values(), self.facts), self._browser.box
        )
        if kind == "url":
            self._take_address(source)
        self.source: choices.Source = self._choose_source()
        for widget in (self.kind, self.example, self.path):
            widget.observe(lambda _: self._handle_pick(), "value")
        self.url.observe(self._handle_address, "value")

    def _choose_source(self) -> choices.Source:
        kind = self.kind.value
        for name, place in self._places.items():
            parts.visible_if(place, name == kind)
        if kind != "file":
            self._browser.button.value = False
        (self.facts.add_class if kind == "given" else self.facts.remove_class)("diarnb-indented")
        values = {"example": self.example.value, "file": self.path.value, "upload": self._upload}
        return choices.source_of(kind, {**values, "url": self._address[1], "given": self._given}[kind])

    def _handle_pick(self) -> None:
        self.source = self._choose_source()
        self._changed()

    def _handle_address(self, change: Options) -> None:
        if change["new"] != self._address[0]:
            self._take_address(change["new"])
            self._handle_pick()

    def _take_address(self, address: str) -> None:
        # A signed address is a key: the whole of it stays here, and the page and a saved notebook have what is public.
        self._address = (public_url(address) if is_link(address) else address, address)
        self.url.value = self._address[0]

    def _uploader(self) -> ipywidgets.FileUpload:
        made = parts.make(
            ipywidgets.FileUpload,
            accept="audio/*,video/*",
            description="Choose a file",
            layout={"width": "auto", "margin": "2px 8px 2px 88px"},
        )
        made.observe(self._handle_upload, "value")
        return made

    def _handle_upload(self, change: Options) -> None:
        value = change["new"]
        if not value:
            return
        [name, file] = next(iter(value.items())) if isinstance(value, dict) else (value[0]["name"], value[0])
        # A widget's state holds what was uploaded, and a saved notebook would have it too: the next widget does not.
        [old] = self.upload.children
        self.upload.children = [self._uploader()]
        parts.close_all(old)
        self._take_upload(choices.Upload(str(name), bytes(file["content"])))

    def _take_upload(self, upload: choices.Upload | None) -> None:
        self._upload = upload
        size = 0 if upload is None else len(upload.getbuffer())
        told = "" if upload is None else f"{visible(upload.name, limit=60)} · {size / 1e6:.1f} MB"
        self._uploaded.value = parts.note(told)
        parts.visible_if(self._clear, upload is not None)
        self._handle_pick()

    def _take_path(self, path: Path) -> None:
        self.path.value = os.fsdecode(path)


class Browser:
    """The folders and recordings on the machine where Python runs, from the working directory on.

    Attributes
    ----------
    folder : pathlib.Path
        What is shown.
    button : ToggleButton
        Shows the list, or hides it.
    list : Select
        A folder in it opens, a recording in it is chosen.
    """

    def __init__(self, chosen: Callable[[Path], None]) -> None:
        self._chosen, self._filling = chosen, False
        self.folder: Path = Path()
        self.button: ipywidgets.ToggleButton = parts.make(
            ipywidgets.ToggleButton, description="Browse", icon="folder-open", layout={"width": "auto"}
        )
        self.list: ipywidgets.Select = parts.make(
            ipywidgets.Select, description="Files", rows=10, options=[], value=None, **parts.wide("31em")
        )
        self._where = parts.help_line()
        self.box: ipywidgets.VBox = parts.column(parts.row(self.list, self._where))
        parts.visible_if(self.box, False)
        self.button.observe(lambda change: self._open(change["new"]), "value")
        self.list.observe(self._enter, "value")

    def _open(self, shown: bool) -> None:
        parts.visible_if(self.box, shown)
        if shown:
            self._fill(Path.cwd() if self.folder == Path() else self.folder)

    def _fill(self, folder: Path) -> None:
        try:
            inside = sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=_sort_key)
        except OSError as error:
            self._where.value = parts.note(f"{folder.name}: {error.strerror}", problem=True)
            return
        known = [path for path in inside if path.is_dir() or path.suffix.lower() in _SOUNDS]
        self.folder, self._filling = folder, True  # new options choose the first one by themselves
        self._where.value = parts.note(str(folder) + ("" if len(known) <= _MOST_FILES else " (the first 200)"))
        shown = [(f"{path.name}/" if path.is_dir() else path.name, path) for path in known[:_MOST_FILES]]
        self.list.options = [("../", folder.parent), *((visible(name, limit=60), path) for name, path in shown)]
        self.list.index = None
        self._filling = False

    def _enter(self, change: Any) -> None:
        path = change["new"]
        if path is None or self._filling:
            return
        if path.is_dir():
            self._fill(path.resolve())
        else:
            self._chosen(path)


def _sort_key(path: Path) -> tuple[bool, str]:
    return not path.is_dir(), path.name.casefold()


def _sounds_here() -> list[str]:
    try:
        found = (path.name for path in Path().iterdir() if path.suffix.lower() in _SOUNDS and path.name.isprintable())
        return sorted(found)[:_MOST_FILES]
    except OSError:
        return []
