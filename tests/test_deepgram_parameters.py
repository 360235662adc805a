"""Every documented parameter of Deepgram has its name, and what the service refuses is refused here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from diarnb.engines.base import check_options
from diarnb.engines.deepgram import DeepgramEngine
from diarnb.engines.deepgram.parameters import BATCH, LIVE, check_batch, check_live, query_of
from diarnb.errors import InvalidParameterError
from diarnb.params import Params

DOCUMENTED = {
    *("diarize", "diarize_model", "multichannel", "utterances", "utt_split", "paragraphs", "punctuate", "smart_format"),
    *("version", "language", "language_hint", "detect_language", "filler_words", "numerals", "measurements"),
    *("dictation", "profanity_filter", "redact", "replace", "search", "keyterm", "keywords", "encoding", "callback"),
    *("callback_method", "tag", "extra", "mip_opt_out", "summarize", "sentiment", "topics", "intents"),
    *("detect_entities", "custom_topic", "custom_topic_mode", "custom_intent", "custom_intent_mode"),
}
DOCUMENTED_LIVE = {
    *("diarize", "diarize_model", "interim_results", "endpointing", "utterance_end_ms", "vad_events", "punctuate"),
    *("smart_format", "numerals", "dictation", "profanity_filter", "no_delay", "detect_entities", "mip_opt_out"),
    *("language", "language_hint", "keyterm", "keywords", "redact", "replace", "search", "tag", "extra", "version"),
    *("callback", "callback_method"),
}


def test_every_documented_parameter_is_there() -> None:
    assert set(BATCH) >= DOCUMENTED
    assert set(LIVE) >= DOCUMENTED_LIVE
    assert {"utterances", "paragraphs", "utt_split", "filler_words", "detect_language"}.isdisjoint(LIVE)
    assert all(0 < len(option.help) < 100 for option in {**BATCH, **LIVE}.values())


@pytest.mark.parametrize(
    ("name", "value", "sent"),
    [
        ("punctuate", True, ["true"]), ("smart_format", np.bool_(False), ["false"]), ("utt_split", 1, ["1.0"]),
        ("utt_split", np.float64(0.5), ["0.5"]), ("language", "pt-BR", ["pt-BR"]), ("language", "multi", ["multi"]),
        ("detect_language", True, ["true"]), ("detect_language", ["en", "es"], ["en", "es"]),
        ("redact", "pci", ["pci"]), ("redact", ["pci", "numbers"], ["pci", "numbers"]), ("redact", True, ["true"]),
        ("keyterm", ["a b", "ü"], ["a b", "ü"]), ("replace", "this:that", ["this:that"]), ("search", "slugs", None),
        ("tag", ["a", "b"], ["a", "b"]), ("extra", "job:7", ["job:7"]), ("summarize", "v2", ["v2"]),
        ("summarize", True, ["true"]), ("callback", "https://me:pw@example.org:8443/x?t=1", None),
        ("custom_topic", ["bees"], ["bees"]), ("alternatives", 2, ["2"]), ("encoding", "mulaw", ["mulaw"]),
        ("callback_method", "put", ["put"]), ("diarize_model", "v2", ["v2"]), ("language_hint", "de", ["de"]),
    ],
)  # fmt: skip
def test_a_value_is_sent_as_the_service_reads_it(name: str, value: Any, sent: list[str] | None) -> None:
    checked = BATCH[name].check(value)
    assert BATCH[name].check(checked) == checked
    pairs = query_of("nova-3", {name: checked, "api_key": "never"})
    assert pairs == [("model", "nova-3"), *((name, text) for text in sent or [str(value)])]


WRONG = [
    ("punctuate", "true"), ("punctuate", 1), ("punctuate", None), ("diarize_model", "v3"), ("diarize_model", True),
    ("diarize_model", ""), ("utt_split", -1), ("utt_split", True), ("utt_split", "1"), ("utt_split", float("nan")),
    ("language", "english"), ("language", ["en"]), ("language", ""), ("detect_language", []), ("detect_language", "x1"),
    ("redact", 5), ("redact", ["pci", ""]), ("search", ["a"] * 51), ("keyterm", ["a"] * 101), ("keyterm", [1]),
    ("keywords", {"a": 1}), ("tag", "x" * 129), ("tag", " "), ("extra", "no colon"), ("extra", "k:" + "v" * 2048),
    ("replace", ":b"), ("summarize", "v1"), ("custom_topic_mode", "loose"), ("alternatives", 0), ("alternatives", 1.5),
    ("encoding", "mp3"), ("callback", "ftp://example.org"), ("callback", "example.org/x"), ("callback", 7),
    ("callback", "https://:80"), ("callback", "https://example.org:none/"), ("callback_method", "get"),
    ("tag", "\ud800"), ("version", ""),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        BATCH[name].check(value)
    assert name in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("endpointing", True), ("endpointing", -5), ("endpointing", 0.5), ("utterance_end_ms", 999),
        ("utterance_end_ms", 1000.0), ("interim_results", 1), ("callback", "mailto:me"), ("no_delay", "false"),
    ],
)  # fmt: skip
def test_a_wrong_live_value_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidParameterError, match=name):
        LIVE[name].check(value)


def test_live_values_that_are_right() -> None:
    assert LIVE["endpointing"].check(False) is False
    assert LIVE["endpointing"].check(300) == 300
    assert LIVE["callback"].check("wss://example.org/in") == "wss://example.org/in"


def test_a_secret_in_a_callback_is_never_shown() -> None:
    with pytest.raises(InvalidParameterError) as caught:
        BATCH["callback"].check("gopher://me:secret@example.org/?sig=secret")
    assert "secret" not in str(caught.value)
    assert "callback" not in {name for name, option in BATCH.items() if option.changes_result}


TOGETHER = [
    ("nova-3", {"diarize": True, "diarize_model": "latest"}, "both"),
    ("nova-3", {"diarize": False, "diarize_model": "latest"}, "both"),
    ("nova-3", {"diarize": False}, "leave it out"),
    ("whisper-large", {}, "whisper"),
    ("Whisper", {"diarize_model": "v1"}, "whisper"),
    ("flux-general-en", {}, "another product"),
    ("nova-3", {"keywords": ["a:2"]}, "keyterm"),
    ("nova-2", {"keyterm": ["a"]}, "keywords"),
    ("nova-3", {"dictation": True, "punctuate": False}, "punctuate"),
    ("nova-3", {"callback_method": "put"}, "callback"),
    ("nova-3", {"callback": "https://example.org:9000/"}, "9000"),
    ("nova-3", {"callback": "https://s3.example.org/x?X-Amz-Signature=00"}, "callback_method='put'"),
    ("nova-3", {"custom_topic_mode": "strict"}, "custom_topic"),
    ("nova-3", {"custom_intent_mode": "strict"}, "custom_intent"),
]


@pytest.mark.parametrize(("model", "options", "reason"), TOGETHER)
def test_what_the_service_refuses_together_is_refused_with_the_reason(
    model: str, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InvalidParameterError, match=reason):
        check_batch(model, options)


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("nova-3", {}), ("nova-3-medical", {"keyterm": ["a"]}), ("nova-2", {"keywords": ["a:2"], "diarize": True}),
        ("base", {"diarize_model": "v1"}), ("enhanced-phonecall", {}),
        ("0f1c2d3e-0000-4000-8000-000000000000", {"keyterm": ["a"]}),  # a custom model, of whatever family
        ("nova-3", {"dictation": True, "punctuate": False, "smart_format": True}),
        ("nova-3", {"callback": "https://example.org:8443/", "callback_method": "post"}),
        ("nova-3", {"callback": "https://s3.example.org/x?X-Amz-Signature=00", "callback_method": "put"}),
    ],
)  # fmt: skip
def test_what_the_service_takes_passes(model: str, options: dict[str, Any]) -> None:
    check_batch(model, options)


def test_a_server_of_ones_own_may_call_back_any_port() -> None:
    check_batch("nova-3", {"callback": "http://127.0.0.1:9000/"}, official=False)


@pytest.mark.parametrize("value", ["latest", "v1", "v2"])
def test_live_there_is_no_diarize_model_unless_newer_documents_are_believed(value: str) -> None:
    with pytest.raises(InvalidParameterError, match="whatever its value"):
        check_live("nova-3", {"diarize_model": value})
    if value == "v2":
        with pytest.raises(InvalidParameterError, match="no v2 diarizer"):
            check_live("nova-3", {"diarize_model": value}, newer_documents=True)
    else:
        check_live("nova-3", {"diarize_model": value}, newer_documents=True)


def test_live_utterance_ends_need_interim_results() -> None:
    with pytest.raises(InvalidParameterError, match="interim_results"):
        check_live("nova-3", {"utterance_end_ms": 1000, "interim_results": False})
    check_live("nova-3", {"utterance_end_ms": 1000})


@pytest.fixture
def settle(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("DEEPGRAM_API_KEY", "key-of-nobody")
    engine = DeepgramEngine()
    return lambda params=None, **options: engine.settle(
        params or Params(), check_options(options, engine.offer, engine.name)
    )


def test_the_newest_diarizer_and_punctuation_are_asked_for_by_default(settle: Any) -> None:
    settled = settle()
    assert settled["diarize_model"] == "latest"
    assert settled["punctuate"] is True
    assert settled["base_url"] == "https://api.deepgram.com"
    assert "diarize" not in settled
    older = settle(diarize=True, punctuate=False)
    assert older["diarize"] is True
    assert older["punctuate"] is False
    assert "diarize_model" not in older


def test_channels_kept_apart_are_multichannel(settle: Any) -> None:
    assert settle(Params(channels="split"))["multichannel"] is True
    assert "multichannel" not in settle()
    with pytest.raises(InvalidParameterError, match="contradict"):
        settle(Params(channels="split"), multichannel=False)
    with pytest.raises(InvalidParameterError, match="channel 1"):
        settle(Params(channels=1))
