"""ELAN's eaf: a tier for each speaker, who is its participant, and an annotation for each turn, with its text.

Times are whole milliseconds. Tiers that depend on others, as translations do, are skipped. A file that declares
entities is refused, for they can make a small file endless.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape, quoteattr

from diarnb.errors import TurnTableError
from diarnb.formats._shared.fields import make_table
from diarnb.formats._shared.holds import Holds
from diarnb.formats._shared.text import list_texts, write_text
from diarnb.formats._shared.tiers import Tier, arrange_tiers, choose_rows
from diarnb.formats._shared.times import check_span

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from diarnb.formats._shared.reading import Reading

READS = "ELAN: each independent tier is a speaker, named by its participant; `tiers=` overrides"
HOLDS = Holds("1 ms", text=True, also="no turn without length")

_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
_UNFIT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # for XML


class _Builder(ET.TreeBuilder):
    def doctype(self, *_: object) -> NoReturn:
        raise TurnTableError("it declares a document type, which ELAN never does")


def load(reading: Reading) -> pd.DataFrame:
    """Read the turns of the tiers that stand for themselves and are speakers."""
    name = reading.name
    parser = ET.XMLParser(target=_Builder())  # noqa: S314 (entities need a document type, which is refused)
    try:
        root = ET.fromstring(reading.read_bytes(), parser=parser)  # noqa: S314
    except ET.ParseError as error:
        raise TurnTableError(f"{name}, line {error.position[0]}: this is no XML: {error}") from error
    except (TurnTableError, ValueError, LookupError) as error:
        raise TurnTableError(f"{name} is no file of ELAN's: {error}") from error
    header = root.find("HEADER")
    if root.tag != "ANNOTATION_DOCUMENT":
        raise TurnTableError(f"{name} is no file of ELAN's: its root is {root.tag!r:.60}")
    if header is not None and header.get("TIME_UNITS", "milliseconds") != "milliseconds":
        raise TurnTableError(f"{name} counts time in {header.get('TIME_UNITS')!r:.40}; save it again with ELAN")
    origin = _find_origin(root, reading)
    times = {slot.get("TIME_SLOT_ID"): slot.get("TIME_VALUE") for slot in root.iter("TIME_SLOT")}
    tiers = []
    for element in root.iter("TIER"):
        if element.get("PARENT_REF") is not None:
            continue
        tier = Tier(element.get("TIER_ID", ""), participant=element.get("PARTICIPANT") or "")
        for turn in element.iter("ALIGNABLE_ANNOTATION"):
            place = f"annotation {turn.get('ANNOTATION_ID')!r:.40} of {tier.owner!r:.40}"
            try:
                start, end = (int(times[turn.get(f"TIME_SLOT_REF{which}")] or "") / 1000 for which in (1, 2))
                label = turn.findtext("ANNOTATION_VALUE") or ""
                tier.pieces.append((*check_span(round(start + origin, 3), round(end + origin, 3)), label))
            except (KeyError, ValueError) as error:
                numbered = isinstance(error, KeyError) or "invalid literal" in str(error)
                reading.skip(place, "it has no times" if numbered else error)
        tiers.append(tier)
    rows = choose_rows(tiers, reading)
    reading.check_sound(sum(len(tier.pieces) for tier in tiers))
    return make_table(rows, ["start", "end", "speaker", "text"], reading)


def _find_origin(root: ET.Element, reading: Reading) -> float:
    """Find the second of the recording at which the annotations' clock starts, which ELAN keeps with the medium."""
    for medium in root.iter("MEDIA_DESCRIPTOR"):
        try:
            origin = int(medium.get("TIME_ORIGIN") or 0) / 1000
        except ValueError:
            continue
        if origin:
            reading.remarks.append(
                f"its annotations are aligned to the recording from {origin:g} s on (TIME_ORIGIN), which was added"
            )
        return origin
    return 0.0


def dump(turns: pd.DataFrame, path: Path) -> None:
    """Write tiers."""
    starts, ends = ([round(time, 3) for time in turns[name]] for name in ("start", "end"))
    tiers = arrange_tiers(zip(starts, ends, turns["speaker"], list_texts(turns), strict=True))
    slots: list[str] = []
    written: list[str] = []
    taken: set[str] = set()
    for speaker, pieces in tiers:
        name, copies = speaker or "_", 1
        while name in taken:  # ELAN tells tiers by their names
            copies += 1
            name = f"{speaker} ({copies})"
        taken.add(name)
        about = f"PARTICIPANT={_quote(speaker)} TIER_ID={_quote(name)}"
        written.append(f'    <TIER LINGUISTIC_TYPE_REF="default-lt" {about}>\n')
        for start, end, text in pieces:
            number = len(slots) // 2 + 1
            slots += [f"{1000 * start:.0f}", f"{1000 * end:.0f}"]
            refs = f'TIME_SLOT_REF1="ts{2 * number - 1}" TIME_SLOT_REF2="ts{2 * number}"'
            value = f"<ANNOTATION_VALUE>{_escape(text)}</ANNOTATION_VALUE>"
            turn = f'<ALIGNABLE_ANNOTATION ANNOTATION_ID="a{number}" {refs}>{value}</ALIGNABLE_ANNOTATION>'
            written.append(f"        <ANNOTATION>{turn}</ANNOTATION>\n")
        written.append("    </TIER>\n")
    order = [
        f'        <TIME_SLOT TIME_SLOT_ID="ts{number}" TIME_VALUE="{time}"/>\n' for number, time in enumerate(slots, 1)
    ]
    date = datetime.now(UTC).isoformat(timespec="seconds")
    schema = f'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:noNamespaceSchemaLocation="{_SCHEMA}"'
    document = [
        '<?xml version="1.0" encoding="UTF-8"?>\n',
        f'<ANNOTATION_DOCUMENT AUTHOR="" DATE="{date}" FORMAT="3.0" VERSION="3.0" {schema}>\n',
        '    <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"/>\n',
        "    <TIME_ORDER>\n",
        *order,
        "    </TIME_ORDER>\n",
        *written,
        '    <LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="default-lt" TIME_ALIGNABLE="true"/>\n',
        "</ANNOTATION_DOCUMENT>\n",
    ]
    write_text(path, "".join(document))


def _quote(text: str) -> str:
    return quoteattr(_UNFIT.sub("\ufffd", text))


def _escape(text: str) -> str:
    return escape(_UNFIT.sub("\ufffd", text), {"\r": "&#13;"})
