"""Tables of turns, and the pure functions on them: no run, engine, store or picture."""

from __future__ import annotations
