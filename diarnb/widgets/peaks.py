"""How loud a recording is along its time, at any resolution: what a page draws as a waveform before it has any sound.

One pass over the recording, in a thread of its own, keeps the lowest and the highest sample of every 10 ms in 2 bytes:
4 hours take 3 MB. Coarser resolutions are made from that when they are asked for.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from diarnb.audio import SAMPLE_RATE
from diarnb.errors import AudioError

if TYPE_CHECKING:
    from collections.abc import Callable

    from diarnb.audio import Recording, Samples

STEP = SAMPLE_RATE // 100
"""Samples of the finest bin: 10 ms, which is half a pixel at most."""

FACTOR = 4
"""How many bins of one level make one of the next."""

TILE = 2048
"""Bins in a tile, the piece that travels: 4 kB."""

Bins = NDArray[np.int8]


class Peaks:
    """The waveform of a recording as bytes, finest first.

    Parameters
    ----------
    recording : Recording
        Must stay open until `close`.
    keep : callable, optional
        Is given every block of samples, in the thread that reads.

    Attributes
    ----------
    levels : int
        How many resolutions there are; bins of the level n are ``0.01 * 4**n`` seconds long, and the last level fits
        into one tile.
    done : float
        Seconds that have been read; infinite when all has.
    error : str
        Why reading ended early, empty where it did not.

    Examples
    --------
    >>> from diarnb.audio import open_recording
    >>> with open_recording(([0.0, 1.0, -1.0, 0.0] * 40, 16000)) as recording:
    ...     peaks = Peaks(recording)
    ...     peaks.wait()
    ...     peaks.tile(0, 0).tolist()
    [[-127, 127]]
    """

    def __init__(self, recording: Recording, keep: Callable[[Samples], None] | None = None) -> None:
        count = max(1, math.ceil(recording.duration * SAMPLE_RATE / STEP))
        self.levels: int = 1 + max(0, math.ceil(math.log(count / TILE, FACTOR)))
        self.done: float = 0.0
        self.error: str = ""
        self._recording, self._keep, self._bins = recording, keep, np.zeros((count, 2), dtype=np.int8)
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def tile(self, level: int, number: int) -> Bins:
        """Return a tile; bins that were not read yet are 0.

        Parameters
        ----------
        level : int
            0 to ``levels - 1``.
        number : int
            Counted from the start of the recording; beyond its end there is nothing.

        Returns
        -------
        numpy.ndarray
            int8 of shape (bins, 2): lowest and highest sample. The square root of the amplitude is kept, with its sign,
            and 127 is full scale: a quiet voice still has a shape in 8 bits.
        """
        self.start()
        size = FACTOR**level
        part = self._bins[number * TILE * size : (number + 1) * TILE * size]
        starts = np.arange(0, len(part), size)
        if not len(starts):
            return part
        lowest, highest = np.minimum.reduceat(part[:, 0], starts), np.maximum.reduceat(part[:, 1], starts)
        return np.stack([lowest, highest], axis=1)

    def wait(self) -> None:
        """Wait until all has been read."""
        self.start().join()

    def close(self) -> None:
        """Stop reading, and wait until it has stopped."""
        self._closed.set()
        with self._starting:
            if self._thread is not None:
                self._thread.join()

    def start(self) -> threading.Thread:
        """Begin to read, if that was not done: with the first question, so that what nobody sees costs nothing."""
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._read, name="diarnb-peaks", daemon=True)
                self._thread.start()
            return self._thread

    def _read(self) -> None:
        at = 0
        try:
            for block in () if self._closed.is_set() else self._recording.blocks():
                if self._closed.is_set():
                    return
                if self._keep is not None:
                    self._keep(block)
                bins = _bins_of(block)[: len(self._bins) - at]  # a header may announce less than there is
                self._bins[at : at + len(bins)] = bins
                at += len(bins)
                self.done = at * STEP / SAMPLE_RATE
        except AudioError as error:
            self.error = str(error)
        finally:
            self.done = math.inf


def _bins_of(block: NDArray[np.float32]) -> Bins:
    starts = np.arange(0, len(block), STEP)
    extremes = np.stack([np.minimum.reduceat(block, starts), np.maximum.reduceat(block, starts)], axis=1)
    quantised: Bins = np.rint(np.sign(extremes) * np.sqrt(np.abs(extremes).clip(0, 1)) * 127).astype(np.int8)
    return quantised
