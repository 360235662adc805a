"""Verify speakers: one embedding of all that somebody says, and the probability that two are of one speaker.

CAM++ takes a speaker's turns as one utterance, mean-normalised by itself, which removes much of the room and the
microphone: `embedding` cannot do that for segments of 1 s among others. Of what is left the few directions in which
rooms and telephones move an embedding most are projected out before two are compared (nuisance attribute projection).
The calibration of the cosine similarity was fitted to real speakers through other rooms and telephones;
`benchmarks/voiceprints.py` prints its two constants, and finds the directions.

References
----------
Solomonoff, Campbell & Boardman, "Advances in channel compensation for SVM speaker recognition", ICASSP 2005.
"""

from __future__ import annotations

import base64
import binascii
import functools
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from diarnb.audio.excerpts import RATE, excerpts
from diarnb.engines.local import networks
from diarnb.engines.local.embedding import make_filter_bank
from diarnb.errors import AudioLimitError, ConfigurationError, VoiceprintAudioError, VoiceprintError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from diarnb._types import Options
    from diarnb.audio import Recording

LONGEST = 30.0  # seconds of the longest recording that a voiceprint is made from
HEARD = 15.0  # seconds of each speaker that are compared; 30 s separate speakers no better than 5 s
SHORTEST = 2.0  # seconds of speech below which errors are too frequent
SIZE = 192
MIDDLE, SLOPE = 0.405, 18.1
"""Cosine similarity of even odds, and the slope of the log-odds there: fitted by ``benchmarks/voiceprints.py``."""
ALIKE = 0.44  # mean cosine from which voices of several recordings are one person: among many pairs most are not

_MAGIC = b"diarnb"
MAKER = b"local/campplus-zh-en/1"  # raised whenever voiceprints can no longer be compared with earlier ones
_QUIET = 40.0  # dB below the loudest speech from which a frame is a pause, and left out
_FEWEST = 30  # feature frames of 10 ms: with less the embedding is noise
_ONE = 0.6  # cosine similarity from which two speakers of one recording are one; above `MIDDLE`: they share a channel
_BYSTANDER = 1.5  # seconds of another speaker, and share of the speech, that may be left out
_BYSTANDER_SHARE = 0.2
_AGAIN = "make one with diarnb.voiceprint(recording)"


def make_voiceprint(recording: Recording, raw: Options, *, threads: int | None = None) -> tuple[str, str | None]:
    """Make a voiceprint of the one person who speaks in a recording.

    Parameters
    ----------
    recording : Recording
    raw : mapping
        Who speaks when in it: `engines.base.Answer.raw`.
    threads : int, optional
        As `networks.load` takes it.

    Returns
    -------
    text : str
    remark : str or None
        What was left out, or is wrong with the audio.

    Raises
    ------
    AudioLimitError
        It lasts longer than 30 s.
    VoiceprintAudioError
        There is no speech, too little, or more than one speaker.
    """
    check_length(recording.name, raw["duration"])
    if not raw["diarization"]:
        raise VoiceprintAudioError(f"No speech was found in {recording.name}; give a recording of one person's voice.")
    sounds = excerpts(recording, pd.DataFrame(raw["diarization"]), LONGEST)
    seconds = {speaker: _sum_seconds(sound) for speaker, sound in sounds.items()}
    main, *others = sorted(sounds, key=lambda speaker: -seconds[speaker])
    embedding = embed(sounds[main], threads)
    others = [
        other for other in others if not _are_same(embedding, embed(sounds[other], threads))
    ]  # one speaker taken for two is one
    beside = sum(seconds[other] for other in others)
    own = sum(seconds.values()) - beside
    if beside > min(_BYSTANDER, _BYSTANDER_SHARE * own):
        told = ", ".join(f"{speaker} {seconds[speaker]:.1f} s" for speaker in [main, *others])
        raise VoiceprintAudioError(
            f"{len(others) + 1} people speak in {recording.name} ({told}), and a voiceprint is of one: "
            "turns = diarnb.diarize(recording); diarnb.voiceprint(turns[turns['speaker'] == 'SPEAKER_00'])"
        )
    embedding = embed([piece for speaker in sounds if speaker not in others for piece in sounds[speaker]], threads)
    if embedding is None or own < SHORTEST:
        raise VoiceprintAudioError(
            f"There are only {own:.1f} s of speech in {recording.name}; a voiceprint needs {SHORTEST:g} s, and is the "
            "better for 10 s: record more of this person."
        )
    remarks = [*recording.problems, *([f"Somebody else speaks for {beside:.1f} s; left out."] if beside else [])]
    return pack(embedding), " ".join(remarks) or None


def match_voiceprints(
    recording: Recording, turns: pd.DataFrame, voiceprints: Mapping[str, str], *, threads: int | None = None
) -> dict[str, dict[str, float]]:
    """Score every speaker of `turns` against every voiceprint, 0-100; without a score who cannot be heard."""
    known = {label: unpack(text, label) for label, text in voiceprints.items()}
    found = {speaker: embed(sound, threads) for speaker, sound in excerpts(recording, turns, HEARD).items()}
    return {
        speaker: {} if own is None else {label: score_similarity(own, other) for label, other in known.items()}
        for speaker, own in found.items()
    }


def embed_speakers(
    recording: Recording, turns: pd.DataFrame, *, threads: int | None = None
) -> dict[str, NDArray[np.float32]]:
    """Embed every speaker of `turns` with enough speech, as unit vectors."""
    sounds = excerpts(recording, turns, HEARD)
    found = {speaker: embed(sound, threads) for speaker, sound in sounds.items() if _sum_seconds(sound) >= SHORTEST}
    return {speaker: embedding for speaker, embedding in found.items() if embedding is not None}


def check_length(name: str, duration: float) -> None:
    """Raise AudioLimitError if a recording is too long for a voiceprint."""
    if duration > LONGEST + 0.05:  # an encoder's padding is nobody's fault
        raise AudioLimitError(
            f"{name} lasts {duration:.1f} s, and a voiceprint is made from at most {LONGEST:g} s of one person: "
            "turns = diarnb.diarize(recording); diarnb.voiceprint(turns[turns['speaker'] == 'SPEAKER_00'])"
        )


def embed(
    sounds: Sequence[NDArray[np.float32]], threads: int | None = None, *, network: str = "embedding"
) -> NDArray[np.float32] | None:
    """Embed one speaker's excerpts of 16 kHz samples as one utterance; None where there is too little."""
    features = np.concatenate(
        [_compute_features(sound) for sound in sounds] or [_compute_features(np.zeros(0, np.float32))]
    )
    if not len(features):
        return None
    power = 10 * np.log10(np.exp(features).mean(1))
    features = features[power > np.percentile(power, 95) - _QUIET]
    if len(features) < _FEWEST:
        return None
    session = networks.load(network, providers=("CPUExecutionProvider",), threads=threads)
    pooled = np.ones((1, 1, -(-len(features) // 2)), np.float32)
    found: NDArray[np.float32] = session.run(
        None, {"features": (features - features.mean(0))[None], "weights": pooled}
    )[0][0, 0]
    return found / max(float(np.linalg.norm(found)), 1e-6)


def remove_channel(
    embeddings: NDArray[np.floating], channels: NDArray[np.floating] | None = None
) -> NDArray[np.float32]:
    """Project the directions of rooms and telephones out of embeddings [shape=(..., 192)], to unit length.

    Parameters
    ----------
    embeddings : numpy.ndarray [shape=(..., 192)]
    channels : numpy.ndarray [shape=(directions, 192)], optional
        Orthonormal directions; by default those that are shipped.
    """
    channels = _load_channels() if channels is None else channels
    left = embeddings - embeddings @ channels.T @ channels
    length = np.maximum(np.linalg.norm(left, axis=-1, keepdims=True), 1e-6)
    unit: NDArray[np.float32] = (left / length).astype(np.float32)
    return unit


@functools.cache
def _load_channels() -> NDArray[np.float32]:
    path = networks.MODELS / "channels.npy"
    try:
        channels: NDArray[np.float32] = np.load(path).astype(np.float32).reshape(-1, SIZE)
    except (OSError, EOFError, ValueError) as error:
        message = f"The file {path.name} is missing from this installation, or damaged. {networks.REINSTALL}"
        raise ConfigurationError(message) from error
    return channels


def score_similarity(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Compute the posterior, 0-100, that two embeddings are of one speaker, with even prior odds."""
    cosine = float(remove_channel(one) @ remove_channel(other))
    return float(100 / (1 + np.exp(-SLOPE * (cosine - MIDDLE))))


def pack(embedding: NDArray[np.float32]) -> str:
    """Encode an embedding as text: base64 of format, maker, float16 numbers, and a checksum."""
    content = _MAGIC + bytes([len(MAKER)]) + MAKER + embedding.astype("<f2").tobytes()
    return base64.b64encode(content + zlib.crc32(content).to_bytes(4, "little")).decode("ascii")


def unpack(text: str, label: str) -> NDArray[np.float32]:
    """Decode an embedding.

    Raises
    ------
    VoiceprintError
        If the text is none of ours, of another version, cut off or damaged; `label` says whose in the message.
    """
    whose = f"the voiceprint of {label!r:.60}"
    text = "".join(text.split())  # mail and configuration files break lines
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        content = b""
    ours = text.startswith(base64.b64encode(_MAGIC).decode("ascii"))  # 6 bytes are 8 characters
    if not ours and (text.startswith("pyannoteai:") or _look_like_floats(content)):
        raise VoiceprintError(
            f"{whose} was not made by diarnb's local engine, it looks like one of pyannoteAI; voiceprints of different "
            f"makers cannot be compared: take engine='pyannoteai', or {_AGAIN}"
        )
    if not ours:
        raise VoiceprintError(f"{whose} is no voiceprint: {text!r:.40}; {_AGAIN}")
    body, checksum = content[:-4], content[-4:]
    if len(body) < len(_MAGIC) + 1 or zlib.crc32(body).to_bytes(4, "little") != checksum:
        raise VoiceprintError(f"{whose} is cut off or damaged ({len(text)} characters); load it again, or {_AGAIN}")
    begin = len(_MAGIC) + 1
    maker, numbers = body[begin : begin + body[begin - 1]], body[begin + body[begin - 1] :]
    if maker != MAKER or len(numbers) != 2 * SIZE:
        made = f"{maker.decode(errors='replace')!r:.60}, and this diarnb knows {MAKER.decode()!r}"
        raise VoiceprintError(f"{whose} is of another version ({made}); {_AGAIN}")
    return np.frombuffer(numbers, "<f2").astype(np.float32)


def _look_like_floats(content: bytes) -> bool:
    """Return whether bytes could be pyannoteAI's, which are opaque but look like float32 of moderate size."""
    if len(content) < 256 or len(content) % 4:
        return False
    size = np.abs(np.frombuffer(content, "<f4"))
    return bool(np.isfinite(size).all() and size.max() < 1e4 and np.median(size) > 1e-6)


def _compute_features(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute Kaldi log-mel features [shape=(frames, 80)]."""
    bank = make_filter_bank()
    bank.accept_waveform(RATE, sound)
    frames = [bank.get_frame(i) for i in range(bank.num_frames_ready)]
    return np.array(frames, np.float32).reshape(-1, 80)


def _are_same(one: NDArray[np.float32] | None, other: NDArray[np.float32] | None) -> bool:
    return one is not None and other is not None and float(one @ other) >= _ONE


def _sum_seconds(sounds: Sequence[NDArray[np.float32]]) -> float:
    return sum(map(len, sounds)) / RATE
