"""What type checkers must know of the public names. It is never run: mypy and basedpyright read it.

`tests/test_typing.py` runs them, and holds that each public function is called here.
"""

from __future__ import annotations

import queue
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, assert_type

import numpy as np
import pandas as pd
from IPython.display import HTML, Audio
from matplotlib.axes import Axes
from numpy.typing import NDArray

import diarnb
from diarnb import analysis, batch, cloud, comparing, engines, formats, metrics, plot, testing, transcribers, widgets
from diarnb.engines.base import Answer, Engine, Offer
from diarnb.server import Server
from diarnb.streaming import Live
from diarnb.widgets.cards import Cards
from diarnb.widgets.controls import Controls
from diarnb.widgets.player import Player
from diarnb.widgets.review import Review
from diarnb.widgets.still.listing import Listing
from diarnb.widgets.studio import Studio


class Yours:
    """An engine as notebook 10 writes one."""

    name = "yours"
    offer = Offer(models=("1",))

    def version(self, model: str | None) -> str:
        return model or "1"

    def diarize(self, recording: Any, params: Any, options: Any, progress: Any) -> Answer:
        raise NotImplementedError


async def ask(samples: NDArray[np.float32], chunks: queue.Queue[bytes]) -> None:
    assert_type(diarnb.diarize("a.wav"), pd.DataFrame)
    diarnb.diarize((samples, 16000), num_speakers=2, turn_level_confidence=True)
    diarnb.diarize(Path("a.wav"), min_speakers=2, max_speakers=4, channels="split", words="sphinx", refresh=True)
    diarnb.diarize("a.wav", engine="pyannoteai", model="precision-2", max_cost=1.0, channels=1)
    diarnb.diarize("a.wav", engine="deepgram", model="nova-3", smart_format=True, keyterm=["diarnb"])
    diarnb.diarize("a.wav", engine="assemblyai", num_speakers=2, keyterms_prompt=["diarnb"])
    diarnb.diarize("a.wav", engine=Yours(), floor=30, progress=lambda stage, fraction: print(stage, fraction))
    diarnb.diarize({"waveform": samples, "sample_rate": 16000})
    with Path("a.wav").open("rb") as file:
        diarnb.diarize(file, channels="split")
    assert_type(await diarnb.diarize_async(b"..."), pd.DataFrame)
    turns = diarnb.diarize_many(["a.wav", Path("b.wav")], executor=ProcessPoolExecutor(), same_speakers=True)
    assert_type(turns, pd.DataFrame)
    assert_type(diarnb.recluster(turns, num_speakers=3), pd.DataFrame)
    assert_type(diarnb.resume("job"), pd.DataFrame)
    diarnb.stream(chunks, engine="deepgram", vad_events=True)
    live = diarnb.stream(chunks, sample_rate=8000)
    assert_type(live, Live)
    for changed in live:
        assert_type(changed, pd.DataFrame)


def look(turns: pd.DataFrame) -> None:
    assert_type(diarnb.timeline(turns, reference=turns, start=1, end=2.5), Axes)
    assert_type(diarnb.clip(turns, 1, 2), Audio)
    assert_type(diarnb.controls(), Controls)
    assert_type(diarnb.player(turns, "a.wav"), Player)
    assert_type(diarnb.cards(turns), Cards)
    assert_type(diarnb.review(turns), Review)
    assert_type(diarnb.studio("a.wav"), Studio)
    assert_type(widgets.show(turns, audio=Path("a.wav")), Listing)
    assert_type(diarnb.edits(turns), pd.DataFrame)
    assert_type(diarnb.search(turns, "budget"), pd.DataFrame)
    assert_type(widgets.apply_edits(turns, turns), pd.DataFrame)
    assert_type(plot.count_plot(metrics.count_evidence(turns)), Axes)
    plot.timeline(turns, colors={"SPEAKER_00": "red"}, wrap="auto")


def name(turns: pd.DataFrame) -> None:
    assert_type(diarnb.rename(turns, {"SPEAKER_00": "Beth"}), pd.DataFrame)
    print_of = diarnb.voiceprint("beth.wav")
    assert_type(print_of, str)
    assert_type(diarnb.identify(turns, {"Beth": print_of}, threshold=50), pd.DataFrame)
    assert_type(diarnb.matches(turns), pd.DataFrame)


def words(turns: pd.DataFrame) -> None:
    assert_type(diarnb.words(turns), pd.DataFrame)
    assert_type(diarnb.utterances(turns), pd.DataFrame)
    assert_type(diarnb.assign_speakers([{"start": 0.0, "end": 1.0, "word": "hello"}], turns), pd.DataFrame)
    assert_type(diarnb.transcript(turns, "minutes", format="markdown"), str)
    assert_type(next(diarnb.analysis.transcript_lines(turns)), str)
    diarnb.formats.write_subtitles(turns, "talk.vtt", karaoke=True)
    assert_type(analysis.doubtful_words(turns, turns), pd.DataFrame)
    assert_type(analysis.transcript(turns), str)
    assert_type(analysis.transcript_html(turns), HTML)
    diarnb.diarize("a.wav", words=transcribers.sphinx())
    diarnb.diarize("a.wav", words=transcribers.whisper("tiny", language="en"))
    assert_type(transcribers.identity(transcribers.transcriber("whisper:small")), str | None)
    assert_type(transcribers.best_installed(), str | None)
    diarnb.diarize("a.wav", words=transcribers.moonshine("base-en"))
    transcribers.transcribe("a", [], "b")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def measure(turns: pd.DataFrame) -> None:
    for table in (diarnb.speakers, diarnb.overlap, diarnb.exclusive, diarnb.confidences, diarnb.frames):
        assert_type(table(turns), pd.DataFrame)
    assert_type(diarnb.score(turns, turns, uem=turns), pd.DataFrame)
    assert_type(diarnb.worst(turns, turns, n=5), pd.DataFrame)
    assert_type(diarnb.compare(turns, turns), pd.DataFrame)
    assert_type(diarnb.fuse([turns, turns], weights=[1, 2]), pd.DataFrame)
    assert_type(comparing.over_time(turns, turns, step=30), pd.DataFrame)
    assert_type(comparing.compare_plot(turns, turns), Axes)
    comparing.compare(turns, turns)
    opinions = metrics.second_opinions("a.wav")
    assert_type(opinions, dict[str, pd.DataFrame])
    assert_type(metrics.agreement(opinions), pd.DataFrame)
    assert_type(metrics.difference(turns, turns), pd.DataFrame)
    assert_type(analysis.channels("call.wav"), pd.DataFrame)
    assert_type(analysis.without_bleed(turns), pd.DataFrame)
    assert_type(analysis.interruptions(turns, pause=1), pd.DataFrame)
    assert_type(analysis.monologues(turns, least=10), pd.DataFrame)
    assert_type(analysis.summary(turns), pd.DataFrame)
    assert_type(analysis.profile_plot(analysis.per_minute(turns)), Axes)
    assert_type(analysis.responses_plot(analysis.responses(turns)), Axes)
    assert_type(analysis.turn_taking_plot(analysis.turn_taking(turns)), Axes)


def files() -> None:
    assert_type(diarnb.example("call"), Path)
    turns = diarnb.read("a.rttm")
    assert_type(turns, pd.DataFrame)
    diarnb.write(turns, Path("a.csv"))
    assert_type(formats.read_words("a.srt"), pd.DataFrame)
    assert_type(formats.from_annotation(formats.to_annotation(turns)), pd.DataFrame)
    formats.write(formats.read("a.csv"), "b.csv")
    testing.assert_turns_equal(turns, turns, tolerance=0.01)
    assert_type(testing.check_engine(Yours()), pd.DataFrame)


def asked_before(turns: pd.DataFrame) -> None:
    assert_type(diarnb.runs(), pd.DataFrame)
    assert_type(diarnb.open_run("a run"), pd.DataFrame)
    assert_type(diarnb.raw(turns), dict[str, Any])
    diarnb.forget(turns)
    assert_type(batch.manifest(turns), pd.DataFrame)
    assert_type(batch.diarize_many("calls"), pd.DataFrame)


def pay(body: bytes) -> None:
    assert_type(cloud.estimate_cost("a.wav", engine="deepgram", price_per_hour=0.3), float)
    cloud.accept_loss()
    assert_type(cloud.check_key("deepgram"), bool)
    assert_type(cloud.jobs(), pd.DataFrame)
    assert_type(cloud.submit("a.wav", engine="pyannoteai", webhook="https://example.org/hook"), str)
    assert_type(cloud.verify_webhook({}, body, "secret"), dict[str, Any])
    assert_type(cloud.from_payload(body), pd.DataFrame)


def serve() -> None:
    with diarnb.serve(words="sphinx") as server:
        assert_type(server, Server)
        assert_type(server.base_url, str)
    assert_type(engines.get("local"), Engine)
    assert_type(engines.register(Yours()), Yours)
    assert_type(engines.available(), pd.DataFrame)
    assert_type(engines.names(), list[str])
    diarnb.show_versions()


def transcriber(samples: NDArray[np.float32]) -> None:
    assert_type(testing.hear_example(samples, 16_000), pd.DataFrame)


def errors() -> None:
    try:
        diarnb.diarize("a.wav")
    except diarnb.errors.RateLimitedError as error:
        assert_type(error, diarnb.errors.RateLimitedError)


def mistakes(turns: pd.DataFrame) -> None:
    # What is wrong must be seen to be wrong: an ignore that ignores nothing is an error as well.
    diarnb.diarize("a.wav", num_speakers="two")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    diarnb.diarize("a.wav", smart_format=True)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    diarnb.diarize(16000)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    with Path("a.wav").open() as file:
        diarnb.diarize(file)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    diarnb.diarize_many("a", thread=2)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    diarnb.rename(turns, "Beth")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    diarnb.diarize_now("a.wav")  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
