"""Calls with a side on each channel: whether that is so, and whose voice it is where one side is heard on the other."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from diarnb.audio import SAMPLE_RATE, open_recording
from diarnb.errors import DiarnbWarning, TurnTableError
from diarnb.playback import find_audio
from diarnb.tables.checks import check_turns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from diarnb._types import Source
    from diarnb.audio import Recording
    from diarnb.tables.activity import Floats

_BLOCK = 80  # samples, 5 ms, to which lags between channels are known
_FRAME = 320  # samples, 20 ms
_STEP = _FRAME / SAMPLE_RATE
_SILENT = -60.0  # dB of full scale; who never gets above it says nothing
_LOUD = 20.0  # dB below a channel's loudest hundredth; what is above is speech
_SIDE = -4.0  # dB, each channel measured by its own voice; who is heard less than this elsewhere has a channel alone
_COPY = 0.96  # correlation of levels, in dB where one is loud, from which two channels are one
_MOST = 20_000  # frames that are compared at each lag: six minutes of speech tell as much as an hour
_LATEST = 0.5  # seconds that a voice may take to the other channel
_PROMPT = 5  # frames within which a voice usually comes to the other channel
_EARLY = 3  # frames before the usual lag from which on it may come
_ECHO = 0.2  # seconds for which it then echoes
_SPREAD = 3.0  # dB above the usual bleed that still are bleed
_SMOOTH = 0.5  # seconds over which what is own and what is bleed are weighed
_OWN = 0.1  # seconds of own speech that a piece must have


def channels(source: Source) -> pd.DataFrame:
    """Find out whether each channel of a recording is a separate side of a call, by energy alone.

    Parameters
    ----------
    source : anything that `diarize` takes
        Path, URL, bytes, file, or samples and their rate.

    Returns
    -------
    pandas.DataFrame
        One row for each channel: ``channel`` (int64); ``speech`` (float64, seconds in which it is loud, and louder than
        the others, each relative to the loudness of its own voice); ``bleed`` (float64, dB: how loud another side is
        here, relative to its own channel, up to 0.5 s later; noise counts as bleed, so this is an upper bound; NaN if
        no other side speaks); ``verdict``:

        - ``"side"``: other sides are not heard here, or at least 4 dB more quietly than on their own channels, each
          relative to the loudness of its own voice. If all channels are sides, ``diarize(source, channels="split")``
          keeps them apart, and ``num_speakers=1`` helps if each side is one person. If the bleed is above about -35 dB,
          pass the turns to `without_bleed`
        - ``"copy"``: the same audio as an earlier channel, perhaps quieter or up to 0.5 s late; the default,
          ``channels="mix"``, is right
        - ``"mixed"``: everybody is heard here, as with two microphones in one room; ``channels="mix"`` is right
        - ``"silent"``: nobody speaks here

    Raises
    ------
    AudioError
        If the source cannot be read.

    Notes
    -----
    This does not count the voices of a side: two people may share a telephone. `diarize` counts them.

    Examples
    --------
    >>> list(channels(example("call"))["verdict"])
    ['side', 'side']
    """
    with open_recording(source) as recording:
        power = _measure_power(recording)
    level, loudest = _measure_levels(power)
    alike, _ = _measure_bleed(level)
    bleed = alike + loudest - loudest[:, np.newaxis]  # as it is, whatever the gain of a channel
    spoken = _mark_speech(level)
    rows = []
    for number in range(len(level)):
        heard, most = (_find_most(each, number) for each in (bleed, alike))
        rows.append((number, spoken[number].sum() * _STEP, heard, _judge(power, level, loudest, number, most)))
    table = pd.DataFrame(rows, columns=["channel", "speech", "bleed", "verdict"])
    return table.astype({"channel": np.int64, "speech": float, "bleed": float, "verdict": str})


def without_bleed(turns: pd.DataFrame, audio: Source | None = None) -> pd.DataFrame:
    """Remove from a call's turns what is only the voice of another channel, leaking through.

    Parameters
    ----------
    turns : pandas.DataFrame
        Turns with a column ``channel``, as ``diarize(source, channels="split")`` gives them; of one recording.
    audio : anything that `diarize` takes, optional
        The recording, if diarnb cannot find it.

    Returns
    -------
    pandas.DataFrame
        As `turns`, checked and sorted. Each turn is cut to where its channel has more than the usual bleed from the
        other sides; a turn that is only bleed is removed. If a turn is cut into pieces, its text stays with the
        longest.

    Raises
    ------
    TurnTableError
        If the table has no channels, or other channels than the recording.
    AudioNotFoundError
        If the recording is not where it was; pass ``audio=``.

    Warns
    -----
    DiarnbWarning
        If a channel is not a separate side (see `channels`): its turns are left unchanged.

    Notes
    -----
    For each channel, the usual bleed from every other channel is measured while the other one is loud, and its delay,
    up to 0.5 s. Frames at most 3 dB above this level, relative to the other side's loudness at that time, are bleed.
    Parts in which they dominate over half a second are removed. So a very soft word during loud speech of the other
    side may be lost if the bleed is strong, and an echo of more than 0.2 s is not recognized.

    Examples
    --------
    >>> turns = diarize(example("call"), channels="split", progress=False)
    >>> len(without_bleed(turns)) <= len(turns)
    True
    """
    checked = check_turns(turns)
    if "channel" not in checked:
        raise TurnTableError("turns has no column channel; diarize(source, channels='split') keeps channels apart")
    if "uri" in checked and len(checked["uri"].unique()) > 1:
        raise TurnTableError("turns holds several recordings; pass those of one, picked by its uri, and its audio=")
    with open_recording(find_audio(turns) if audio is None else audio) as recording:
        level, _ = _measure_levels(_measure_power(recording))
    numbers = pd.to_numeric(checked["channel"], errors="coerce")
    if not numbers.isin(range(len(level))).all():
        raise TurnTableError(f"turns has channels other than 0 to {len(level) - 1}, which are those of the recording")
    bleed, lag = _measure_bleed(level)
    pieces = []
    for number in sorted({int(channel) for channel in numbers}):
        own = checked[numbers == number]
        if _find_most(bleed, number) > _SIDE:
            message = f"Channel {number} is not a separate side; its turns are unchanged."
            warnings.warn(message, DiarnbWarning, stacklevel=2)
            pieces.append(own)
        else:
            pieces.append(_keep(own, *_mark_kept(level, bleed, lag, number)))
    table = check_turns(pd.concat(pieces)) if pieces else checked
    table.attrs = checked.attrs
    return table


def _measure_power(recording: Recording) -> Floats:
    """Return the power of each channel (rows) in blocks of 5 ms (columns), summed up from the first."""
    rows = []
    for channel in range(recording.channels):
        power, rest = [], np.empty(0, dtype=np.float32)
        for block in recording.blocks(channel=channel):
            rest = np.concatenate([rest, block])
            whole = len(rest) // _FRAME * _FRAME
            power.append(np.square(rest[:whole].reshape(-1, _BLOCK), dtype=np.float64).sum(axis=1))
            rest = rest[whole:]
        rows.append(np.cumsum(np.concatenate([[0.0], *power])))
    return np.stack(rows)


def _measure_level(power: Floats, first: NDArray[np.int64]) -> Floats:
    """Return the level of one channel in the frames that begin with these blocks, in dB of full scale."""
    first = np.clip(first, 0, max(len(power) - 1 - _FRAME // _BLOCK, 0))
    last = np.minimum(first + _FRAME // _BLOCK, len(power) - 1)
    level: Floats = 10 * np.log10((power[last] - power[first]) / _FRAME + 1e-10)
    return level


def _measure_levels(power: Floats) -> tuple[Floats, Floats]:
    """Return the level of each channel (rows) in each frame (columns), in dB of how loud its own voice is; and that.

    So a side that was recorded softly is a side like others. A silent channel is measured by full scale.
    """
    frames = np.arange((power.shape[1] - 1) * _BLOCK // _FRAME, dtype=np.int64) * (_FRAME // _BLOCK)
    level = np.stack([_measure_level(row, frames) for row in power])
    if not len(frames):
        return level, np.full(len(level), -np.inf)
    loudest = np.percentile(level, 99, axis=1)
    return level - np.where(loudest < _SILENT, 0.0, loudest)[:, np.newaxis], loudest


def _mark_speech(level: Floats) -> NDArray[np.bool_]:
    """Return where each channel is loud, and the loudest."""
    speaks: NDArray[np.bool_] = (level > -_LOUD) & (level >= level.max(axis=0, initial=-np.inf))
    return speaks


def _find_recent_peak(level: Floats) -> Floats:
    """Return the highest level within the time that an echo takes."""
    late = round(_ECHO / _STEP)
    peak: Floats = _look_around(level, 2 * ((late + 1) // 2) - 1, late + 1).max(-1)
    return peak


def _look_around(values: Floats, back: int, size: int) -> Floats:
    """Return so many values for each, from so far back on, those beyond an end mirrored [shape=(..., values, size)]."""
    if not values.shape[-1]:
        return np.empty((*values.shape, size))
    wide = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(back, size - 1 - back)], mode="symmetric")
    return np.lib.stride_tricks.sliding_window_view(wide, size, axis=-1)


def _measure_bleed(level: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Measure how loud each side (rows) is on each channel (columns), in dB of its own level, and how late in frames.

    Of all lags the one counts at which it is loudest; NaN where a side is silent.
    """
    spoken, lags = _mark_speech(level), range(round(_LATEST / _STEP) + 1)
    result, late = np.full((len(level), len(level)), np.nan), np.zeros((len(level), len(level)), np.int64)
    for side, (own, speaks) in enumerate(zip(level, spoken, strict=True)):
        at = _thin(np.flatnonzero(speaks))
        if speaks.sum() * _STEP >= 1.0:
            for channel, other in enumerate(level):
                found = [np.median(other[np.minimum(at + lag, len(own) - 1)] - own[at]) for lag in lags]
                # Who answers at once sounds like an echo: only what is clearly louder is one.
                best = int(np.argmax(found))
                late[side, channel] = (
                    best if found[best] > max(found[:_PROMPT]) + _SPREAD else np.argmax(found[:_PROMPT])
                )
                result[side, channel] = found[late[side, channel]]
    return result, late


def _find_most(bleed: Floats, number: int) -> float:
    """Return how loud the loudest other side is on a channel, NaN where there is none."""
    others = np.delete(bleed[:, number], number)
    return np.nan if np.isnan(others).all() else float(np.nanmax(others))


def _thin(places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Leave so many places, evenly, that they can be looked at often."""
    return places[:: len(places) // _MOST + 1]


def _is_copy(power: Floats, level: Floats, one: int, other: int) -> bool:
    """Return whether two channels have one sound: whether their levels rise and fall alike, at any lag and gain."""
    at = _thin(np.flatnonzero(level[one] > -_LOUD))
    own, blocks, most = level[one][at], at * (_FRAME // _BLOCK), round(_LATEST * SAMPLE_RATE / _BLOCK)
    if len(at) < 2 or own.std() == 0:
        return False
    for lag in range(-most, most + 1):
        heard = _measure_level(power[other], blocks + lag)
        if heard.std() > 0 and np.corrcoef(own, heard)[0, 1] >= _COPY:
            return True
    return False


def _judge(power: Floats, level: Floats, loudest: Floats, number: int, bleed: float) -> str:
    if loudest[number] < _SILENT:
        return "silent"
    if any(loudest[other] >= _SILENT and _is_copy(power, level, number, other) for other in range(number)):
        return "copy"
    return "mixed" if bleed > _SIDE else "side"


def _mark_kept(
    level: Floats, bleed: Floats, lag: NDArray[np.int64], number: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return of each frame of a channel whether it is kept, and whether it is own speech for certain."""
    own = level[number]
    loud = own > -2 * _LOUD
    through = np.zeros(len(own), dtype=bool)
    for side, other in enumerate(level):
        if side != number and np.isfinite(bleed[side, number]):
            near = _find_recent_peak(np.where(other > -_LOUD, other, -np.inf))
            late = max(int(lag[side, number]) - _EARLY, 0)
            near = np.concatenate([np.full(late, -np.inf), near])[: len(own)]
            through |= own <= near + bleed[side, number] + _SPREAD
    certain = loud & ~through
    reach = round(_SMOOTH / _STEP) // 2
    weight = _look_around(certain.astype(float) - through, reach, 2 * reach + 1).mean(-1)
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
