"""Uploads to pyannoteAI and the wait for its jobs outlive faults; no secret shows on the way."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any

import pytest

import diarnb
from diarnb import errors
from diarnb.engines.cloud.paid_jobs import Waits
from diarnb.engines.pyannoteai import PyannoteAIEngine
from tests import faultserver as faults
from tests.clouds import ask, hasty, sound, states
from tests.faultserver import KEY, POST, FaultServer, refuses, says, serving

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd


# Jobs.


def test_polling_outlives_faults(service: FaultServer) -> None:
    service.polls = 4
    service.plan["GET /v1/jobs/"] = [refuses(503), faults.fin_after, faults.short_body, says(b"oops"), faults.slices]
    assert len(ask(service.origin, sound())) == 2
    assert len(service.jobs) == 1


@pytest.mark.parametrize(
    ("status", "output", "kind"),
    [
        ("failed", {"error": "Could not load audio"}, errors.JobFailedError),
        ("failed", None, errors.JobFailedError),
        ("canceled", {}, errors.JobCanceledError),
    ],
)
def test_a_job_without_a_result_is_never_an_empty_table(
    service: FaultServer, status: str, output: Any, kind: type[errors.JobError]
) -> None:
    def end(found: dict[str, Any]) -> None:
        found.update(status=status, output=output)

    service.plan["GET /v1/jobs/"] = [faults.changed(end)]
    with pytest.raises(kind) as caught:
        ask(service.origin, sound())
    assert caught.value.job_id in service.jobs
    assert caught.value.job_id in str(caught.value)
    assert states()[0] == status
    jobs = len(service.jobs)
    assert len(ask(service.origin, sound())) == 2
    assert len(service.jobs) == jobs + 1


def without_output(**more: Any) -> faults.Fault:
    return faults.changed(lambda found: found.update(more) or (found.pop("output") and None))


def test_a_result_that_comes_late_is_waited_for_and_is_not_expired(service: FaultServer) -> None:
    service.plan["GET /v1/jobs/"] = [without_output()] * 3
    assert len(ask(service.origin, sound())) == 2
    service.plan["GET /v1/jobs/"] = [without_output()] * 99
    with pytest.raises(errors.JobTimeoutError, match="Nothing is lost") as caught:
        ask(service.origin, sound(1))
    assert f"diarnb.resume({caught.value.job_id!r})" in str(caught.value)
    service.plan.clear()
    assert len(ask(service.origin, sound(1))) == 2
    assert len(service.jobs) == 2


def test_a_result_is_expired_by_its_age_alone_and_asked_for_again(service: FaultServer) -> None:
    old = faults.stamp(time.time() - 24.5 * 3600)
    service.plan["GET /v1/jobs/"] = [without_output(updatedAt=old)] * 2
    for _ in range(2):
        with pytest.raises(errors.JobExpiredError, match=r"resubmit=True") as caught:
            ask(service.origin, sound())
        assert f"diarnb.resume({caught.value.job_id!r})" in str(caught.value)
        assert states() == ["expired"]
    assert len(ask(service.origin, sound())) == 2  # the service had it after all
    assert len(service.jobs) == 1
    service.plan["GET /v1/jobs/"] = [without_output(updatedAt=old)]
    with pytest.raises(errors.JobExpiredError):
        ask(service.origin, sound(1))
    assert len(ask(service.origin, sound(1), resubmit=True)) == 2
    assert len(service.jobs) == 3


def test_audio_that_the_service_has_lost_is_uploaded_again(service: FaultServer) -> None:
    service.plan[POST] = [refuses(402, {"message": "no credit"})]
    with pytest.raises(errors.PaymentRequiredError):
        ask(service.origin, sound())
    service.media.clear()
    assert len(ask(service.origin, sound())) == 2
    assert service.asked["PUT /upload/"] == 2


def test_an_unknown_status_is_not_the_end_and_no_result_in_time_is_resumed(service: FaultServer) -> None:
    service.plan["GET /v1/jobs/"] = [faults.changed(lambda found: found.update(status="queued"))] * 50
    with pytest.raises(errors.JobTimeoutError, match="queued") as caught:
        ask(service.origin, sound(), timeout=0.3)
    service.plan.clear()
    turns = diarnb.resume(caught.value.job_id, engine=hasty(), api_key=KEY, base_url=service.origin, progress=False)
    assert ask(service.origin, sound()).equals(turns)
    assert len(service.jobs) == 1
    assert states() == ["succeeded"]


def test_a_job_of_another_machine_is_resumed(
    service: FaultServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ask(service.origin, sound())
    (job,) = service.jobs
    monkeypatch.setenv("DIARNB_HOME", str(tmp_path / "elsewhere"))
    named: dict[str, Any] = {"engine": hasty(), "api_key": KEY, "base_url": service.origin, "progress": False}
    turns = diarnb.resume(job, **named)
    assert turns.attrs["diarnb"]["source"] == f"job {job}"
    asked = service.asked.total()
    assert diarnb.resume(job, **named).equals(turns)
    assert service.asked.total() == asked
    with pytest.raises(errors.JobNotFoundError):
        diarnb.resume("no-such-job", **named)
    with pytest.raises(errors.InvalidParameterError):
        diarnb.resume("../jobs", **named)
    assert len(diarnb.runs()) == 1


@pytest.mark.slow
def test_many_jobs_share_the_looks_at_the_list(service: FaultServer) -> None:
    service.polls = 3
    engine = PyannoteAIEngine(pace=hasty()._pace, waits=Waits(poll=0.3, first_look=0.02, search=0.3))
    tables: dict[int, pd.DataFrame] = {}
    threads = [
        threading.Thread(target=lambda n=n: tables.update({n: ask(service.origin, sound(n), engine)}))
        for n in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tables) == 12
    assert service.double_billed == 0
    assert service.asked["GET /v2/jobs"] > 0
    assert service.asked["GET /v1/jobs/"] < 3 * 12


# Uploads.


@pytest.mark.parametrize(
    "fault",
    [faults.fin_after, faults.reset_mid_body, refuses(503), faults.fin_on_accept],
    ids=["fin", "reset", "503", "accept"],
)
def test_an_upload_starts_again_from_its_beginning(service: FaultServer, fault: faults.Fault) -> None:
    service.plan["PUT /upload/"] = [fault]
    ask(service.origin, diarnb.example("interview"))
    (content,) = service.media.values()
    assert content == diarnb.example("interview").read_bytes()


def test_an_expired_address_is_replaced_twice(service: FaultServer) -> None:
    denied = refuses(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>", kind="application/xml")
    service.plan["PUT /upload/"] = [denied, denied]
    assert len(ask(service.origin, sound())) == 2
    service.plan["PUT /upload/"] = [denied] * 3
    with pytest.raises(errors.UploadExpiredError) as caught:
        ask(service.origin, sound(1))
    shown = "".join(traceback.format_exception(caught.value))
    assert "canary" not in shown
    assert len(service.jobs) == 1


@pytest.mark.parametrize("target", ["http://example.org/up", "ftp://127.0.0.1/up", "https://u:p@127.0.0.1/up", None, 5])
def test_an_address_that_is_not_secure_gets_nothing(service: FaultServer, target: Any) -> None:
    service.plan["POST /v1/media/input"] = [faults.changed(lambda found: found.update(url=target))]
    with pytest.raises(errors.ApiResponseError):
        ask(service.origin, sound())
    assert service.asked["PUT /upload/"] == 0


def test_a_file_that_changes_while_it_is_sent_is_not_submitted(service: FaultServer, tmp_path: Path) -> None:
    path = tmp_path / "talk.flac"
    path.write_bytes(diarnb.example("interview").read_bytes())

    def rewrite(exchange: faults.Exchange) -> None:
        exchange.read_body()
        path.write_bytes(diarnb.example("call").read_bytes())
        exchange.reply(*exchange.execute())

    service.plan["POST /v1/media/input"] = [rewrite]
    with pytest.raises(errors.AudioChangedError):
        ask(service.origin, path)
    assert not service.jobs
    assert not service.media


# Secrets, and the notebook.


def test_no_secret_shows_anywhere(
    service: FaultServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], home: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    shown: list[str] = []
    service.plan["PUT /upload/"] = [refuses(500), refuses(403), refuses(500)]
    service.plan[POST] = [refuses(401, {"message": f"bad key at {service.origin}/x?sig=canary-signature-0123456789"})]
    engine = hasty()
    with pytest.raises(errors.AuthenticationError) as caught:
        ask(service.origin, sound(), engine)
    tree: BaseException | None = caught.value
    while tree is not None:
        shown += [repr(tree), str(tree), *map(repr, vars(tree).values())]
        frames = traceback.walk_tb(tree.__traceback__)
        ours = [frame for frame, _ in frames if frame.f_globals.get("__name__", "").startswith("diarnb")]
        shown += [repr(frame.f_locals) for frame in ours]
        tree = tree.__cause__ or tree.__context__
    turns = ask(service.origin, sound(), engine)
    shown += [repr(vars(engine)), str(turns.attrs), diarnb.runs().to_string(), caplog.text, *capfd.readouterr()]
    shown += [path.read_bytes().decode("latin-1") for path in home.rglob("*") if path.is_file()]
    assert "canary-key" not in "\n".join(shown)
    assert "canary-signature" not in "\n".join(shown)
    assert "****6789" in str(caught.value)  # enough to tell one key from another


def test_an_interrupt_says_what_goes_on(service: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    service.polls = 10**6
    began = time.monotonic()

    def interrupt(stage: str, _fraction: float) -> None:
        if stage == "running":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        ask(service.origin, sound(), progress=interrupt)
    (job,) = service.jobs
    assert f"diarnb.resume({job!r})" in str(caught.value)
    assert time.monotonic() - began < 20
    service.polls = 1
    assert len(ask(service.origin, sound())) == 2
    assert len(service.jobs) == 1


def test_without_the_service_a_known_answer_is_given() -> None:
    with serving() as service:
        ask(service.origin, sound())
    assert len(ask(service.origin, sound())) == 2
    with pytest.raises(errors.ApiConnectionError, match="cannot reach"):
        ask(service.origin, sound(1))
    assert states() == ["prepared", "succeeded"]
