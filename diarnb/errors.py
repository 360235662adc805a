"""Everything that diarnb raises, so that one ``except`` line can be as wide or as narrow as needed.

DiarnbError
├─ ConfigurationError           the installation: a model file, a missing extra, an unknown engine
├─ InvalidParameterError        what was asked for (also a ValueError)
│  └─ VoiceprintError           a voiceprint that is damaged, of another version or maker, or none at all
├─ AudioError                   the recording
│  ├─ AudioNotFoundError        (also a FileNotFoundError)
│  ├─ AudioPermissionError      (also a PermissionError)
│  ├─ AudioDownloadError        a URL that could not be fetched
│  ├─ NotAudioError             something else under an audio name
│  │  ├─ NoAudioStreamError     a video without sound
│  │  └─ ProtectedAudioError    sound under digital rights management
│  ├─ CorruptAudioError
│  ├─ EmptyAudioError
│  ├─ AudioLimitError           too long, too large, an absurd sample rate
│  ├─ AudioChangedError         the file changed while it was read
│  └─ VoiceprintAudioError      not the speech of one person, or too little of it
├─ TurnTableError               a table that is no table of turns (also a ValueError)
├─ RunNotFoundError             a run that the store does not hold (also a KeyError)
└─ StoreError                   an explicit command to the run store failed

DiarnbWarning (a UserWarning)   an answer that needs a remark; the same text stands in ``attrs``
└─ StoreWarning                 the answer is right, but could not be kept

A message says what happened, to which file or run, what was kept, and what to run next.
"""

from __future__ import annotations


class DiarnbError(Exception):
    """Base of every error that diarnb raises."""


class ConfigurationError(DiarnbError):
    """The installation cannot do what was asked: a damaged model, a missing extra, an unknown engine."""


class InvalidParameterError(DiarnbError, ValueError):
    """A parameter is wrong; raised before anything is read or sent."""


class VoiceprintError(InvalidParameterError):
    """A voiceprint cannot be used: it is damaged, of another version or maker, or none at all."""


class AudioError(DiarnbError):
    """The recording cannot be used."""


class AudioNotFoundError(AudioError, FileNotFoundError):
    """There is no such file."""


class AudioPermissionError(AudioError, PermissionError):
    """The file exists, but may not be read."""


class AudioDownloadError(AudioError):
    """A URL could not be fetched."""


class NotAudioError(AudioError):
    """The content is not audio that diarnb can decode."""


class NoAudioStreamError(NotAudioError):
    """A video without a sound track."""


class ProtectedAudioError(NotAudioError):
    """The content is under digital rights management."""


class CorruptAudioError(AudioError):
    """The content is damaged beyond use."""


class EmptyAudioError(AudioError):
    """There are no samples."""


class AudioLimitError(AudioError):
    """Longer, larger or stranger than diarnb accepts."""


class AudioChangedError(AudioError):
    """The file changed while it was being read."""


class VoiceprintAudioError(AudioError):
    """Not the speech of one person, or too little of it, to know the voice again."""


class TurnTableError(DiarnbError, ValueError):
    """A table lacks what a table of turns needs."""


class RunNotFoundError(DiarnbError, KeyError):
    """The run store holds no such run, or no longer what is needed of it."""

    def __str__(self) -> str:  # KeyError would show the repr, quotes and all
        return str(self.args[0]) if self.args else ""


class StoreError(DiarnbError):
    """An explicit command to the run store failed."""


class DiarnbWarning(UserWarning):
    """An answer that needs a remark; the same text stands in ``turns.attrs["diarnb"]["warning"]``."""


class StoreWarning(DiarnbWarning):
    """The answer is right, but could not be kept in the run store."""
