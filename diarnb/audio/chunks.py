"""Pieces of sound, as a microphone or a socket gives them, as one channel of float32 samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from diarnb.audio.decode import MAX_CHANNELS
from diarnb.audio.pcm import decode_pcm16, find_scale
from diarnb.errors import InvalidParameterError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LOUD = 2.0  # times full scale: what is above is no sound that was turned up, but integers that became floats


class Chunks:
    """Makes samples of chunks.

    Attributes
    ----------
    invalid : int
        Samples that were NaN or infinite, and became 0.
    """

    def __init__(self) -> None:
        self.invalid: int = 0
        self._odd = b""  # half a sample

    def samples(self, chunk: Any) -> NDArray[np.float32]:
        """Compute the mean of a chunk's channels; full scale is 1, and what is above is cut.

        Parameters
        ----------
        chunk : bytes or numpy.ndarray
            Bytes are 16-bit integers of one channel, the least significant byte first; a sample may be torn between two
            chunks. Arrays are (n,) or (n, channels), of floats with full scale 1 or of integers.

        Raises
        ------
        InvalidParameterError
        """
        if isinstance(chunk, bytes | bytearray | memoryview):
            content = self._odd + bytes(chunk)
            whole = len(content) // 2 * 2
            self._odd = content[whole:]
            return decode_pcm16(content[:whole])
        if chunk is None or isinstance(chunk, str):
            raise InvalidParameterError(f"a chunk is bytes or an array of samples, not {chunk!r:.60}")
        try:
            array = np.asarray(chunk)
        except Exception as error:  # whatever a foreign array type raises
            raise InvalidParameterError(
                f"a chunk of type {type(chunk).__name__} cannot be converted to an array"
            ) from error
        if array.ndim not in (1, 2) or (array.ndim == 2 and not 1 <= array.shape[1] <= MAX_CHANNELS):
            raise InvalidParameterError(
                f"a chunk has the shape (n,) or (n, channels), with 1 to {MAX_CHANNELS} channels, not {array.shape}"
            )
        samples = self._scale(array)
        if samples.ndim == 2:
            samples = samples.mean(axis=1, dtype=np.float32)
        return samples

    def _scale(self, array: np.ndarray) -> NDArray[np.float32]:
        kind, bits = array.dtype.kind, 8 * array.dtype.itemsize
        if kind in "iu" and bits < 64:
            silence, scale = find_scale(array.dtype)
            scaled: NDArray[np.float32] = ((array - silence) * scale).astype(np.float32)
            return scaled
        if kind != "f" and array.size:
            raise InvalidParameterError(
                f"a chunk holds floats with full scale 1, or integers of 8, 16 or 32 bits, not {array.dtype}; "
                "convert it, as in chunk.astype('int16')"
            )
        with np.errstate(over="ignore"):  # beyond float32 is infinite
            samples = array.astype(np.float32)
        invalid = ~np.isfinite(samples)
        self.invalid += int(invalid.sum())
        samples[invalid] = 0
        if np.count_nonzero(np.abs(samples) > _LOUD) > 0.01 * samples.size:
            raise InvalidParameterError(
                f"the samples of a chunk reach {np.abs(samples).max():g}, where full scale is 1 for floats; if they "
                "are 16-bit integers, pass chunk.astype('int16') or chunk / 32768"
            )
        clipped: NDArray[np.float32] = np.clip(samples, -1, 1)
        return clipped
