"""Hear a stretch of a recording: the audio is found again through the run, or given."""

from __future__ import annotations

import io
import math
import numbers
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from diarnb.audio import SAMPLE_RATE, open_recording
from diarnb.errors import AudioChangedError, AudioNotFoundError, InvalidParameterError
from diarnb.results.runs import run_of

if TYPE_CHECKING:
    from IPython.display import Audio

    from diarnb._types import Source


def clip(
    source: Source | pd.DataFrame | pd.Series,
    start: float | None = None,
    end: float | None = None,
    *,
    audio: Source | None = None,
) -> Audio:
    """Play a part of a recording, or of the recording of a run, whatever rows its table still has.

    Parameters
    ----------
    source : pandas.DataFrame, pandas.Series or anything that `diarize` takes
        A table that `diarize` returned, one row of it, such as ``turns.loc[4]``, or a recording.
    start, end : float, optional
        Seconds; an end beyond the recording is cut. Default: the times of the row.
    audio : anything that `diarize` takes, optional
        The recording of the table, if diarnb cannot find it: it was moved, or was never a file.

    Returns
    -------
    IPython.display.Audio
        A player that contains the audio as MP3, about 8 kB per second in a saved notebook.

    Raises
    ------
    AudioNotFoundError
        The table's recording is no longer there.
    AudioChangedError
        The file there is a different recording.
    InvalidParameterError
        There is nothing between start and end, or one of them is missing.

    Examples
    --------
    >>> turns = diarize(example("interview"), progress=False)
    >>> player = clip(turns.loc[1])
    >>> longer = clip(turns, 8.0, 16.0)
    """
    import soundfile
    from IPython.display import Audio

    if isinstance(source, pd.Series):
        start, end = (source.get(name) if time is None else time for name, time in (("start", start), ("end", end)))
        source = source.to_frame().T
    if start is None or end is None:
        raise InvalidParameterError(
            "clip needs start and end in seconds, as clip(turns, 3, 8), or one row, as clip(turns.loc[4])"
        )
    seconds = all(isinstance(time, numbers.Real) and not isinstance(time, bool) for time in (start, end))
    if not seconds or not 0 <= start < end < math.inf:
        raise InvalidParameterError(f"start and end must be seconds with 0 <= start < end, not {start!r} and {end!r}")
    if isinstance(source, pd.DataFrame):
        source = find_audio(source) if audio is None else audio
    with open_recording(source) as recording:
        blocks = list(recording.blocks(start=start, end=end))
    if not blocks:
        raise InvalidParameterError(
            f"{recording.name} ends at {recording.duration:.1f} s; there is nothing at {start:g} s"
        )
    encoded = io.BytesIO()
    soundfile.write(encoded, np.concatenate(blocks), SAMPLE_RATE, format="MP3", subtype="MPEG_LAYER_III")
    player = Audio(data=encoded.getvalue())  # type: ignore[no-untyped-call]
    player.mimetype = "audio/mpeg"
    return player


def find_audio(turns: pd.DataFrame) -> Path:
    """Find the file that a table was made from, and make sure that it is still the same.

    Raises
    ------
    AudioNotFoundError
        It was no file, or is no longer there.
    AudioChangedError
        Its content is another.
    """
    run = run_of(turns)
    if run.path is None:
        raise AudioNotFoundError(
            f"Run {run.id} was not made from a file on this machine: pass its recording as audio=…"
        )
    path = Path(run.path)
    if not path.is_file():
        raise AudioNotFoundError(f"{run.source} is no longer where run {run.id} found it: pass it as audio=…")
    stat = path.stat()
    if (stat.st_size, stat.st_mtime_ns) != (run.size, run.mtime_ns):
        with open_recording(path) as recording:
            if recording.content_hash != run.content_hash:
                message = f"{run.source} is not the recording of run {run.id}: pass the right one as audio=…"
                raise AudioChangedError(message)
    return path
