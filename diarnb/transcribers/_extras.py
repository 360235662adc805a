"""What the transcribers that come as extras have in common."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from diarnb.audio import SAMPLE_RATE
from diarnb.errors import ConfigurationError, InvalidParameterError


def require_version(package: str, extra: str) -> str:
    """Return the version of the package that an extra brings.

    Raises
    ------
    ConfigurationError
        It is not installed.
    """
    try:
        return version(package)
    except PackageNotFoundError:
        command = f"pip install 'diarnb[{extra}]'"
        raise ConfigurationError(
            f"words={extra!r} needs the package {package}, which is not installed: {command}"
        ) from None


def check_rate(sample_rate: int) -> None:
    """Refuse sound of another rate than diarnb's own.

    Raises
    ------
    InvalidParameterError
    """
    if sample_rate != SAMPLE_RATE:
        raise InvalidParameterError(f"a transcriber needs {SAMPLE_RATE} Hz, not {sample_rate!r:.40}; resample first")


def format_reason(error: Exception) -> str:
    """Write on one line why a model cannot be had."""
    return " ".join(str(error).split())[:120] or type(error).__name__
