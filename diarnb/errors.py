"""Everything that diarnb raises, so that one ``except`` line can be as wide or as narrow as needed.

::

    DiarnbError
    ├─ ConfigurationError           the installation: a model file, a missing extra, an unknown engine, a bad address
    │  └─ MissingApiKeyError        a cloud engine without a key
    ├─ InvalidParameterError        what was asked for (also a ValueError)
    │  └─ VoiceprintError           a voiceprint that is damaged, of another version or maker, or none at all
    ├─ AudioError                   the recording
    │  ├─ AudioNotFoundError        (also a FileNotFoundError)
    │  ├─ AudioPermissionError      (also a PermissionError)
    │  ├─ AudioDownloadError        a URL that could not be fetched
    │  ├─ NotAudioError             something else under an audio name
    │  │  ├─ NoAudioStreamError     a video without sound
    │  │  └─ ProtectedAudioError    sound under digital rights management
    │  ├─ CorruptAudioError
    │  ├─ EmptyAudioError
    │  ├─ AudioLimitError           too long, too large, an absurd sample rate
    │  ├─ AudioChangedError         the file changed while it was read
    │  └─ VoiceprintAudioError      not the speech of one person, or too little of it
    ├─ ApiError                     a cloud service
    │  ├─ ApiConnectionError        it could not be reached, or the connection broke off
    │  │  └─ ApiTimeoutError        it was too slow
    │  ├─ ApiResponseError          an answer, but not what the contract says
    │  ├─ ApiStatusError            an answer with an HTTP status that says no
    │  │  ├─ BadRequestError (400)  AuthenticationError (401)  PaymentRequiredError (402)  PermissionDeniedError (403)
    │  │  ├─ NotFoundError (404)    ConflictError (409)        PayloadTooLargeError (413)  UnsupportedMediaError (415)
    │  │  └─ UnprocessableError (422)    RateLimitedError (429)    ServerError (5xx)
    │  ├─ UploadError               the audio could not be sent
    │  │  └─ UploadExpiredError     the address to send it to expired, again and again
    │  ├─ SubmissionUncertainError  it may have been submitted, and so billed; nothing is submitted again unasked
    │  │  └─ AnswerLostError        the answer to a paid request was lost on its way and cannot be fetched again
    │  ├─ JobError
    │  │  ├─ JobFailedError         JobCanceledError
    │  │  ├─ JobTimeoutError        still running; nothing is lost
    │  │  ├─ JobExpiredError        finished, but its result has been deleted
    │  │  ├─ JobNotFoundError       unknown to the service, or to this key
    │  │  └─ JobAcceptedError       the result goes to a callback and not to diarnb
    │  └─ StreamError               live
    │     └─ StreamClosedError      the service closed the stream
    ├─ WebhookVerificationError     a delivery that is not proven to be the service's
    ├─ TurnTableError               a table that is no table of turns (also a ValueError)
    ├─ WorkerLostError              the process that heard a recording of a batch died
    ├─ RunNotFoundError             a run that the store does not hold (also a KeyError)
    └─ StoreError                   an explicit command to the run store failed

    DiarnbWarning (a UserWarning)   an answer that needs a remark; the same text stands in ``attrs``
    └─ StoreWarning                 the answer is right, but could not be kept

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
    """The installation cannot do what was asked: a damaged model, a missing extra, an unknown engine."""


class MissingApiKeyError(ConfigurationError):
    """A cloud engine was asked, but there is no key for it."""


class InvalidParameterError(DiarnbError, ValueError):
    """A parameter is wrong; raised before anything is read or sent."""


class VoiceprintError(InvalidParameterError):
    """A voiceprint cannot be used: it is damaged, of another version or maker, or none at all."""


class AudioError(DiarnbError):
    """The recording cannot be used."""


class AudioNotFoundError(AudioError, FileNotFoundError):
    """There is no such file."""


class AudioPermissionError(AudioError, PermissionError):
    """The file exists, but may not be read."""


class AudioDownloadError(AudioError):
    """A URL could not be fetched."""


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
    """Longer, larger or stranger than diarnb accepts."""


class AudioChangedError(AudioError):
    """The file changed while it was being read."""


class VoiceprintAudioError(AudioError):
    """Not the speech of one person, or too little of it, to know the voice again."""


class ApiError(DiarnbError):
    """A cloud service did not do what was asked.

    Attributes
    ----------
    uncertain : bool
        Whether the service may have carried the request out all the same, and bill it.
    request_id : str or None
        What the service calls the request; it asks for this when one asks it.
    status : int
        Of the answer by HTTP, from the service or a proxy; 0 where none came.
    """

    status: int = 0

    def __init__(self, message: str, *, uncertain: bool = False, request_id: str | None = None) -> None:
        super().__init__(message)
        self.uncertain = uncertain
        self.request_id = request_id


class ApiConnectionError(ApiError):
    """The service could not be reached, or the connection broke off."""


class ApiTimeoutError(ApiConnectionError):
    """The service was too slow."""


class ApiResponseError(ApiError):
    """The service answered, but not what its contract says.

    Attributes
    ----------
    body : str
        The beginning of the answer, without addresses' queries.
    """

    def __init__(self, message: str, *, body: str = "", **facts: Any) -> None:
        super().__init__(message, **facts)
        self.body = body


class ApiStatusError(ApiError):
    """The service answered with an HTTP status that says no."""


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
    """Status 413: the audio is larger than the service takes."""


class UnsupportedMediaError(ApiStatusError):
    """Status 415, or 400 for audio that the service cannot decode."""


class UnprocessableError(ApiStatusError):
    """Status 422: parameters that contradict each other."""


class RateLimitedError(ApiStatusError):
    """Status 429: too many requests.

    Attributes
    ----------
    retry_after : float or None
        Seconds that the service asks to wait.
    """

    retry_after: float | None = None


class ServerError(ApiStatusError):
    """Status 5xx: the service itself is in trouble."""


class UploadError(ApiError):
    """The audio could not be sent."""


class UploadExpiredError(UploadError):
    """The address to send the audio to expired, again and again."""


class SubmissionUncertainError(ApiError):
    """A request may have been carried out, and so billed; it is not sent again unasked.

    Attributes
    ----------
    candidates : list of str
        Ids of the jobs that it may have become.
    """

    def __init__(self, message: str, *, candidates: Iterable[str] = (), request_id: str | None = None) -> None:
        super().__init__(message, uncertain=True, request_id=request_id)
        self.candidates: list[str] = list(candidates)


class AnswerLostError(SubmissionUncertainError):
    """The answer to a paid request was lost on its way, and the service does not keep it."""


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
    """The service could not do the job; it does not bill it."""


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
        Of audio that it did not get.
    """

    def __init__(self, message: str, *, unsent_seconds: float = 0.0, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.unsent_seconds = unsent_seconds


class WebhookVerificationError(DiarnbError):
    """A delivery is not proven to come from the service."""


class TurnTableError(DiarnbError, ValueError):
    """A table lacks what a table of turns needs."""


class WorkerLostError(DiarnbError):
    """The process that was to hear a recording of a batch died, or did not begin."""


class RunNotFoundError(DiarnbError, KeyError):
    """The run store holds no such run, or no longer what is needed of it."""

    def __str__(self) -> str:  # KeyError would show the repr, quotes and all
        return str(self.args[0]) if self.args else ""


class StoreError(DiarnbError):
    """An explicit command to the run store failed."""


class DiarnbWarning(UserWarning):
    """An answer that needs a remark; the same text stands in ``turns.attrs["diarnb"]["warning"]``."""


class StoreWarning(DiarnbWarning):
    """The answer is right, but could not be kept in the run store."""
