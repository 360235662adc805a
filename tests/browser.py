"""A real browser before a real JupyterLab, both on loopback and thrown away afterwards.

A test module says ``pytest_plugins = ["tests.browser"]`` and its tests take the fixture `lab`. There is one JupyterLab
and one Chromium for the session; where playwright, jupyterlab or Chromium is missing, these tests are skipped with a
sentence. Set DIARNB_SCREENSHOTS to a folder to look at what `Notebook.screenshot` saw.

Playwright's synchronous API leaves an event loop running in its thread, in which nobody else could say `asyncio.run`:
so it lives in a thread of its own, and every test that takes `lab` runs there, and may use `notebook.page` at will.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PATIENCE = 120.0  # seconds; a bound against hanging, on whatever machine, and no expectation
_SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "apputils-extension/themes": {"theme": "JupyterLab Light"},
    "notebook-extension/tracker": {"windowingMode": "none"},  # cells out of sight are in the page as well
    "docmanager-extension/plugin": {"autosave": False},
}
# What has no part in showing a notebook takes a third of the time in which JupyterLab starts, for every test anew.
_IDLE = (
    "audio console csvviewer debugger extensionmanager fileeditor help htmlviewer hub imageviewer launcher logconsole"
    " lsp markdownviewer mermaid pdf pluginmanager running settingeditor terminal vega5 video"
)
_PANEL = "window.jupyterapp?.shell.currentWidget"  # a page may be asked before the application is there


class Notebook:
    """A notebook that is open in the browser."""

    def __init__(self, lab: Lab, path: Path, page: Any) -> None:
        self.lab, self.path, self.page = lab, path, page
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def run(self, *cells: int, wait: bool = True, timeout: float = PATIENCE) -> None:
        """Run cells by their numbers, one after the other as a person does; all of them in one go where none is named.

        Without `wait` they are only queued, as "Run All" does.
        """
        for number in cells or [None]:
            select = f"panel.content.deselectAll(); panel.content.activeCellIndex = {number};"
            self.page.evaluate(
                f"""command => {{ const panel = {_PANEL}; {"" if number is None else select}
                    window.ran = false;
                    window.jupyterapp.commands.execute(command).finally(() => {{ window.ran = true; }}); }}""",
                "notebook:run-all-cells" if number is None else "notebook:run-cell",
            )
            if wait:
                self.page.wait_for_function("window.ran", timeout=timeout * 1000)
                self.idle(timeout)

    def idle(self, timeout: float = PATIENCE) -> None:
        """Wait until the kernel has nothing to do and no cell waits for it."""
        self.page.wait_for_function(
            f"{_PANEL}.sessionContext.session.kernel.status === 'idle'"
            " && ![...document.querySelectorAll('.jp-InputPrompt')].some(prompt => prompt.innerText.includes('*'))",
            timeout=timeout * 1000,
        )

    def interrupt(self) -> None:
        """Press the kernel's stop button."""
        self.page.evaluate("window.jupyterapp.commands.execute('notebook:interrupt-kernel')")

    def restart(self) -> None:
        """Restart the kernel, without the question whether one is sure."""
        self.page.evaluate(f"{_PANEL}.sessionContext.session.kernel.restart()")
        self.idle()

    def value(self, expression: str, timeout: float = PATIENCE) -> Any:
        """Evaluate an expression in the kernel, as a cell between the others would; what it gives goes through JSON."""
        code = f"__import__('json').dumps({expression})"
        self.page.evaluate(
            f"""code => {{ window.answer = null;
                {_PANEL}.sessionContext.session.kernel
                    .requestExecute({{code: '', store_history: false, user_expressions: {{it: code}}}})
                    .done.then(reply => {{ window.answer = reply.content.user_expressions.it; }}); }}""",
            code,
        )
        self.page.wait_for_function("window.answer", timeout=timeout * 1000)
        answer = self.page.evaluate("window.answer")
        assert answer["status"] == "ok", answer
        return json.loads(eval(answer["data"]["text/plain"], {"__builtins__": {}}))  # the repr of a text

    def cell(self, number: int) -> Any:
        """Give a cell, input and outputs, as a Playwright locator."""
        return self.page.locator(".jp-Notebook-cell").nth(number)

    def output(self, number: int) -> Any:
        """Give the outputs of a cell as a Playwright locator."""
        return self.cell(number).locator(".jp-Cell-outputArea")

    def text(self, number: int) -> str:
        """Give what a person reads in the outputs of a cell."""
        return str(self.output(number).inner_text())

    def add(self, cell: str) -> int:
        """Put a cell at the end, and give its number."""
        self.page.evaluate(
            f"""source => {{ const model = {_PANEL}.content.model.sharedModel;
                model.insertCell(model.cells.length, {{cell_type: 'code', source}}); }}""",
            cell,
        )
        return int(self.page.evaluate(f"{_PANEL}.content.widgets.length")) - 1

    def save(self, *, widget_state: bool = False) -> nbformat.NotebookNode:
        """Save the notebook, with the state of its widgets where wished for; give what then is in the file."""
        self._keep_states(widget_state)
        self.page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
        return nbformat.read(self.path, as_version=4)

    def _keep_states(self, wished: bool) -> None:
        """Set what is a switch in JupyterLab's menu, and stays as it is for the notebooks that follow."""
        name = "'@jupyter-widgets/jupyterlab-manager:saveWidgetState'"
        if self.page.evaluate(f"window.jupyterapp.commands.isToggled({name})") != wished:
            self.page.evaluate(f"window.jupyterapp.commands.execute({name})")
            self.page.wait_for_function(f"window.jupyterapp.commands.isToggled({name}) === {str(wished).lower()}")

    def screenshot(self, name: str, part: Any = None) -> Path:
        """Take a picture of a part of the page (a locator), or of all that is in sight."""
        path = self.lab.pictures / f"{name}.png"
        (part or self.page).screenshot(path=path)
        return path

    def close(self) -> None:
        """Shut the kernel down and close the page."""
        self.page.evaluate(f"{_PANEL}?.sessionContext.shutdown()")
        self.page.evaluate("localStorage.clear(); sessionStorage.clear()")
        self.page.close()


class Lab:
    """JupyterLab and a browser to look at it.

    Attributes
    ----------
    folder : Path
        Where the notebooks are, and so the working directory of their kernels.
    home : Path
        The DIARNB_HOME of their kernels.
    strays : list of str
        Addresses beyond loopback that pages asked for; none is reached.
    browser : playwright.sync_api.BrowserContext
        Of which all pages are tabs, so that JupyterLab's programs are read and compiled once.
    """

    def __init__(self, base: Path, chromium: str) -> None:
        self.folder, self.home = base / "notebooks", base / "diarnb-home"
        self.pictures = Path(os.environ.get("DIARNB_SCREENSHOTS", base / "pictures"))
        self._settings = base / "settings"
        page_config = base / "config" / "labconfig"
        for folder in (self.folder, self.pictures, self._settings, page_config):
            folder.mkdir(parents=True, exist_ok=True)
        idle = {f"@jupyterlab/{name}-extension": True for name in _IDLE.split()}
        (page_config / "page_config.json").write_text(json.dumps({"disabledExtensions": idle}), encoding="utf-8")
        self.strays: list[str] = []
        self._opened: list[Notebook] = []
        self.theme("light")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.origin = f"http://127.0.0.1:{free.getsockname()[1]}"
        self._server = self._serve(base)
        try:
            from playwright.sync_api import sync_playwright

            self._playwright = sync_playwright().start()
            # The network's own name for nowhere: what is not on loopback does not resolve.
            rules = "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
            arguments = ["--no-sandbox", f"--host-resolver-rules={rules}", "--autoplay-policy=no-user-gesture-required"]
            self.browser = self._playwright.chromium.launch_persistent_context(
                base / "profile", executable_path=chromium, args=arguments
            )
            self.browser.grant_permissions(["clipboard-read", "clipboard-write"], origin=self.origin)
            self.browser.set_default_timeout(PATIENCE * 1000)
        except BaseException:
            self._server.terminate()
            raise

    def _serve(self, base: Path) -> subprocess.Popen[bytes]:
        own = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime"}
        own |= {
            "IPYTHONDIR": "ipython",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        }
        environment = {**os.environ, **{name: str(base / folder) for name, folder in own.items()}}
        environment |= {"DIARNB_HOME": str(self.home), "HOME": str(base), "JUPYTER_PLATFORM_DIRS": "0"}
        for key in ("PYANNOTEAI_API_KEY", "DEEPGRAM_API_KEY"):
            environment.pop(key, None)
        flags = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": self.origin.rpartition(":")[2],
            "ServerApp.port_retries": 0,
            "ServerApp.open_browser": False,
            "ServerApp.allow_root": True,
            "ServerApp.root_dir": self.folder,
            "IdentityProvider.token": "",
            "ServerApp.terminals_enabled": False,
            "LabApp.expose_app_in_browser": True,
            "JupyterNotebookApp.expose_app_in_browser": True,
            "LabApp.extension_manager": "readonly",
        }
        command = [sys.executable, "-m", "jupyterlab", *(f"--{name}={value}" for name, value in flags.items())]
        with (base / "server.log").open("wb") as log:
            server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        end = time.monotonic() + PATIENCE
        while True:
            try:
                urllib.request.urlopen(f"{self.origin}/api/status", timeout=PATIENCE).close()
            except OSError:
                if server.poll() is not None or time.monotonic() > end:
                    server.kill()
                    pytest.fail(f"JupyterLab did not start: {(base / 'server.log').read_text()[-2000:]}")
                time.sleep(0.1)
            else:
                return server

    def theme(self, name: str) -> None:
        """Show pages that are opened from now on "light" or "dark"."""
        dark = {"apputils-extension/themes": {"theme": f"JupyterLab {name.title()}"}}
        for place, settings in (_SETTINGS | dark).items():
            path = self._settings / "@jupyterlab" / f"{place}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(settings), encoding="utf-8")

    def open(self, cells: Sequence[str], *, name: str = "test", **how: Any) -> Notebook:
        """Write a notebook with these cells, and `visit` it with a kernel of its own; nothing has run yet."""
        written = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell, id=f"cell-{number}") for number, cell in enumerate(cells)],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        )
        path = self.folder / f"{name}-{len(self._opened)}.ipynb"
        nbformat.write(written, path)
        return self.visit(path, **how)

    def visit(self, path: Path, *, frontend: str = "lab", width: int = 1100, height: int = 1400) -> Notebook:
        """Open a notebook that is there already, in "lab" or in "notebook 7", which the same server has."""
        if frontend != "lab":
            pytest.importorskip("notebook", minversion="7", reason="this needs `pip install notebook`")
        page = self.browser.new_page()
        page.set_viewport_size({"width": width, "height": height})
        page.on("request", lambda request: self._note(request.url))
        notebook = Notebook(self, path, page)
        self._opened.append(notebook)
        page.goto(f"{self.origin}/{'doc/tree' if frontend == 'lab' else 'notebooks'}/{path.name}?reset")
        page.wait_for_function(f"{_PANEL}?.sessionContext?.session?.kernel?.status === 'idle'", timeout=PATIENCE * 1000)
        page.locator(".jp-Notebook-cell").first.wait_for()
        return notebook

    def _note(self, address: str) -> None:
        if not address.startswith((self.origin, "data:", "blob:", "about:")):
            self.strays.append(address)

    def tidy(self) -> None:
        """Close all notebooks, forget what was corrected in them, and be light again."""
        while self._opened:
            self._opened.pop().close()
        shutil.rmtree(self.home / "corrections", ignore_errors=True)
        self.strays.clear()
        self.theme("light")

    def close(self) -> None:
        """End the browser and the server."""
        try:
            self.browser.close()
            self._playwright.stop()
        finally:
            self._server.terminate()  # it ends its kernels
            self._server.wait(timeout=PATIENCE)


class _Stage:
    """The thread in which the browser lives."""

    def __init__(self, base: Path, chromium: str) -> None:
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="browser")
        try:
            self.lab = self.thread.submit(Lab, base, chromium).result()
        except BaseException:
            self.thread.shutdown()
            raise

    def close(self) -> None:
        self.thread.submit(self.lab.close).result()
        self.thread.shutdown()


@pytest.fixture(scope="session")
def browser_stage() -> Iterator[_Stage]:
    """Start JupyterLab and the browser, once."""
    for package in ("playwright", "jupyterlab"):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed, which tests in a real browser need: pip install {package}")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no Chromium on the path, which tests in a real browser need: apt install chromium")
    with tempfile.TemporaryDirectory(prefix="diarnb-lab-", ignore_cleanup_errors=True) as base:
        stage = _Stage(Path(base), chromium)
        try:
            yield stage
        finally:
            stage.close()


@pytest.fixture
def lab(browser_stage: _Stage) -> Iterator[Lab]:
    """Give JupyterLab without an open notebook; the test runs in the browser's thread."""
    yield browser_stage.lab
    browser_stage.thread.submit(browser_stage.lab.tidy).result()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that takes `lab` where the browser lives."""
    if "lab" not in pyfuncitem.fixturenames:
        return None
    stage: _Stage = pyfuncitem.funcargs["browser_stage"]
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    stage.thread.submit(pyfuncitem.obj, **arguments).result()
    return True
