"""Which transcriber a server has, and what it says where there is none."""

from __future__ import annotations

import io
import re
import sys
import warnings
from typing import Any

import httpx
import pytest
import soundfile

import diarnb
from diarnb import server, transcribers
from diarnb.__main__ import main
from diarnb.server.deepgram.metadata import list_word_warnings
from tests.servers import KEY, PATIENCE


@pytest.mark.slow
def test_words_come_from_whatever_transcriber_is_installed() -> None:
    """With their utterances and paragraphs, though nobody named one."""
    if transcribers.best_installed() is None:
        pytest.skip("no transcriber is installed")
    sound, rate = soundfile.read(diarnb.example("interview"), frames=10 * 16_000)
    file = io.BytesIO()
    soundfile.write(file, sound, rate, format="WAV")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        served = diarnb.serve(workers=1)
    with served:

        def listen(**query: Any) -> dict[str, Any]:
            asked = {"model": "nova-3", "diarize_model": "latest", "utterances": "true", **query}
            headers = {"Authorization": f"Token {served.key}"}
            url = f"{served.base_url}/v1/listen"
            answer = httpx.post(url, params=asked, content=file.getvalue(), headers=headers, timeout=PATIENCE)
            return dict(answer.raise_for_status().json())

        answer = listen(smart_format="true", utt_split="0.001")  # between words, also where their times are estimates
        (channel,) = answer["results"]["channels"]
        (alternative,) = channel["alternatives"]
        assert {word["speaker"] for word in alternative["words"]} == {0, 1}
        assert re.match(r"\nSpeaker 0: \w", alternative["paragraphs"]["transcript"])
        assert [warning["parameter"] for warning in answer["metadata"]["warnings"]] == ["smart_format"]
        assert [about["name"] for about in answer["metadata"]["model_info"].values()] == [
            f"diarnb-{transcribers.best_installed()}"
        ]
        assert len(answer["results"]["utterances"]) > 1
        assert len(listen(utt_split="30")["results"]["utterances"]) == 1


@pytest.mark.slow
def test_without_a_transcriber_a_server_says_once_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pocketsphinx", "faster_whisper", "moonshine_voice"):
        monkeypatch.setitem(sys.modules, name, None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(2):
            with diarnb.serve(workers=1) as served:
                assert httpx.get(f"{served.base_url}/health").status_code == 200
    assert [str(one.message) for one in caught] == [server.NO_WORDS]
    assert "moonshine" in server.NO_WORDS
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        diarnb.serve(workers=1, words=False).stop()


@pytest.mark.parametrize(
    ("asked", "chosen", "says"),
    [([], transcribers.best_installed(), 0), (["--words", "none"], None, 0), (["--words", "whisper:tiny"], None, 1)],
    ids=["the best installed", "none", "not installed"],
)
def test_the_command_picks_a_transcriber(
    asked: list[str], chosen: str | None, says: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from diarnb.server import process

    seen: list[Any] = []

    async def serve(settings: Any, ready: Any) -> None:
        seen.append(settings.words)

    monkeypatch.setattr(process, "serve_until_stopped", serve)
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    code = main(["serve", "--key", KEY, *asked])
    if code:
        assert seen == []
        assert "pip install 'diarnb[whisper]'" in capsys.readouterr().err
    else:
        assert seen == [chosen]
        assert capsys.readouterr().err.count("\n") == says


def test_the_command_says_what_is_missing_for_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from diarnb.server import process

    async def serve(settings: Any, ready: Any) -> None:
        assert settings.words is None

    monkeypatch.setattr(process, "serve_until_stopped", serve)
    for name in ("pocketsphinx", "faster_whisper", "moonshine_voice"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["serve", "--key", KEY]) == 0
    said = capsys.readouterr().err
    assert said.startswith("diarnb: this server answers without words")
    assert "--words none" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "language", "told"),
    [
        *(("sphinx", "de", True), ("moonshine", "de", True), ("moonshine:tiny-en", "de-CH", True)),
        *(("moonshine", "en-GB", False), ("moonshine", None, False), ("whisper", "de", False)),
    ],
)
def test_a_language_that_the_transcriber_does_not_know_is_told(words: str, language: str | None, told: bool) -> None:
    assert any("knows English only" in each for each in list_word_warnings(words, language)) == told
