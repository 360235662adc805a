"""Engines, and a transcriber, that a server finds by module and name."""

from __future__ import annotations

from typing import Any

from diarnb.engines import Answer, Engine, Offer


class Halves:
    """One speaks first, two at once in the middle, the other last."""

    name = "halves"
    version = "1"

    def diarize(self, recording: Any, params: Any, options: Any, progress: Any) -> object:
        progress("cutting", 0.5)
        length = recording.duration
        return [(0.0, 0.6 * length, 0), (0.4 * length, length, 1)]


HALVES = Halves()


class Costly(Halves):
    def billable_seconds(self, seconds: float) -> float:
        return seconds


class Chosen(Halves):
    def __init__(self, number: int) -> None:
        self.number = number


class Counting(Engine):
    """Its answer is read by itself only, and it takes a number of speakers."""

    name = "counting"
    offer = Offer(models=("plain", "other"), confidence=False, turn_level_confidence=False, channels=False)

    def version(self, model: str) -> str:
        return "1"

    def diarize(self, recording: Any, params: Any, options: Any, progress: Any) -> Answer:
        return Answer({"model": params.model, "parts": params.bounds[0], "length": recording.duration})

    def read(self, raw: Any, params: Any, options: Any) -> dict[str, Any]:
        part = raw["length"] / raw["parts"]
        return {
            "diarization": [
                {"start": part * k, "end": part * (k + 1), "speaker": f"{raw['model']}{k}"} for k in range(raw["parts"])
            ]
        }


def hear(samples: Any, sample_rate: int) -> list[dict[str, Any]]:
    """One word each second."""
    return [
        {"start": float(second), "end": second + 0.5, "text": f"word{second}", "confidence": 0.9}
        for second in range(len(samples) // sample_rate)
    ]


def broken() -> None:
    raise OSError("no libfoo")
