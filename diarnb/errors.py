"""All errors and warnings of diarnb, in a tree, so that an ``except`` can be as wide or as narrow as needed.

::

    DiarnbError
    ├─ ConfigurationError           the installation: a model file, a missing extra, an unknown engine, a bad address
    │  └─ MissingApiKeyError        no key for a cloud engine
    ├─ InvalidParameterError        a wrong argument (also a ValueError)
    │  └─ VoiceprintError           a voiceprint that is damaged, from another version or engine, or invalid
    ├─ AudioError                   the recording
    │  ├─ AudioNotFoundError        (also a FileNotFoundError)
    │  ├─ AudioPermissionError      (also a PermissionError)
    │  ├─ AudioDownloadError        a URL that could not be downloaded
    │  ├─ NotAudioError             a file that is not audio
    │  │  ├─ NoAudioStreamError     a video without sound
    │  │  └─ ProtectedAudioError    audio under digital rights management
    │  ├─ CorruptAudioError
    │  ├─ EmptyAudioError
    │  ├─ AudioLimitError           too long, too large, an absurd sample rate
    │  ├─ AudioChangedError         the file changed while it was read
    │  └─ VoiceprintAudioError      not the speech of one person, or too little of it
    ├─ ApiError                     a cloud service
    │  ├─ ApiConnectionError        it could not be reached, or the connection broke
    │  │  └─ ApiTimeoutError        it was too slow
    │  ├─ ApiResponseError          an answer that does not follow the API
    │  ├─ ApiStatusError            an answer with an HTTP error status
    │  │  ├─ BadRequestError (400)  AuthenticationError (401)  PaymentRequiredError (402)  PermissionDeniedError (403)
    │  │  ├─ NotFoundError (404)    ConflictError (409)        PayloadTooLargeError (413)  UnsupportedMediaError (415)
    │  │  └─ UnprocessableError (422)    RateLimitedError (429)    ServerError (5xx)
    │  ├─ UploadError               the audio could not be sent
    │  │  └─ UploadExpiredError     the upload address expired repeatedly
    │  ├─ SubmissionUncertainError  it may have been submitted and billed; it is not submitted again unless you ask
    │  │  └─ AnswerLostError        the answer to a paid request was lost and cannot be fetched again
    │  ├─ JobError
    │  │  ├─ JobFailedError         JobCanceledError
    │  │  ├─ JobTimeoutError        still running; nothing is lost
    │  │  ├─ JobExpiredError        finished, but its result has been deleted
    │  │  ├─ JobNotFoundError       unknown to the service, or to this key
    │  │  └─ JobAcceptedError       the result goes to a callback, not to diarnb
    │  └─ StreamError               a live stream
    │     └─ StreamClosedError      the service closed the stream
    ├─ WebhookVerificationError     a delivery without a valid signature
    ├─ TurnTableError               a table that is not a table of turns (also a ValueError)
    ├─ WorkerLostError              the process of a recording in a batch died
    ├─ RunNotFoundError             a run that is not in the store (also a KeyError)
    └─ StoreError                   an explicit operation on the run store failed

    DiarnbWarning (a UserWarning)   a remark about a result; ``attrs`` has the same text
    └─ StoreWarning                 the result is right, but could not be stored

    A message says what happened, to which file or run, what was kept, and what to run next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "AnswerLostError",
    "ApiConnectionError",
    "ApiError",
    "ApiResponseError",
    "ApiStatusError",
    "ApiTimeoutError",
    "AudioChangedError",
    "AudioDownloadError",
    "AudioError",
    "AudioLimitError",
    "AudioNotFoundError",
    "AudioPermissionError",
    "AuthenticationError",
    "BadRequestError",
    "ConfigurationError",
    "ConflictError",
    "CorruptAudioError",
    "DiarnbError",
    "DiarnbWarning",
    "EmptyAudioError",
    "InvalidParameterError",
    "JobAcceptedError",
    "JobCanceledError",
    "JobError",
    "JobExpiredError",
    "JobFailedError",
    "JobNotFoundError",
    "JobTimeoutError",
    "MissingApiKeyError",
    "NoAudioStreamError",
    "NotAudioError",
    "NotFoundError",
    "PayloadTooLargeError",
    "PaymentRequiredError",
    "PermissionDeniedError",
    "ProtectedAudioError",
    "RateLimitedError",
    "RunNotFoundError",
    "ServerError",
    "StoreError",
    "StoreWarning",
    "StreamClosedError",
    "StreamError",
    "SubmissionUncertainError",
    "TurnTableError",
    "UnprocessableError",
    "UnsupportedMediaError",
    "UploadError",
    "UploadExpiredError",
    "VoiceprintAudioError",
    "VoiceprintError",
    "WebhookVerificationError",
    "WorkerLostError",
]


def __dir__() -> list[str]:
    return __all__


class DiarnbError(Exception):
    """Base of every error that diarnb raises."""


class ConfigurationError(DiarnbError):
    """The installation lacks something: a model is damaged, an extra is missing, or the engine is unknown."""


class MissingApiKeyError(ConfigurationError):
    """There is no key for the cloud engine."""


class InvalidParameterError(DiarnbError, ValueError):
    """A parameter is wrong. Raised before anything is read or sent."""


class VoiceprintError(InvalidParameterError):
    """A voiceprint cannot be used: it is damaged, from another version or engine, or not a voiceprint."""


class AudioError(DiarnbError):
    """The recording cannot be used."""


class AudioNotFoundError(AudioError, FileNotFoundError):
    """There is no such file."""


class AudioPermissionError(AudioError, PermissionError):
    """The file exists, but may not be read."""


class AudioDownloadError(AudioError):
    """A URL could not be downloaded."""


class NotAudioError(AudioError):
    """The content is not audio that diarnb can decode."""


class NoAudioStreamError(NotAudioError):
    """A video without a sound track."""


class ProtectedAudioError(NotAudioError):
    """The content is under digital rights management."""


class CorruptAudioError(AudioError):
    """The content is damaged beyond use."""


class EmptyAudioError(AudioError):
    """There are no samples."""


class AudioLimitError(AudioError):
    """The recording is too long or too large, or has an unusual format."""


class AudioChangedError(AudioError):
    """The file changed while it was being read."""


class VoiceprintAudioError(AudioError):
    """The speech is not that of one person, or too short to recognize the voice."""


class ApiError(DiarnbError):
    """A cloud service failed to do what was asked.

    Attributes
    ----------
    uncertain : bool
        Whether the service may nevertheless have processed the request, and bill it.
    request_id : str or None
        The service's id for the request; its support asks for it.
    status : int
        The HTTP status of the answer, from the service or a proxy; 0 if there was no answer.
    """

    status: int = 0

    def __init__(self, message: str, *, uncertain: bool = False, request_id: str | None = None) -> None:
        super().__init__(message)
        self.uncertain = uncertain
        self.request_id = request_id


class ApiConnectionError(ApiError):
    """The service could not be reached, or the connection broke."""


class ApiTimeoutError(ApiConnectionError):
    """The service was too slow."""


class ApiResponseError(ApiError):
    """The service answered, but not as its API specifies.

    Attributes
    ----------
    body : str
        The beginning of the answer, without the query strings of URLs.
    """

    def __init__(self, message: str, *, body: str = "", **facts: Any) -> None:
        super().__init__(message, **facts)
        self.body = body


class ApiStatusError(ApiError):
    """The service answered with an HTTP error status."""


class BadRequestError(ApiStatusError):
    """Status 400: a parameter is wrong."""


class AuthenticationError(ApiStatusError):
    """Status 401: the key is wrong."""


class PaymentRequiredError(ApiStatusError):
    """Status 402: no subscription, or no credit left."""


class PermissionDeniedError(ApiStatusError):
    """Status 403: the key may not do this."""


class NotFoundError(ApiStatusError):
    """Status 404."""


class ConflictError(ApiStatusError):
    """Status 409."""


class PayloadTooLargeError(ApiStatusError):
    """Status 413: the audio is larger than the service accepts."""


class UnsupportedMediaError(ApiStatusError):
    """Status 415, or 400 for audio that the service cannot decode."""


class UnprocessableError(ApiStatusError):
    """Status 422: parameters contradict each other."""


class RateLimitedError(ApiStatusError):
    """Status 429: too many requests.

    Attributes
    ----------
    retry_after : float or None
        How many seconds the service asks you to wait.
    """

    retry_after: float | None = None


class ServerError(ApiStatusError):
    """Status 5xx: the service itself has a problem."""


class UploadError(ApiError):
    """The audio could not be sent."""


class UploadExpiredError(UploadError):
    """The address for the upload expired repeatedly."""


class SubmissionUncertainError(ApiError):
    """A request may have been processed and billed. It is not sent again unless you ask.

    Attributes
    ----------
    candidates : list of str
        Ids of the jobs that it may have become.
    """

    def __init__(self, message: str, *, candidates: Iterable[str] = (), request_id: str | None = None) -> None:
        super().__init__(message, uncertain=True, request_id=request_id)
        self.candidates: list[str] = list(candidates)


class AnswerLostError(SubmissionUncertainError):
    """The answer to a paid request was lost, and the service does not keep it."""


class JobError(ApiError):
    """A job at a cloud service.

    Attributes
    ----------
    job_id : str
    """

    def __init__(self, message: str, *, job_id: str = "", **facts: Any) -> None:
        super().__init__(message, **facts)
        self.job_id = job_id


class JobFailedError(JobError):
    """The service could not do the job, and does not bill it."""


class JobCanceledError(JobError):
    """The job was canceled at the service."""


class JobTimeoutError(JobError):
    """The job is still running; nothing is lost."""


class JobExpiredError(JobError):
    """The job is done, but the service has deleted its result."""


class JobNotFoundError(JobError):
    """The service does not know the job, or this key may not see it."""


class JobAcceptedError(JobError):
    """The service will send the result to the callback; diarnb cannot fetch it."""


class StreamError(ApiError):
    """Live streaming failed."""


class StreamClosedError(StreamError):
    """The service closed the stream.

    Attributes
    ----------
    unsent_seconds : float
        Seconds of audio that the service did not receive.
    """

    def __init__(self, message: str, *, unsent_seconds: float = 0.0, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.unsent_seconds = unsent_seconds


class WebhookVerificationError(DiarnbError):
    """The signature of a delivery is not valid."""


class TurnTableError(DiarnbError, ValueError):
    """A table lacks what a table of turns needs."""


class WorkerLostError(DiarnbError):
    """The process of a recording in a batch died, or did not start."""


class RunNotFoundError(DiarnbError, KeyError):
    """The run, or the part of it that is needed, is not in the run store."""

    def __str__(self) -> str:  # KeyError would show the repr, quotes and all
        return str(self.args[0]) if self.args else ""


class StoreError(DiarnbError):
    """An explicit operation on the run store failed."""


class DiarnbWarning(UserWarning):
    """A remark about a result; ``turns.attrs["diarnb"]["warning"]`` has the same text."""


class StoreWarning(DiarnbWarning):
    """The result is right, but could not be kept in the run store."""
