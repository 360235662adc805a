"""pyannoteAI's dialect: rules, routes, answers."""

from __future__ import annotations
