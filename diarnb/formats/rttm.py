"""RTTM, the field's exchange format: ``SPEAKER uri channel start duration <NA> <NA> speaker <NA> <NA>``.

Times are written with three decimals. Channels count from 1 in the file, and from 0 in the table.
"""

from __future__ import annotations

import warnings
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import pandas as pd

from diarnb.errors import DiarnbWarning, TurnTableError
from diarnb.turns import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_HELD = ("start", "end", "duration", "speaker", "channel", "uri")


def load(path: Path) -> pd.DataFrame:
    """Read turns; other kinds of lines and comments are skipped."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise TurnTableError(f"{path.name} is no RTTM: it is not text in UTF-8") from error
    rows: list[dict[str, Any]] = []
    skipped = 0
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        if not fields or fields[0].startswith(";;"):
            continue
        if fields[0] != "SPEAKER":
            skipped += 1
            continue
        try:
            rows.append(_turn(fields))
        except (ValueError, IndexError) as error:
            fix = "expected `SPEAKER uri channel start duration <NA> <NA> speaker`"
            raise TurnTableError(f"{path.name}, line {number}: {fix}, found {line.strip()!r:.150}") from error
    if skipped and not rows:
        raise TurnTableError(f"{path.name} is no RTTM of turns: none of its {skipped} lines begins with SPEAKER")
    table = pd.DataFrame(rows, columns=["start", "end", "speaker", "channel", "uri"])
    if not table["channel"].any():
        table = table.drop(columns="channel")
    recordings = table["uri"].unique()
    if len(recordings) > 1:
        return table
    table = table.drop(columns="uri")
    table.attrs["diarnb"] = {"source": str(recordings[0]) if len(recordings) else path.stem, "schema": SCHEMA}
    return table


def dump(turns: pd.DataFrame, path: Path) -> None:
    """Write turns."""
    remarks = []
    if lost := [str(column) for column in turns.columns if column not in _HELD]:
        remarks.append(
            f"{path.name} was written without {', '.join(lost):.150}, which RTTM cannot hold; .csv keeps them"
        )
    source = (turns.attrs.get("diarnb") or {}).get("source")
    uris = (
        turns["uri"].astype(str)
        if "uri" in turns
        else [PurePosixPath(source).stem if source else path.stem] * len(turns)
    )
    channels = turns["channel"] if "channel" in turns else [0] * len(turns)
    uri_words, speaker_words = _as_words(uris), _as_words(turns["speaker"])
    lines = []
    rows = zip(uris, channels, turns["start"], turns["end"], turns["speaker"], strict=True)
    for uri, channel, start, end, speaker in rows:
        # From the rounded times, so that the end comes back rounded only once.
        begin, length = round(start, 3), round(end, 3) - round(start, 3)
        where = f"{uri_words[uri]} {int(channel) + 1} {begin:.3f} {length:.3f}"
        lines.append(f"SPEAKER {where} <NA> <NA> {speaker_words[speaker]} <NA> <NA>\n")
    path.write_text("".join(lines), encoding="utf-8", newline="\n")
    changed = [(label, word) for words in (uri_words, speaker_words) for label, word in words.items() if label != word]
    if changed:
        shown = ", ".join(f"{label!r:.40} as {word!r:.40}" for label, word in changed[:3])
        remarks.append(f"{path.name}: RTTM allows no space in a name; {len(changed)} changed, {shown}")
    for remark in remarks:
        warnings.warn(remark, DiarnbWarning, stacklevel=3)  # where `write` was called


def _turn(fields: list[str]) -> dict[str, Any]:
    start, duration = float(fields[3]), float(fields[4])
    if not (start >= 0 and duration >= 0 and start + duration < float("inf")):
        raise ValueError("impossible times")
    channel = 0 if fields[2] == "<NA>" else int(fields[2]) - 1
    # 9 decimals: 0.1 + 0.2 ends at 0.3.
    return {
        "start": start,
        "end": round(start + duration, 9),
        "speaker": fields[7],
        "channel": max(channel, 0),
        "uri": fields[1],
    }


def _as_words(labels: Iterable[str]) -> dict[str, str]:
    """Give each label a form without whitespace, that no other has."""
    labels = sorted(set(labels))
    words = {label: label for label in labels if label.split() == [label]}
    for label in labels:
        if label not in words:
            word = "_".join(label.split()) or "_"
            while word in words.values():
                word += "_"
            words[label] = word
    return words
