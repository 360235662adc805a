"""What a worker does for a stream: sound and wishes come in, and what Deepgram's service would say goes out."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from diarnb._types import Json
from diarnb.engines.local import LocalEngine
from diarnb.engines.local.segmentation import HOP, RATE
from diarnb.params import Params
from diarnb.server.deepgram import text as deepgram_text
from diarnb.server.deepgram.live_decoder import StreamDecoder
from diarnb.server.deepgram.live_windows import WindowedTranscriber
from diarnb.server.deepgram.metadata import describe_diarizer, describe_model, describe_models, format_time
from diarnb.server.engines import LOCAL
from diarnb.server.workers import transcription, wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from diarnb.server.deepgram.live_windows import Window
    from diarnb.server.workers.wire import ServerPipe

_BLOCK = 0.25  # seconds that the engine is given at once
_STEP = HOP / RATE  # seconds after which it decides anew

Message = Json


def _live(task: Json, line: ServerPipe) -> bytes:
    """Follow a stream to its end; the answer is the message that ends it."""
    stream = _StreamTask(task, line)
    stream.follow()
    return json.dumps(stream.metadata()).encode()


class _StreamTask:
    """A stream, from its first byte to its last."""

    def __init__(self, task: Json, line: ServerPipe) -> None:
        self._task, self._asked, self._line = task, task["asked"], line
        self._sound = StreamDecoder(self._asked["encoding"], self._asked["sample_rate"], self._asked["channels"])
        self._created, self._content = datetime.now(UTC), hashlib.sha256()
        self._channels: list[_Channel] = []
        self._over = False

    def follow(self) -> None:
        """Process the stream until its end."""
        while not self._channels and not self._over:
            self._take()
        engine, rate = LocalEngine(), self._sound.rate or RATE
        followed = [
            engine.stream(channel.blocks(self._wait), rate, Params(), {"threads": 1}) for channel in self._channels
        ]
        # All take as much sound as each other for a step: whoever comes first waits for it, for all of them.
        for changes in zip(*followed, strict=True):
            for channel, turns in zip(self._channels, changes, strict=True):
                channel.decide(turns)
        for channel in self._channels:
            channel.flush(wanted=False)

    def metadata(self) -> Message:
        """Return the last message."""
        seconds = self._channels[0].ear.now if self._channels else 0.0
        told = {
            "type": "Metadata",
            "transaction_key": "deprecated",
            "request_id": self._task["id"],
            "sha256": self._content.hexdigest(),
            "created": format_time(self._created),
            "duration": round(seconds, 6),
            "channels": self._sound.channels or self._asked["channels"],
        }
        return told | (describe_models(self._task["words"]) if seconds else {})

    def _wait(self) -> bool:
        """Wait for what comes next; False where nothing does."""
        if not self._over:
            self._take()
        return not self._over

    def _take(self) -> None:
        """Take what comes next."""
        kind, content = self._line.receive()
        if kind == wire.SOUND:
            self._content.update(content)
            samples = self._sound.feed(content)
            if not self._channels and self._sound.rate is not None:
                self._begin(self._sound.rate)
            for channel, heard in zip(self._channels, self._split_channels(samples), strict=False):
                channel.feed(heard)
        elif kind == wire.NOTE:  # there is one kind: what was understood so far shall be final
            for channel in self._channels:
                channel.flush(wanted=True)
        else:
            self._over = True

    def _split_channels(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return each channel, or the mix of all."""
        return samples.T if self._asked["multichannel"] else samples.mean(axis=1, dtype=np.float32)[None]

    def _begin(self, rate: int) -> None:
        words, diarizer = self._task["words"], self._asked["diarizer"]
        hear = None if words is None else partial(transcription.transcribe, name=words)
        number, about = describe_model(words)
        metadata = {"request_id": self._task["id"], "model_info": about, "model_uuid": number}
        if diarizer:
            metadata["diarize_info"] = describe_diarizer(diarizer, LOCAL)
        count = self._sound.channels if self._asked["multichannel"] else 1
        tell = partial(self._line.send, wire.NOTE)
        for at in range(count):
            ear = WindowedTranscriber(rate, hear, self._asked["endpointing"], diarizer is not None)
            self._channels.append(_Channel(ear, [at, count], self._asked, metadata, tell))


class _Channel:
    """One channel of a stream, and what is told of it."""

    def __init__(
        self,
        ear: WindowedTranscriber,
        index: list[int],
        asked: Json,
        metadata: Message,
        tell: Callable[[Message], None],
    ) -> None:
        self.ear, self._index, self._asked, self._metadata, self._tell = ear, index, asked, metadata, tell
        self._waiting: deque[NDArray[np.float32]] = deque()
        self._given = 0  # samples
        self._ended = False
        self._spoken = 0.0  # until when speech is known that was told to have begun
        self._last_word: float | None = None  # its end, until its pause was told

    def feed(self, samples: NDArray[np.float32]) -> None:
        """Take audio, and send what is understood so far."""
        self.ear.feed(samples)
        size = int(_BLOCK * self.ear.rate)
        self._waiting += [samples[at : at + size] for at in range(0, len(samples), size)]
        if self._asked["interim_results"] and (window := self.ear.preview()) is not None:
            self._send_results(window)

    def blocks(self, waits: Callable[[], bool]) -> Iterator[NDArray[np.float32]]:
        """Yield audio for the engine, as it comes."""
        while self._waiting or waits():
            if self._waiting:
                block = self._waiting.popleft()
                self._given += len(block)
                yield block
        self._ended = True

    def decide(self, turns: list[Json]) -> None:
        """Take what the engine has decided, and send what is final by it."""
        self.ear.decide(turns, self.ear.now if self._ended else self._given / self.ear.rate // _STEP * _STEP)
        if self._asked["vad_events"]:
            for start, end in self.ear.speech():
                if start > self._spoken or not self._spoken:
                    self._tell({"type": "SpeechStarted", "channel": self._index, "timestamp": round(start, 6)})
                self._spoken = max(self._spoken, end)
        while (window := self.ear.close_next()) is not None:
            self._send_results(window)
        self._send_pause()

    def flush(self, *, wanted: bool) -> None:
        """Send what has come as final results."""
        while (window := self.ear.close_next()) is not None:
            self._send_results(window)
        if (window := self.ear.close_rest(flushed=wanted)) is not None:
            self._send_results(window)
        if not wanted:
            self._send_pause()

    def _send_results(self, window: Window) -> None:
        if window.final and window.words:
            self._send_pause(window.words[0]["start"])
            self._last_word = max(word["end"] for word in window.words)
        self._tell(
            {
                "type": "Results",
                "channel_index": self._index,
                "duration": round(window.end - window.start, 6),
                "start": round(window.start, 6),
                "is_final": window.final,
                "speech_final": window.paused,
                "from_finalize": window.flushed,
                "channel": {
                    "alternatives": [deepgram_text.format_alternative(window.words, punctuate=self._asked["punctuate"])]
                },
                "metadata": self._metadata,
            }
        )

    def _send_pause(self, until: float | None = None) -> None:
        """Send ``UtteranceEnd`` once the pause since the last word is long enough."""
        least = self._asked["utterance_end"]
        if least is None or self._last_word is None:
            return
        if until is None:  # no word has come since; where speech goes on, one will
            until = min((start for start, _ in self.ear.speech()), default=self.ear.known)
        if until - self._last_word >= least:
            last = round(self._last_word, 6)
            self._tell({"type": "UtteranceEnd", "channel": self._index, "last_word_end": last})
            self._last_word = None


TASKS = {"deepgram.live": _live}
