"""Whatever is wrong with a recording, the user reads one sentence that names it and says what to do."""

from __future__ import annotations

import io
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from corpus import MENDED, RATE, REFUSED, Case, contained, encoded, speechlike, with_total
from loopback import answering, serving

from diarnb import errors
from diarnb.audio import Recording, open_recording
from diarnb.audio.decode import SoundFileDecoder, Tally, _call_apart
from diarnb.audio.sniff import look


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files in which nobody else works."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def drained(source: object, **options: float) -> tuple[np.ndarray, Recording]:
    with open_recording(source, **options) as recording:
        return np.concatenate(list(recording.blocks())), recording


def check_sentence(error: BaseException, name: str) -> None:
    sentence = str(error)
    assert name in sentence
    assert len(sentence) <= 400
    assert "file:/" not in sentence
    assert tempfile.gettempdir() not in sentence
    assert " object at 0x" not in sentence


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_bad_content_is_refused_in_one_sentence(case: Case, tmp_path: Path) -> None:
    path = tmp_path / case.name
    path.write_bytes(case.content())
    with pytest.raises(errors.AudioError) as caught:
        drained(path)
    assert type(caught.value) is case.error
    assert case.says in str(caught.value)
    check_sentence(caught.value, case.name)


class Interrupting(io.BytesIO):
    """A file during whose reading the user interrupts, in the middle of a call from libsndfile."""

    def readinto(self, buffer: object) -> int:
        if self.tell() > 1000:
            signal.raise_signal(signal.SIGINT)
        return super().readinto(buffer)

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() > 1000:
            signal.raise_signal(signal.SIGINT)
        return super().read(size)


@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
def test_an_interrupt_inside_the_decoder_is_not_lost(kind: str) -> None:
    content = encoded(speechlike(), kind=kind)
    decoder = SoundFileDecoder(
        lambda: Interrupting(content), look(content, "talk", len(content)), "talk", len(content), lambda rate, _: rate
    )
    with pytest.raises(KeyboardInterrupt):
        list(decoder.read(0, RATE, Tally()))


def test_an_interrupt_while_the_decoder_starts_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, goes_on, told = threading.Event(), threading.Event(), []
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        if thread is not helper:
            begun.wait()
            start(helper)
            raise KeyboardInterrupt

    def call() -> None:
        begun.set()
        goes_on.wait()
        told.append("ended")

    helper = threading.Timer(0.2, goes_on.set)
    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _call_apart(call)
    assert told == ["ended"]


def test_after_an_interrupt_nothing_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        threads.append(thread)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    told: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        _call_apart(told.append, "begun")
    start(threads[0])
    threads[0].join()
    assert told == []


@pytest.mark.parametrize("case", MENDED, ids=str)
def test_damage_that_can_be_lived_with_is_told(case: Case, tmp_path: Path) -> None:
    path = tmp_path / case.name
    path.write_bytes(case.content())
    samples, recording = drained(path)
    assert np.isfinite(samples).all()
    assert np.abs(samples).max() > 0.05
    (problem,) = recording.problems
    assert case.says in problem
    assert case.name in problem
    assert len(problem) <= 400


def test_sound_behind_the_damage_keeps_its_time(tmp_path: Path) -> None:
    whole = speechlike(seconds=20)
    content = bytearray(encoded(whole, kind="FLAC"))
    middle = len(content) // 2
    content[middle : middle + 2000] = bytes(2000)
    samples, _ = drained(bytes(content))
    assert len(samples) == len(whole)
    assert np.allclose(samples[-5 * RATE :], whole[-5 * RATE :], atol=1e-3)


def test_stretches_before_damage_are_read_like_the_whole(tmp_path: Path) -> None:
    content = bytearray(encoded(speechlike(seconds=20), kind="FLAC"))
    content[len(content) // 2 :][:3000] = bytes(3000)
    with open_recording(bytes(content)) as recording:
        whole = np.concatenate(list(recording.blocks()))
        part = np.concatenate(list(recording.blocks(start=15.0, end=16.0)))
    assert np.allclose(part, whole[15 * RATE : 16 * RATE], atol=1e-4)


def test_a_stream_without_announced_length_is_counted() -> None:
    samples, recording = drained(with_total(encoded(speechlike(), kind="FLAC"), 0))
    assert recording.duration == pytest.approx(3.0, abs=0.02)
    assert len(samples) == pytest.approx(3 * RATE, abs=0.02 * RATE)
    assert recording.problems == []


def test_counting_what_is_not_announced_stops_at_a_number_of_samples() -> None:
    """A few kilobytes of digital silence can be hours; a server bounds what they cost it."""
    told = encoded(speechlike(), kind="FLAC")
    untold = with_total(told, 0)
    with pytest.raises(errors.AudioLimitError, match="does not state its length, and holds more than 32,000 samples"):
        drained(untold, max_untold=2 * RATE)
    assert drained(untold, max_untold=3 * RATE)[1].duration == pytest.approx(3.0, abs=0.02)
    assert drained(told, max_untold=1)[1].duration == pytest.approx(3.0, abs=0.02)


def test_too_long_is_refused_by_what_is_announced_and_by_what_comes() -> None:
    for content in (encoded(speechlike()), with_total(encoded(speechlike(), kind="FLAC"), 0)):
        with pytest.raises(errors.AudioLimitError, match="Split it first"):
            drained(content, max_duration=1.0)


def test_a_missing_file_names_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "meeting.wav").write_bytes(b"x")
    with pytest.raises(errors.AudioNotFoundError, match=r"did you mean 'meeting\.wav'"):
        drained(tmp_path / "meting.wav")
    with pytest.raises(FileNotFoundError, match="nor does its folder"):
        drained(tmp_path / "no" / "meeting.wav")
    with pytest.raises(errors.AudioNotFoundError, match="does not exist"):
        drained(tmp_path / ("x" * 300))


def test_a_folder_names_a_recording_in_it(tmp_path: Path) -> None:
    (tmp_path / "meeting.wav").write_bytes(b"x")
    with pytest.raises(errors.AudioNotFoundError, match=r"is a folder.*meeting\.wav.*diarize_many"):
        drained(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX files")
def test_links_pipes_sockets_and_devices_are_refused_unopened(tmp_path: Path) -> None:
    loop, broken, pipe, plug = (tmp_path / n for n in ("loop.wav", "broken.wav", "pipe.wav", "plug.wav"))
    loop.symlink_to(loop)
    broken.symlink_to(tmp_path / "nothing")
    os.mkfifo(pipe)
    with socket.socket(socket.AF_UNIX) as unix:
        folder = os.open(tmp_path, os.O_RDONLY)  # a socket's address is at most 108 bytes
        unix.bind(f"/proc/self/fd/{folder}/plug.wav" if sys.platform == "linux" else str(plug))
        os.close(folder)
        with pytest.raises(errors.AudioNotFoundError, match="leads back to itself"):
            drained(loop)
        with pytest.raises(errors.AudioNotFoundError, match="symbolic link to a file that does not exist"):
            drained(broken)
        for special in (pipe, plug, Path("/dev/zero")):
            with pytest.raises(errors.NotAudioError, match="not a regular file"):
                drained(special)


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX permissions")
def test_a_file_without_read_permission_is_told(tmp_path: Path) -> None:
    path = tmp_path / "secret.wav"
    path.write_bytes(encoded(speechlike()))
    path.chmod(0)
    if os.geteuid() == 0:  # root reads everything, so ask as somebody else
        for folder in [tmp_path, *tmp_path.parents[:3]]:
            if folder.owner() == "root" and folder != Path(tempfile.gettempdir()):
                folder.chmod(0o755)
        code = f"""
            import os
            from diarnb.audio import open_recording
            from diarnb.errors import AudioPermissionError
            import diarnb.audio.av
            os.setuid(65534)
            try:
                with open_recording({str(path)!r}): pass
            except AudioPermissionError as error:
                print(error)
        """
        done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
        assert "permission denied" in done.stdout
        return
    with pytest.raises(PermissionError, match="permission denied"):
        drained(path)


@pytest.mark.parametrize("address", ["concat:a.wav|b.wav", "subfile:,,start,0,,:a.wav", "data:audio/wav;base64,UklGRg"])
def test_strings_that_ffmpeg_would_follow_are_refused(address: str) -> None:
    with pytest.raises(errors.NotAudioError, match="neither a file nor"):
        drained(address)


@pytest.mark.parametrize("source", [None, 1, 1.5, True, ["a.wav"], {}, np.zeros(5), "", "a\0b", object], ids=repr)
def test_what_is_no_source_is_refused_with_the_list_of_sources(source: object) -> None:
    with pytest.raises(errors.InvalidParameterError, match="a path, an address"):
        drained(source)


@pytest.mark.parametrize(
    ("samples", "rate", "says"),
    [
        (np.zeros((2, 2, 2)), RATE, "3 dimensions"),
        (np.float32(1), RATE, "0 dimensions"),
        (np.zeros(5, bool), RATE, "bool"),
        (np.zeros(5, complex), RATE, "complex128"),
        (np.zeros(5, object), RATE, "object"),
        ([[1.0], [1.0, 2.0]], RATE, "NumPy array"),
        (np.full(5, 2**40), RATE, "32-bit"),
        (np.zeros(5), True, "whole number"),
        (np.zeros(5), 16000.5, "whole number"),
        (np.zeros(5), float("nan"), "whole number"),
        (np.zeros(5), "16000", "whole number"),
        (RATE, np.zeros(5), "Swap them"),
        ("a.wav", RATE, "a path goes alone"),
    ],
    ids=str,
)
def test_samples_that_are_no_sound_are_refused(samples: object, rate: object, says: str) -> None:
    with pytest.raises(errors.InvalidParameterError, match=says):
        drained((samples, rate))


@pytest.mark.parametrize(
    ("samples", "rate", "error"),
    [
        (np.zeros(0), RATE, errors.EmptyAudioError),
        ([], RATE, errors.EmptyAudioError),
        (np.zeros((0, 2)), RATE, errors.EmptyAudioError),
        (np.zeros(5), 10, errors.AudioLimitError),
        (np.zeros(5), 0, errors.AudioLimitError),
        (np.zeros((99, 99)), RATE, errors.AudioLimitError),
        (np.full(500, np.nan), RATE, errors.CorruptAudioError),
    ],
    ids=str,
)
def test_samples_beyond_use_are_refused(samples: object, rate: int, error: type[Exception]) -> None:
    with pytest.raises(error, match="samples"):
        drained((samples, rate))


def test_a_channel_that_does_not_exist_is_refused_with_their_number() -> None:
    with open_recording((np.zeros((100, 2)), RATE)) as recording:
        for channel in (2, -1, True, 1.0, "left"):
            with pytest.raises(errors.InvalidParameterError, match="2 channels"):
                recording.blocks(channel)  # type: ignore[arg-type]
        for start, end in ((-1.0, None), (float("nan"), None), (True, None), ("1", None), (0.0, float("inf"))):
            with pytest.raises(errors.InvalidParameterError, match="seconds"):
                recording.blocks(start=start, end=end)  # type: ignore[arg-type]
        with pytest.raises(errors.InvalidParameterError, match="after start"):
            recording.blocks(start=2.0, end=2.0)
    with pytest.raises(ValueError, match="closed"):
        recording.blocks()


@pytest.mark.parametrize("change", ["append", "replace", "remove"])
def test_a_file_that_changes_while_it_is_read_is_told(change: str, tmp_path: Path) -> None:
    path = tmp_path / "live.wav"
    path.write_bytes(encoded(speechlike(seconds=12)))
    with open_recording(path) as recording:
        blocks = recording.blocks()
        next(blocks)
        if change == "append":
            with path.open("ab") as file:
                file.write(bytes(100))
        else:
            path.unlink()
        if change == "replace":
            path.write_bytes(encoded(speechlike(seconds=12)))
        with pytest.raises(errors.AudioChangedError, match=r"live\.wav changed"):
            list(blocks)


def test_without_pyav_the_sentence_says_what_to_install() -> None:
    code = """
        import sys
        sys.modules["av"] = None
        from diarnb.audio import open_recording
        from diarnb.errors import ConfigurationError
        try:
            with open_recording(sys.stdin.buffer): pass
        except ConfigurationError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], input=contained("ipod", "aac"), capture_output=True, check=True
    )
    assert b'pip install "diarnb[av]"' in done.stdout


def dripping(request) -> None:
    request.send_response(200)
    request.send_header("Content-Length", "100000")
    request.end_headers()
    for _ in range(200):
        request.wfile.write(bytes(1))
        time.sleep(0.02)


@pytest.fixture(scope="module")
def origin():
    wav = encoded(speechlike())
    routes = {
        "/talk.wav": answering(wav),
        "/cut.wav": answering(wav, length=len(wav) + 1000),
        "/page.wav": answering(b"<html><title>Sign in</title></html>", Content_Type="text/html"),
        "/json.wav": answering(b'{"a": 1}', Content_Type="application/json"),
        "/hop.wav": answering(b"", status=302, Location="/talk.wav?sig=CANARY"),
        "/loop.wav": answering(b"", status=302, Location="/loop.wav?sig=CANARY"),
        "/file.wav": answering(b"", status=302, Location="file:///etc/passwd"),
        "/nowhere.wav": answering(b"", status=302, Location="ftp://127.0.0.1/x?sig=CANARY"),
        "/drip.wav": dripping,
    }
    for status in (401, 403, 410, 418, 500):
        routes[f"/{status}.wav"] = answering(b"", status=status)
    with serving(routes) as url:
        yield url


@pytest.mark.parametrize(
    ("path", "error", "says"),
    [
        ("missing.wav", errors.AudioNotFoundError, "404"),
        ("410.wav", errors.AudioNotFoundError, "410"),
        ("401.wav", errors.AudioPermissionError, "401"),
        ("403.wav", errors.AudioPermissionError, "403"),
        ("418.wav", errors.AudioDownloadError, "418"),
        ("500.wav", errors.AudioDownloadError, "500"),
        ("cut.wav", errors.AudioDownloadError, "was cut off"),
        ("page.wav", errors.NotAudioError, "'Sign in'. This is not a direct link"),
        ("json.wav", errors.NotAudioError, "not a direct link"),
        ("loop.wav", errors.AudioDownloadError, "more than 5 times"),
        ("file.wav", errors.AudioDownloadError, "not http"),
        ("nowhere.wav", errors.AudioDownloadError, "not http"),
    ],
)
def test_a_url_that_cannot_be_used_is_told_without_its_secrets(
    origin: str, path: str, error: type[Exception], says: str, caplog: pytest.LogCaptureFixture, temporary: Path
) -> None:
    caplog.set_level(logging.INFO)
    url = f"{origin}/{path}?sig=CANARY#CANARY".replace("http://", "http://me:CANARY@")
    with pytest.raises(errors.AudioError) as caught:
        drained(url)
    assert type(caught.value) is error
    assert says in str(caught.value)
    check_sentence(caught.value, f"{origin}/{path}")
    assert "CANARY" not in str(caught.value)
    assert "CANARY" not in caplog.text
    assert f"{origin}/{path}" in caplog.text
    assert not list(temporary.iterdir())


def test_nobody_listening_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(errors.AudioDownloadError, match="connection failed"):
            drained(f"http://127.0.0.1:{taken.getsockname()[1]}/talk.wav")


def test_a_download_is_bounded_in_bytes_and_time(origin: str) -> None:
    with pytest.raises(errors.AudioLimitError, match="larger than 1,000 bytes"):
        drained(f"{origin}/talk.wav", max_bytes=1000)
    with pytest.raises(errors.AudioDownloadError, match="too slow"):
        drained(f"{origin}/drip.wav", download_timeout=0.2)


def test_a_url_is_read_through_redirects_and_removed(origin: str) -> None:
    before = set(Path(tempfile.gettempdir()).glob("diarnb-*"))
    with open_recording(f"{origin}/hop.wav?sig=CANARY") as recording:
        assert recording.name == f"{origin}/hop.wav"
        assert recording.path is None
        assert sum(map(len, recording.blocks())) == 3 * RATE
    assert set(Path(tempfile.gettempdir()).glob("diarnb-*")) <= before
