"""LAB, as WaveSurfer, mir_eval and pyannote write it: ``start end label``, in seconds.

HTK's own, whose times are whole numbers of 100 ns, are read as well. Spaces in names become underscores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from diarnb.formats._shared.fields import join_names, make_table, parse_times, read_rows
from diarnb.formats._shared.holds import Holds
from diarnb.formats._shared.text import write_text
from diarnb.formats._shared.tiers import is_silence

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from diarnb.formats._shared.reading import Reading

READS = "start, end and label, also HTK's; labels of silence are left out"
HOLDS = Holds("1 ms", "a word")

_HTK = 1e-7  # seconds
_NOBODY = "speech"
_LONGEST = 100_000  # whole seconds: whole numbers beyond are HTK's


def load(reading: Reading) -> pd.DataFrame:
    """Read turns."""
    whole = []

    def row(fields: list[str]) -> tuple[float, float, str]:
        whole.append(fields[0].isdecimal() and fields[1].isdecimal())
        return *parse_times(fields[0], end=fields[1]), fields[2].rstrip() if len(fields) > 2 else _NOBODY

    rows, _ = read_rows(reading, "LAB", "start end label", row, most=2)
    table = make_table([each for each in rows if not is_silence(each[2])], ["start", "end", "speaker"], reading)
    if len(table) < len(rows):
        reading.remarks.append(f"{len(rows) - len(table)} intervals labelled as silence are left out")
    if (table["speaker"] == _NOBODY).any():
        reading.remarks.append(f"stretches without a label are read as one speaker, called {_NOBODY!r}")
    if all(whole) and table["end"].max() > _LONGEST:
        table[["start", "end"]] = (table[["start", "end"]] * _HTK).round(9)
    return table


def dump(turns: pd.DataFrame, path: Path) -> None:
    """Write turns."""
    names = join_names(turns["speaker"])
    rows = zip(turns["start"], turns["end"], turns["speaker"], strict=True)
    write_text(path, "".join(f"{start:.3f} {end:.3f} {names[speaker]}\n" for start, end, speaker in rows))
