"""`stream`: who speaks, while it is spoken.

One thread reads chunks, so that a live source is never kept waiting; another listens; and the caller's takes what is
new, whenever it likes. Turns that change while nobody looks are told once, as they then are.
"""

from __future__ import annotations

import hashlib
import queue
import threading
import time
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack, overload

import numpy as np
import pandas as pd

from diarnb import engines
from diarnb._pipeline import keep_answer
from diarnb.audio.chunks import Chunks
from diarnb.audio.decode import check_shape
from diarnb.engines.base import Engine, check_options
from diarnb.engines.cloud.keys import seal_key
from diarnb.engines.question import Question
from diarnb.errors import DiarnbWarning, InvalidParameterError
from diarnb.params import Params
from diarnb.results.runs import table_of
from diarnb.store import Store
from diarnb.store.run import Description
from diarnb.tables.turns import make_turns, rename

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray

    from diarnb._types import Json
    from diarnb.engines.arguments import DeepgramStream, EngineName, LocalStream
    from diarnb.engines.base import Answer, OwnEngine

    Chunked = Iterable[bytes | np.ndarray] | queue.Queue[Any] | queue.SimpleQueue[Any]

_LONGEST_BLOCK = 0.25  # seconds handed over at once
_AHEAD = 30.0  # seconds that a source faster than real time is read ahead
_AWAKE = 0.2  # seconds between two looks at the keyboard, which cannot interrupt a longer wait everywhere
_DTYPES: dict[str, type] = {
    "turn_id": np.int64,
    "start": float,
    "end": float,
    "duration": float,
    "speaker": str,
    "text": str,
    "final": bool,
}


@overload
def stream(chunks: Chunked, *, engine: Literal["local"] = "local", **arguments: Unpack[LocalStream]) -> Live: ...
@overload
def stream(chunks: Chunked, *, engine: Literal["deepgram"], **arguments: Unpack[DeepgramStream]) -> Live: ...
@overload
def stream(chunks: Chunked, *, engine: str | OwnEngine, **arguments: Any) -> Live: ...
def stream(
    chunks: Chunked,
    *,
    engine: EngineName | str | OwnEngine = "local",
    sample_rate: int = 16_000,
    model: str | None = None,
    num_speakers: int | None = None,
    min_speakers: int | None = None,
    max_speakers: int | None = None,
    **options: Any,
) -> Live:
    """Find out who speaks while they are speaking.

    Yield tables of new and changed turns as they come, with the local engine within about 3 s. While ``final`` is
    False, a turn may still change, including its speaker. A turn that was withdrawn comes once more, with a duration of
    0. So the newest row of a ``turn_id`` always wins::

        turns = pd.concat([turns, changed]).drop_duplicates("turn_id", keep="last").query("duration > 0")

    ``live.turns`` is this table at any time. The local engine marks a turn as final half a minute after its end. When
    the audio has ended, ``live.turns`` is the result of `diarize` for the whole recording, with the labels of the
    stream. With hindsight, the speaker of a final turn may have changed. This result is kept as a run, for `recluster`,
    `frames` and so on. The audio itself is not kept.

    Parameters
    ----------
    chunks : iterable or queue.Queue
        Pieces of audio of any length: a list, a generator that waits for a microphone, or a queue in which None marks
        the end. Arrays have the shape ``(n,)`` or ``(n, channels)``, which are mixed, and hold floats with full scale 1
        or integers. Bytes are 16-bit little-endian integers of one channel. A separate thread reads the chunks as soon
        as they arrive, however slowly you read the tables.
    engine : str or Engine, default "local"
        The engine.
    sample_rate : int, default 16000
        The sample rate of the chunks in Hz.
    model : str, optional
        One of the engine's models. Default: the engine's own.
    num_speakers, min_speakers, max_speakers : int, optional
        As for `diarize`.
    **options
        The engine's own options. Local: ``providers``, ``threads`` and ``threshold``, as for `diarize`. Deepgram:
        ``api_key``, ``base_url`` and the parameters of its live service, in snake_case (``language``, ``keyterm``,
        ``endpointing``, ...).

    Returns
    -------
    Live
        An iterator of tables with ``turn_id``, ``start``, ``end``, ``duration``, ``speaker``, ``final``, and ``text``
        if the engine has words. Its attribute ``turns`` is the table of all turns so far. ``close()``, the end of a
        ``with`` block, and an interrupt while waiting end the stream; what was processed is kept.

    Raises
    ------
    InvalidParameterError
        A parameter is wrong, or the engine does not support it; or, at the end of the tables, a chunk was invalid.
    ConfigurationError
        A model, an extra or a key is missing.
    ApiError
        During the stream: the service refuses, or the connection breaks repeatedly (`StreamClosedError`). The turns
        until then are in ``live.turns``, but are not kept as a run.

    Warns
    -----
    DiarnbWarning
        The connection broke, and speakers have new numbers since then. Or, at the end: the requested number of speakers
        was not possible, or samples were not numbers.

    Examples
    --------
    >>> import soundfile
    >>> with soundfile.SoundFile(example("interview")) as file:
    ...     live = stream(file.blocks(1600, frames=320_000), sample_rate=file.samplerate)
    ...     for changed in live:
    ...         settled = changed[changed["final"]]
    >>> live.turns["speaker"].nunique()
    2
    """
    options = seal_key(options)  # a traceback may show what is in this frame
    params = Params(model=model, num_speakers=num_speakers, min_speakers=min_speakers, max_speakers=max_speakers)
    chosen = engines.get(engine)
    chosen.require(Engine.stream)
    rate = _check_rate(sample_rate)
    inbox = _Inbox(_check_chunks(chunks), rate)
    told = chosen.stream(inbox, rate, params, options)
    checked = check_options(options, (chosen.live_offer or chosen.offer), chosen.name)
    return Live(_Work(inbox, told, Question(chosen, params, checked, live=True)))


class Live(Iterator[pd.DataFrame]):
    """A stream that is being listened to; `stream` makes it."""

    def __init__(self, work: _Work) -> None:
        self._work = work
        weakref.finalize(self, work.inbox.end)
        for task in (work.inbox.read, work.listen):
            threading.Thread(target=task, name="diarnb-stream", daemon=True).start()

    def __next__(self) -> pd.DataFrame:
        """Wait for turns that are new or have changed."""
        try:
            return self._next()
        except KeyboardInterrupt:
            self.close()
            raise

    def _next(self) -> pd.DataFrame:
        work = self._work
        with work.changed:
            while not work.news and not work.over:
                work.changed.wait(_AWAKE)
            rows, work.news = list(work.news.values()), {}
            if rows:
                return _tabulate(rows, work.facts())
            if (error := work.error or work.inbox.error) is not None:
                work.error = work.inbox.error = None  # it is told once
                raise error
            if work.warning:
                warnings.warn(f"stream: {work.warning}", DiarnbWarning, stacklevel=3)
                work.warning = None
        raise StopIteration

    @property
    def turns(self) -> pd.DataFrame:
        """The table of all turns: so far, or, at the end, with hindsight."""
        with self._work.changed:
            if self._work.whole is not None:
                return self._work.whole.copy()
            rows = [turn for turn in self._work.known.values() if turn["start"] < turn["end"]]
            columns = ["text"] if any("text" in turn for turn in rows) else []
            return make_turns(rows, columns=columns, facts=self._work.facts())

    def close(self) -> None:
        """End the stream; what was read is still listened to. The last changes can be iterated over afterwards."""
        self._work.inbox.end()
        with self._work.changed:
            while not self._work.over:
                self._work.changed.wait(_AWAKE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class _Inbox:
    """Sound between the thread that reads it and the one that listens to it."""

    def __init__(self, source: Iterator[object], rate: int) -> None:
        self.error: BaseException | None = None
        self.invalid: int = 0
        self.samples: int = 0
        self._content = hashlib.sha256(f"stream {rate} ".encode())
        self.rate: int = rate
        self._source = source
        self._blocks: deque[NDArray[np.float32]] = deque()
        self._waiting = 0  # samples
        self._over = False
        self._moved = threading.Condition()

    def content_hash(self) -> str:
        """Return the hash of the sound so far, and of its sample rate."""
        return self._content.hexdigest()

    def read(self) -> None:
        """Read to the end; what goes wrong is kept for the caller."""
        chunks, size = Chunks(), max(1, int(_LONGEST_BLOCK * self.rate))
        began = time.monotonic()
        try:
            for chunk in self._source:
                samples = chunks.samples(chunk)
                self.invalid = chunks.invalid
                if not all(self._put(samples[at : at + size], began) for at in range(0, len(samples), size)):
                    break
        except BaseException as error:  # the caller's thread raises it
            self.error = error
        finally:
            self.end()
            if isinstance(self._source, Generator):
                self._source.close()

    def _put(self, block: NDArray[np.float32], began: float) -> bool:
        with self._moved:
            # A live source is never faster than time itself, and so never waits here, whatever has piled up.
            while not self._over and self._waiting > _AHEAD * self.rate:
                if self.samples < (time.monotonic() - began + _AHEAD) * self.rate:
                    break
                self._moved.wait(_AWAKE)
            if self._over:
                return False
            self._blocks.append(block)
            self._waiting += len(block)
            self.samples += len(block)
            self._content.update(block.astype("<f4").tobytes())
            self._moved.notify_all()
            return True

    def end(self) -> None:
        """Take nothing more."""
        with self._moved:
            self._over = True
            self._moved.notify_all()

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        while True:
            with self._moved:
                while not self._blocks and not self._over:
                    self._moved.wait()
                if not self._blocks:
                    return
                block = self._blocks.popleft()
                self._waiting -= len(block)
                self._moved.notify_all()
            yield block


class _Work:
    """Listens, and keeps what is told until the caller asks. Holds no `Live`, so that a forgotten one ends."""

    def __init__(self, inbox: _Inbox, told: Iterator[list[Json]], question: Question) -> None:
        self.inbox: _Inbox = inbox
        self.changed: threading.Condition = threading.Condition()  # holds for all below
        self.known: dict[int, Json] = {}  # turns by their id
        self.news: dict[int, Json] = {}  # of these, what the caller has not seen
        self.whole: pd.DataFrame | None = None  # all turns, with hindsight
        self.warning: str | None = None
        self.error: BaseException | None = None
        self.over: bool = False
        self._told, self._question = told, question

    def facts(self) -> Json:
        """Return what a table's ``attrs`` say before there is a run."""
        asked = {"engine": self._question.engine.name, "model": self._question.model}
        return {**asked, "source": "stream", "duration": self.inbox.samples / self.inbox.rate, "warning": None}

    def listen(self) -> None:
        """Listen to the end; what goes wrong is kept for the caller."""
        try:
            answer = _pass_on(self._told, self._publish)
            # Taken back without a word: an engine may let its ids go to others.
            left = [turn for turn in self.known.values() if not turn["final"]]
            self._publish([{**turn, "end": turn["start"], "final": True} for turn in left])
            if answer is not None and self.inbox.samples:
                self._keep(*answer)
        except BaseException as error:  # the caller's thread raises it
            self.error = error
        finally:
            self.inbox.end()
            with self.changed:
                self.over = True
                self.changed.notify_all()

    def _publish(self, turns: list[Json]) -> None:
        with self.changed:
            new = {turn["turn_id"]: turn for turn in turns}
            self.known |= new
            self.news |= new
            self.changed.notify_all()

    def _keep(self, answer: Answer, names: dict[str, str]) -> None:
        """Keep the answer for the whole as a run."""
        question, inbox = self._question, self.inbox
        engine = question.engine
        problems = []
        if inbox.invalid:
            problems = [f"{inbox.invalid:,} samples were NaN or infinite; they were read as 0."]
        content = inbox.content_hash()
        seconds = inbox.samples / inbox.rate
        about = Description(
            source="stream", **question.asked, content_hash=content, duration=seconds, problems=problems
        )
        bill = engine.bill(answer.raw, about)
        if not engine.can(Engine.read):
            warning = " ".join(filter(None, [answer.raw.get("warning"), *problems])) or None
            answer = replace(answer, raw={**answer.raw, "warning": warning})
        key = question.key("stream", content)
        store = Store.default()
        heard = None if answer.evidence is None else key
        run = keep_answer(store, about, key, engine, answer, evidence_key=heard, **bill)
        if answer.evidence is not None:
            store.put_evidence(key, answer.evidence)
        table = table_of(run)
        other = {ours: theirs for ours, theirs in names.items() if ours != theirs}
        with self.changed:
            self.whole = rename(table, other) if other else table
            self.warning = run.warning


def _pass_on(told: Iterator[list[Json]], tell: Callable[[list[Json]], None]) -> Any:
    """Pass on all that is told, and give what a generator returns at its end."""
    while True:
        try:
            turns = next(told)
        except StopIteration as end:
            return end.value
        if turns:
            tell(turns)


def _tabulate(rows: list[Json], facts: Json) -> pd.DataFrame:
    given = [{**row, "duration": row["end"] - row["start"]} for row in rows]
    columns = {name: dtype for name, dtype in _DTYPES.items() if name != "text" or any(name in row for row in rows)}
    table = pd.DataFrame(given, columns=list(columns)).fillna({"text": ""}).astype(columns)
    table = table.sort_values(["start", "end", "turn_id"], ignore_index=True)
    table.attrs["diarnb"] = facts
    return table


def _check_rate(value: object) -> int:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        raise InvalidParameterError(f"sample_rate is a whole number of Hz, not {value!r:.60}")
    if value != value // 1:
        raise InvalidParameterError(f"sample_rate is a whole number of Hz, not {value!r}")
    check_shape("the stream", int(value), 1, 0, 1.0)
    return int(value)


def _check_chunks(chunks: Chunked) -> Iterator[object]:
    if isinstance(chunks, str | bytes | bytearray | np.ndarray) or hasattr(chunks, "read"):
        raise InvalidParameterError(
            f"chunks is an iterable of pieces of audio, not one {type(chunks).__name__}; "
            "diarnb.diarize takes whole recordings"
        )
    try:
        return _drain(chunks) if isinstance(chunks, queue.Queue | queue.SimpleQueue) else iter(chunks)
    except TypeError:
        raise InvalidParameterError(f"chunks is an iterable of arrays or bytes, not {chunks!r:.60}") from None


def _drain(chunks: queue.Queue[object] | queue.SimpleQueue[object]) -> Iterator[object]:
    while (chunk := chunks.get()) is not None:
        yield chunk
