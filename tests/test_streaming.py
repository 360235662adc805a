"""`stream`: chunks of real sound in, turns out while it goes on, and the same answer as `diarize` at the end."""

from __future__ import annotations

import gc
import queue
import signal
import threading
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import soundfile

import diarnb
from diarnb.audio.chunks import Chunks
from diarnb.engines.base import Offer
from diarnb.engines.local import LocalEngine, evidence
from diarnb.engines.local.decoding import Decision
from diarnb.engines.local.evidence import Extractor
from diarnb.engines.local.live import LiveTurns
from diarnb.engines.local.segments import Segmentizer, cut, find_embedding_spans, find_speech_regions
from diarnb.errors import AudioLimitError, DiarnbWarning, InvalidParameterError
from diarnb.params import Params
from diarnb.testing import assert_turns_equal

RATE = 16_000
LONGEST_WAIT = 120.0  # seconds; nothing here takes as long, on any machine


@pytest.fixture(scope="module")
def talk():
    samples, _ = soundfile.read(diarnb.example("interview"), frames=42 * RATE, dtype="int16")
    return samples


@pytest.fixture(scope="module")
def told(talk):
    """What the engine tells of it: after how many seconds, and what; and what it answers at the end."""
    heard, steps = 0, []

    def blocks():
        nonlocal heard
        for at in range(0, len(talk), 1_600):
            heard = at + 1_600
            yield talk[at : at + 1_600].astype(np.float32) / 2**15

    changes = LocalEngine().stream(blocks(), RATE, Params(), {"threads": 1})
    while True:
        try:
            turns = next(changes)
        except StopIteration as end:
            return steps, end.value
        steps.append((heard / RATE, turns))


@pytest.mark.slow
def test_evidence_is_the_same_however_often_it_is_asked_for_and_however_little_room_it_has(talk, monkeypatch):
    samples = talk[: 25 * RATE].astype(np.float32) / 2**15
    whole = Extractor(threads=1, embedding=("embedding",))
    whole.feed(samples)
    expected = whole.evidence()
    monkeypatch.setattr(evidence, "_ROWS_AHEAD", 2)
    growing = Extractor(threads=1, embedding=("embedding",))
    for block in in_chunks(samples, 5 * RATE):
        growing.feed(block)
        growing.evidence()
    found = growing.evidence()
    assert len(found.embeddings) > 10
    for name, array in vars(expected).items():
        assert np.array_equal(getattr(found, name), array), name


def in_chunks(samples, size):
    return [samples[at : at + size] for at in range(0, len(samples), size)]


def to_the_end(chunks, **arguments):
    live = diarnb.stream(chunks, **arguments)
    assert all(len(table) for table in live)
    return live.turns


def folded(tables):
    return pd.concat(tables).drop_duplicates("turn_id", keep="last").query("duration > 0").sort_values("start")


class Scripted:
    """An engine that tells a script, a line for every block, and answers nothing at the end, as one of words does."""

    name = "scripted"
    offer = live_offer = Offer(models=("script",))

    def __init__(self, script, error=None):
        self.script, self.error, self.heard = script, error, 0

    def version(self, model):
        return model

    def diarize(self, recording, params, options, progress):
        raise NotImplementedError

    def stream(self, blocks, sample_rate, params, options):
        names, script = ("turn_id", "start", "end", "speaker", "final"), iter(self.script)
        for block in blocks:
            self.heard += len(block)
            yield [dict(zip(names, each, strict=True)) for each in next(script, [])]
        if self.error:
            raise self.error


# ------------------------------------------------------------------------------------------------- the local engine


@pytest.mark.slow
def test_at_the_end_the_run_is_that_of_diarize(talk):
    part = talk[: 14 * RATE]
    live = diarnb.stream(in_chunks(part, 3_333), threads=1)
    tables = list(live)
    whole = diarnb.diarize((part, RATE), progress=False, threads=1)
    assert_turns_equal(live.turns, whole)
    facts = live.turns.attrs["diarnb"]
    assert facts["source"] == "stream"
    assert diarnb.open_run(facts["run"]).equals(whole)
    assert diarnb.frames(live.turns).equals(diarnb.frames(whole))
    assert diarnb.recluster(live.turns, num_speakers=1)["speaker"].nunique() == 1
    settled = folded(tables)
    assert settled["final"].all()
    assert settled["speaker"].nunique() == whole["speaker"].nunique() == 2
    assert list(tables[0]) == ["turn_id", "start", "end", "duration", "speaker", "final"]


@pytest.mark.slow
def test_what_was_heard_is_bit_for_bit_that_of_the_whole(talk, told):
    with diarnb.audio.open_recording((talk, RATE)) as recording:
        offline = LocalEngine().diarize(recording, Params(), {"threads": 1}, lambda stage, fraction: None)
    answer, _ = told[1]
    assert answer.raw == offline.raw
    assert all(np.array_equal(answer.evidence[name], array) for name, array in offline.evidence.items())


def test_speech_appears_within_five_seconds(talk, told):
    steps, (answer, _) = told
    for turn in answer.raw["diarization"]:
        if turn["end"] - turn["start"] > 0.5:
            middle = (turn["start"] + turn["end"]) / 2
            assert min(heard for heard, new in steps for t in new if t["start"] <= middle <= t["end"]) < middle + 5


def test_a_final_turn_never_changes_and_every_turn_becomes_final(told):
    steps, _ = told
    final, seen, early = {}, set(), 0
    for heard, turns in steps:
        for turn in turns:
            assert turn["turn_id"] not in final
            seen.add(turn["turn_id"])
            if turn["final"]:
                final[turn["turn_id"]] = turn
                early += heard < 41.5
    assert final.keys() == seen
    assert early > 0


@pytest.mark.slow
def test_bytes_at_another_rate_are_the_same_talk(talk, told):
    (answer, _) = told[1]
    torn = in_chunks(talk[: 14 * RATE : 2].tobytes(), 777)  # every other sample is torn
    found = to_the_end(torn, sample_rate=8_000, threads=1)
    assert set(found["speaker"]) == {turn["speaker"] for turn in answer.raw["diarization"]}
    assert found["end"].max() == pytest.approx(14.0, abs=1.0)


def test_pieces_of_a_recording_that_grows_are_those_of_the_whole():
    rng = np.random.default_rng(0)
    settled = 0
    for _ in range(40):
        frames = int(rng.integers(100, 4_000))
        speech = 0.5 + 0.6 * np.sin(np.arange(frames) / rng.integers(5, 300)) + rng.uniform(-0.4, 0.4, frames)
        speech, change = speech.clip(0, 1).astype(np.float32), (rng.random(frames) ** 12).astype(np.float32)
        if rng.random() < 0.2:
            speech[:], change[:] = 0.9, 0.0  # a stretch that is longer than is kept in mind
        cutter, parts, at = Segmentizer(), [], 0
        while at < frames:
            step = int(rng.integers(1, 500))
            parts.append(cutter.feed(speech[at : at + step], change[at : at + step]))
            at += step
        settled += sum(len(part[0]) for part in parts)
        parts.append(cutter.tail(speech[:0], change[:0]))
        pieces, strength = cut(find_speech_regions(speech), change)
        expected = pieces, strength, find_embedding_spans(pieces, strength)
        for found, wanted in zip(zip(*parts, strict=True), expected, strict=True):
            assert np.array_equal(np.concatenate(found), wanted)
    assert settled > 1_000


def decision(*speakers):
    """Somebody every second of 60 frames; "." is nobody."""
    first = np.repeat([int(each) if each != "." else -1 for each in "".join(speakers)], 60).astype(np.int16)
    nobody, nothing = np.full(len(first), -1, np.int16), np.zeros((2, len(first)), np.uint8)
    posterior = np.zeros((1, int(first.max()) + 1))
    return Decision(first, nobody, nobody.astype(np.int32), np.zeros(1, np.int64), posterior, nothing)


def test_labels_stay_though_a_decision_numbers_speakers_anew():
    story = LiveTurns()
    story.update(decision("00.11.00"), 8.0)
    assert story.labels == [0, 1]
    story.update(decision("11.00.11.22"), 11.0)
    assert story.labels == [1, 0, 2]
    (back,) = [turn for turn in story.update(decision("00.11.00"), 8.0) if turn["start"] == turn["end"]]
    assert back["final"]
    assert back["speaker"] == "SPEAKER_02"


def test_the_settled_past_keeps_its_speaker():
    story = LiveTurns()
    story.update(decision("00.11.", "0" * 9), 15.0)
    first = {turn["turn_id"]: turn for turn in story.update(decision("00.11.", "0" * 9, ".1" * 15), 45.0)}
    assert [first[number]["final"] for number in (0, 1)] == [True, True]
    later = story.update(decision("11.11.", "1" * 9, ".1" * 16), 47.0)
    assert {0, 1}.isdisjoint(turn["turn_id"] for turn in later)
    assert story.labels[1] in (0, 1)


# ------------------------------------------------------------------------------------------------------ the stream


def test_a_slow_reader_of_tables_loses_nothing():
    script = [[(0, 0.0, 0.1, "A", False)], [(0, 0.0, 0.2, "B", False), (1, 0.2, 0.3, "A", False)]]
    script += [[(1, 0.2, 0.2, "A", True)], [(0, 0.0, 0.4, "B", True)]]
    taken = threading.Event()

    def chunks():
        yield from np.zeros((4, 1_600), np.float32)
        taken.set()

    live = diarnb.stream(chunks(), engine=Scripted(script))
    assert taken.wait(LONGEST_WAIT)  # all is read though no table was taken
    assert folded(list(live))[["turn_id", "end", "speaker"]].to_numpy().tolist() == [[0, 0.4, "B"]]
    assert live.turns[["start", "end", "speaker"]].to_numpy().tolist() == [[0.0, 0.4, "B"]]
    facts = live.turns.attrs["diarnb"]
    assert (facts["engine"], facts["source"], facts["duration"]) == ("scripted", "stream", 0.4)


def test_what_an_engine_leaves_open_is_taken_back():
    live = diarnb.stream([np.zeros(10)], engine=Scripted([[(0, 0.0, 1.0, "A", True), (1, 1.0, 2.0, "B", False)]]))
    last = pd.concat(list(live)).drop_duplicates("turn_id", keep="last")
    assert last["final"].all()
    assert last["duration"].tolist() == [1.0, 0.0]
    assert len(live.turns) == 1


def test_a_queue_is_read_until_it_is_closed():
    chunks: queue.Queue = queue.Queue()
    live = diarnb.stream(chunks, engine=Scripted([[(0, 0.0, 1.0, "A", False)]]))
    chunks.put(np.zeros(1_600))
    assert next(live)["turn_id"].tolist() == [0]  # while the queue is still open
    chunks.put(None)
    assert list(live)[-1]["final"].tolist() == [True]


def endless(closed):
    try:
        while True:
            yield np.zeros(160)
    finally:
        closed.set()


def test_close_ends_the_thread_and_the_source_and_keeps_what_was_heard():
    closed = threading.Event()
    with diarnb.stream(endless(closed), engine=Scripted([[(0, 0.0, 1.0, "A", True)]])) as live:
        assert len(next(live)) == 1
    assert closed.wait(LONGEST_WAIT)
    assert list(live) == []
    assert len(live.turns) == 1


def test_a_stream_that_nobody_holds_ends():
    closed = threading.Event()
    live = diarnb.stream(endless(closed), engine=Scripted([]))
    del live
    gc.collect()
    assert closed.wait(LONGEST_WAIT)


@pytest.fixture
def _interruptible():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets its background jobs ignore it
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
def test_an_interrupt_ends_the_stream_and_keeps_what_was_heard():
    closed, quiet = threading.Event(), threading.Event()

    def chunks():
        yield np.zeros(160)
        threading.Timer(0.1, signal.raise_signal, [signal.SIGINT]).start()
        try:
            quiet.wait(LONGEST_WAIT)
            yield np.zeros(160)
        finally:
            closed.set()

    live = diarnb.stream(chunks(), engine=Scripted([[(0, 0.0, 1.0, "A", True)]]))
    with pytest.raises(KeyboardInterrupt):
        list(live)
    assert len(live.turns) == 1
    quiet.set()
    assert closed.wait(LONGEST_WAIT)


def test_errors_of_the_source_and_of_the_engine_come_after_what_was_heard():
    def chunks():
        yield np.zeros(160)
        raise OSError("the microphone was pulled out")

    live = diarnb.stream(chunks(), engine=Scripted([[(0, 0.0, 1.0, "A", True)]]))
    assert len(next(live)) == 1
    with pytest.raises(OSError, match="pulled out"):
        next(live)
    assert list(live) == []
    live = diarnb.stream([np.zeros(160)], engine=Scripted([[(0, 0.0, 1.0, "A", True)]], RuntimeError("no")))
    assert len(next(live)) == 1
    with pytest.raises(RuntimeError, match="no"):
        next(live)
    assert len(live.turns) == 1


def test_nothing_heard_is_an_empty_table():
    live = diarnb.stream([])
    assert list(live) == []
    assert live.turns.empty
    assert "run" not in live.turns.attrs["diarnb"]


def test_samples_that_are_no_numbers_are_told_of(talk):
    sound = talk[: 3 * RATE].astype(np.float32) / 2**15
    sound[100:110] = np.nan
    live = diarnb.stream([sound])
    with pytest.warns(DiarnbWarning, match="10 samples were NaN"):
        list(live)
    assert "10 samples" in live.turns.attrs["diarnb"]["warning"]


# ------------------------------------------------------------------------------------------------------ what is given


@pytest.mark.parametrize(
    ("chunks", "said"),
    [
        ("talk.wav", "diarize takes whole"),
        (b"RIFF", "diarize takes whole"),
        (np.zeros(16), "diarize takes whole"),
        (3, "an iterable"),
    ],
)
def test_what_is_no_iterable_of_chunks_is_refused(chunks, said):
    with pytest.raises(InvalidParameterError, match=said):
        diarnb.stream(chunks)


@pytest.mark.parametrize(
    ("chunk", "said"),
    [
        ("sound", "not 'sound'"),
        (None, "not None"),
        (np.zeros((2, 2, 2)), "shape"),
        (np.zeros((1, 1_600)), "1 to 64 channels"),
        (np.float32(0.5), "shape"),
        (np.zeros(4, np.int64), "int64"),
        (np.zeros(4, complex), "complex"),
        (np.array([True]), "bool"),
        (np.full(100, 3_000.0), "chunk / 32768"),
    ],
)
def test_a_chunk_that_is_no_sound_is_refused_by_name(chunk, said):
    live = diarnb.stream([chunk], engine=Scripted([]))
    with pytest.raises(InvalidParameterError, match=said):
        list(live)


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"sample_rate": 16_000.5}, InvalidParameterError),
        ({"sample_rate": "16000"}, InvalidParameterError),
        ({"sample_rate": True}, InvalidParameterError),
        ({"sample_rate": 10}, AudioLimitError),
        ({"num_speakers": 0}, InvalidParameterError),
        ({"model": "other"}, InvalidParameterError),
        ({"treshold": 0.5}, InvalidParameterError),
        ({"engine": "nobody"}, InvalidParameterError),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_read(arguments, kind):
    def chunks():
        pytest.fail("read")
        yield

    with pytest.raises(kind):
        diarnb.stream(chunks(), **arguments)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "uint8", "uint16", "float16", "float32", "float64"])
def test_full_scale_is_that_of_the_type(dtype):
    info = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else None
    low, high = (info.min, info.max) if info else (-1, 1)
    samples = Chunks().samples(np.array([low, high], dtype))
    assert samples.dtype == np.float32
    assert samples == pytest.approx([-1, 1], abs=0.01)


def test_channels_are_mixed():
    samples = Chunks().samples(np.array([[0, 16_384], [-32_768, 0]], np.int16))
    assert samples.tolist() == [0.25, -0.5]


def test_bytes_may_tear_samples_anywhere():
    content, chunks = np.arange(-500, 500, dtype="<i2").tobytes(), Chunks()
    edges = sorted({0, len(content), *np.random.default_rng(0).integers(0, len(content), 99).tolist()})
    samples = np.concatenate([chunks.samples(content[start:end]) for start, end in pairwise(edges)])
    assert np.array_equal(samples * 2**15, np.arange(-500, 500))


# --------------------------------------------------------------------------------------------------- the benchmark


def test_the_benchmark_counts_from_the_moment_of_speech():
    pytest.importorskip("pyannote.metrics", reason="the tests compare with it")
    from benchmarks.streaming import delays, main_speaker

    final = [(0.0, 1.0, "A"), (1.0, 2.0, "B")]
    told = [(2.0, {0: (0.0, 2.0, "A")}), (4.0, {0: (0.0, 1.0, "A"), 1: (1.0, 2.0, "B")})]
    seen, right = delays(final, told, 5.0)
    assert seen.mean() == pytest.approx(1.0)
    assert right.mean() == pytest.approx((1.5 + 2.5) / 2)
    assert delays(final, [], 5.0)[0].mean() == pytest.approx(4.0)
    assert main_speaker((0.5, 2.0, "A"), final) == "B"
    assert main_speaker((3.0, 4.0, "A"), final) is None
