"""Rooms, noise and telephone lines for simulated conversations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import signal

from benchmarks._systems import SAMPLE_RATE

Samples = npt.NDArray[np.float32]

SOUND = 343.0  # m/s
BOX = 1.6  # times as long as Eyring's formula says does a box's echo last: sound between two walls meets few others
# Metres (least and most of length, width, height), and seconds until the echo has fallen by 60 dB.
ROOMS = {
    "small": (((2.5, 2.2, 2.3), (4.5, 4.0, 2.8)), (0.15, 0.35)),
    "medium": (((5.0, 4.0, 2.5), (9.0, 7.0, 3.5)), (0.3, 0.7)),
}
AWAY = (0.4, 2.0)  # metres from mouth to microphone
BAND = (300.0, 3400.0)  # Hz, of a telephone
HELD = (0.05, 0.4)  # metres from mouth to telephone


@dataclass(frozen=True)
class Room:
    """A shoebox with one microphone. Lengths in metres, reverberation time in seconds."""

    size: npt.NDArray[np.float64]
    microphone: npt.NDArray[np.float64]
    reverberation: float

    @classmethod
    def drawn(cls, kind: str, rng: np.random.Generator) -> Room:
        """Make up a room with the microphone near its middle, at the height of a table or above."""
        sizes, times = ROOMS[kind]
        size = rng.uniform(*sizes)
        return cls(size, size * np.append(rng.uniform(0.35, 0.65, 2), rng.uniform(0.3, 0.5)), rng.uniform(*times))

    def response(self, rng: np.random.Generator, away: tuple[float, float] = AWAY) -> Samples:
        """Return the impulse response from a speaker in the room to the microphone, of unit energy.

        Image sources (Allen & Berkley 1979), each moved a little, so that the tail does not ring as in a perfect box
        (De Sena et al. 2015). The direct sound comes at 0.
        """
        direction = rng.standard_normal(3) * (1, 1, 0.3)
        seat = self.microphone + rng.uniform(*away) * direction / np.linalg.norm(direction)
        seat = np.clip(seat, 0.3, self.size - 0.3)
        surface = 2 * (self.size.prod() / self.size).sum()
        reflected = np.exp(-0.161 * BOX * self.size.prod() / (surface * self.reverberation) / 2)

        reach = SOUND * self.reverberation
        axes = []
        for length, source, ear in zip(self.size, seat, self.microphone, strict=True):
            cell = np.arange(-int(reach / length) - 1, int(reach / length) + 2)
            # An even cell holds the room as it is, an odd one its mirror image; |cell| walls were met on the way.
            position = cell * length + np.where(cell % 2 == 0, source, length - source)
            axes.append((position - ear, np.abs(cell)))
        offsets = np.stack(np.meshgrid(*(offset for offset, _ in axes), indexing="ij"), axis=-1).reshape(-1, 3)
        walls = sum(np.meshgrid(*(met for _, met in axes), indexing="ij")).reshape(-1)
        offsets += np.where(walls > 0, 1, 0)[:, None] * rng.uniform(-0.08, 0.08, offsets.shape)
        distance = np.linalg.norm(offsets, axis=1)
        strength = reflected**walls / distance
        delay = (distance - distance[walls == 0]) / SOUND * SAMPLE_RATE
        near = (delay >= 0) & (delay < self.reverberation * SAMPLE_RATE)
        delay, strength = delay[near], strength[near]
        whole, part = delay.astype(int), delay % 1
        response = np.bincount(whole, strength * (1 - part)) + np.bincount(whole + 1, strength * part)[:-1]
        return (response / np.linalg.norm(response)).astype(np.float32)


@dataclass
class Noise:
    """Endless noise of unit power whose spectrum falls with 1 / frequency ** `slope`, and a mains hum in it, if any."""

    slope: float
    hum: float | None
    """Frequency in Hz; the hum has a fifth of the power."""
    rng: np.random.Generator

    def __post_init__(self) -> None:
        frequency = np.maximum(np.fft.rfftfreq(2048, 1 / SAMPLE_RATE), 40.0)
        colour = signal.windows.hann(2048) * np.fft.fftshift(np.fft.irfft(frequency ** (-self.slope / 2)))
        self._filter = (colour / np.linalg.norm(colour)).astype(np.float32)
        self._before = self.rng.standard_normal(len(self._filter) - 1, dtype=np.float32)
        self._at = 0

    def block(self, samples: int) -> Samples:
        """Return the next samples."""
        white = np.concatenate([self._before, self.rng.standard_normal(samples, dtype=np.float32)])
        self._before = white[samples:]
        noise: Samples = signal.oaconvolve(white, self._filter, "valid").astype(np.float32)
        if self.hum:
            phase = 2 * np.pi * self.hum / SAMPLE_RATE * np.arange(self._at, self._at + samples)
            tones = sum(np.sqrt(2) * share * np.sin(n * phase) for n, share in ((1, 0.8), (2, 0.36), (3, 0.48)))
            noise = (np.sqrt(0.8) * noise + np.sqrt(0.2) * tones).astype(np.float32)
        self._at += samples
        return noise


def handset(rng: np.random.Generator) -> Samples:
    """Return the impulse response of a telephone's microphone: no two sound alike, all are about as loud."""
    gains = 10 ** (rng.normal(0, 3, 4) / 20)
    gains /= np.sqrt(np.mean(gains**2))
    frequencies = [0, BAND[0], 800, 1600, BAND[1], SAMPLE_RATE / 2]
    return signal.firwin2(65, frequencies, gains[[0, 0, 1, 2, 3, 3]], fs=SAMPLE_RATE).astype(np.float32)


class Line:
    """A telephone line: 16 kHz in, 8 kHz out, the telephone's band and the steps of G.711 (mu-law)."""

    rate = SAMPLE_RATE // 2

    def __init__(self) -> None:
        self._band = signal.ellip(8, 0.5, 60, BAND, "bandpass", fs=SAMPLE_RATE, output="sos")
        self._state = np.zeros((len(self._band), 2))

    def __call__(self, samples: Samples) -> Samples:
        """Send a block of an even number of samples, the continuation of the one before."""
        heard, self._state = signal.sosfilt(self._band, samples, zi=self._state)
        heard = np.clip(heard[::2], -1, 1)
        steps = np.round(np.sign(heard) * np.log1p(255 * np.abs(heard)) / np.log(256) * 127) / 127
        return (np.sign(steps) * np.expm1(np.abs(steps) * np.log(256)) / 255).astype(np.float32)
