"""How tests ask the server in pyannoteAI's dialect, and what of."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import soundfile

import diarnb
from tests.servers import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd


SDK_BODY = {
    "url": "media://0123456789abcdef0123456789abcdef",
    "model": "precision-2",
    "numSpeakers": None,
    "minSpeakers": None,
    "maxSpeakers": None,
    "confidence": False,
    "turnLevelConfidence": False,
    "exclusive": False,
    "transcription": False,
}
WHOLE_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
MEDIA = "media://talk.wav"
PRINTS = [{"label": "Maya", "voiceprint": "AAAA"}]
CLIENT = httpx.Client(timeout=PATIENCE)


@dataclass
class Local:
    raw: dict[str, Any]
    frames: pd.DataFrame


def excerpt(name: str, start: float, end: float, path: Path) -> Path:
    """Cut an example, at 16 kHz."""
    samples, rate = soundfile.read(diarnb.example(name), start=int(start * 16000), stop=int(end * 16000))
    assert rate == 16000
    soundfile.write(path, samples, rate)
    return path


def hear(samples: np.ndarray, sample_rate: int) -> list[dict[str, Any]]:
    """A transcriber that hears a word every half second."""
    starts = np.arange(0, len(samples) / sample_rate - 0.5, 0.5)
    return [{"start": start, "end": start + 0.4, "text": "Word,"} for start in starts]


def call(server: Any, method: str, path: str, *, key: str | None = None, **named: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key or server.key}"} | named.pop("headers", {})
    return CLIENT.request(method, server.base_url + path, headers=headers, **named)


def post(server: Any, path: str, body: Any, **named: Any) -> httpx.Response:
    return call(server, "POST", path, json=body, **named)


def upload(server: Any, media: str, content: bytes) -> None:
    url = post(server, "/v1/media/input", {"url": media}).raise_for_status().json()["url"]
    CLIENT.put(url, content=content).raise_for_status()


def ended(server: Any, path: str, body: Any, seen: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """Submit a job, and look at it until it has ended."""
    created = post(server, path, body)
    assert created.status_code == 200, created.text
    assert created.json().keys() == {"jobId", "status"}
    assert created.json()["status"] == "created"
    return finished(server, created.json()["jobId"], seen)


def finished(server: Any, job_id: str, seen: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    while True:
        job = call(server, "GET", f"/v1/jobs/{job_id}").raise_for_status().json()
        if seen is not None:
            seen.append(job)
        if job["status"] not in ("created", "running"):
            return job
        time.sleep(0.02)


def fields(answer: httpx.Response) -> list[str]:
    """The fields that an answer of 400 names."""
    assert answer.status_code == 400, answer.text
    body = answer.json()
    assert body.keys() == {"message", "errors"}
    assert body["message"] == "Invalid request"
    assert all(error.keys() == {"field", "message"} and error["message"] for error in body["errors"])
    return [error["field"] for error in body["errors"]]
