"""Deepgram's dialect: rules, routes, answers, streams."""

from __future__ import annotations
