"""What became of a request whose answer was lost, as far as it can be known.

By its id, by the lists of usage, and by what something between us and the service says of itself.
"""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from diarnb.engines.cloud.paid_requests import Finding
from diarnb.engines.cloud.replies import quote_service
from diarnb.engines.cloud.service import Kind
from diarnb.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Collection

    from diarnb._types import Json
    from diarnb.engines.cloud.replies import Reply
    from diarnb.engines.cloud.service import Service
    from diarnb.store.ledger import Submission

_CLOCKS = 300.0  # seconds by which two clocks may differ
_PROJECTS = 3  # of a key that are looked at
_LOOKS = 4  # at lists in which a request may appear a moment later

_UNREACHED = {521, 522, 523, 525, 526, 530}  # of a content network that had no connection to the service
_ASKING = {407, 511}  # of a proxy or a network that wants a name first
_UNREACHED_ERRORS = re.compile(  # RFC 9209, which names what went wrong on the way
    r"error=\"?(dns_\w+|destination_\w+|connection_(refused|timeout|limit_reached)|tls_\w+|proxy_loop_detected)"
)
_SQUID = re.compile("ERR_(CONNECT_FAIL|DNS_FAIL|CANNOT_FORWARD|SECURE_CONNECT_FAIL|FORWARDING_DENIED|CACHE_ACCESS)")
_PASSED_NOTHING_ON = {  # what says so with a status of 503, by the name of who writes it
    "HAProxy": "no server is available to handle this request",
    "Envoy": "no healthy upstream",
    "Envoy, without a connection": "reset reason: connection failure",
    "Envoy, with a late error": "delayed connect error",
    "Envoy, overloaded": "reset reason: overflow",
    "Apache": "temporarily unable to service your request due to maintenance downtime or capacity",
    "nginx, which limits": "<center>nginx",
    "IIS": "<h2>service unavailable</h2>",
}
_BALANCER = "awselb"  # answers 503 where it has nobody to pass a request on to, and names itself nowhere else


def never_arrived(reply: Reply) -> bool:
    """Return whether something between us and the service answered, and says that it passed nothing on.

    A 502, 504 or 500 without the service's id says nothing of the kind: it may have passed the recording on.
    """
    if reply.request_id is not None:
        return False
    headers, text = reply.headers, reply.body[:8192].decode("utf-8", "replace").lower()
    return (
        300 <= reply.status < 400
        or reply.status in _UNREACHED | _ASKING
        or _UNREACHED_ERRORS.search(headers.get("proxy-status", "")) is not None
        or _SQUID.match(headers.get("x-squid-error", "")) is not None
        or (
            reply.status == 503
            and (
                _BALANCER in headers.get("server", "").lower()
                or any(words in text for words in _PASSED_NOTHING_ON.values())
            )
        )
    )


def is_page(reply: Reply) -> bool:
    """Return whether an answer is a page for people, as that of a network that wants to be logged in to."""
    return "html" in reply.headers.get("content-type", "") or reply.body.lstrip()[:1] == b"<"


async def look_at_usage(service: Service, row: Submission, request_id: str | None, known: Collection[str]) -> Finding:
    """Ask the lists of usage, where the key may see them, what became of a request.

    Not to be in a list proves nothing. To be in it as a failure, by its own id, does: what fails is not billed.

    Parameters
    ----------
    service : Service
    row : Submission
    request_id : str or None
        What the service called the request, where it came to say so.
    known : collection of str
        Ids of requests that are others.
    """
    for look in range(1, _LOOKS + 1):
        listed = await _list_requests(service, row, known)
        if listed is None:
            return Finding(None)
        own = [each for each in listed if request_id is None or each.get("request_id") == request_id]
        if own or look == _LOOKS:
            break
        await asyncio.sleep(service.pace.backoff(look))
    names = quote_service(", ".join(str(each["request_id"]) for each in own), 90)
    if not own:
        return Finding(None, " The usage of its projects lists no such request so far.")
    if request_id is not None and all(_has_failed(each) for each in own):
        return Finding(False, f" The usage of its projects lists {names} as failed, which is not billed.")
    return Finding(True, f" The usage of its projects lists {names} of that time.")


async def _list_requests(service: Service, row: Submission, known: Collection[str]) -> list[Json] | None:
    """List requests since this one was sent, but for those of others; None where the key may not see them."""
    since = datetime.fromtimestamp((row.sent_at or row.created) - _CLOCKS, UTC).isoformat(timespec="seconds")
    once, found = service.hurry(), []
    try:
        projects = (await once.request("GET", "/v1/projects", kind=Kind.READ)).json().get("projects")
        for project in (projects if isinstance(projects, list) else [])[:_PROJECTS]:
            path = f"/v1/projects/{quote(str(project.get('project_id')), safe='')}/requests"
            reply = await once.request("GET", path, kind=Kind.READ, query={"start": since, "limit": 1000})
            found += [each for each in reply.json()["requests"] if each["request_id"] not in known]
    except (ApiError, AttributeError, KeyError, TypeError):
        return None
    return [each for each in found if "/v1/listen" in str(each.get("path", "/v1/listen"))]


def _has_failed(entry: Json) -> bool:
    response = entry.get("response")
    code = entry.get("code", response.get("code") if isinstance(response, dict) else None)
    return isinstance(code, int | float) and code >= 400
