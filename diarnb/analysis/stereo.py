"""Calls with a side on each channel: whether that is so, and whose voice it is where one side is heard on the other."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.ndimage import maximum_filter1d, uniform_filter1d

from diarnb.audio import SAMPLE_RATE, open_recording
from diarnb.errors import DiarnbWarning, TurnTableError
from diarnb.playback import find_audio
from diarnb.tables.checks import check_turns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from diarnb.audio import Recording
    from diarnb.tables.activity import Floats

_FRAME = 320  # samples, 20 ms
_STEP = _FRAME / SAMPLE_RATE
_SILENT = -60.0  # dB of full scale; who never gets above it says nothing
_LOUD = 20.0  # dB below a channel's loudest hundredth; what is above is speech
_SIDE = -6.0  # dB; who is heard less than this on the other channel has a channel to themselves
_COPY = 1.0  # dB; channels that differ by less, nearly always, are one
_ECHO = 0.2  # seconds that a voice may take to the other channel
_SPREAD = 3.0  # dB above the usual bleed that still are bleed
_SMOOTH = 0.5  # seconds over which what is own and what is bleed are weighed
_OWN = 0.1  # seconds of own speech that a piece must have


def channels(source: Any) -> pd.DataFrame:
    """Find out of a recording of several channels whether each is a side of its own, by energy alone.

    Parameters
    ----------
    source : anything that `diarize` takes
        Path, URL, bytes, file, or samples and their rate.

    Returns
    -------
    pandas.DataFrame
        A row for each channel: ``channel`` (int64); ``speech`` (float64, seconds in which it is loud, and louder than
        the others); ``bleed`` (float64, dB: how loud another side is here, relative to its own channel; noise counts as
        bleed, so that it is at most this; NaN where no other side speaks); ``verdict``:

        - ``"side"``: others are heard here by 6 dB less than where they belong, or not at all. Where all are sides,
          ``diarize(source, channels="split")`` keeps them apart, and ``num_speakers=1`` helps if each is one person.
          Where the bleed is above about -35 dB, give its turns to `without_bleed`
        - ``"copy"``: the same sound as on a channel before; the default, ``channels="mix"``, is right
        - ``"mixed"``: everybody is heard on it, as from two microphones in one room; ``channels="mix"`` is right
        - ``"silent"``: nobody speaks here

    Raises
    ------
    AudioError
        If the source cannot be read.

    Notes
    -----
    How many voices a side has is not asked here: two people may share a telephone. `diarize` counts them.

    Examples
    --------
    >>> list(channels(example("call"))["verdict"])
    ['side', 'side']
    """
    with open_recording(source) as recording:
        level = _measure_levels(recording)
    bleed = _measure_bleed(level)
    spoken = _mark_speech(level)
    rows = []
    for number, own in enumerate(level):
        others = np.delete(bleed[:, number], number)
        most = np.nan if np.isnan(others).all() else float(np.nanmax(others))
        rows.append((number, spoken[number].sum() * _STEP, most, _judge(level, number, own, most)))
    table = pd.DataFrame(rows, columns=["channel", "speech", "bleed", "verdict"])
    return table.astype({"channel": np.int64, "speech": float, "bleed": float, "verdict": str})


def without_bleed(turns: pd.DataFrame, audio: Any = None) -> pd.DataFrame:
    """Leave out of a call's turns what is another channel's voice, heard through.

    Parameters
    ----------
    turns : pandas.DataFrame
        Turns with a column ``channel``, as ``diarize(source, channels="split")`` gives them; of one recording.
    audio : anything that `diarize` takes, optional
        The recording, where it cannot be found by itself.

    Returns
    -------
    pandas.DataFrame
        As `turns`, checked and sorted, in which each turn is cut to where its channel has more than the bleed that the
        other sides usually cause there; a turn that is nothing but bleed is left out. The text of a turn that is cut in
        pieces stays with the longest.

    Raises
    ------
    TurnTableError
        If the table has no channels, or not those of the recording.
    AudioNotFoundError
        If the recording is not where it was; give ``audio=``.

    Warns
    -----
    DiarnbWarning
        If a channel is no side of its own (see `channels`): its turns are left as they are.

    Notes
    -----
    Of each channel the usual bleed of every other one is measured while that one is loud. Frames that are no more than
    3 dB above this, as loudly as the other side has spoken within the last 0.2 s, are bleed, and what they outweigh
    over half a second is left out. So a very soft word during the other's loud speech may be lost where the bleed is
    strong, and an echo that comes later than 0.2 s is not recognised.

    Examples
    --------
    >>> turns = diarize(example("call"), channels="split", progress=False)
    >>> len(without_bleed(turns)) == len(turns)
    True
    """
    checked = check_turns(turns)
    if "channel" not in checked:
        raise TurnTableError("turns has no column channel; diarize(source, channels='split') keeps channels apart")
    if "uri" in checked and len(checked["uri"].unique()) > 1:
        raise TurnTableError("turns holds several recordings; give those of one, picked by its uri, and its audio=")
    with open_recording(find_audio(turns) if audio is None else audio) as recording:
        level = _measure_levels(recording)
    numbers = pd.to_numeric(checked["channel"], errors="coerce")
    if not numbers.isin(range(len(level))).all():
        raise TurnTableError(f"turns has channels other than 0 to {len(level) - 1}, which are those of the recording")
    bleed = _measure_bleed(level)
    pieces = []
    for number in sorted({int(channel) for channel in numbers}):
        own = checked[numbers == number]
        if np.nanmax(np.append(np.delete(bleed[:, number], number), -np.inf)) > _SIDE:
            message = f"Channel {number} is no side of its own; its turns are left as they are."
            warnings.warn(message, DiarnbWarning, stacklevel=2)
            pieces.append(own)
        else:
            pieces.append(_keep(own, *_mark_kept(level, bleed, number)))
    table = check_turns(pd.concat(pieces)) if pieces else checked
    table.attrs = checked.attrs
    return table


def _measure_levels(recording: Recording) -> Floats:
    """Return the power of each channel (rows) in each frame (columns), in dB of full scale."""
    rows = []
    for channel in range(recording.channels):
        power, rest = [], np.empty(0, dtype=np.float32)
        for block in recording.blocks(channel=channel):
            rest = np.concatenate([rest, block])
            whole = len(rest) // _FRAME * _FRAME
            power.append(np.square(rest[:whole].reshape(-1, _FRAME), dtype=np.float64).mean(axis=1))
            rest = rest[whole:]
        rows.append(np.concatenate([*power, np.empty(0)]))
    return 10 * np.log10(np.stack(rows) + 1e-10)


def _mark_speech(level: Floats) -> NDArray[np.bool_]:
    """Return where each channel is loud, and the loudest."""
    if not level.shape[1]:
        return np.zeros(level.shape, dtype=bool)
    enough = np.maximum(np.percentile(level, 99, axis=1, keepdims=True) - _LOUD, _SILENT)
    speaks: NDArray[np.bool_] = (level > enough) & (level >= level.max(axis=0))
    return speaks


def _find_recent_peak(level: Floats) -> Floats:
    """Return the highest level within the time that an echo takes."""
    late = round(_ECHO / _STEP)
    return maximum_filter1d(level, size=late + 1, axis=-1, origin=(late + 1) // 2 - 1)


def _measure_bleed(level: Floats) -> Floats:
    """Measure how loud each side (rows) is on each channel (columns), in dB of its own level; NaN for silence."""
    spoken = _mark_speech(level)
    result = np.full((len(level), len(level)), np.nan)
    for side, (own, speaks) in enumerate(zip(level, spoken, strict=True)):
        if speaks.sum() * _STEP >= 1.0:
            result[side] = np.median(level[:, speaks] - own[speaks], axis=1)
    return result


def _judge(level: Floats, number: int, own: Floats, bleed: float) -> str:
    if not len(own) or np.percentile(own, 99) < _SILENT:
        return "silent"
    heard = own > np.percentile(own, 99) - _LOUD
    same = (np.percentile(np.abs(own - other)[heard], 95) < _COPY for other in level[:number])
    if any(same):
        return "copy"
    return "mixed" if bleed > _SIDE else "side"


def _mark_kept(level: Floats, bleed: Floats, number: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return of each frame of a channel whether it is kept, and whether it is own speech for certain."""
    own = level[number]
    loud = own > np.percentile(own, 99) - 2 * _LOUD
    through = np.zeros(len(own), dtype=bool)
    for side, other in enumerate(level):
        if side != number and np.isfinite(bleed[side, number]):
            speaks = other > np.percentile(other, 99) - _LOUD
            near = _find_recent_peak(np.where(speaks, other, -np.inf))
            through |= own <= near + bleed[side, number] + _SPREAD
    certain = loud & ~through
    weight = uniform_filter1d(certain.astype(float) - through, size=round(_SMOOTH / _STEP) | 1)
    return weight > -1e-9, certain


def _keep(turns: pd.DataFrame, kept: NDArray[np.bool_], certain: NDArray[np.bool_]) -> pd.DataFrame:
    """Cut turns to the frames that are kept, pieces without own speech left out unless nothing speaks against it."""
    rows = []
    for turn in turns.to_dict("records"):
        first, last = int(turn["start"] / _STEP), min(int(np.ceil(turn["end"] / _STEP)), len(kept))
        inside = kept[first:last]
        if inside.all():
            rows.append(turn)
            continue
        edges = np.flatnonzero(np.diff(np.concatenate([[0], inside.astype(int), [0]]))) + first
        found = [
            {**turn, "start": max(a * _STEP, turn["start"]), "end": min(b * _STEP, turn["end"])}
            for a, b in zip(edges[::2], edges[1::2], strict=True)
            if certain[a:b].sum() * _STEP >= _OWN
        ]
        if "text" in turn and found:
            longest = max(found, key=lambda piece: piece["end"] - piece["start"])
            found = [piece if piece is longest else {**piece, "text": ""} for piece in found]
        rows += found
    return pd.DataFrame(rows, columns=turns.columns).astype(turns.dtypes)
