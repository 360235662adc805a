"""Types that many modules name, once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]
"""An object of JSON: what a service answers, a row of it, what a run keeps. Values are checked where they are read."""

Options = Mapping[str, Any]
"""An engine's own arguments, or a message, by name. Each value is validated by who declares it."""
