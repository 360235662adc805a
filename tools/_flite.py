"""The voices of flite, through its shared libraries: samples, and when exactly each word is spoken.

The command line of flite prints phone times, but not which word a phone belongs to; the library knows both.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

RATE = 16_000  # of all four voices
LEAD_IN, LEAD_OUT = 0.02, 0.05  # seconds kept, faded, around the first and the last phone


class _Wave(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_char_p),
        ("sample_rate", ctypes.c_int),
        ("num_samples", ctypes.c_int),
        ("num_channels", ctypes.c_int),
        ("samples", ctypes.POINTER(ctypes.c_short)),
    )


class _Voice(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char_p), ("features", ctypes.c_void_p))


_POINTER, _TEXT = ctypes.c_void_p, ctypes.c_char_p
_SIGNATURES: dict[str, tuple[Any, ...]] = {  # name: (result, *arguments)
    "flite_synth_text": (_POINTER, _TEXT, ctypes.POINTER(_Voice)),
    "delete_utterance": (None, _POINTER),
    "utt_wave": (ctypes.POINTER(_Wave), _POINTER),
    "utt_relation": (_POINTER, _POINTER, _TEXT),
    "relation_head": (_POINTER, _POINTER),
    "item_next": (_POINTER, _POINTER),
    "ffeature_float": (ctypes.c_float, _POINTER, _TEXT),
    "feat_set_float": (None, _POINTER, _TEXT, ctypes.c_float),
}
_WORD_START = b"daughter1.R:SylStructure.daughter1.daughter1.R:Segment.p.end"
_WORD_END = b"daughtern.R:SylStructure.daughtern.daughtern.R:Segment.end"


@dataclass(frozen=True)
class Speech:
    """One spoken sentence: samples at 16 kHz and the (start, end) of each written word.

    ``words[0][0]`` is 0; the samples begin `LEAD_IN` seconds earlier.
    """

    samples: np.ndarray
    words: list[tuple[float, float]]

    @property
    def duration(self) -> float:
        """Seconds from the first phone to the end of the last."""
        return self.words[-1][1]


@cache
def _library() -> Any:
    library = ctypes.CDLL("libflite.so.1", mode=ctypes.RTLD_GLOBAL)
    for language in ("usenglish", "cmulex"):  # the voices expect their symbols to be there
        ctypes.CDLL(f"libflite_{language}.so.1", mode=ctypes.RTLD_GLOBAL)
    for name, (result, *arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    library.flite_init()
    return library


@cache
def _voice(name: str) -> Any:
    _library()
    register = getattr(ctypes.CDLL(f"libflite_cmu_us_{name}.so.1"), f"register_cmu_us_{name}")
    register.restype, register.argtypes = ctypes.POINTER(_Voice), [_POINTER]
    return register(None)


def speak(text: str, voice: str, *, stretch: float, pitch: float, liveliness: float) -> Speech:
    """Speak one sentence.

    Parameters
    ----------
    text
        The sentence; its words are what stands between blanks.
    voice
        ``"slt"``, ``"rms"``, ``"awb"`` or ``"kal16"``.
    stretch
        Duration relative to the voice's own; above 1 is slower.
    pitch, liveliness
        Mean and standard deviation of the fundamental frequency, in Hz.
    """
    flite, speaker = _library(), _voice(voice)
    for feature, value in (
        (b"duration_stretch", stretch),
        (b"int_f0_target_mean", pitch),
        (b"int_f0_target_stddev", liveliness),
    ):
        flite.feat_set_float(speaker.contents.features, feature, value)
    utterance = flite.flite_synth_text(text.encode(), speaker)
    wave = flite.utt_wave(utterance).contents
    rate, samples = wave.sample_rate, np.ctypeslib.as_array(wave.samples, (wave.num_samples,)) / 32768.0
    times = []
    token = flite.relation_head(flite.utt_relation(utterance, b"Token"))
    while token:
        times.append((flite.ffeature_float(token, _WORD_START), flite.ffeature_float(token, _WORD_END)))
        token = flite.item_next(token)
    flite.delete_utterance(utterance)
    if rate != RATE or len(times) != len(text.split()):
        raise ValueError(f"flite reads {text!r} as {len(times)} words at {rate} Hz: write it differently")
    onset = times[0][0]
    return Speech(_cut(samples, onset, times[-1][1]), [(start - onset, end - onset) for start, end in times])


def _cut(samples: np.ndarray, start: float, end: float) -> np.ndarray:
    """Keep the phones alone (flite adds silence around them), faded so that no edge clicks."""
    first, last = round((start - LEAD_IN) * RATE), round((end + LEAD_OUT) * RATE)
    padded = np.pad(samples, (max(0, -first), max(0, last - len(samples))))
    cut = padded[max(0, first) : max(0, first) + last - first].copy()
    fade_in, fade_out = round(LEAD_IN * RATE), round(LEAD_OUT * RATE)
    cut[:fade_in] *= 0.5 - 0.5 * np.cos(np.pi * np.arange(fade_in) / fade_in)
    cut[-fade_out:] *= 0.5 + 0.5 * np.cos(np.pi * np.arange(fade_out) / fade_out)
    return cut
