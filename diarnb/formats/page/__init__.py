"""A page to send: one file with the timeline and what was said, which needs no network and no program but a browser."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from diarnb._text import clock, visible
from diarnb.audio import SAMPLE_RATE, open_recording
from diarnb.errors import AudioChangedError, AudioNotFoundError, InvalidParameterError, RunNotFoundError, TurnTableError
from diarnb.results import words as words_of
from diarnb.results.runs import run_of
from diarnb.tables.activity import list_speakers
from diarnb.tables.checks import check_turns
from diarnb.tables.colors import speaker_colors, speaker_fills
from diarnb.tables.turns import speakers

if TYPE_CHECKING:
    import pandas as pd

    from diarnb._types import Source

MOST_SOUND = 20_000_000
"""Bytes of sound in a page at most: about 80 minutes as Opus, and what a mail may weigh."""

_LONGEST_NAME = 60
_LONGEST_TEXT = 20_000


def make_page(turns: pd.DataFrame, *, audio: Source | bool = False) -> str:
    """Make the page of a table.

    Parameters
    ----------
    turns : pandas.DataFrame
        Any table of turns of one recording; its words are those of its run, else the column ``text``.
    audio : bool or anything that `diarize` takes, default False
        Whether the sound is in the page: True for the recording of the run, or the recording.

    Raises
    ------
    TurnTableError
        It is not a table of turns, or of several recordings.
    InvalidParameterError
        The sound is too long.
    AudioNotFoundError, AudioChangedError
        The recording of the run is not where it was, or another is in its place.
    """
    table = check_turns(turns)
    if "uri" in table and len(set(table["uri"])) > 1:
        raise TurnTableError(
            "a page shows one recording; one page each: "
            '`for uri, part in turns.groupby("uri"): diarnb.write(part, f"{uri}.html")`'
        )
    facts = turns.attrs.get("diarnb") or {}
    title = visible(facts.get("source") or "Who spoke when", limit=120)
    known = facts.get("duration")
    duration = max([float(known) if known else 0.0, *table["end"], 1e-3])
    sound = "" if audio is False else _encode(table, audio)
    colors = speaker_colors(list_speakers(table))
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        f'<p class="muted">{clock(duration)} · {_count(len(colors), "speaker")} · {_count(len(table), "turn")}</p>',
        '<div class="lanes">',
        *_lanes(table, colors, duration, playing=bool(sound)),
        f'<div class="axis"><span>0:00</span><span>{clock(duration / 2)}</span><span>{clock(duration)}</span></div>',
        f'<audio controls preload="auto" src="data:audio/ogg;base64,{sound}"></audio>' if sound else "",
        "</div>",
        "<main>",
        *_paragraphs(table, _find_words(turns), colors),
        "</main>",
        '<footer class="muted">A program found who speaks; it may be wrong in places.</footer>',
    ]
    return _frame(title, "\n".join(filter(None, parts)), playing=bool(sound))


def _frame(title: str, body: str, *, playing: bool) -> str:
    """Put the page around its content; its policy lets nothing be loaded from anywhere, and no other script run."""
    folder = Path(__file__).parent
    style = (folder / "page.css").read_text(encoding="utf-8")
    script = (folder / "page.js").read_text(encoding="utf-8") if playing else ""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    scripts = f"'sha256-{digest}'" if playing else "'none'"
    policy = f"default-src 'none'; style-src 'unsafe-inline'; media-src data:; script-src {scripts}"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n{body}\n"
        + (f"<script>{script}</script>\n" if playing else "")
        + "</body>\n</html>\n"
    )


def _lanes(table: pd.DataFrame, colors: dict[str, str], duration: float, *, playing: bool) -> list[str]:
    shares = speakers(table).set_index("speaker")["share_of_speech"]
    lanes, fills = [], speaker_fills(colors)
    for name, color in colors.items():
        own = table[table["speaker"] == name]
        lefts, widths = 1000 * own["start"] / duration, (1000 * own["duration"] / duration).clip(lower=0.8)
        bars = "".join(
            f'<rect x="{left:.2f}" width="{width:.2f}" height="18"/>' for left, width in zip(lefts, widths, strict=True)
        )
        shown = html.escape(visible(name, limit=_LONGEST_NAME))
        share = f'<span class="muted">{100 * shares[name]:.0f} %</span>'
        lanes.append(
            f'<div class="lane"><div title="{shown}"><i style="background:{fills[name]}"></i>'
            f"<bdi>{shown}</bdi> {share}</div>"
            f'<svg viewBox="0 0 1000 18" preserveAspectRatio="none" role="img" aria-label="When {shown} speaks" '
            f'fill="{color}" data-duration="{duration:.3f}"{" class=play" if playing else ""}>{bars}</svg></div>'
        )
    return lanes


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _find_words(turns: pd.DataFrame) -> pd.DataFrame | None:
    """Find the words of the run, where it has some."""
    try:
        found = words_of(turns)
    except (TurnTableError, RunNotFoundError):
        return None
    return found if len(found) else None


def _paragraphs(table: pd.DataFrame, words: pd.DataFrame | None, colors: dict[str, str]) -> list[str]:
    """Write what was said, a paragraph a turn; without any words when each spoke."""
    texts = [""] * len(table)
    if words is not None:
        held: list[list[str]] = [[] for _ in texts]
        starts, ends, voices = (table[name].to_numpy() for name in ("start", "end", "speaker"))
        known = "speaker" in words and set(words["speaker"].dropna()) <= set(voices)
        spoken = words["speaker"] if "speaker" in words else [None] * len(words)
        for first, last, text, voice in zip(words["start"], words["end"], words["text"], spoken, strict=True):
            middle = (first + last) / 2
            distance = np.maximum(np.maximum(starts - middle, middle - ends), 0.0)
            if known and isinstance(voice, str):
                distance = np.where(voices == voice, distance, math.inf)
            place = int(np.argmin(distance)) if len(distance) else -1
            if place >= 0:
                shown = html.escape(visible(text, limit=200))
                held[place].append(f'<span class="word" data-start="{first:.2f}">{shown}</span>')
        texts = [" ".join(each) for each in held]
    elif "text" in table:
        texts = [html.escape(visible(text, limit=_LONGEST_TEXT)) for text in table["text"].fillna("").astype(str)]
    said, fills = any(texts), speaker_fills(colors)
    rows = zip(table["start"], table["end"], table["speaker"], texts, strict=True)
    return [
        f'<section data-start="{start:.2f}"><time>{clock(start)}</time><div>'
        f'<b><i style="background:{fills[name]}"></i><bdi>{html.escape(visible(name, limit=_LONGEST_NAME))}</bdi></b>'
        f"{text if said else f'until {clock(end)}'}</div></section>"
        for start, end, name, text in rows
        if text or not said
    ]


def _encode(table: pd.DataFrame, audio: Source | bool) -> str:
    """Encode the recording as Opus, in base64."""
    if isinstance(audio, bool):
        run = run_of(table)
        if run.path is None or not Path(run.path).is_file():
            raise AudioNotFoundError(f"{run.source} is not where run {run.id} found it: pass it as audio=…")
        source: Source = run.path
    else:
        source = audio
    encoded = io.BytesIO()
    with open_recording(source) as recording:
        if audio is True and recording.content_hash != run_of(table).content_hash:
            raise AudioChangedError(f"{recording.name} is not the recording of this run: pass the right one as audio=…")
        with soundfile.SoundFile(encoded, "w", SAMPLE_RATE, 1, format="OGG", subtype="OPUS") as file:
            for block in recording.blocks():
                file.write(block)
                if encoded.tell() > MOST_SOUND:
                    raise InvalidParameterError(
                        f"the audio of {recording.name} would make the page larger than {MOST_SOUND // 10**6} MB; "
                        "write it without audio=, or a shorter recording"
                    )
    return base64.b64encode(encoded.getvalue()).decode("ascii")
