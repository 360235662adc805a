"""AssemblyAI: what is asked and answered, and above all that nothing is paid twice."""

from __future__ import annotations

import subprocess
import sys
import traceback
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

import diarnb
from diarnb import cloud, errors
from diarnb.__main__ import main
from diarnb.engines.assemblyai import AssemblyAIEngine
from diarnb.testing import check_engine
from tests import clouds
from tests import faultserver as faults
from tests.assemblyai_server import GET, KEY, LIST, POST, UPLOAD, AssemblyAI, serving
from tests.clouds import Crash, at_step, sound
from tests.faultserver import changed, refuses, says

if TYPE_CHECKING:
    from collections.abc import Iterator

hasty = partial(clouds.hasty, AssemblyAIEngine)


@pytest.fixture
def service() -> Iterator[AssemblyAI]:
    with serving() as server:
        yield server


def ask(service: AssemblyAI, source: Any = None, engine: Any = None, **asked: Any) -> Any:
    given = sound() if source is None else source
    return clouds.ask(service.origin, given, engine or hasty(), **{"api_key": KEY, **asked})


def sent(service: AssemblyAI, route: str = POST) -> list[Any]:
    return [request for request in service.received if request.route == route]


def test_a_recording_becomes_turns_and_words_by_speaker(service: AssemblyAI) -> None:
    path = diarnb.example("interview")
    turns = ask(service, path)
    assert list(turns) == ["start", "end", "duration", "speaker", "text"]
    assert set(turns["speaker"]) == {"SPEAKER_00", "SPEAKER_01"}
    assert turns.loc[0, "text"].startswith("Welcome back.")
    assert turns.attrs["diarnb"]["model"] == "universal-3-5-pro"  # what the service says that it took
    assert turns.attrs["diarnb"]["duration"] == pytest.approx(68.4, abs=1)
    (upload,) = sent(service, UPLOAD)
    assert upload.body == path.read_bytes()
    (asked,) = sent(service)
    assert asked.headers["authorization"] == KEY
    assert asked.json() == {"audio_url": next(iter(service.media)), "speaker_labels": True}
    words = diarnb.words(turns)
    assert list(words.loc[0, ["word", "text", "speaker", "confidence"]]) == ["welcome", "Welcome", "SPEAKER_00", 0.9]
    assert words["start"].is_monotonic_increasing
    assert diarnb.utterances(turns)["text"].str.len().sum() == turns["text"].str.len().sum()
    assert diarnb.runs().loc[0, ["engine", "state"]].tolist() == ["assemblyai", "succeeded"]


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ({"num_speakers": 2}, {"speakers_expected": 2}),
        ({"min_speakers": 2, "max_speakers": 2}, {"speakers_expected": 2}),
        ({"min_speakers": 2}, {"speaker_options": {"min_speakers_expected": 2}}),
        ({"max_speakers": 1}, {"speakers_expected": 1}),
        ({"max_speakers": 3}, {"speaker_options": {"min_speakers_expected": 1, "max_speakers_expected": 3}}),
        ({"model": "universal-2"}, {"speech_models": ["universal-2"]}),
        ({"model": "universal-9"}, {"speech_models": ["universal-9"]}),
        (
            {"keyterms_prompt": "Beth", "language_code": "en_uk"},
            {"keyterms_prompt": ["Beth"], "language_code": "en_uk"},
        ),
        ({"disfluencies": True, "format_text": False}, {"disfluencies": True, "format_text": False}),
    ],
)
def test_what_is_asked_is_written_as_the_documents_have_it(
    service: AssemblyAI, given: dict[str, Any], written: dict[str, Any]
) -> None:
    ask(service, **given)
    assert {"speaker_labels": True, **written}.items() <= sent(service)[0].json().items()


def test_speakers_are_as_many_as_were_asked_for(service: AssemblyAI) -> None:
    assert ask(service, diarnb.example("interview"), num_speakers=1)["speaker"].nunique() == 1


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"language_code": "en", "language_detection": True}, "contradict each other"),
        ({"language_code": "English!"}, "language_code is a language's code"),
        ({"confidence": True}, "does not offer confidence"),
        ({"channels": "split"}, "does not offer channels"),
        ({"keyterm": "Beth"}, "did you mean keyterms_prompt"),
        ({"max_cost": 1.0}, "max_cost needs price_per_hour"),
        ({"max_cost": 1e-6, "price_per_hour": 1.0}, "more than max_cost"),
        ({"base_url": "http://elsewhere.example.org"}, "https only"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_sent(
    service: AssemblyAI, asked: dict[str, Any], says: str
) -> None:
    with pytest.raises(errors.DiarnbError, match=says):
        ask(service, **asked)
    assert not service.asked


def test_limits_are_those_of_the_documents(service: AssemblyAI, monkeypatch: pytest.MonkeyPatch) -> None:
    assert AssemblyAIEngine.most == (2_200_000_000, 36_000.0)
    monkeypatch.setattr(AssemblyAIEngine, "most", (2_200_000_000, 0.5))
    with pytest.raises(errors.AudioLimitError, match="AssemblyAI takes"):
        ask(service)
    assert not service.asked


def test_costs_keys_and_jobs(service: AssemblyAI, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cloud.estimate_cost(sound(), engine="assemblyai", price_per_hour=3600.0) == 1.0
    at: Any = {"engine": "assemblyai", "base_url": service.origin}
    monkeypatch.delenv("ASSEMBLYAI_API_KEY", raising=False)
    with pytest.raises(errors.MissingApiKeyError, match="ASSEMBLYAI_API_KEY"):
        cloud.check_key(**at)
    assert not service.asked
    monkeypatch.setenv("ASSEMBLYAI_API_KEY", KEY)
    assert cloud.check_key(**at)
    turns = ask(service)
    listed = cloud.jobs(**at)
    assert listed["run"].tolist() == [turns.attrs["diarnb"]["run"]]
    assert listed["status"].tolist() == ["completed"]
    assert listed["created"].notna().all()
    assert diarnb.runs()["billed_seconds"].tolist() == [1.0]
    with pytest.raises(errors.AuthenticationError, match="came from api_key="):
        cloud.check_key(**at, api_key="not-the-key-of-this-team")


def test_the_command_line_knows_it(
    service: AssemblyAI, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASSEMBLYAI_API_KEY", KEY)
    monkeypatch.setenv("ASSEMBLYAI_BASE_URL", service.origin)
    arguments = ["--engine", "assemblyai", "--no-progress", "--num-speakers", "2"]
    assert main([str(diarnb.example("interview")), *arguments]) == 0
    assert "SPEAKER_01" in capsys.readouterr().out
    assert sent(service)[0].json()["speakers_expected"] == 2


def test_a_link_is_passed_on_and_nothing_is_downloaded(service: AssemblyAI) -> None:
    link = f"{service.origin}/talk.wav"  # answers 401 to a look without the key
    with pytest.raises(errors.AudioPermissionError, match="AssemblyAI has to fetch it"):
        ask(service, link)
    service.plan["GET /talk.wav"] = [refuses(206, b"RIFF", kind="audio/wav", ETag='"1"')]
    service.media[link] = b"http"
    assert len(ask(service, link)) > 10
    assert sent(service)[0].json()["audio_url"] == link
    assert not service.asked[UPLOAD]


def test_silence_is_an_empty_table_and_a_warning(service: AssemblyAI) -> None:
    service.silent = True
    with pytest.warns(errors.DiarnbWarning, match="AssemblyAI heard no words"):
        assert ask(service).empty


def test_a_failed_job_says_why(service: AssemblyAI) -> None:
    service.plan[GET] = [changed(lambda job: job.update(status="error", error="Audio is too short"))]
    with pytest.raises(errors.JobFailedError, match="failed at AssemblyAI: Audio is too short"):
        ask(service)
    assert len(ask(service)) == 2  # submitted anew
    assert service.asked[POST] == 2


def test_a_deleted_result_is_told_and_not_paid_for_again(service: AssemblyAI) -> None:
    job_id = cloud.submit(sound(), engine=hasty(), api_key=KEY, base_url=service.origin, progress=False)
    service.deleted.add(job_id)
    for _ in range(2):
        with pytest.raises(errors.JobExpiredError, match="AssemblyAI has deleted its result"):
            ask(service)
    assert service.asked[POST] == 1
    assert len(ask(service, resubmit=True)) == 2
    assert service.asked[POST] == 2


def test_a_job_that_takes_long_is_waited_for_and_resumed(service: AssemblyAI, monkeypatch: pytest.MonkeyPatch) -> None:
    service.polls = 1000
    with pytest.raises(errors.JobTimeoutError, match="Nothing is lost") as caught:
        ask(service, timeout=0.1)
    service.polls = 1
    monkeypatch.setattr("diarnb.engines.registry.find", lambda name: hasty())
    found = diarnb.resume(
        caught.value.job_id, engine="assemblyai", api_key=KEY, base_url=service.origin, progress=False
    )
    assert len(found) == 2
    with pytest.raises(errors.JobNotFoundError, match="AssemblyAI does not know job nobody"):
        diarnb.resume("nobody", engine="assemblyai", api_key=KEY, base_url=service.origin, progress=False)
    assert service.asked[POST] == 1


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda word: word.update(start="soon"), r"words\[0\].start is 'soon'"),
        (lambda word: word.update(end=50), r"words\[0\].end is 50, not a time after its start \(100\)"),
        (lambda word: word.update(end=9_000_000), r"words\[0\].end is 9000000, not a time within the audio"),
        (lambda word: word.update(text=None), r"words\[0\].text is None"),
        (lambda word: word.update(confidence=7), r"words\[0\].confidence is 7"),
    ],
)
def test_an_answer_that_is_not_as_the_documents_say_is_kept_and_told(
    service: AssemblyAI, change: Any, place: str
) -> None:
    service.plan[GET] = [changed(lambda job: change(job["words"][0]))] * 2
    with pytest.raises(errors.ApiResponseError, match=place):
        ask(service)
    assert service.asked[POST] == 1


def test_words_without_speakers_are_an_error_and_not_a_table(service: AssemblyAI) -> None:
    service.plan[GET] = [changed(lambda job: [word.update(speaker=None) for word in job["words"]] and None)]
    with pytest.raises(errors.ApiResponseError, match="its diarizer did not run"):
        ask(service)


# Not paid twice.


def colleague(exchange: faults.Exchange) -> None:
    """Let another submission of the same account come in between, then lose ours on the way back."""
    server: Any = exchange.server
    other = faults.Request("POST", "/v2/transcript", {}, {}, b'{"audio_url": "https://example.org/other.wav"}')
    server.submit(other)
    faults.fin_after(exchange)


BILLED_ONCE: dict[str, faults.Fault] = {
    "answer lost": faults.fin_after,
    "reset after": faults.reset_after,
    "silent after": faults.silent_after,
    "half an answer": faults.short_body,
    "500, and done": refuses(500, executed=True),
    "504, and done": refuses(504, b"<title>Gateway time-out</title>", kind="text/html", executed=True),
    "no id": says({"status": "queued"}),
    "an id that is none": says({"id": "../../etc"}),
    "a page": says(b"<html>Please log in</html>", kind="text/html"),
    "a colleague meanwhile": colleague,
}


@pytest.mark.parametrize("ahead", [0.0, -9e6, 9e6], ids=["", "its clock is late", "its clock is early"])
@pytest.mark.parametrize("fault", BILLED_ONCE.values(), ids=BILLED_ONCE)
def test_whatever_happens_to_the_submission_it_is_billed_once(
    service: AssemblyAI, fault: faults.Fault, ahead: float
) -> None:
    service.ahead = ahead
    service.plan[POST] = [fault]
    assert len(ask(service)) == 2
    assert service.double_billed == 0
    assert diarnb.runs()["state"].tolist() == ["succeeded"]
    assert len(ask(service)) == 2  # from the store
    assert service.asked[POST] == 1


@pytest.mark.parametrize("status", [500, 503, 408, 409])
def test_absence_is_no_proof_and_nothing_is_sent_again_without_consent(service: AssemblyAI, status: int) -> None:
    service.plan[POST] = [refuses(status, {"error": "busy"})]
    for _ in range(2):
        with pytest.raises(errors.SubmissionUncertainError, match="resubmit=True"):
            ask(service)
    assert service.asked[POST] == 1
    assert len(ask(service, resubmit=True)) == 2
    assert list(service.billed.values()) == [1]


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, errors.BadRequestError), (401, errors.AuthenticationError), (402, errors.PaymentRequiredError)],
)
def test_a_refusal_is_final_says_why_and_shows_no_key(service: AssemblyAI, status: int, kind: type[Exception]) -> None:
    service.plan[POST] = [refuses(status, {"error": f"Not with the key {KEY} of yours"})]
    with pytest.raises(kind, match=r"Not with the key \*\*\*\* of yours") as caught:
        ask(service)
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert KEY not in "".join(line for line in told.format() if "/diarnb/" in line)
    assert service.asked[POST] == 1
    assert not service.billed


@pytest.mark.parametrize("route", [UPLOAD, LIST, GET])
@pytest.mark.parametrize(
    "fault", [refuses(503), faults.reset_mid_body, faults.short_body, refuses(429, Retry_After="0")]
)
def test_what_bills_nothing_is_simply_done_again(service: AssemblyAI, route: str, fault: faults.Fault) -> None:
    service.plan[route] = [fault] * 2
    assert len(ask(service)) == 2
    assert list(service.billed.values()) == [1]


STEPS = 40


@pytest.mark.slow
def test_wherever_the_process_ends_it_is_billed_once(service: AssemblyAI, home: Any) -> None:
    """Die before and after each step of the work, in turn, and ask again: every sound is billed once."""

    def crash() -> None:
        raise Crash

    for number in range(STEPS):
        with at_step(number, crash) as seen:
            try:
                ask(service, sound(number))
            except Crash:
                pass
            else:
                break
        try:
            turns = ask(service, sound(number))
        except errors.SubmissionUncertainError:  # it died between writing that it sends and sending
            turns = ask(service, sound(number), resubmit=True)
        assert len(turns) == 2, seen[-1]
    else:
        raise AssertionError("there are more steps than were tried")
    assert number > 15
    assert service.double_billed == 0


@dataclass
class Fake:
    server: AssemblyAI
    api_key: str = KEY

    @property
    def base_url(self) -> str:
        return self.server.origin

    @property
    def billed(self) -> int:
        return sum(self.server.billed.values())


@pytest.mark.slow
def test_it_keeps_all_promises_also_those_on_money() -> None:
    with serving(polls=30) as server:
        found = check_engine(hasty(), service=Fake(server))
    by_name = dict(zip(found["check"], found["result"], strict=True))
    assert by_name["keys"] == by_name["kill and paid once"] == by_name["words"] == by_name["counts"] == "passed"


def test_importing_diarnb_loads_neither_it_nor_http() -> None:
    loaded = "[name for name in sys.modules if 'assemblyai' in name or name == 'httpx']"
    code = f"import sys, diarnb; diarnb.engines.names(); print({loaded})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
