"""Whatever is delayed, skewed or lost around a submission, nothing is billed twice, and what is in doubt is said."""

from __future__ import annotations

import threading
import time

import pytest

import diarnb
from diarnb import errors
from tests import faultserver as faults
from tests import schedules
from tests.clouds import ask, hasty, sound
from tests.faultserver import POST, refuses, serving


@pytest.mark.slow
def test_no_random_schedule_bills_twice() -> None:
    counts = schedules.run(40, seed=1)
    assert counts.schedules == 40
    assert counts.twice == 0
    assert counts.resubmitted == 0
    assert counts.uncertain > 0
    assert counts.adopted > 0


def test_a_job_that_appears_long_after_its_answer_was_lost_is_found_and_not_paid_again() -> None:
    timers: list[threading.Timer] = []

    def late(exchange: faults.Exchange) -> None:
        exchange.read_body()
        timers.append(threading.Timer(0.5, lambda: exchange.server.create(exchange.request)))
        timers[-1].start()
        exchange.reply(504, {}, b"<title>Gateway time-out</title>")

    stages: list[str] = []
    with serving() as service:
        service.plan[POST] = [late]
        turns = ask(service.origin, sound(), hasty(search=20.0), progress=lambda stage, _fraction: stages.append(stage))
        assert service.asked[POST] == 1
        assert len(service.jobs) == 1
    assert "was taken for it" in turns.attrs["diarnb"]["warning"]
    assert any("looking for its job" in stage for stage in stages)


@pytest.mark.parametrize("ahead", [-30.0, 90.0])
def test_a_clock_that_is_wrong_hides_no_job(ahead: float) -> None:
    with serving() as service:
        create = service.create

        def skewed(request: faults.Request) -> str:
            job = create(request)
            service.jobs[job]["created"] = time.time() + ahead
            return job

        service.create = skewed  # type: ignore[method-assign]
        service.plan[POST] = [faults.fin_after]
        assert len(ask(service.origin, sound())) == 2
        assert service.asked[POST] == 1


def test_a_job_is_recognised_by_the_address_of_its_audio_where_the_list_shows_it() -> None:
    with serving() as service:
        listed = service.listed

        def shows(request: faults.Request) -> dict[str, object]:
            page = listed(request)
            for item in page["items"]:
                item["url"] = service.jobs[item["id"]]["request"].json()["url"]
            return page

        def meanwhile(exchange: faults.Exchange) -> None:
            with service.lock:
                other = faults.Request("POST", "/v1/diarize", {}, {}, schedules.COLLEAGUE)
                service.create(other)
            faults.fin_after(exchange)
            with service.lock:
                service.create(other)

        service.listed = shows  # type: ignore[method-assign]
        service.plan[POST] = [meanwhile]
        turns = ask(service.origin, sound())
        (ours,) = [job for job, facts in service.jobs.items() if not facts["content"].startswith(b"https")]
        assert diarnb.runs()["job_id"][0] == ours
        assert turns.attrs["diarnb"]["warning"] is None


def test_a_job_that_nobody_asked_for_before_is_not_taken_twice() -> None:
    with serving() as service:
        service.plan[POST] = [faults.fin_after]
        ask(service.origin, sound(0))
        service.plan[POST] = [refuses(503)]
        with pytest.raises(errors.SubmissionUncertainError, match="is not in its list"):
            ask(service.origin, sound(1))
        assert len(service.jobs) == 1


def test_what_is_in_doubt_for_long_does_not_keep_later_jobs_from_being_found() -> None:
    with serving() as service:
        service.plan[POST] = [refuses(503)]
        with pytest.raises(errors.SubmissionUncertainError):
            ask(service.origin, sound(0))
        service.plan[POST] = [faults.fin_after]
        assert len(ask(service.origin, sound(1))) == 2
        assert service.asked[POST] == 2
