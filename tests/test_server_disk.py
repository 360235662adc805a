"""A disk that fills up: recordings are refused in time, what was accepted is done, and `/health` tells."""

from __future__ import annotations

import io
import subprocess
import time
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
import soundfile

from diarnb.server.web.disk import DiskReserve
from tests.loopback import answering, serving
from tests.servers import PATIENCE, in_process, in_thread

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers import Server


def silence(seconds: float) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.zeros(round(seconds * 16_000), np.float32), 16_000, "PCM_16", format="WAV")
    return file.getvalue()


def upload(server: Server, key: str, content: Any) -> int:
    url = httpx.post(f"{server.base_url}/v1/media/input", json={"url": key}, headers=server.bearer).json()["url"]
    return httpx.put(url, content=content, timeout=PATIENCE).status_code


def submit(server: Server, url: str) -> str:
    answer = httpx.post(f"{server.base_url}/v1/diarize", json={"url": url}, headers=server.bearer, timeout=PATIENCE)
    return str(answer.raise_for_status().json()["jobId"])


def ended(server: Server, job_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE
    while True:
        job = httpx.get(f"{server.base_url}/v1/jobs/{job_id}", headers=server.bearer, timeout=PATIENCE).json()
        if job["status"] not in ("created", "running"):
            return dict(job)
        assert time.monotonic() < deadline
        time.sleep(0.05)


def health(server: Server) -> dict[str, Any]:
    return dict(httpx.get(f"{server.base_url}/health").json())


@pytest.mark.slow
def test_what_fills_the_disk_is_refused_and_what_was_accepted_is_done(tmp_path: Path) -> None:
    """On a disk of its own, of 24 MiB."""
    disk = ("unshare", "-rm", "sh", "-c", f'mount -t tmpfs -o size=24m tmpfs {tmp_path} && exec "$@"', "sh")
    try:
        subprocess.run([*disk, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("nobody may mount a disk of their own here")
    recording = silence(64)  # 2 MiB
    with in_process(tmp_path, within=disk, workers=2, reserve=8) as server:
        assert health(server)["status"] == "ok"
        answers = [upload(server, f"media://{number}", recording) for number in range(12)]
        accepted = answers.count(200)
        assert set(answers) == {200, 507}
        assert 5 <= accepted <= 8
        rest = iter(range(1000))
        while upload(server, f"media://rest{next(rest)}", bytes(100_000)) == 200:  # as many as may be taken
            pass
        assert health(server)["disk"]["free"] >= 7
        jobs = [submit(server, f"media://{number}") for number in range(accepted)]
        assert {ended(server, job)["status"] for job in jobs} == {"succeeded"}


def test_without_room_a_recording_is_refused_before_it_comes_and_health_tells() -> None:
    with in_thread(reserve=1 << 30) as server:
        assert health(server)["status"] == "disk full"
        assert ">disk full<" in httpx.get(f"{server.base_url}/").text
        assert upload(server, "media://a", b"sound") == 507
        answer = httpx.post(f"{server.base_url}/v1/listen", content=b"sound", headers=server.token)
        assert (answer.status_code, answer.json()["err_msg"]) == (507, "The server's disk is full.")
        server.core.disk.reserve = 0
        assert health(server)["status"] == "ok"
        assert upload(server, "media://a", b"sound") == 200


def test_a_recording_that_does_not_tell_its_length_stops_at_the_reserve(monkeypatch: pytest.MonkeyPatch) -> None:
    with in_thread(reserve=1) as server:
        came = [0]

        def pieces() -> Any:
            for _ in range(64):
                came[0] += 1
                yield bytes(1 << 20)

        left = iter([3 << 20, 2 << 20])
        monkeypatch.setattr(DiskReserve, "free", property(lambda self: next(left, 0)))
        url = httpx.post(f"{server.base_url}/v1/media/input", json={"url": "media://a"}, headers=server.bearer)
        try:
            assert httpx.put(url.json()["url"], content=pieces()).status_code == 507
        except httpx.HTTPError:  # it was closed while more was sent
            assert came[0] < 64
        assert not list((server.folder / "scratch").iterdir())


@pytest.mark.slow
def test_what_has_to_be_fetched_waits_for_room_and_lets_others_go_before(tmp_path: Path) -> None:
    with (
        serving({"/talk.wav": answering(silence(1))}) as origin,
        in_thread(tmp_path, allow_url_fetch=("127.0.0.1",)) as server,
    ):
        assert upload(server, "media://a", silence(1)) == 200
        server.core.disk.reserve = 1 << 60
        fetched, given = submit(server, f"{origin}/talk.wav"), submit(server, "media://a")
        assert ended(server, given)["status"] == "succeeded"
        assert httpx.get(f"{server.base_url}/v1/jobs/{fetched}", headers=server.bearer).json()["status"] == "created"
        server.core.disk.reserve = 0
        assert ended(server, fetched)["status"] == "succeeded"
