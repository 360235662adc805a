"""39 ways in which one billed request to Deepgram goes wrong, and what can be known after each: `replay` tries them.

What never arrived, or failed there, needs nobody's consent to be sent again; what may have been carried out does.
"""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

import diarnb
from diarnb import errors
from diarnb.engines.cloud.service import Pace
from diarnb.engines.deepgram import DeepgramEngine
from tests.deepgram_server import KEY, cut, hang_up, say, serving

if TYPE_CHECKING:
    from collections.abc import Callable

QUICK = Pace(connect=5.0, read=1.0, write=20.0, base=0.01, cap=0.02)
HTML = {"Content_Type": "text/html"}
OTHER = {"dg_request_id": ""}  # not from the service, which gives every answer an id


@dataclass(frozen=True)
class Case:
    """A fault in the place of the answer, or `early`, before the recording is read; `safe` needs no consent."""

    fault: Callable[[Any], None]
    safe: bool
    early: bool = False
    usage: bool = False


def _silent(handler: Any) -> None:
    """Do the work, and never answer."""
    handler.server_state.billed += 1
    handler.connection.settimeout(5)
    handler.rfile.read(1)
    handler.close_connection = True


def _nothing(handler: Any) -> None:
    """Close without an answer, before anything was done."""
    cut(handler, reset=False)


def _page(status: int, title: str, **headers: str) -> Callable[[Any], None]:
    body = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return say(status, body.encode(), **{**HTML, **OTHER, **headers})


def _refused(status: int, code: str) -> Callable[[Any], None]:
    return say(status, {"err_code": code, "err_msg": code})


CASES: dict[str, Case] = {
    # The request never left as a whole.
    "reset on the first byte": Case(cut, safe=True, early=True),
    "closed on the first byte": Case(_nothing, safe=True, early=True),
    "reset in the middle of the recording": Case(functools.partial(cut, after=300_000), safe=True, early=True),
    "closed in the middle of the recording": Case(
        functools.partial(cut, after=300_000, reset=False), safe=True, early=True
    ),
    "a gateway's 502 before the recording": Case(_page(502, "Bad Gateway"), safe=True, early=True),
    "a gateway's 503 before the recording": Case(_page(503, "Service Unavailable"), safe=True, early=True),
    "a gateway's 504 before the recording": Case(_page(504, "Gateway Time-out"), safe=True, early=True),
    "a slow upload": Case(_refused(408, "SLOW_UPLOAD"), safe=True),
    # The service says no.
    "too many requests": Case(_refused(429, "TOO_MANY_REQUESTS"), safe=True),
    "a bad request": Case(_refused(400, "Bad Request"), safe=True),
    "a wrong key": Case(_refused(401, "INVALID_AUTH"), safe=True),
    "no credit": Case(_refused(402, "ASR_PAYMENT_REQUIRED"), safe=True),
    "no permission": Case(_refused(403, "INSUFFICIENT_PERMISSIONS"), safe=True),
    "too large": Case(_refused(413, "PAYLOAD_TOO_LARGE"), safe=True),
    # Something in between answers, and passes nothing on.
    "a login page": Case(_page(200, "Sign in"), safe=True),
    "a redirect (302)": Case(_page(302, "Moved", Location="https://login.example.org/"), safe=True),
    "a redirect (307)": Case(_page(307, "Moved", Location="https://login.example.org/"), safe=True),
    "a proxy that asks for a name": Case(_page(407, "Proxy Authentication Required"), safe=True),
    "a network that asks for a name": Case(_page(511, "Network Authentication Required"), safe=True),
    "HAProxy without a server": Case(
        say(503, b"<h1>503</h1>\nNo server is available to handle this request.", **HTML, **OTHER), safe=True
    ),
    "nginx that limits": Case(
        say(503, b"<h1>503 Service Temporarily Unavailable</h1><hr><center>nginx</center>", **HTML, **OTHER), safe=True
    ),
    "Envoy without a host": Case(say(503, b"no healthy upstream", Content_Type="text/plain", **OTHER), safe=True),
    "a balancer without a target": Case(_page(503, "Service Unavailable", Server="awselb/2.0"), safe=True),
    "Squid without a connection": Case(_page(502, "ERROR", X_Squid_Error="ERR_CONNECT_FAIL 111"), safe=True),
    "a proxy that was refused": Case(_page(502, "Bad", Proxy_Status="gw; error=connection_refused"), safe=True),
    "a content network: refused": Case(_page(521, "Web server is down"), safe=True),
    "a content network: no connection": Case(_page(522, "Connection timed out"), safe=True),
    "a content network: no encryption": Case(_page(525, "SSL handshake failed"), safe=True),
    # The service failed, and the lists of usage say so.
    "an error that is listed as failed": Case(say(500, {"err_msg": "x"}, listed=500), safe=True, usage=True),
    # It may have been carried out.
    "a gateway's 502, not passed on": Case(_page(502, "Bad Gateway"), safe=False),
    "a gateway's 502, carried out": Case(say(502, b"<h1>502</h1>", billed=True, **HTML, **OTHER), safe=False),
    "a gateway's 504, carried out": Case(say(504, b"<h1>504</h1>", billed=True, **HTML, **OTHER), safe=False),
    "Envoy that lost the connection": Case(
        say(
            503,
            b"upstream connect error or disconnect/reset before headers. reset reason: connection termination",
            billed=True,
            **OTHER,
        ),
        safe=False,
    ),
    "an error of the service, carried out": Case(say(503, {"message": "later"}, billed=True), safe=False),
    "closed without an answer": Case(hang_up, safe=False),
    "no answer": Case(_silent, safe=False),
    "half an answer": Case(say(200, b'{"metadata": {"duration": 9', billed=True), safe=False),
    "an empty answer": Case(say(200, b"", billed=True), safe=False),
    "billed, and the usage says so": Case(say(502, {"message": "x"}, billed=True), safe=False, usage=True),
}


@dataclass
class Replayed:
    """What became of the faults, by their names."""

    consent: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)


def replay(names: list[str] | None = None) -> Replayed:
    """Meet each fault with a call, and then with the same line again, never with consent."""
    found = Replayed()
    samples = np.random.default_rng(0).normal(0, 0.1, 8_000_000).astype(np.float32)  # larger than a socket's buffers
    for name in names or list(CASES):
        case = CASES[name]
        with serving(usage=[] if case.usage else None) as server:
            (server.early if case.early else server.faults).append(case.fault)
            lost = _ask(server, samples) and _ask(server, samples)
            (found.consent if lost else found.answered).append(name)
            if server.billed > 1:
                found.twice.append(name)
    return found


def _ask(server: Any, samples: Any) -> bool:
    """Return whether the answer is lost; what fails otherwise is asked once more."""
    arguments: dict[str, Any] = {
        "engine": DeepgramEngine(pace=QUICK),
        "api_key": KEY,
        "timeout": 1.0,
    }
    for _ in range(2):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                diarnb.diarize((samples, 16000), base_url=server.origin, progress=False, **arguments)
        except errors.AnswerLostError:
            return True
        except errors.ApiError:
            continue
        return False
    raise AssertionError("neither answered nor lost")
