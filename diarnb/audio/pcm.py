"""Samples as integers: 16-bit PCM as recognisers, services and files have it, and what full scale is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FULL_SCALE = 2.0**15
"""What 1 is in 16-bit integers."""


def encode_pcm16(samples: np.ndarray) -> bytes:
    """Encode samples as 16-bit integers, the least significant byte first; what is beyond full scale is clipped.

    Examples
    --------
    >>> encode_pcm16(np.array([0.0, 1.0, -2.0])).hex(" ", 2)
    '0000 ff7f 0180'
    """
    known = np.nan_to_num(np.asarray(samples, dtype=np.float32), nan=0.0, posinf=1.0, neginf=-1.0)
    content: bytes = np.rint(np.clip(known, -1, 1) * (FULL_SCALE - 1)).astype("<i2").tobytes()
    return content


def decode_pcm16(content: bytes) -> NDArray[np.float32]:
    """Decode 16-bit integers, the least significant byte first, to samples of full scale 1.

    Examples
    --------
    >>> decode_pcm16(bytes.fromhex("00000080"))
    array([ 0., -1.], dtype=float32)
    """
    decoded: NDArray[np.float32] = np.frombuffer(content, "<i2").astype(np.float32) / np.float32(FULL_SCALE)
    return decoded


def find_scale(dtype: np.dtype) -> tuple[float, float]:
    """Return what silence is in samples of an integer type, and by what they are multiplied to have full scale 1.

    Examples
    --------
    >>> find_scale(np.dtype("uint8"))
    (128.0, 0.0078125)
    """
    full = 2.0 ** (8 * dtype.itemsize - 1)
    return (full if dtype.kind == "u" else 0.0), 1 / full


def fit_channels(block: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    """Keep to the number of channels with which a recording began: where it changes, their mean stands for each.

    Examples
    --------
    >>> fit_channels(np.array([[0.5], [1.0]], dtype=np.float32), 2).tolist()
    [[0.5, 0.5], [1.0, 1.0]]
    """
    if block.shape[1] == channels:
        return block
    return np.repeat(block.mean(axis=1, keepdims=True, dtype=np.float32), channels, axis=1)
