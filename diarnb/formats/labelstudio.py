"""Label Studio's tasks: a region for each turn, labelled with its speaker, with its text; to correct turns there.

Import the file as tasks into a project with ``<Labels name="speaker" toName="audio">``, ``<TextArea name="text"
toName="audio" perRegion="true">`` and ``<Audio name="audio" value="$audio">``; `diarnb.read` reads what it exports as
JSON, or as JSON-MIN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from diarnb.errors import TurnTableError
from diarnb.formats import makers
from diarnb.formats._shared.holds import Holds
from diarnb.formats._shared.json import read_json, write_json
from diarnb.formats._shared.words import list_rows

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from diarnb._types import Json
    from diarnb.formats._shared.reading import Reading

READS = "tasks of Label Studio, as its exports JSON and JSON-MIN"
HOLDS = Holds("exact", text=True, also="channel, uri")


def load(reading: Reading) -> pd.DataFrame:
    """Read the regions of each task."""
    data = read_json(reading)
    maker = makers.find_maker(data)
    if maker is not None and maker.name.startswith("Label Studio"):
        return makers.read_turns(maker, data, reading)
    raise TurnTableError(f"{reading.name} holds no tasks of Label Studio")


def dump(turns: pd.DataFrame, path: Path) -> None:
    """Write a task for each recording."""
    facts = turns.attrs.get("diarnb") or {}
    source = facts.get("source") or path.name.partition(".")[0]
    groups: dict[str, list[Json]] = {} if len(turns) else {source: []}
    for row in list_rows(turns):
        groups.setdefault(row.get("uri") or source, []).append(row)
    tasks = []
    for uri, rows in groups.items():
        result: list[Json] = []
        for number, row in enumerate(rows):
            region = {"id": f"turn{number}", "to_name": "audio", "original_length": facts.get("duration")}
            span = {"start": row["start"], "end": row["end"], "channel": row.get("channel") or 0}
            labels = {**span, "labels": [row["speaker"]]}
            result.append({**region, "from_name": "speaker", "type": "labels", "value": labels})
            if row.get("text"):
                said = {**span, "text": [row["text"]]}
                result.append({**region, "from_name": "text", "type": "textarea", "value": said})
        tasks.append({"data": {"audio": uri}, "annotations": [{"result": result}]})
    write_json(path, tasks)
