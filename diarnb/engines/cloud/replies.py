"""What a service answered: its JSON, and its refusals in the words of `diarnb.errors`."""

from __future__ import annotations

import json
import math
import re
import time
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from diarnb._text import printable, shorten, strip_queries
from diarnb.errors import (
    ApiError,
    ApiResponseError,
    ApiStatusError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    NotFoundError,
    PayloadTooLargeError,
    PaymentRequiredError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    UnprocessableError,
    UnsupportedMediaError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diarnb._types import Json
    from diarnb.engines.cloud.keys import Secret

_CLASSES: dict[int, type[ApiStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    402: PaymentRequiredError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    413: PayloadTooLargeError,
    415: UnsupportedMediaError,
    422: UnprocessableError,
    429: RateLimitedError,
}
_ADVICE = {
    400: "Correct it and run the cell again.",
    402: "Check the subscription or the credit in its dashboard; accepted jobs continue.",
    403: "Give the key this permission in its dashboard, or use another key.",
    404: "Check base_url, or the id.",
    409: "It may have been done already: look at diarnb.runs().",
    413: "Cut the recording, or store it as FLAC or Opus.",
    415: "Store the recording as WAV or FLAC.",
    422: "Correct it and run the cell again.",
    429: "Run the cell again later.",
}
_LEAST_EPOCH = 1e9  # above, X-RateLimit-Reset is a point in time, below it is seconds to go; both are documented


@dataclass(frozen=True)
class Reply:
    """An answer, complete and not yet parsed.

    Attributes
    ----------
    status : int
    headers : mapping
        Names in lower case.
    body : bytes
        Unpacked.
    service : str
        Whose answer it is.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)  # tracebacks may show variables, and these may hold signed addresses
    body: bytes = field(repr=False)
    service: str

    @property
    def request_id(self) -> str | None:
        """What the service calls the request, from its headers or its answer."""
        for name in ("dg-request-id", "x-request-id", "request-id"):
            if name in self.headers:
                return quote_service(self.headers[name], 80)
        found = _facts(self.body)
        given = found.get("requestId") or found.get("request_id")
        return quote_service(given, 80) if isinstance(given, str) else None

    def time(self) -> float | None:
        """Read the service's clock, in seconds since 1970."""
        return _date(self.headers.get("date", ""))

    def json(self) -> Json:
        """Parse the answer, a JSON object.

        Raises
        ------
        ApiResponseError
            It is none; what it is instead is said, and `body` holds its beginning.
        """
        try:
            found = json.loads(self.body.decode("utf-8-sig"), parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            raise self.unlike(f"expected JSON, got {_looks(self)}") from error
        if not isinstance(found, dict):
            raise self.unlike(f"expected a JSON object, got {type(found).__name__}")
        return found

    def unlike(self, what: str) -> ApiResponseError:
        """Make the error for an answer that is not what the contract says."""
        text = quote_service(self.body[:2048].decode("utf-8", "replace"), 2048)
        return ApiResponseError(
            f"{self.service} answered {self.status}, but not as its contract says: {what}. Try again, and check for "
            f"a proxy or a login page in between.{_request(self.request_id)}",
            body=text,
            request_id=self.request_id,
        )


def quote_service(text: str, most: int = 200) -> str:
    """Make text from a service fit for an error, a log, a warning or a table: no secret, nothing hidden, not endless.

    Keys and signatures are struck out when an answer comes (`keys.strike_out`); this takes what looks like one.

    Examples
    --------
    >>> quote_service("bad key Bearer abc at https://example.org/up?sig=1")
    'bad key Bearer **** at https://example.org/up'
    """
    shown = re.sub(r"(?i)\b(bearer|basic)[\s:=]+[^\s,;\"']+", r"\1 ****", strip_queries(text))
    shown = re.sub(r"(?i)\b(token|api[-_ ]?key)[\s:=]+(?=[^\s,;\"']*\d)[^\s,;\"']{8,}", r"\1 ****", shown)
    return shorten(printable(shown), most)


def failure(reply: Reply, key: Secret) -> ApiError | None:
    """Make the error for an answer that says no; None for one that says yes."""
    status, service = reply.status, reply.service
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        host = re.sub(r"^\w+://([^/@]*@)?", "", reply.headers.get("location", "")).partition("/")[0].partition("?")[0]
        away = reply.unlike(f"unexpected redirect to host {shorten(printable(host), 60) or 'unknown'}; not followed")
        away.status = status
        return away
    kind = _CLASSES.get(status) or (ServerError if status >= 500 else ApiStatusError)
    said = quote_service(_find_explanation(reply))
    if status == 400 and "corrupt or unsupported" in said.lower():
        kind = UnsupportedMediaError
    advice = _ADVICE.get(status, "Try again later." if status >= 500 or status == 408 else "")
    if kind is UnsupportedMediaError:
        advice = _ADVICE[415]
    if status == 401:
        advice = f"The key {key!r} came from {key.source}. Check it, and that it belongs to {service}."
    error = kind(
        f"{service} refused ({status}): {said}. {advice}{_request(reply.request_id)}"
        if status < 500
        else f"{service} has a problem ({status}): {said}. {advice}{_request(reply.request_id)}",
        request_id=reply.request_id,
    )
    error.status = status
    if isinstance(error, RateLimitedError):
        error.retry_after = wait(reply)
        if error.retry_after:
            error.args = (f"{error.args[0]} It asks to wait {error.retry_after:.0f} s.",)
    return error


def wait(reply: Reply) -> float | None:
    """Read how many seconds the service asks to wait; None where it does not, or talks nonsense."""
    if reply.status not in (429, 503):
        return None
    headers = reply.headers
    seconds = _number(headers.get("retry-after-ms"))
    if seconds is not None:
        return _sensible(seconds / 1000)
    told = headers.get("retry-after")
    if told is not None:
        seconds = _number(told)
        if seconds is None and (moment := _date(told)) is not None:
            now = reply.time()
            seconds = max(0.0, moment - (time.time() if now is None else now))
        return _sensible(seconds)
    reset = _number(headers.get("x-ratelimit-reset"))
    if reply.status == 429 and reset is not None:
        return _sensible(max(0.0, reset - time.time()) if reset > _LEAST_EPOCH else reset)
    return None


def _sensible(seconds: float | None) -> float | None:
    """Refuse what cannot be meant: negative, not a number, more than a day."""
    return seconds if seconds is not None and 0 <= seconds <= 86_400 else None


def _number(text: str | None) -> float | None:
    if text is None or not re.fullmatch(r"\s*-?\d{1,15}(\.\d{1,9})?\s*", text):
        return None
    return float(text)


def _date(text: str) -> float | None:
    try:
        moment = parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
    return moment if math.isfinite(moment) else None


def _facts(body: bytes) -> Json:
    try:
        found = json.loads(body[:100_000])
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _find_explanation(reply: Reply) -> str:
    """Find what the service says about its refusal, its names of parameters put in ours."""
    facts = _facts(reply.body)
    parts = [facts[name] for name in ("err_msg", "message", "details", "detail", "error") if _is_text(facts.get(name))]
    for fault in facts.get("errors") or []:
        if isinstance(fault, dict) and _is_text(fault.get("message")):
            field = fault.get("field")
            parts.append(f"{_ours(field)}: {fault['message']}" if isinstance(field, str) else fault["message"])
    code = facts.get("err_code") or facts.get("error_code") or facts.get("category")
    if _is_text(code) and code not in parts:
        parts.append(f"[{code}]")
    text = "; ".join(dict.fromkeys(part.strip().rstrip(".") for part in parts))
    return text or _looks(reply)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _ours(name: str) -> str:
    """Write a vendor's camelCase in our snake_case."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda found: f"_{found[1].lower()}", name)


def _looks(reply: Reply) -> str:
    """Describe a body that is no JSON."""
    kind = shorten(printable(reply.headers.get("content-type", "").partition(";")[0]), 40) or "no content type"
    text = reply.body[:4096].decode("utf-8", "replace").strip()
    if not text:
        return "an empty answer"
    title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    code = re.search(r"<Code>(\w+)</Code>", text)  # what storage services answer
    if title or code:
        return f"{kind}: {quote_service(' '.join((title or code)[1].split()), 110)!r}"  # type: ignore[index]
    if "html" in kind or "xml" in kind:
        return kind
    return f"{kind}: {quote_service(' '.join(text.split()), 80)!r}"


def _request(request_id: str | None) -> str:
    return f" [request {request_id}]" if request_id else ""


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no JSON")
