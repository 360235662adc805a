"""Extract the evidence from a recording as it comes: frame scores, segments and their embeddings."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from diarnb.engines.local import networks
from diarnb.engines.local.detection import SpeechDetector, find_regions
from diarnb.engines.local.embedding import SIZES, Embedder, find_feature_frame
from diarnb.engines.local.segmentation import RATE, Segmenter
from diarnb.engines.local.segments import Segmentizer

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

    from numpy.typing import NDArray

    from diarnb._progress import Progress
    from diarnb.audio import Recording
    from diarnb.store.run import Evidence

_PIECE = 6  # blocks, a minute, that are kept together
_AHEAD = 2  # blocks that segmentation may be ahead of embedding
_ROWS_AHEAD = 40_000  # segments, some ten hours, that there is room for
_ALONE = 0.5  # probability of speech from which, and of overlap below which, a frame is pooled into embeddings

_STORED = {
    "frames": "frames",
    "regions": "regions",
    "second": "second",
    "segments": "pieces",
    "change": "change",
    "embeddings": "voices",
    "weights": "weights",
    "blocks": "blocks",
}
"""Fields of `ChannelEvidence`, and the names that stores have them by; 0.1.0 had no `regions`, `second` and
`blocks`."""


def is_complete(evidence: Evidence) -> bool:
    """Return whether evidence has all that this version extracts: that of 0.1.0 has no regions."""
    return all("pieces" not in name or name.replace("pieces", "regions") in evidence for name in evidence)


@dataclass(frozen=True)
class ChannelEvidence:
    """What was found in one channel; all decisions are made from this.

    Attributes
    ----------
    frames : numpy.ndarray [shape=(2, frames)], uint8
        Probability (255 is 1) of speech and of overlap.
    regions : numpy.ndarray [shape=(regions, 2)], int32
        First frame of each region of speech and the one behind its last. Edges are more exact than those of segments.
    second : numpy.ndarray [shape=(1,)], uint8
        Greatest share (255 is 1) of a window of 10 s in which the segmentation network hears a second local speaker;
        empty where that is not known.
    segments : numpy.ndarray [shape=(segments, 2)], int32
        First frame of each segment and the one behind its last.
    change : numpy.ndarray [shape=(segments,)], float16
        Score of a change of speaker at the beginning of each, 0-1.
    embeddings : numpy.ndarray [shape=(segments, size)], float16
        Embedding of each: the unit vectors of one network (192) or of both (448) side by side.
    weights : numpy.ndarray [shape=(segments,)], float32
        Seconds of single-speaker speech behind each embedding.
    blocks : numpy.ndarray [shape=(1 + segments,)], int64
        From `decoding.keep_blocks`: a hash of what the rest follows from, and the cluster of each segment within its
        block of a long recording, -1 for none; empty where that is not known.
    """

    frames: NDArray[np.uint8]
    regions: NDArray[np.int32]
    second: NDArray[np.uint8]
    segments: NDArray[np.int32]
    change: NDArray[np.float16]
    embeddings: NDArray[np.float16]
    weights: NDArray[np.float32]
    blocks: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def pack(self, channel: int) -> Evidence:
        """Return the arrays under the names that they are stored by."""
        return {f"{channel}/{name}": getattr(self, field) for field, name in _STORED.items()}

    @classmethod
    def unpack(cls, evidence: Evidence) -> list[ChannelEvidence]:
        """Return every channel of the evidence, in order; regions that are missing are those of the segments."""
        channels = sorted({int(name.split("/")[0]) for name in evidence if "/" in name})
        known = dict(evidence)
        for channel in channels:
            known.setdefault(f"{channel}/regions", evidence[f"{channel}/pieces"])
            known.setdefault(f"{channel}/second", np.zeros(0, np.uint8))
            known.setdefault(f"{channel}/blocks", np.zeros(0, np.int64))
        return [cls(**{field: known[f"{channel}/{name}"] for field, name in _STORED.items()}) for channel in channels]


class Extractor:
    """Extracts the evidence from a growing recording.

    What no later samples can change is computed once and kept, some 4 MB an hour; of the samples only the last half
    minute is.

    Parameters
    ----------
    providers, threads
        As `networks.load` takes them.
    embedding : tuple of str, default all of `embedding.SIZES`
        The embedding networks.
    live : bool, default False
        Whether `evidence` is asked for time and again: then batches are small, so that nothing waits for long.
    pieces : list of dict, optional
        What `cut` returned in an earlier attempt at the same recording: the networks are not asked again.
    helpers : concurrent.futures.Executor, optional
        As `Embedder` takes them.
    """

    def __init__(
        self,
        providers: tuple[str, ...] = ("CPUExecutionProvider",),
        threads: int | None = None,
        *,
        embedding: tuple[str, ...] = tuple(SIZES),
        live: bool = False,
        pieces: list[Evidence] | None = None,
        helpers: Executor | None = None,
    ) -> None:
        self._tapes = [networks.Tape(name, pieces) for name in ("segmentation", "embedding")]
        loaded = {
            name: networks.load(name, providers=providers, threads=threads) for name in ("segmentation", *embedding)
        }
        self._segmenter = Segmenter(loaded.pop("segmentation"), 1 if live else 4, self._tapes[0])
        self._embedder = Embedder(loaded, self._tapes[1], helpers)
        self._segmentizer, self._detector = Segmentizer(), SpeechDetector()
        self._energy = np.zeros(0, np.float32)  # dB, of feature frames from the one of the next segmentation frame on
        self._frames = 0  # segmentation frames so far
        self._second = np.uint8(0)  # as `ChannelEvidence` has it
        self._parts: list[tuple[np.ndarray, ...]] = []
        self._embeddings = _Rows(sum(SIZES[name] for name in embedding))

    @property
    def samples(self) -> int:
        """Number of samples fed."""
        return self._segmenter.samples

    def feed(self, block: NDArray[np.float32]) -> None:
        """Add samples, 16 kHz mono."""
        self.embed(block, self.segment(block))

    def segment(self, block: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Add samples to the segmentation network alone, and return what `embed` takes with them."""
        return self._segmenter.feed(block)

    def embed(self, block: NDArray[np.float32], scores: NDArray[np.uint8]) -> None:
        """Add samples to the embedding network, with their scores; `segment` may run on later ones meanwhile."""
        self._energy = np.concatenate([self._energy, self._embedder.feed(block)])
        speech, overlap, change = (row.astype(np.float32) / 255 for row in scores[:3])
        self._second = max(self._second, scores[3].max(initial=0))
        segments, strength, spans = self._segmentizer.feed(speech, change)
        embeddings, weights = self._embedder.embed(
            spans, _find_single_speaker(speech, overlap), self._segmentizer.settled
        )
        detected = self._detector.feed(speech, self._align_energy(len(speech)))
        self._frames += len(speech)
        self._energy = self._energy[find_feature_frame(self._frames) - find_feature_frame(self._frames - len(speech)) :]
        self._parts.append((detected, scores[1], segments, strength, weights))
        self._embeddings.append(embeddings)

    def cut(self) -> Evidence:
        """Return what the networks answered since the last cut."""
        return {name: array for tape in self._tapes for name, array in tape.cut().items()}

    def evidence(self, *, quick: bool = False) -> ChannelEvidence:
        """Return the evidence as if the recording ended here; `quick` as `Embedder.tail` has it.

        Its last embeddings are overwritten when more is fed.
        """
        scores = self._segmenter.tail()
        speech, overlap, change = (row.astype(np.float32) / 255 for row in scores[:3])
        segments, strength, spans = self._segmentizer.tail(speech, change)
        embeddings, weights = self._embedder.tail(spans, _find_single_speaker(speech, overlap), quick=quick)
        detected = self._detector.tail(speech, self._align_energy(len(speech)))
        last = (detected, scores[1], segments, strength, weights)
        found = _concatenate([*self._parts, last])
        self._parts = [tuple(all_[: len(all_) - len(end)] for all_, end in zip(found, last, strict=True))]  # no copies
        speech, overlap, segments, strength, weights = found
        second = np.array([max(self._second, scores[3].max(initial=0))], np.uint8)
        frames, regions = np.stack([speech, overlap]), find_regions(speech)
        embeddings = self._embeddings.followed_by(embeddings)
        return ChannelEvidence(frames, regions, second, segments, strength, embeddings, weights)

    def _align_energy(self, count: int) -> NDArray[np.float32]:
        """Return the energy of the next segmentation frames."""
        if not len(self._energy):
            return np.zeros(count, np.float32)
        wanted = find_feature_frame(self._frames + np.arange(count)) - find_feature_frame(self._frames)
        aligned: NDArray[np.float32] = self._energy[np.minimum(wanted, len(self._energy) - 1)]
        return aligned


class _Rows:
    """Rows of float16 that grow in place: there is room ahead, which takes memory only once it is used."""

    def __init__(self, width: int) -> None:
        self._room, self._count = np.empty((0, width), np.float16), 0

    def append(self, rows: NDArray[np.float16]) -> None:
        """Add rows."""
        self._count = len(self.followed_by(rows))

    def followed_by(self, rows: NDArray[np.float16]) -> NDArray[np.float16]:
        """Return the rows so far and others that are not added, without a copy."""
        known, total = self._room[: self._count], self._count + len(rows)
        if total > len(self._room):
            self._room = np.empty((total + _ROWS_AHEAD, self._room.shape[1]), np.float16)
            self._room[: self._count] = known
        self._room[self._count : total] = rows
        return self._room[:total]


def _find_single_speaker(speech: NDArray[np.float32], overlap: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return the frames in which just one person speaks."""
    return (speech >= _ALONE) & (overlap < _ALONE)


def _concatenate(parts: list[tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
    return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))


def extract(
    recording: Recording,
    channel: Literal["mix"] | int,
    progress: Progress,
    *,
    number: int = 0,
    embedding: tuple[str, ...] = tuple(SIZES),
    providers: tuple[str, ...] = ("CPUExecutionProvider",),
    threads: int | None = None,
) -> tuple[ChannelEvidence, float]:
    """Extract the evidence from one channel, or from the mix of all.

    Parameters
    ----------
    recording : Recording
        What it keeps of an earlier attempt is not computed again.
    channel : "mix" or int
    progress : callable
        Told the stage and how much of this channel is done, 0-1.
    number : int, default 0
        The place of the channel among those that are wanted.
    embedding, providers
        As `Extractor` takes them.
    threads : int, optional
        To use in all; by default as many as there are cores for this process.

    Returns
    -------
    evidence : ChannelEvidence
    duration : float
        Seconds that were decoded.
    """
    partial = recording.partial
    pieces = None if partial is None else partial.read(number)
    end = None if partial is None else partial.end
    total = max((end or recording.duration) * RATE, 1.0)
    workers, each = _share_threads(threads, 1 + len(embedding))
    # networks side by side, each with its share of the threads, are faster than one after the other with all of them
    with ThreadPoolExecutor(1) as worker, ThreadPoolExecutor(len(embedding)) as pool:
        helpers = pool if workers > 2 else None
        extractor = Extractor(providers, each, embedding=embedding, pieces=pieces, helpers=helpers)
        waiting: deque[Future[None]] = deque()
        for count, block in enumerate(recording.blocks(channel, end=end)):
            scores = extractor.segment(block)
            place, within = divmod(count, _PIECE)
            ends_piece = pieces is not None and within == _PIECE - 1 and place >= len(pieces)
            _wait(waiting, 0 if ends_piece else _AHEAD - 1)
            piece = extractor.cut() if ends_piece else None
            waiting.append(worker.submit(extractor.embed, block, scores))
            if partial is not None and piece is not None:
                partial.add(number, place, piece, extractor.samples / RATE)
            if workers == 1:
                _wait(waiting, 0)
            progress("listening", min(extractor.samples / total, 1.0))
        _wait(waiting, 0)
        return extractor.evidence(), extractor.samples / RATE


def _wait(futures: deque[Future[None]], left: int) -> None:
    """Wait until so many are left, and raise what they raise."""
    while len(futures) > left:
        futures.popleft().result()


def _share_threads(threads: int | None, count: int) -> tuple[int, int]:
    """Return how many of `count` networks run at the same time, and the threads of each.

    By default all of them do, as long as there are two cores: they share them better than two would.
    """
    cores = networks.count_cores()
    workers = min(threads or (count if cores > 1 else 1), count)
    return workers, max(((threads or cores) + 1) // workers, 1) if workers > 1 else 1
