"""Three short conversations that ship with diarnb, with the exact truth beside them.

They are **synthetic**: written for diarnb and spoken by the free voices of flite, in a made-up room. They show what
diarnb does, without a download and without anybody's privacy at stake; they do not show how well it does it on people.
"""

from __future__ import annotations

from pathlib import Path

from diarnb._text import suggest
from diarnb.errors import InvalidParameterError

_NAMES = ("meeting", "interview", "call")


def example(name: str = "meeting") -> Path:
    """Return the path of an example recording: a synthetic conversation, spoken by computer voices.

    ============= ======= ================================== =========================================
    name          seconds who speaks                         how it sounds
    ============= ======= ================================== =========================================
    ``meeting``   89      Maya, Victor, Fergus and, rarely,  one distant microphone in a room, 16 kHz
                          Otto plan a community garden
    ``interview`` 69      Maya asks Fergus, who counts birds two people close to one microphone, 16 kHz
                          at a lighthouse
    ``call``      58      Victor repairs bicycles (left      telephone, 8 kHz, stereo: one speaker on
                          channel); Maya calls him (right)   each channel, the other faintly audible
    ============= ======= ================================== =========================================

    A name has the same voice in all three. People interrupt each other, talk at once and say "uh-huh" while somebody
    else speaks.

    The reference is beside ``meeting.flac``, and is exact because the conversation is synthetic: ``meeting.rttm``, who
    spoke when (a turn lasts from its first sound to its last; pauses inside it are shorter than 0.5 s), and
    ``meeting.words.csv`` with the columns start, end (seconds), word, text (as written, with punctuation), speaker
    and, for ``call``, channel (0 or 1, as in ``diarize(channels=...)``; RTTM counts channels from 1).

    Parameters
    ----------
    name
        ``"meeting"``, ``"interview"`` or ``"call"``.

    Returns
    -------
    pathlib.Path
        The audio file in the installed package. Do not write into its folder.

    Raises
    ------
    InvalidParameterError
        There is no such example.

    Examples
    --------
    >>> example().name
    'meeting.flac'
    >>> example("call").with_suffix(".rttm").exists()
    True
    """
    if name not in _NAMES:
        there = ", ".join(map(repr, _NAMES))
        hint = suggest(name, _NAMES)
        raise InvalidParameterError(f"there is no example {name!r}; there are {there}{hint and '; '}{hint}")
    return Path(__file__).with_name(f"{name}.flac")
