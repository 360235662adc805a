"""A billed request that goes wrong: what never arrived is sent again, what may have been carried out is not."""

from __future__ import annotations

import pytest

from tests.deepgram_faults import CASES, replay

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", CASES)
def test_consent_is_needed_only_where_a_request_may_have_been_carried_out(name: str) -> None:
    found = replay([name])
    assert found.twice == []
    assert found.answered == ([name] if CASES[name].safe else [])
