"""Live: sound goes up a WebSocket as it is recorded, and turns come down.

One connection after another, where one breaks: what was sent and not yet answered for good is sent again, and speakers
are numbered anew, for nobody knows which old number a new one is. The caller's thread sends and receives; a second one
keeps a silent connection alive, and ends one that takes nothing any more. Needs the package websockets (extra `live`).
"""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
import warnings
from collections import deque
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from diarnb._text import printable, shorten
from diarnb.audio.download import NO_SOCKS, is_loopback
from diarnb.audio.pcm import encode_pcm16
from diarnb.engines.base import Answer
from diarnb.engines.cloud.keys import strike_out
from diarnb.engines.cloud.replies import Reply, failure, quote_service, wait
from diarnb.engines.cloud.service import Pace
from diarnb.engines.deepgram.live_turns import GrowingTurns
from diarnb.errors import (
    ApiConnectionError,
    ApiError,
    ApiStatusError,
    ConfigurationError,
    DiarnbWarning,
    StreamClosedError,
    StreamError,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    import numpy as np
    from websockets.sync.client import ClientConnection

    from diarnb._types import Json
    from diarnb.engines.cloud.service import Service

PACE = Pace(connect=10.0, read=60.0, write=10.0, attempts=6, base=1.0, cap=30.0)
"""Seconds; `read` is how long the last answers may take after the last sound."""

_SILENCE = 4.0  # seconds without sound after which the service is told that more will come; it waits for 10
_AHEAD = 30.0  # seconds of sound sent and not answered: a recording is read faster than it is understood
_KEPT = 60.0  # seconds of sound kept until its final answer has come
_LARGEST = 4 * 1024**2  # bytes of one message
_FATAL = {1003, 1007, 1008, 1009}  # closed because of what was sent, which will be no better next time
_PASSING = {408, 425, 429, 500, 502, 503, 504}

log: logging.Logger = logging.getLogger("diarnb")


class LiveStream:
    """One live stream.

    Parameters
    ----------
    service : Service
    query : list of (str, str)
        What the connection is opened with.
    sample_rate : int
        Hz.
    pause : float
        Seconds without words that end a turn.
    silence : float, default 4.0
        Seconds without sound after which the connection is kept alive.
    """

    def __init__(
        self,
        service: Service,
        query: list[tuple[str, str]],
        sample_rate: int,
        pause: float,
        *,
        silence: float = _SILENCE,
    ) -> None:
        self._service, self._rate, self._silence = service, sample_rate, silence
        scheme, _, rest = service.origin.partition("://")
        self._address = f"{'wss' if scheme == 'https' else 'ws'}://{rest}/v1/listen?{urlencode(query)}"
        self._turns = GrowingTurns(pause)
        self._socket: ClientConnection | None = None
        self._began = 0.0  # seconds into the stream at which this connection began
        self._kept: deque[tuple[int, bytes]] = deque()  # sound without a final answer, with its first sample's number
        self._heard = 0  # samples
        self._failures = 0  # in a row
        self._opened = False  # ever
        self._sent = self._sending = 0.0  # when: by the monotonic clock
        self._over = threading.Event()

    def run(self, blocks: Iterable[np.ndarray]) -> Generator[list[Json], None, tuple[Answer, dict[str, str]] | None]:
        """Send blocks of samples as they come, and give turns as they change.

        Parameters
        ----------
        blocks : iterable of numpy.ndarray
            float32, one-dimensional; full scale is 1.

        Yields
        ------
        list of dict
            As `GrowingTurns.add` gives them; never empty.

        Returns
        -------
        (Answer, dict) or None
            All final words of all connections, as if they had been one recording; None where no sound came.

        Raises
        ------
        ApiError
            The service refuses, or cannot be reached.
        StreamError
            It ended the stream, and another connection did not help.
        """
        with ExitStack() as stack:
            keeper = threading.Thread(target=self._keep_alive, name="diarnb-live", daemon=True)
            stack.callback(self._leave)
            for block in blocks:
                sound = encode_pcm16(block)
                if not sound:
                    continue  # an empty frame would end the stream
                self._keep(sound)
                if self._socket is None:
                    keeper.start()
                    self._connect()
                else:
                    self._send(sound)
                yield from filter(None, self._receive())
            if self._socket is not None:
                yield from filter(None, self._rest())
                yield from filter(None, [self._turns.close()])
        return self._answer() if self._heard else None

    def _answer(self) -> tuple[Answer, dict[str, str]]:
        names = {"text": "punctuated_word"}
        words = [
            {names.get(name, name): value for name, value in word.items() if name != "channel" and value is not None}
            for word in self._turns.words
        ]
        metadata = {"duration": self._heard / self._rate, "channels": 1}
        return Answer({"metadata": metadata, "results": {"channels": [{"alternatives": [{"words": words}]}]}}), {}

    def _keep(self, sound: bytes) -> None:
        self._kept.append((self._heard, sound))
        self._heard += len(sound) // 2
        done = min(self._turns.until, self._heard / self._rate) * self._rate
        oldest = self._heard - _KEPT * self._rate
        while self._kept and self._end(self._kept[0]) <= max(done, oldest):
            self._kept.popleft()

    def _end(self, piece: tuple[int, bytes]) -> int:
        return piece[0] + len(piece[1]) // 2

    def _send(self, sound: bytes | str) -> None:
        assert self._socket is not None  # noqa: S101
        try:
            self._write(self._socket, sound)
        except _connection_errors() as error:
            broke = self._describe_end(error)
        else:
            return
        self._reconnect(*broke)

    def _write(self, connection: ClientConnection, sound: bytes | str) -> None:
        self._sending = time.monotonic()
        try:
            connection.send(sound)
        finally:
            self._sent, self._sending = time.monotonic(), 0.0

    def _receive(self) -> Iterator[list[Json]]:
        """Receive what has come; wait for more only where sound is sent much faster than it is answered."""
        while True:
            assert self._socket is not None  # noqa: S101
            ahead = self._heard / self._rate - self._turns.until
            try:
                message = self._take(self._socket, self._service.pace.write if ahead > _AHEAD else 0)
            except TimeoutError:
                if ahead <= _AHEAD:
                    return
                broke: tuple[int | None, str] = (None, "")  # it takes sound and says nothing
            except _connection_errors() as error:
                broke = self._describe_end(error)
            else:
                yield self._read_message(message)
                continue
            self._reconnect(*broke)

    def _take(self, connection: ClientConnection, timeout: float) -> bytes:
        """Receive a message, without any key that it echoes."""
        message = connection.recv(timeout=timeout)
        return strike_out(message.encode() if isinstance(message, str) else message, self._service.key)

    def _describe_end(self, error: Exception) -> tuple[int | None, str]:
        """Read why a connection ended: the code and the reason of the other side, without any key."""
        reason = _reason(error).encode()
        return _code(error), strike_out(reason, self._service.key).decode()

    def _rest(self) -> Iterator[list[Json]]:
        """Send that nothing follows, and receive what comes until the service has closed the stream."""
        asked = None
        while True:
            connection = self._socket
            assert connection is not None  # noqa: S101
            try:
                if asked is not connection:
                    self._write(connection, json.dumps({"type": "Finalize"}))
                    self._write(connection, json.dumps({"type": "CloseStream"}))
                    asked = connection
                message = self._take(connection, self._service.pace.read)
            except TimeoutError as error:
                raise self._make_closed_error("it did not answer for what was sent last") from error
            except _connection_errors() as error:
                code, reason = self._describe_end(error)
            else:
                yield self._read_message(message)
                continue
            if asked is connection and (code == 1000 or self._turns.until >= self._heard / self._rate):
                return
            self._reconnect(code, reason)

    def _read_message(self, message: bytes) -> list[Json]:
        try:
            found = json.loads(message)
        except (ValueError, RecursionError):
            found = None
        kind = found.get("type") if isinstance(found, dict) else None
        if kind == "Error":
            said = quote_service(str(found.get("description") or found.get("message") or "no reason given"))
            raise StreamError(f"Deepgram ended the stream: {said}. The turns until then are complete.")
        if kind != "Results":
            log.debug("Deepgram: a live message of another kind was skipped")
            return []
        changes = self._turns.add(found, self._began)
        if found.get("is_final"):
            self._failures = 0
        return changes

    def _connect(self) -> None:
        """Open a connection and send all that has no final answer yet."""
        while True:
            self._failures += 1
            trouble = self._try_to_connect()
            if trouble is None:
                return
            if isinstance(trouble, ConfigurationError):
                raise trouble
            delay = self._service.pace.backoff(self._failures)
            if isinstance(trouble, _Refusal):
                error: ApiError = trouble.error
                passing = isinstance(error, ApiStatusError) and error.status in _PASSING
                delay = trouble.wait if trouble.wait is not None else delay
            else:
                error, passing = trouble, True
            if not passing or self._failures >= self._service.pace.attempts or delay > self._service.pace.within:
                raise self._make_closed_error(str(error)) if self._opened else error
            time.sleep(delay)

    def _try_to_connect(self) -> ApiError | ConfigurationError | _Refusal | None:
        """Try once. Errors are given back, for the traceback of a raised one leads to frames that hold the key."""
        from websockets.exceptions import InvalidHandshake, InvalidStatus
        from websockets.sync.client import connect

        pace, host = self._service.pace, self._service.origin.partition("://")[2]
        try:
            connection = connect(
                self._address,
                additional_headers={"Authorization": f"{self._service.scheme} {self._service.key.reveal()}"},
                proxy=None if is_loopback(self._address) else True,
                open_timeout=pace.connect,
                close_timeout=2.0,
                max_size=_LARGEST,
                max_queue=None,  # else a service that answers while we send would wait for us, and we for it
                logger=logging.Logger("diarnb.silent", logging.CRITICAL),  # its own shows the key
            ).__enter__()
        except ImportError:
            return ConfigurationError(NO_SOCKS)
        except InvalidStatus as error:
            answer = error.response
            headers = {name.lower(): value for name, value in answer.headers.raw_items()}
            key = self._service.key
            body = strike_out(bytes(answer.body or b""), key)
            headers = {name: strike_out(value.encode(), key).decode() for name, value in headers.items()}
            reply = Reply(answer.status_code, headers, body, self._service.name)
            refusal = failure(reply, self._service.key) or reply.unlike("it opened no stream")
            return _Refusal(refusal, wait(reply))
        except (InvalidHandshake, OSError, EOFError, TimeoutError, ValueError) as error:
            why = "no answer in time" if isinstance(error, TimeoutError) else shorten(printable(str(error)), 120)
            return ApiConnectionError(f"cannot open a stream at {host}: {why}. Check the network, and base_url.")
        self._socket = connection
        first = self._kept[0][0] if self._kept else self._heard
        done = round(min(self._turns.until, self._heard / self._rate) * self._rate)
        self._began = max(first, done) / self._rate
        try:
            for number, sound in self._kept:
                known = max(0, done - number)
                if piece := sound[2 * known :]:
                    self._write(connection, piece)
        except _connection_errors():
            self._close()
            return ApiConnectionError(f"the stream at {host} broke off. Check the network.")
        self._opened = True
        return None

    def _reconnect(self, code: int | None, reason: str) -> None:
        """Go on with another connection, unless the other side ended this one for good."""
        self._close()
        if code in _FATAL:
            raise self._make_closed_error(f"it closed the stream ({code}: {reason})")
        if self._failures >= self._service.pace.attempts:
            raise self._make_closed_error("the connection breaks repeatedly")
        if self._failures > 1:
            time.sleep(self._service.pace.backoff(self._failures))
        done, asked = self._turns.until, self._turns.known
        self._turns.renumber()
        self._connect()
        lost = self._began - done
        gap = f" {lost:.1f} s of sound before that are lost." if lost > 0.05 and done > 0 else ""
        warnings.warn(
            f"the connection to Deepgram broke and was reopened at {self._began:.1f} s. Speakers get new numbers then: "
            f"those from SPEAKER_{asked:02d} on may be people who were heard before.{gap}",
            DiarnbWarning,
            stacklevel=2,
        )

    def _make_closed_error(self, why: str) -> StreamClosedError:
        unsent = self._heard / self._rate - min(self._turns.until, self._heard / self._rate)
        return StreamClosedError(
            f"The stream to Deepgram is over: {why}. The turns until {self._heard / self._rate - unsent:.1f} s are "
            f"complete, the {unsent:.1f} s after that have no answer; record them, and use diarnb.diarize.",
            unsent_seconds=unsent,
        )

    def _keep_alive(self) -> None:
        """Keep the connection open where nothing is sent, and end a connection that takes nothing any more."""
        while not self._over.wait(min(1.0, self._silence / 2)):
            connection, now = self._socket, time.monotonic()
            if connection is None:
                continue
            with suppress(Exception):  # the other thread will see what is wrong
                if self._sending and now - self._sending > self._service.pace.write:
                    # Its own `close` would wait for the send; that of TLS would let the rest go out unencrypted.
                    socket.socket.shutdown(connection.socket, socket.SHUT_RDWR)
                elif not self._sending and now - self._sent > self._silence:
                    connection.send(json.dumps({"type": "KeepAlive"}))  # as text: in a binary frame it were sound
                    self._sent = now

    def _close(self) -> None:
        connection, self._socket = self._socket, None
        if connection is not None:
            connection.close()

    def _leave(self) -> None:
        """End everything; in the middle of a stream let the service know."""
        self._over.set()
        with suppress(Exception):
            if self._socket is not None:
                self._socket.send(json.dumps({"type": "CloseStream"}))
        self._close()


class _Refusal:
    """An answer to the opening of a stream that says no, and how long the service wants to be left alone."""

    def __init__(self, error: ApiError, wait: float | None) -> None:
        self.error, self.wait = error, wait


def check_installed() -> None:
    """Raise `ConfigurationError` where the package for WebSockets is missing."""
    try:
        import websockets.sync.client  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            "Streaming to Deepgram needs the package websockets, which is not installed: pip install 'diarnb[live]'"
        ) from error


def _connection_errors() -> tuple[type[Exception], ...]:
    from websockets.exceptions import ConnectionClosed

    return ConnectionClosed, OSError


def _code(error: Exception) -> int | None:
    frame = getattr(error, "rcvd", None)
    return None if frame is None else int(frame.code)


def _reason(error: Exception) -> str:
    frame = getattr(error, "rcvd", None)
    return quote_service(getattr(frame, "reason", "") or "no reason given", 160)
