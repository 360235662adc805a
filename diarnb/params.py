"""What may be asked of `diarize`, checked once, for the function, the widgets and the engines alike."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from diarnb.errors import InvalidParameterError

if TYPE_CHECKING:
    from diarnb._types import Json


def _parameter(default: Any, help: str) -> Any:  # noqa: A002 (the name under which every reader looks for it)
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True, kw_only=True)
class Params:
    """What is asked of an engine, valid from the moment it exists.

    Integers of numpy become plain ones. The line of help for each parameter is in ``Params.help()``.

    Raises
    ------
    InvalidParameterError
        If a value has the wrong type, is out of range, or contradicts another.

    Examples
    --------
    >>> Params(min_speakers=2, max_speakers=4).bounds
    (2, 4)
    >>> Params(num_speakers=3).key()
    {'min_speakers': 3, 'max_speakers': 3}
    """

    num_speakers: int | None = _parameter(None, "The number of speakers, if you know it; otherwise they are counted.")
    min_speakers: int | None = _parameter(None, "The minimum number of speakers.")
    max_speakers: int | None = _parameter(None, "The maximum number of speakers.")
    exclusive: bool = _parameter(False, "Also keep turns without overlap, for `exclusive(turns)`.")
    confidence: bool = _parameter(False, "Also keep scores for every frame, for `frames(turns)`.")
    turn_level_confidence: bool = _parameter(False, "Add the column `confidence` to the turns, 0-100.")
    channels: str | int = _parameter(
        "mix", "Channels: 'mix' them, 'split' them to process each separately, or use one (0, 1, ...)."
    )
    model: str | None = _parameter(None, "The engine's model. Default: the engine's own.")

    def __post_init__(self) -> None:
        for name in ("num_speakers", "min_speakers", "max_speakers"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _check_count(name, value))
        if self.num_speakers is not None and (self.min_speakers, self.max_speakers) != (None, None):
            raise InvalidParameterError("pass either num_speakers or a range (min_speakers, max_speakers), not both")
        if self.min_speakers and self.max_speakers and self.min_speakers > self.max_speakers:
            raise InvalidParameterError(
                f"min_speakers={self.min_speakers} is more than max_speakers={self.max_speakers}; swap them"
            )
        for name in ("exclusive", "confidence", "turn_level_confidence"):
            value = getattr(self, name)
            if not isinstance(value, bool):
                raise InvalidParameterError(f"{name} is True or False, not {value!r:.60}; write {name}=True")
        object.__setattr__(self, "channels", _check_channels(self.channels))
        if self.model is not None and (not isinstance(self.model, str) or not self.model.strip()):
            raise InvalidParameterError(f"model is a name, such as model='precision-2', not {self.model!r:.60}")

    @property
    def bounds(self) -> tuple[int, int | None]:
        """The least and the largest number of speakers; None where there is no limit."""
        if self.num_speakers is not None:
            return self.num_speakers, self.num_speakers
        return self.min_speakers or 1, self.max_speakers

    def key(self) -> Json:
        """Return what was asked as plain JSON, equal for two that ask the same.

        Defaults are absent, and ``num_speakers=n`` is ``min_speakers=n, max_speakers=n``.
        """
        low, high = self.bounds
        asked = {field.name: getattr(self, field.name) for field in fields(self)}
        asked |= {"num_speakers": None, "min_speakers": low if low > 1 else None, "max_speakers": high}
        return {field.name: asked[field.name] for field in fields(self) if asked[field.name] != field.default}

    @classmethod
    def help(cls) -> dict[str, str]:
        """Return one line of help for each parameter, in order."""
        return {field.name: field.metadata["help"] for field in fields(cls)}


def _check_count(name: str, value: object) -> int:
    if _is_integer(value):
        if value < 1:
            raise InvalidParameterError(f"{name}={value} is less than 1; leave it out if you do not know it")
        return int(value)
    whole = isinstance(value, float | np.floating | str) and _parse_whole(value)
    fix = f"write {name}={whole}" if whole else f"write a whole number, such as {name}=2, or leave it out"
    raise InvalidParameterError(f"{name} is a whole number, not {value!r:.60}; {fix}")


def _is_integer(value: object) -> TypeGuard[int]:
    # bool is an int to Python, and a timedelta an integer to numpy. A float is none even where it is whole: 2.0 is what
    # an average or a spreadsheet gives, and the next one is 2.5.
    return isinstance(value, int | np.integer) and not isinstance(value, bool | np.timedelta64)


def _parse_whole(value: float | np.floating | str) -> int | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return int(number) if number.is_integer() and number >= 1 else None


def _check_channels(value: object) -> str | int:
    if isinstance(value, str) and value in {"mix", "split"}:
        return str(value)
    if _is_integer(value) and value >= 0:
        return int(value)
    raise InvalidParameterError(f"channels is 'mix', 'split' or a channel's number from 0, not {value!r:.60}")
