"""What several formats share: text, times, names, tiers and JSON, and the reading that they all take."""

from __future__ import annotations
