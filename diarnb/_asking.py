"""From what a user says to what an engine is given: options that are complete, and a source that is open."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from diarnb._progress import reporter
from diarnb.audio import open_recording
from diarnb.engines.base import Settler, check_offered, check_options
from diarnb.engines.links import is_link, look_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diarnb.engines.base import Engine, Progress
    from diarnb.params import Params


def settled(engine: Engine, params: Params, given: Mapping[str, Any]) -> dict[str, Any]:
    """Check an engine's options, and that it offers what is asked, before anything is read or sent.

    Raises
    ------
    InvalidParameterError, ConfigurationError
        Naming what is wrong or missing.
    """
    options = check_options(given, engine.offer, engine.name)
    check_offered(params, engine.offer, engine.name)
    return engine.settle(params, options) if isinstance(engine, Settler) else options


def opened(
    source: Any, engine: Engine, options: Mapping[str, Any], report: Progress
) -> AbstractContextManager[Any]:  # a Recording, or a Link for an engine that passes it on
    """Open a source, unless the engine's service fetches it by itself."""
    if engine.offer.links and is_link(source):
        return nullcontext(look_at(source, options["base_url"], engine.name, report))
    return open_recording(source)


def reporting(progress: bool | Progress) -> AbstractContextManager[Progress]:
    """Draw progress, or hand it to the user's function."""
    return nullcontext(progress) if callable(progress) else reporter(progress)
