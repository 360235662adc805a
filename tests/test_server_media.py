"""Uploads to the server: signed addresses that open one thing only, and files that stay where they belong."""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import httpx
import psutil
import pytest

import diarnb
from diarnb.server.web import media
from diarnb.server.web.disk import DiskReserve
from diarnb.server.web.media import KEPT, MAX_UPLOAD, VALID, Media
from diarnb.server.web.refusals import Refusal
from tests.servers import OTHER_KEY, PATIENCE, InThread, Server, in_process, in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "media://team/talk_1.wav"


@pytest.fixture(scope="module")
def server() -> Iterator[InThread]:
    with in_thread() as server:
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Media:
    for name in ("media", "jobs"):
        (tmp_path / name).mkdir()
    return Media(tmp_path / "media", tmp_path / "jobs", DiskReserve(tmp_path, 0))


def address(server: Server, method: str = "input", key: str = KEY, **named: Any) -> str:
    asked = httpx.post(f"{server.base_url}/v1/media/{method}", json={"url": key}, headers=server.bearer, **named)
    assert asked.status_code == 201, asked.text
    assert list(asked.json()) == ["url"]
    return str(asked.json()["url"])


def files(server: InThread) -> list[Path]:
    return sorted(path for path in server.folder.rglob("*") if path.is_file() and "sqlite" not in path.name)


def test_post_media_input_answers_201_and_its_address_takes_a_put_without_headers(server: InThread) -> None:
    url = address(server)
    assert url.startswith(server.base_url + "/")
    with httpx.Client() as bare:
        bare.headers.clear()  # neither a key, nor a type
        assert bare.put(url, content=b"sound").status_code == 200
    assert httpx.get(address(server, "output")).content == b"sound"


def test_second_put_overwrites(server: InThread) -> None:
    for content in (b"one", b"two, and longer"):
        httpx.put(address(server), content=content).raise_for_status()
        assert httpx.get(address(server, "output")).content == content


def test_a_put_in_pieces_of_unknown_number_is_taken(server: InThread) -> None:
    httpx.put(address(server), content=iter([b"so", b"und"])).raise_for_status()
    assert httpx.get(address(server, "output")).content == b"sound"


def test_an_address_takes_one_whole_upload(server: InThread) -> None:
    url = address(server)
    assert httpx.put(url, content=b"mine").status_code == 200
    assert httpx.put(url, content=b"somebody else's").status_code == 403
    assert httpx.get(address(server, "output")).content == b"mine"


def test_an_address_opens_nothing_else(server: InThread) -> None:
    httpx.put(address(server), content=b"sound").raise_for_status()
    put, get = address(server), address(server, "output")
    other = address(server, key="media://other").split("?")[0]
    later = put.replace("expires=", "expires=9")
    cut = put.split("&signature")[0]
    wrong = [put.replace("signature=", "signature=0"), put[:-1] + ("0" if put[-1] != "0" else "1"), later, cut]
    wrong += [put.split("?")[0], get, f"{other}?{put.split('?')[1]}", put.replace("nonce=", "nonce=../"), put + "%ff"]
    for url in wrong:
        assert httpx.put(url, content=b"forged").status_code == 403, url
    assert httpx.get(put).status_code == 403
    assert httpx.get(address(server, "output")).content == b"sound"


def test_an_address_expires(store: Media, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = urlsplit(store.sign_url("PUT", "me", KEY))
    name, query = parts.path.rpartition("/")[2], {key: values[0] for key, values in parse_qs(parts.query).items()}
    assert store.verify("PUT", name, query) == query["nonce"]
    now = time.time()
    monkeypatch.setattr(media.time, "time", lambda: now + VALID + 2)
    with pytest.raises(Refusal) as refused:
        store.verify("PUT", name, query)
    assert refused.value.status == 403


@pytest.mark.slow
def test_addresses_outlive_a_restart(tmp_path: Path) -> None:
    with in_thread(tmp_path) as server:
        url = address(server)
        parts = urlsplit(url)
    with in_thread(tmp_path) as server:
        assert httpx.put(f"{server.base_url}{parts.path}?{parts.query}", content=b"sound").status_code == 200


@pytest.mark.parametrize(
    "key",
    [
        "",
        "media://",
        "talk.wav",
        "media://a b",
        "media://ü",
        "media://a\n",
        "media://" + "a" * 248,
        "MEDIA://a",
        5,
        None,
    ],
)
def test_keys_are_letters_digits_and_a_few_signs(server: InThread, key: Any) -> None:
    for end in ("input", "output"):
        answer = httpx.post(f"{server.base_url}/v1/media/{end}", json={"url": key}, headers=server.bearer)
        assert answer.status_code == 400, answer.text
        assert [error["field"] for error in answer.json()["errors"]] == ["url"]


def test_a_key_of_255_characters_is_taken(server: InThread) -> None:
    httpx.put(address(server, key="media://" + "a" * 247), content=b"sound").raise_for_status()


@pytest.mark.parametrize("key", ["../../outside", "/etc/passwd", "..", "a/../../b", "CON", "a/", "secret", "used"])
def test_a_key_leads_nowhere(server: InThread, key: str) -> None:
    before = files(server)
    httpx.put(address(server, key=f"media://{key}"), content=b"x").raise_for_status()
    new = [path.relative_to(server.folder) for path in files(server) if path not in before]
    assert sorted(len(path.parts) for path in new) == [2, 3]  # the upload, and the mark of its address
    assert all(path.name.isalnum() for path in new)
    assert httpx.get(address(server, "output", f"media://{key}")).content == b"x"


def test_uploads_of_another_key_are_others(server: InThread) -> None:
    httpx.put(address(server), content=b"mine").raise_for_status()
    theirs = httpx.post(
        f"{server.base_url}/v1/media/output", json={"url": KEY}, headers={"Authorization": f"Bearer {OTHER_KEY}"}
    )
    assert httpx.get(theirs.json()["url"]).status_code == 404


def test_what_is_not_there_is_404(server: InThread) -> None:
    assert httpx.get(address(server, "output", "media://nothing")).status_code == 404


def test_a_link_that_was_planted_is_not_followed(server: InThread, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.write_bytes(b"canary")
    url = address(server, key="media://planted")
    place = server.folder / "media" / urlsplit(url).path.rpartition("/")[2]
    place.symlink_to(canary)
    assert httpx.get(address(server, "output", "media://planted")).status_code == 404
    httpx.put(url, content=b"sound").raise_for_status()
    assert canary.read_bytes() == b"canary"
    assert httpx.get(address(server, "output", "media://planted")).content == b"sound"


def test_more_than_a_gibibyte_is_refused_before_it_comes(server: InThread) -> None:
    parts = urlsplit(address(server))
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        target = f"{parts.path}?{parts.query}"
        head = f"PUT {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {MAX_UPLOAD + 1}\r\n\r\n"
        connection.sendall(head.encode())
        assert b" 413 " in connection.recv(4096).split(b"\r\n")[0]


def test_an_upload_that_stops_in_the_middle_leaves_nothing(server: InThread) -> None:
    before = files(server)
    parts = urlsplit(address(server))
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        target = f"{parts.path}?{parts.query}"
        connection.sendall(f"PUT {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9000000\r\n\r\n".encode())
        connection.sendall(b"x" * 3_000_000)
        until_any(server, "scratch")
    deadline = time.monotonic() + PATIENCE
    while any((server.folder / "scratch").iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert files(server) == before
    assert httpx.put(f"{server.base_url}{target}", content=b"whole").status_code == 200  # the address is still good


def until_any(server: InThread, folder: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not any((server.folder / folder).iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("body", [b"5\r\nhello\r\nzz\r\n", b"-1\r\n", b"ffffffffffffffffff\r\n"])
def test_chunks_that_are_none_are_no_fault_of_the_server(server: InThread, body: bytes) -> None:
    parts = urlsplit(address(server))
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        head = f"PUT {parts.path}?{parts.query} HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head.encode() + body)
        assert b" 400 " in connection.recv(4096).split(b"\r\n")[0]


def test_a_job_has_its_own_copy(store: Media, tmp_path: Path) -> None:
    def upload(content: bytes, key: str = KEY) -> str:
        parts = urlsplit(store.sign_url("PUT", "me", key))
        name, nonce = parts.path.rpartition("/")[2], parse_qs(parts.query)["nonce"][0]
        (tmp_path / "arrived").write_bytes(content)
        store.accept(tmp_path / "arrived", name, nonce)
        return name

    upload(b"first")
    own = store.claim_for_job("me", KEY, "job-1")
    name = upload(b"second")
    assert own.read_bytes() == b"first"
    assert store.claim_for_job("me", KEY, "job-2").read_bytes() == b"second"
    assert not store.claim_for_job("somebody else", KEY, "job-3").exists()
    store.delete_job_file("job-2")
    store.delete_job_file("job-3")
    assert store.find(name) is not None
    store.delete_job_files_except({"job-1"})
    assert own.exists()
    store.delete_job_files_except(set())
    assert not own.exists()


def test_uploads_are_forgotten_after_a_day(store: Media, tmp_path: Path) -> None:
    (tmp_path / "arrived").write_bytes(b"x")
    parts = urlsplit(store.sign_url("PUT", "me", KEY))
    name, nonce = parts.path.rpartition("/")[2], parse_qs(parts.query)["nonce"][0]
    store.accept(tmp_path / "arrived", name, nonce)
    used = tmp_path / "media" / "used" / nonce
    store.delete_expired(time.time() + KEPT - 60)
    assert store.find(name) is not None
    assert not used.exists()  # its address has expired long since
    store.delete_expired(time.time() + KEPT + 60)
    assert store.find(name) is None
    assert (tmp_path / "media" / "secret").exists()


def test_the_secret_is_the_owners_alone(store: Media, tmp_path: Path) -> None:
    secret = tmp_path / "media" / "secret"
    assert len(secret.read_bytes()) == 32
    if os.name == "posix":
        assert secret.stat().st_mode & 0o777 == 0o600


def test_a_secret_that_was_cut_off_is_made_anew(tmp_path: Path) -> None:
    for name in ("media", "jobs"):
        (tmp_path / name).mkdir()
    (tmp_path / "media" / "secret").write_bytes(b"short")
    Media(tmp_path / "media", tmp_path / "jobs", DiskReserve(tmp_path, 0))
    assert len((tmp_path / "media" / "secret").read_bytes()) == 32


def test_an_example_comes_back_byte_for_byte(server: InThread) -> None:
    content = diarnb.example("interview").read_bytes()
    httpx.put(address(server), content=content).raise_for_status()
    answer = httpx.get(address(server, "output"))
    assert answer.content == content
    assert answer.headers["Content-Type"] == "application/octet-stream"


@pytest.mark.slow
def test_put_works_for_1_gib_and_the_server_does_not_grow() -> None:
    with in_process() as server:
        process = psutil.Process(server.process.pid)
        url = address(server)
        before = most = process.memory_info().rss

        def zeros() -> Iterator[bytes]:
            nonlocal most
            for _ in range(1024):
                most = max(most, process.memory_info().rss)
                yield bytes(1 << 20)

        answer = httpx.put(url, content=zeros(), headers={"Content-Length": str(1 << 30)}, timeout=300)
        assert answer.status_code == 200, answer.text
        assert (server.folder / "media" / urlsplit(url).path.rpartition("/")[2]).stat().st_size == 1 << 30
        print(f"\n1 GiB uploaded; the server grew by {(most - before) / 2**20:.1f} MiB")
        assert most - before < 64 << 20
