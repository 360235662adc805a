"""Checks of what a service may be asked, by the names of its parameters, and the options that are made of them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

import numpy as np

from diarnb.engines.base import Option
from diarnb.errors import InvalidParameterError

Check = Callable[[str, Any], Any]
"""Given a parameter's name and value, gives back the normalised value, or raises `InvalidParameterError`."""


def check_text(name: str, value: object, *, most: int = 2000, form: str = ".+", like: str = "text") -> str:
    """Check a text of a form, which `like` describes, not too long and fit to be sent."""
    if not isinstance(value, str) or not re.fullmatch(form, value, re.DOTALL) or not value.strip():
        raise InvalidParameterError(f"{name} is {like}, not {value!r:.60}")
    if len(value) > most:
        raise InvalidParameterError(f"{name} holds {most} characters at most, and this has {len(value)}: {value!r:.40}")
    if not is_encodable(value):
        raise InvalidParameterError(f"{name} holds half a character that cannot be sent: {value!r:.60}")
    return value


def is_encodable(value: str) -> bool:
    """Return whether a text can be sent: half a character cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_choice(name: str, value: object, *, of: tuple[str, ...]) -> str:
    """Check that a value is one of a few texts."""
    if not isinstance(value, str) or value not in of:
        raise InvalidParameterError(f"{name} is one of {', '.join(map(repr, of))}, not {value!r:.60}")
    return value


def check_number(name: str, value: object, *, low: float, whole: bool = False, unit: str = "") -> float:
    """Check a number, or a whole one, that is not too low."""
    kinds = int | np.integer if whole else int | float | np.integer | np.floating
    if not isinstance(value, kinds) or isinstance(value, bool) or not math.isfinite(value) or value < low:
        what = "a whole number" if whole else "a number"
        raise InvalidParameterError(f"{name} is {what}{unit}, {low:g} or more, not {value!r:.60}")
    return int(value) if whole else float(value)


def check_several(name: str, value: object, *, each: Check, most: int | None = None) -> list[object]:
    """Check each of several texts; a single one makes a list."""
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list | tuple) or not values:
        raise InvalidParameterError(f"{name} is a text or a list of texts, not {value!r:.60}")
    if most is not None and len(values) > most:
        raise InvalidParameterError(f"{name} holds {most} entries at most, and this has {len(values)}; leave some out")
    return [each(name, entry) for entry in values]


def make_options(table: Mapping[str, tuple[str, Check]], *, unchanging: Collection[str] = ()) -> dict[str, Option]:
    """Make the options of an engine: of each name a line of help and a check; `unchanging` cannot change the answer."""
    return {
        name: Option(line, partial(check, name), changes_result=name not in unchanging)
        for name, (line, check) in table.items()
    }
