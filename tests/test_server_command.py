"""How a server is started, from Python and from the command line, and what its page shows."""

from __future__ import annotations

import html.parser
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest
import soundfile

import diarnb
from diarnb import errors, server
from diarnb.__main__ import main
from diarnb.server import openapi, page
from diarnb.server.jobs import Job
from tests.servers import KEY, OTHER_KEY, PATIENCE, in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import InThread

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _no_key_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DIARNB_SERVER_KEY", "DIARNB_WEBHOOK_SECRET"):
        monkeypatch.delenv(name, raising=False)


# --- from Python -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_server_is_started_used_and_gone() -> None:
    with diarnb.serve(workers=1) as served:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", served.base_url)
        answer = httpx.get(f"{served.base_url}/v1/test", headers={"Authorization": f"Bearer {served.key}"})
        assert answer.json()["status"] == "OK"
        assert httpx.get(f"{served.base_url}/v1/test").status_code == 401
        process, folder = psutil.Process(served._process.pid), served._folder
        assert folder is not None
        assert folder.is_dir()
        mine = [process, *process.children()]
        assert served.key not in " ".join(word for each in mine for word in each.cmdline())
    assert not psutil.wait_procs(mine, PATIENCE)[1]
    assert not folder.exists()
    served.stop()  # once more does no harm
    with pytest.raises(httpx.ConnectError):
        httpx.get(served.base_url)


@pytest.mark.slow
def test_a_server_does_not_show_its_key() -> None:
    with server.serve(key=KEY, webhook_secret="s3cret-of-webhooks", workers=1) as served:
        assert served.key == KEY
        assert KEY not in f"{served!r} {served} {vars(served)} {dir(served)}"
        assert "s3cret" not in f"{vars(served)}"
        assert repr(served) == f"<diarnb server at {served.base_url}>"
    assert repr(served) == f"<diarnb server at {served.base_url}, ended>"


def test_a_key_of_the_environment_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIARNB_SERVER_KEY", KEY)
    assert server.choose_key(None).reveal() == KEY
    assert server.choose_key("another-key").reveal() == "another-key"
    monkeypatch.delenv("DIARNB_SERVER_KEY")
    new = {server.choose_key(None).reveal() for _ in range(3)}
    assert len(new) == 3
    assert all(re.fullmatch(r"diarnb-[0-9a-f]{32}", key) for key in new)


@pytest.mark.slow
def test_a_folder_of_its_own_outlives_a_server(tmp_path: Path) -> None:
    with server.serve(folder=tmp_path / "kept", workers=1), pytest.raises(errors.ConfigurationError, match="--folder"):
        server.serve(folder=tmp_path / "kept", workers=1)
    assert (tmp_path / "kept" / "jobs.sqlite").is_file()


@pytest.mark.parametrize(
    "wrong",
    [
        *({"port": -1}, {"port": "80"}, {"port": True}, {"workers": 0}, {"key": "short"}, {"key": ""}),
        *({"allow_url_fetch": "example.org"}, {"rate_limits": "all"}, {"words": "sphynx"}, {"public_url": "x"}),
        {"colour": "red"},
    ],
    ids=str,
)
def test_a_wrong_setting_is_said_before_anything_starts(
    wrong: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(server.subprocess, "Popen", lambda *_, **__: pytest.fail("it was started"))
    with pytest.raises(errors.InvalidParameterError):
        server.serve(**wrong)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_port_in_use_is_said() -> None:
    with in_thread() as other, pytest.raises(errors.ConfigurationError, match=f"port {other.port}: another program"):
        server.serve(port=other.port, workers=1)


def test_without_the_extra_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(server, "find_spec", lambda name: None)
    with pytest.raises(errors.ConfigurationError, match=r'pip install "diarnb\[server\]"'):
        diarnb.serve()
    assert main(["serve"]) == 1
    assert capsys.readouterr().err == 'diarnb: error: the server needs aiohttp: run pip install "diarnb[server]"\n'


def test_the_name_costs_nothing_until_it_is_used() -> None:
    code = "import sys, diarnb; diarnb.serve; print('aiohttp' in sys.modules, 'asyncio' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == "False"


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="processes are killed in another way there")
def test_a_server_ends_with_the_kernel_that_is_killed(tmp_path: Path) -> None:
    code = """
        import diarnb, sys
        server = diarnb.serve(workers=1)
        print(server._process.pid, server._folder, flush=True)
        sys.stdin.read()
        """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as kernel:
        assert kernel.stdout is not None
        pid, folder = kernel.stdout.readline().split()
        process = psutil.Process(int(pid))
        mine = [process, *process.children()]
        kernel.kill()
    assert not psutil.wait_procs(mine, PATIENCE)[1]
    assert not Path(folder).exists()


@pytest.mark.slow
def test_an_end_of_python_ends_the_server() -> None:
    code = "import diarnb; print(diarnb.serve(workers=1)._process.pid)"  # nobody keeps it, nobody stops it
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not psutil.pid_exists(int(done.stdout)) or not psutil.wait_procs([psutil.Process(int(done.stdout))], 60)[1]


# --- from the command line -------------------------------------------------------------------------------------------


class Command:
    """``python -m diarnb serve`` in the foreground of nobody."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "diarnb", "serve", "--port", "0", "--workers", "1", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        assert self.process.stdout is not None
        self.lines = []
        while not self.lines or not self.lines[-1].startswith("Instructions and the server"):
            self.lines.append(self.process.stdout.readline())
            assert self.lines[-1], self.process.communicate()[1]

    @property
    def origin(self) -> str:
        found = re.search(r"http://\S+", self.lines[0])
        assert found is not None
        return found[0]

    def end(self, number: int) -> tuple[int, str, str]:
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, err


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_says_where_it_is_and_ends_when_it_is_told(number: signal.Signals, home: Path) -> None:
    command = Command()
    key = re.search(r"export DIARNB_SERVER_KEY=(\S+)", "".join(command.lines))
    assert key is not None
    answer = httpx.get(f"{command.origin}/v1/test", headers={"Authorization": f"Bearer {key[1]}"})
    assert answer.status_code == 200
    told = "".join(command.lines)
    assert f'Client.API_URL = "{command.origin}/v1"' in told
    assert f'DeepgramClientEnvironment(base="{command.origin}"' in told
    assert told.count(key[1]) == 1
    assert command.end(number) == (0, "", "")
    assert (home / "server" / "jobs.sqlite").is_file()


@pytest.mark.slow
def test_a_key_that_was_given_is_not_shown(tmp_path: Path) -> None:
    command = Command("--folder", str(tmp_path), DIARNB_SERVER_KEY=KEY)
    assert httpx.get(f"{command.origin}/v1/test", headers={"Authorization": f"Bearer {KEY}"}).status_code == 200
    assert KEY not in "".join(command.lines) + "".join(command.end(signal.SIGTERM)[1:])


def test_the_switches_are_what_the_settings_become(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from diarnb.server import process

    seen: list[Any] = []

    async def serve(settings: Any, ready: Any) -> None:
        seen.append(settings)

    monkeypatch.setattr(process, "serve_until_stopped", serve)
    monkeypatch.setenv("DIARNB_WEBHOOK_SECRET", "s3cret-of-webhooks")
    more = ["--allow-webhook", "127.0.0.1", "--allow-webhook", "localhost", "--rate-limits", "vendor", "--memory", "0"]
    more += ["--public-url", "https://speech.example.org", "--streaming-diarize-model", "new", "--workers", "3"]
    for fetch in (["--allow-url-fetch"], ["--allow-url-fetch", "a.example", "b.example"], []):
        assert main(["serve", "--key", KEY, "--folder", str(tmp_path), *fetch, *more]) == 0
    assert main(["serve", "--key", f"{KEY},{OTHER_KEY}"]) == 0
    assert seen.pop().keys == (KEY, OTHER_KEY)
    assert [settings.allow_url_fetch for settings in seen] == [("*",), ("a.example", "b.example"), ()]
    found = seen[0]
    assert (found.allow_webhook, found.rate_limits, found.memory) == (("127.0.0.1", "localhost"), "vendor", 0)
    assert (found.public_url, found.streaming_diarize_model) == ("https://speech.example.org", "new")
    assert (found.workers, found.webhook_secret, found.port) == (3, "s3cret-of-webhooks", 8000)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--port", "99999"], 2, "port is a whole number"),
        (["--key", "short"], 2, "a key has 8 characters"),
        (["--words", "sphynx"], 2, "did you mean 'sphinx'"),
        (["--public-url", "x"], 2, "public_url is an origin"),
        (["--folder", "/dev/null/x"], 1, "cannot be used"),
        (["--host", "192.0.2.1"], 1, "this machine has no such address"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(
    arguments: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--port", "0", "--workers", "1", *arguments]) == code
    said = capsys.readouterr()
    assert says in said.err
    assert said.err.startswith("diarnb: error: ")
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_the_help_prefers_the_environment(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["serve", "--help"])
    assert left.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Better in DIARNB_SERVER_KEY" in text
    assert "Better in DIARNB_WEBHOOK_SECRET" in text


# --- the page --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served() -> Iterator[InThread]:
    with in_thread() as found:
        yield found


class Elements(html.parser.HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_page_shows_how_it_is_and_how_it_is_used(served: InThread) -> None:
    answer = httpx.get(f"{served.base_url}/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    for text in (diarnb.__version__, "aiohttp", "Jobs waiting", "curl", "pyannoteai.sdk", "DeepgramClient(", "0 of 1"):
        assert text in answer.text
    assert served.base_url in answer.text
    assert KEY not in answer.text


def test_the_page_runs_no_script_and_loads_nothing(served: InThread) -> None:
    answer = httpx.get(f"{served.base_url}/")
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    elements = Elements(answer.text).found
    assert {"script", "iframe", "object", "form", "img"}.isdisjoint(tag for tag, _ in elements)
    assert not [name for _, attributes in elements for name in attributes if name.startswith("on") or name == "style"]
    links = [attributes["href"] or "" for tag, attributes in elements if tag in ("a", "link")]
    assert all(link.startswith("/") or link == "data:," for link in links)
    for link in filter(lambda link: link.startswith("/"), links):
        assert httpx.get(served.base_url + link).status_code == 200


def test_the_page_lists_jobs_without_telling_whose_they_are(served: InThread) -> None:
    one = Job("a-secret-id", "somebody", "<b>diarize", {"do": "nothing", "name": "a-secret-name"}, state="succeeded")
    served.call(served.core.jobs.add(one))
    text = httpx.get(f"{served.base_url}/").text
    assert "&lt;b&gt;diarize" in text
    assert "a-secret" not in text
    assert "somebody" not in text


VECTORS = [
    '"><script>alert(1)</script>',
    "'><img src=x onerror=alert(1)>",
    "</pre><svg onload=alert(1)>",
    "&lt;script&gt;",
    "javascript:alert(1)",
]


@pytest.mark.parametrize("vector", VECTORS)
def test_nothing_that_comes_with_a_request_is_markup(served: InThread, vector: str) -> None:
    plain = Elements(httpx.get(f"{served.base_url}/").text).found
    headers = {"User-Agent": vector, "Referer": vector, "Authorization": vector, "X-Forwarded-Host": vector}
    answer = httpx.get(f"{served.base_url}/", params={vector: vector}, headers=headers)
    assert Elements(answer.text).found == plain
    for name in ("Host", "Origin"):
        assert httpx.get(f"{served.base_url}/", headers={name: f"localhost{vector}"}).status_code in (400, 403, 421)


def test_settings_are_no_markup_either() -> None:
    with in_thread(words='"><script>alert(1)</script>') as odd:
        assert "<script" not in httpx.get(f"{odd.base_url}/").text


def test_behind_a_proxy_strangers_are_told_less() -> None:
    with in_thread(public_url="https://speech.example.org") as proxied:
        text = httpx.get(f"{proxied.base_url}/", headers={"Host": "speech.example.org"}).text
        assert "https://speech.example.org/v1" in text
        assert "wss://speech.example.org" in text
        assert diarnb.__version__ not in text
        assert "Jobs" not in text
        assert httpx.get(f"{proxied.base_url}/health").json() == {"status": "ok"}


def test_health_answers_who_looks_after_it(served: InThread) -> None:
    told = httpx.get(f"{served.base_url}/health").json()
    assert told["status"] == "ok"
    assert told["workers"] == {"busy": 0, "all": 1}


def test_what_can_be_copied_is_python(served: InThread) -> None:
    for name, code in page.code_samples(served.base_url).items():
        if name != "curl":
            compile(code, name, "exec")


@pytest.mark.parametrize("name", ["pyannoteai", "deepgram"])
def test_the_descriptions_name_what_is_there(served: InThread, name: str) -> None:
    told = httpx.get(f"{served.base_url}/openapi/{name}.json").json()
    assert told["servers"] == [{"url": served.base_url}]
    described = {(method.upper(), path) for path, methods in told["paths"].items() for method in methods}
    for method, path in described:
        answer = httpx.request(method, served.base_url + path, headers=served.bearer, content=b"")
        assert answer.status_code not in (404, 405) or path == "/v1/jobs/{id}"
    named = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(told)))
    assert named == set(told["components"]["schemas"])
    assert getattr(openapi, name)(served.base_url) == told


@pytest.mark.parametrize(
    "query", ["keyterm=a&model=nova-2", "keywords=a&model=nova-3", "diarize=true&diarize_model=v1"]
)
def test_rules_that_no_schema_can_say_are_described_in_the_words_of_the_refusal(served: InThread, query: str) -> None:
    post = openapi.deepgram(served.base_url)["paths"]["/v1/listen"]["post"]
    rules = {parameter["name"]: parameter["schema"].get("description") for parameter in post["parameters"]}
    answer = httpx.post(f"{served.base_url}/v1/listen?{query}", headers=served.token, content=b"RIFF")
    assert answer.status_code == 400
    assert any(rule is not None and rule in answer.json()["err_msg"] for rule in rules.values())


CHECKS = (
    "not_a_server_error,ignored_auth,status_code_conformance,content_type_conformance,response_schema_conformance,"
    "positive_data_acceptance,negative_data_rejection"
)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "scheme", "examples"), [("pyannoteai", "Bearer", 60), ("deepgram", "Token", 250)])
def test_what_can_be_made_up_from_the_descriptions_is_answered_as_they_say(
    name: str, scheme: str, examples: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than 500 requests a dialect, by schemathesis: what a schema allows is accepted, what it forbids is not."""

    def nowhere(host: str, *_: Any, **__: Any) -> Any:
        raise socket.gaierror(f"{host} is not looked up here")

    with in_thread() as server:  # by which time it knows its own address
        monkeypatch.setattr(socket, "getaddrinfo", nowhere)  # some requests name receivers of webhooks
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.base_url}/openapi/{name}.json"]
        command += ["--header", f"Authorization: {scheme} {KEY}", "--max-examples", f"{examples}", "--seed", "1"]
        command += ["--phases", "coverage,fuzzing", "--checks", CHECKS, "--no-color"]
        environment = {**os.environ, "SCHEMATHESIS_HOOKS": "tests.schemathesis_hooks", "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = re.findall(r"(\d+) generated", done.stdout)
    assert int(made) >= 500


@pytest.mark.slow
@pytest.mark.parametrize("number", range(4))
def test_what_can_be_copied_runs(served: InThread, number: int, tmp_path: Path, home: Path) -> None:
    """With the vendors' own SDKs, and with curl."""
    name, code = list(page.code_samples(served.base_url).items())[number]
    sound, rate = soundfile.read(diarnb.example("interview"), frames=10 * 16_000)
    soundfile.write(tmp_path / "talk.wav", sound, rate)
    command = [sys.executable, "-W", "ignore", "-c", code]
    if name == "curl":
        if shutil.which("curl") is None:
            pytest.skip("curl is not here")
        command = ["sh", "-ec", code]
    environment = {**os.environ, "DIARNB_SERVER_KEY": KEY}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = {"pyannoteAI’s SDK": "SPEAKER_00", "Deepgram’s SDK": "channels", "diarnb": "SPEAKER_00", "curl": '"OK"'}
    assert said[name] in done.stdout
