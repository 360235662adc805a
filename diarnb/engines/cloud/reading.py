"""Reading what a service answered: untrusted JSON, whose every value is what the documents say, or an error."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from diarnb.errors import ApiResponseError

if TYPE_CHECKING:
    from diarnb._types import Json, Options


BEYOND = 1.0
"""Seconds by which a word may end after the audio: services pad."""


class AnswerReader:
    """Takes values out of the answers of a service; what is wrong is told with its place.

    Parameters
    ----------
    service : str
        Its name, for messages.
    unit : float, default 1.0
        Seconds that the service's times count in.
    """

    def __init__(self, service: str, *, unit: float = 1.0) -> None:
        self._service, self._unit = service, unit

    def span(self, item: Options, place: str, until: float) -> tuple[float, float]:
        """Read ``start`` and ``end``, in seconds, which lie within the audio and in this order."""
        start, end = (self._unit * self.number(item.get(name), f"{place}.{name}") for name in ("start", "end"))
        if end < start:
            raise self.wrong(f"{place}.end", item["end"], f"a time after its start ({item['start']})")
        if end > until:
            raise self.wrong(f"{place}.end", item["end"], f"a time within the audio ({until - BEYOND:g} s)")
        return start, end

    def share(self, value: object, place: str) -> float | None:
        """Read a number from 0 to 1, or None."""
        if value is None:
            return None
        number = self.number(value, place)
        if number > 1 + 1e-6:
            raise self.wrong(place, value, "a number from 0 to 1")
        return min(number, 1.0)

    def integer(self, value: object, place: str) -> int:
        """Read a whole number that is not negative."""
        number = self.number(value, place)
        if not number.is_integer() or number > 1e6:
            raise self.wrong(place, value, "a whole number")
        return int(number)

    def number(self, value: object, place: str) -> float:
        """Read a number that is not negative; one written as text is a number all the same."""
        try:
            number = math.nan if isinstance(value, bool) or not isinstance(value, int | float | str) else float(value)
        except (ValueError, OverflowError):
            number = math.nan
        if not 0 <= number < math.inf:
            raise self.wrong(place, value, "a number, 0 or more")
        return number

    def text(self, value: object, place: str) -> str:
        """Read a text."""
        if not isinstance(value, str):
            raise self.wrong(place, value, "text")
        return value

    def mapping(self, value: object, place: str) -> Json:
        """Read an object."""
        if not isinstance(value, dict):
            raise self.wrong(place, value, "an object")
        return value

    def rows(self, value: object, place: str) -> list[Any]:
        """Read a list."""
        if not isinstance(value, list):
            raise self.wrong(place, value, "a list")
        return value

    def wrong(self, place: str, value: object, wanted: str) -> ApiResponseError:
        """Make the error for a value that is not what the documents say."""
        return ApiResponseError(
            f"{self._service}'s answer is not what its documents say: {place} is {value!r:.60}, not {wanted}."
        )
