"""Voiceprints of pyannoteAI as diarnb hands them out: the service's text after the family of models that read it."""

from __future__ import annotations

import base64
import re

from diarnb.errors import InvalidParameterError, VoiceprintError

NEWEST = "precision-2"
"""The model whose voiceprints the service makes where none is named, as documents of 2026 tell."""

_MARK = "pyannoteai"
_FAMILIES = {"precision-1": "precision-1-2", "precision-2": "precision-1-2"}  # whose voiceprints are interchangeable
_LONGEST = 20_000  # characters
_LOCAL = base64.b64encode(b"diarnb").decode("ascii")  # how those of the local engine begin
_AGAIN = "make one with diarnb.voiceprint(recording, engine='pyannoteai')"


def check_model(model: str) -> None:
    """Refuse a model that knows no voices again."""
    if model == "community-1":
        raise InvalidParameterError("community-1 knows no voiceprints; take model='precision-2'")


def pack(text: str, model: str) -> str:
    """Write a voiceprint of the service with its family.

    Examples
    --------
    >>> pack("AAAA", "precision-2")
    'pyannoteai:precision-1-2:AAAA'
    """
    return f"{_MARK}:{_FAMILIES.get(model, model)}:{text}"


def unpack(label: str, voiceprint: str, model: str | None) -> str:
    """Write a voiceprint as the service wants it; one without a family is taken as it is, for others write none.

    Raises
    ------
    VoiceprintError
        It is none of pyannoteAI, or of a family that `model` cannot read; `label` says whose.
    """
    whose = f"the voiceprint of {label!r:.60}"
    text = "".join(voiceprint.split())  # mail and configuration files break lines
    if text.startswith(_LOCAL):
        raise VoiceprintError(
            f"{whose} was made by diarnb's local engine, and pyannoteAI cannot read it: leave engine= out, or {_AGAIN}"
        )
    if text.startswith(f"{_MARK}:"):
        family, _, text = text.removeprefix(f"{_MARK}:").rpartition(":")
        if model is not None and family != _FAMILIES.get(model, model):
            raise VoiceprintError(
                f"{whose} is of the family {family!r:.40}, which model={model!r:.40} cannot be expected to read: name "
                f"the model that made it, or {_AGAIN}"
            )
    if not re.fullmatch(r"[A-Za-z0-9+/_-]+=*", text) or len(text) > _LONGEST:
        raise VoiceprintError(f"{whose} is none that pyannoteAI made: {text!r:.40}; {_AGAIN}")
    return text
