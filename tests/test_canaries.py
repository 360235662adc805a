"""What a service says may hold anything, and so the key: nobody sees it, wherever it is said."""

from __future__ import annotations

import pytest

from tests import canaries


@pytest.mark.slow
def test_no_place_shows_a_key_or_a_signature_that_a_service_echoes() -> None:
    total, shown = canaries.count()
    assert total > 200
    assert shown == []


def test_a_service_that_shows_the_key_in_its_refusal_is_quoted_without_it() -> None:
    seen = canaries.pyannoteai("POST /v1/diarize", canaries.refuses(401, canaries.FORMS["a message"]), 0)
    assert not seen.shows
    assert any("bad key Bearer ****" in text for text in seen.texts)
    assert any("****6789" in text for text in seen.texts)  # whose it is can be told


def test_what_watches_would_see_one() -> None:
    seen = canaries.Seen()
    seen.error(ValueError(canaries.KEY))
    assert seen.shows
