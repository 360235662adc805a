"""An AssemblyAI on loopback, as strict as its documents, that breaks on command as `faultserver` does.

It "hears" in every recording the words of an example, as far as the recording goes; in what is shorter than three
seconds two words of two people. It counts what was billed, by content.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import soundfile

import diarnb
from tests.faultserver import FaultServer, Request, running

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

KEY = "assembly-key-0123456789"
POST, GET, LIST, UPLOAD = "POST /v2/transcript", "GET /v2/transcript/", "GET /v2/transcript", "POST /v2/upload"

TYPES: dict[str, Any] = {
    "audio_url": str,
    "speaker_labels": bool,
    "speakers_expected": int,
    "speaker_options": dict,
    "speech_models": list,
    "language_code": str,
    "language_detection": bool,
    "punctuate": bool,
    "format_text": bool,
    "disfluencies": bool,
    "filter_profanity": bool,
    "keyterms_prompt": list,
    "prompt": str,
}
BRIEF = [
    {"text": "Hello,", "start": 0.1, "end": 0.4, "speaker": "A"},
    {"text": "Beth.", "start": 0.5, "end": 0.9, "speaker": "B"},
]


@dataclass
class AssemblyAI(FaultServer):
    """The service's side; `ahead` are seconds by which its clock is wrong, `deleted` are jobs without their results."""

    example: str = "interview"
    ahead: float = 0.0
    silent: bool = False
    deleted: set[str] = field(default_factory=set)

    def answer(self, request: Request) -> tuple[int, Any]:
        if request.headers.get("authorization") != KEY:  # without "Bearer"
            return 401, {"error": "Authentication error, API token missing/invalid"}
        match request.route:
            case "POST /v2/upload":
                if request.headers.get("content-type") != "application/octet-stream" or not request.body:
                    return 422, {"error": "Upload the bytes of a media file"}
                address = f"{self.origin}/upload/{uuid4()}"
                self.media[address] = request.body
                return 200, {"upload_url": address}
            case "POST /v2/transcript":
                return self.submit(request)
            case "GET /v2/transcript/":
                return self.transcript(request.path.removeprefix("/v2/transcript/"))
            case "GET /v2/transcript":
                return 200, self.listed(request)
        return 404, {"error": "Not found"}

    def submit(self, request: Request) -> tuple[int, Any]:
        asked = request.json()
        for name, value in asked.items():
            if type(value) is not TYPES.get(name):
                return 400, {"error": f"Invalid parameter: {name}"}
        options = asked.get("speaker_options", {})
        if options.keys() - {"min_speakers_expected", "max_speakers_expected"} or (
            options and "speakers_expected" in asked
        ):
            return 400, {"error": "Invalid speaker_options"}
        if "language_code" in asked and asked.get("language_detection"):
            return 400, {"error": "language_detection is not available when language_code is specified."}
        url = asked.get("audio_url", "")
        if url.startswith(self.origin) and url not in self.media:
            return 403, {"error": "Cannot access uploaded file"}
        content = self.media.get(url, url.encode())
        job_id = str(uuid4())
        self.jobs[job_id] = {"asked": asked, "content": content, "polls": 0, "created": time.time() + self.ahead}
        self.billed[hashlib.sha256(content).hexdigest()] += 1
        return 200, {"id": job_id, "status": "queued", "audio_url": url, "words": None, "utterances": None}

    def transcript(self, job_id: str) -> tuple[int, Any]:
        if job_id not in self.jobs:
            return 404, {"error": "Transcript lookup error, transcript id not found"}
        job = self.jobs[job_id]
        job["polls"] += 1
        facts = {"id": job_id, "status": self.status(job), "audio_url": job["asked"]["audio_url"]}
        if facts["status"] == "error":
            return 200, {**facts, "error": "Transcoding failed. File does not appear to contain audio."}
        if facts["status"] != "completed":
            return 200, {**facts, "words": None, "utterances": None}
        if job_id in self.deleted:
            return 200, {**facts, "audio_url": "http://deleted_by_user", "text": "Deleted by user.", "words": None}
        words, seconds = self.heard(job)
        return 200, {
            **facts,
            "audio_duration": math.ceil(seconds),
            "speech_model_used": job["asked"].get("speech_models", ["universal-3-5-pro"])[0],
            "text": " ".join(word["text"] for word in words),
            "words": words,
        }

    def status(self, job: dict[str, Any]) -> str:
        if job["polls"] < self.polls:
            return "queued" if job["polls"] < 2 else "processing"
        return "error" if job["content"].startswith(b"no sound") else "completed"

    def heard(self, job: dict[str, Any]) -> tuple[list[dict[str, Any]], float]:
        asked, content = job["asked"], job["content"]
        seconds = 60.0 if content.startswith(b"http") else soundfile.info(io.BytesIO(content)).duration
        rows = BRIEF if seconds < 3 else script(self.example)
        most = asked.get("speakers_expected") or asked.get("speaker_options", {}).get("max_speakers_expected", 10)
        labels = {
            label: "ABCDEFGHIJ"[min(n, most - 1)]
            for n, label in enumerate(dict.fromkeys(row["speaker"] for row in rows))
        }
        words = [
            {
                "text": row["text"],
                "start": round(1000 * row["start"]),
                "end": round(1000 * row["end"]),
                "confidence": 0.9,
                "speaker": labels[row["speaker"]] if asked.get("speaker_labels") else None,
            }
            for row in rows
            if row["end"] <= seconds and not self.silent
        ]
        return words, seconds

    def listed(self, request: Request) -> dict[str, Any]:
        newest = list(self.jobs)[::-1]
        start = newest.index(request.query["before_id"][0]) + 1 if "before_id" in request.query else 0
        page = newest[start : start + int(request.query.get("limit", ["10"])[0])]
        rows = [
            {
                "id": job_id,
                "resource_url": f"{self.origin}/v2/transcript/{job_id}",
                "status": self.status(self.jobs[job_id]),
                "created": datetime.fromtimestamp(self.jobs[job_id]["created"], UTC).replace(tzinfo=None).isoformat(),
                "audio_url": self.jobs[job_id]["asked"]["audio_url"],
            }
            for job_id in page
        ]
        return {"page_details": {"limit": len(page), "result_count": len(page)}, "transcripts": rows}


def script(example: str) -> list[dict[str, Any]]:
    """Read the words of an example in the order in which they are said."""
    with diarnb.example(example).with_suffix(".words.csv").open(encoding="utf-8", newline="") as file:
        rows = [{**row, "start": float(row["start"]), "end": float(row["end"])} for row in csv.DictReader(file)]
    return sorted(rows, key=lambda row: row["start"])


def serving(**facts: Any) -> AbstractContextManager[AssemblyAI]:
    """Run an AssemblyAI until the block ends."""
    return running(AssemblyAI(**facts))
