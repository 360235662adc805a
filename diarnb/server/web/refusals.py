"""What is known of who asks, and what the server says no with; each dialect words that in its own way."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diarnb._types import Json

T = TypeVar("T")

ID = web.RequestKey("id", str)
"""What a request is called, in the log and in its answer."""

OWNER = web.RequestKey("owner", str)
"""Who asks: what stands for the key."""


class Refusal(Exception):  # noqa: N818 - it is an answer, and no fault
    """A request that is not carried out.

    Parameters
    ----------
    status : int
        Of HTTP.
    message : str
        What a person is told; nothing secret, and no more of what came than is needed.
    code : str, optional
        Deepgram's ``err_code``.
    errors : sequence of (field, message), optional
        pyannoteAI's list of what is wrong where.
    headers : mapping, optional
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        errors: tuple[tuple[str, str], ...] = (),
        headers: Mapping[str, str] | None = None,
        **more: object,
    ) -> None:
        super().__init__(message)
        self.status: int = status
        self.message: str = message
        self.code: str | None = code
        self.errors: tuple[tuple[str, str], ...] = errors
        self.headers: dict[str, str] = dict(headers or {})
        self.more: Json = more


def open_to_all(handler: T) -> T:
    """Let a handler be asked without a key."""
    handler.open_to_all = True  # type: ignore[attr-defined]
    return handler
