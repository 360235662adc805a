"""Processes that do the work, and the pipe to them."""

from __future__ import annotations
