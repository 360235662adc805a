"""A cloud engine in a real kernel: beside the user's own nest_asyncio, and interrupted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.faultserver import serving
from tests.test_kernel import kernel as kernel  # a fixture

if TYPE_CHECKING:
    from tests.test_kernel import Kernel

pytestmark = pytest.mark.slow

CELL = "from tests.clouds import ask, hasty, sound\nturns = ask({origin!r}, sound(), hasty(read=30.0, poll={poll}))"


@pytest.mark.parametrize("before", ["pass", "import nest_asyncio; nest_asyncio.apply()"])
def test_a_cell_answers_and_so_do_those_that_wait(kernel: Kernel, before: str) -> None:
    with serving(polls=3) as service:
        cell = CELL.format(origin=service.origin, poll=0.2)
        again = f"import diarnb\nawait diarnb.diarize_async(sound(1), engine=hasty(), base_url={service.origin!r}, "
        again += "api_key='canary-key-0123456789')"
        *done, last = kernel.run(before, cell, again, "print(len(turns))")
        assert [each.status for each in done] == ["ok"] * 3
        assert last.text == "2\n"
        assert len(service.jobs) == 2


def test_an_interrupt_tells_how_to_fetch_the_job_and_the_next_cell_does(kernel: Kernel) -> None:
    with serving(polls=10**9) as service:
        cell = CELL.format(origin=service.origin, poll=10.0)

        def interrupt() -> None:
            while not service.asked["GET /v1/jobs/"]:
                time.sleep(0.05)
            time.sleep(0.3)
            kernel.manager.interrupt_kernel()

        (stopped,) = kernel.run(cell, meanwhile=interrupt)
        assert stopped.error == "KeyboardInterrupt"
        service.polls = 1
        again, count = kernel.run(cell, "print(len(turns))")
        assert again.status == "ok"
        assert count.text == "2\n"
        assert len(service.jobs) == 1
