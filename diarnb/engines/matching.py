"""What may be asked about known voices, whoever knows them."""

from __future__ import annotations

from collections.abc import Mapping

from diarnb.errors import InvalidParameterError, VoiceprintError
from diarnb.tables.activity import is_finite

_MOST = 50  # voiceprints at a time, as pyannoteAI has it
_LONGEST = 100  # characters of a name, likewise


def check_voiceprints(voiceprints: object) -> None:
    """Refuse what is no mapping of names to voiceprints, whoever made them.

    Raises
    ------
    InvalidParameterError
        Naming the rule; `VoiceprintError` for a voiceprint that is no text.
    """
    if not isinstance(voiceprints, Mapping):
        raise InvalidParameterError(
            f'voiceprints is a mapping such as {{"Beth": voiceprint}}, not {type(voiceprints).__name__}'
        )
    if not 1 <= len(voiceprints) <= _MOST:
        raise InvalidParameterError(f"identify takes 1 to {_MOST} voiceprints at a time, not {len(voiceprints)}")
    for label, text in voiceprints.items():
        if not isinstance(label, str) or not label.strip() or len(label) > _LONGEST:
            raise InvalidParameterError(f"a voiceprint's name is text of 1 to {_LONGEST} characters, not {label!r:.60}")
        if label.casefold().startswith("speaker_"):
            raise InvalidParameterError(
                f"a voiceprint cannot be named {label!r:.60}: SPEAKER_ is how unknown speakers begin; name it otherwise"
            )
        if not isinstance(text, str):
            raise VoiceprintError(
                f"the voiceprint of {label!r:.60} is text, not {type(text).__name__}; "
                "make one with diarnb.voiceprint(recording)"
            )


def check_matching(threshold: object, exclusive: object) -> None:
    """Refuse a threshold that is no match score, and what is not True or False."""
    if not is_finite(threshold) or not 0 <= threshold <= 100:
        raise InvalidParameterError(f"threshold is a match score from 0 to 100, not {threshold!r:.60}")
    if not isinstance(exclusive, bool):
        raise InvalidParameterError(f"exclusive is True or False, not {exclusive!r:.60}")
