"""To pyannote.core's annotations and back. Needs the extra ``formats``."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from diarnb.errors import ConfigurationError, DiarnbWarning, InvalidParameterError
from diarnb.tables.checks import as_table, check_turns
from diarnb.tables.turns import make_turns

if TYPE_CHECKING:
    import pandas as pd


def to_annotation(turns: pd.DataFrame) -> Any:
    """Make an annotation of pyannote.core, for pyannote.metrics and whatever else takes one.

    Parameters
    ----------
    turns : pandas.DataFrame
        Any table with start, end and speaker, of one recording. Its other columns stay behind.

    Returns
    -------
    pyannote.core.Annotation
        A track for each turn, named by its row; ``uri`` is the recording where the table tells it.

    Raises
    ------
    TurnTableError
        If this is not a table of turns.
    InvalidParameterError
        If it is one of several recordings.
    ConfigurationError
        If pyannote.core is not installed.

    Warns
    -----
    DiarnbWarning
        If turns without length were left out, which an annotation cannot hold.

    Examples
    --------
    >>> import pandas as pd
    >>> annotation = to_annotation(pd.DataFrame({"start": [0, 3], "end": [4, 6], "speaker": ["Maya", "Otto"]}))
    >>> annotation.chart()
    [('Maya', 4.0), ('Otto', 3.0)]
    """
    core = _core()
    turns = check_turns(turns)
    uris = turns["uri"].unique().tolist() if "uri" in turns else []
    if len(uris) > 1:
        raise InvalidParameterError(
            f"an annotation holds one recording, but this table has {len(uris)}; "
            'make one of each with `{uri: to_annotation(rows) for uri, rows in turns.groupby("uri")}`'
        )
    annotation = core.Annotation(uri=uris[0] if uris else (turns.attrs.get("diarnb") or {}).get("source"))
    for row, (start, end, speaker) in enumerate(zip(turns["start"], turns["end"], turns["speaker"], strict=True)):
        annotation[core.Segment(start, end), row] = speaker
    if lost := len(turns) - sum(1 for _ in annotation.itertracks()):
        message = f"{lost} of {len(turns)} turns have no length and are not in the annotation"
        warnings.warn(message, DiarnbWarning, stacklevel=2)
    return annotation


def from_annotation(annotation: Any) -> pd.DataFrame:
    """Make a table of turns of an annotation of pyannote.core.

    Parameters
    ----------
    annotation : pyannote.core.Annotation
        As `to_annotation` gives it, or pyannote.audio, also within its output.

    Returns
    -------
    pandas.DataFrame
        A turn for each track; labels become text.

    Raises
    ------
    InvalidParameterError
        If this is no annotation.

    Examples
    --------
    >>> import pandas as pd
    >>> turns = pd.DataFrame({"start": [0.0, 3.0], "end": [4.0, 6.0], "speaker": ["Maya", "Otto"]})
    >>> from_annotation(to_annotation(turns))
       start  end  duration speaker
    0    0.0  4.0       4.0    Maya
    1    3.0  6.0       3.0    Otto
    """
    annotation = getattr(annotation, "speaker_diarization", annotation)
    if not hasattr(annotation, "itertracks"):
        raise InvalidParameterError(f"this is a {type(annotation).__qualname__}, not an annotation of pyannote.core")
    table = as_table(annotation)
    rows = [{"start": row.start, "end": row.end, "speaker": row.speaker} for row in table.itertuples()]
    return make_turns(rows, facts={} if annotation.uri is None else {"source": str(annotation.uri)})


def _core() -> Any:
    try:
        import pyannote.core
    except ImportError as error:
        raise ConfigurationError("Annotations need pyannote.core: run `pip install 'diarnb[formats]'`") from error
    return pyannote.core
