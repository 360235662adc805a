"""What becomes of files and recordings from strangers: every case with its verdict, counted by kind.

    python -m benchmarks.strangers [KIND ...]

A case is right if it gives what it must, in silence where nothing had to be chosen, and with the remark or the refusal
that it must have otherwise. It is *told* if it gives something else but says so, and *silent* if it gives something
else without a word: of these there should be none. A kind is a list of cases: `CASES["files"]`, `CASES["sound"]`; other
kinds are added by ``CASES["name"] = [Case(...)]``.
"""

from __future__ import annotations

import io
import re
import sys
import tempfile
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from diarnb.audio import open_recording
from diarnb.errors import DiarnbError
from diarnb.formats import read, read_words

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

INPUTS = Path(__file__).parents[1] / "tests" / "strangers"
REFUSED = "refused"


@dataclass(frozen=True)
class Case:
    """One input and what it must give.

    Attributes
    ----------
    name : str
    run : callable
        Gives what is compared.
    expected : Any
        What `run` must give; `REFUSED` for an error of diarnb's own.
    says : str
        A pattern that a warning or the refusal must match; empty where nothing may be said.
    """

    name: str
    run: Callable[[], Any]
    expected: Any
    says: str = ""


@dataclass
class Verdict:
    """What became of a case."""

    case: Case
    found: Any = None
    said: list[str] = field(default_factory=list)

    @property
    def word(self) -> str:
        """Return "right", "told" or "silent"."""
        same = repr(self.found) == repr(self.case.expected)
        fitting = any(re.search(self.case.says, each) for each in self.said) if self.case.says else not self.said
        return "right" if same and fitting else "told" if self.said else "silent"


def judge(case: Case) -> Verdict:
    """Run a case."""
    verdict = Verdict(case)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            verdict.found = case.run()
        except DiarnbError as error:
            verdict.found, verdict.said = REFUSED, [str(error)]
    verdict.said += [str(each.message) for each in caught]
    return verdict


def _file(name: str, *expected: Any, says: str = "", words: bool = False, columns: str = "", **options: Any) -> Case:
    """Make a case of a file: its rows of start, end and speaker, and of the columns that are named."""

    def run() -> Any:
        table: pd.DataFrame = (read_words if words else read)(INPUTS / name, **options)
        names = [each for each in ("start", "end", "speaker") if each in table] + columns.split()
        return [tuple(None if value != value else value for value in row) for row in table[names].to_numpy().tolist()]

    shown = ", ".join([name, *(f"{key}={value!r}" for key, value in options.items()), *(["words"] if words else [])])
    return Case(shown, run, REFUSED if expected == (REFUSED,) else list(expected), says)


_A, _B, _ONE, _TWO = (0.5, 1.5, "A"), (2.0, 3.0, "B"), (0.5, 2.25, "Maya"), (2.25, 4.0, "Otto")
_NAMED = "(1 of 2|3 of 4|1 of 3) (rows|stretches)"
_MAKER = [(0.25, 1.1, "A"), (1.5, 1.8, "B")]

FILES = [
    _file("uri_space.rttm", _A),
    _file(
        "chan01.rttm",
        (0.5, 1.5, "spk (channel 0)", 0),
        (0.7, 1.7, "spk (channel 1)", 1),
        says="in several",
        columns="channel",
    ),
    _file("negdur.rttm", _A, says="1 of 2 rows are damaged.*line 2.*duration is -0.01"),
    _file("neg.rttm", (0.0, 0.99, "A"), says="begin before 0"),
    _file("seven.rttm", REFUSED, says="no speaker follows"),
    _file("comma.rttm", _A),
    _file("bom_crlf.rttm", _A, _B),
    _file("hash.rttm", _A),
    _file("nine.rttm", _A),
    _file("lower.rttm", _A),
    _file("na.uem", (0.0, 30.0)),
    _file("one.uem", (0.0, 30.0)),
    _file("short.ctm", (0.5, 0.8, None, "hello"), words=True, columns="word", says="1 of 2 rows are damaged"),
    _file("vad.lab", (0.4, 7.04, "speech"), (8.1, 9.0, "speech"), says="one speaker, called 'speech'"),
    _file("colon.srt", REFUSED, says="names no speaker.*read as text.*second point"),
    _file("colon.vtt", REFUSED, says="names no speaker.*read as text.*second point"),
    _file("dash.srt", REFUSED, says="names no speaker"),
    _file("arrows.srt", (1.0, 3.0, "MAYA"), (3.0, 5.0, "OTTO")),
    _file("paren.srt", (1.0, 3.0, "SPEAKER_00", "Hello."), (3.0, 5.0, "SPEAKER_01", "Hi."), columns="text"),
    _file("dots.srt", (1.5, 3.0, "Maya")),
    _file("nomillis.srt", (1.0, 3.0, "Maya")),
    _file("four_digits.srt", (1.5, 3.0, "Maya")),
    _file(
        "speaker_is_text.srt",
        (1.0, 3.0, "Speaker 0", "Hello."),
        (3.0, 5.0, "Speaker 1", "Note: I agree. Time 10:30."),
        columns="text",
    ),
    _file("rolling.vtt", REFUSED, says="names no speaker"),
    _file("hours3.vtt", (360001.0, 360003.0, "Maya"), says="360,003 s"),
    _file("one_bad_cue.vtt", (1.0, 3.0, "S00"), (6.0, 8.0, "S00"), says="1 of 3 rows are damaged.*line 6"),
    _file("praat_silences.TextGrid", (1.0, 3.0, "sounding"), (4.0, 6.0, "sounding"), says="labelled as silence"),
    *(
        _file(
            "names_as_labels.TextGrid",
            (1.0, 3.0, "SPEAKER_00"),
            (3.0, 4.0, "SPEAKER_01"),
            (4.0, 6.0, "SPEAKER_00"),
            says=says,
            **options,
        )
        for says, options in (("read as speakers", {}), ("", {"labels": "speaker"}))
    ),
    _file(
        "names_as_labels.TextGrid",
        *((*span, "speaker") for span in ((1.0, 3.0), (3.0, 4.0), (4.0, 6.0))),
        labels="text",
    ),
    _file("mfa.TextGrid", REFUSED, says="names no speaker"),
    _file(
        "mfa.TextGrid",
        (1.0, 1.5, None, "good"),
        (1.5, 2.0, None, "day"),
        words=True,
        columns="word",
        says="phones left",
    ),
    _file("mfa.TextGrid", (1.0, 1.5, "words"), (1.5, 2.0, "words"), tiers=["words"]),
    _file("mfa.TextGrid", REFUSED, tiers=["wrods"], says="did you mean 'words'"),
    _file("coding_tiers.eaf", (1.0, 3.0, "Maya"), (3.0, 5.0, "Otto"), says="code_periodic, gestures left out"),
    _file("two_tiers_one_person.eaf", (1.0, 3.0, "Maya"), says="gesture@Maya left out"),
    _file("origin.eaf", (6.0, 8.0, "Maya"), says="from 5 s on"),
    *(_file(f"assemblyai{more}.json", *_MAKER) for more in ("", "_utterances")),
    _file(
        "assemblyai.json",
        (0.25, 0.65, "A", "Hello"),
        (0.7, 1.1, "A", "there"),
        (1.5, 1.8, "B", "Hi"),
        words=True,
        columns="word",
    ),
    _file("aws.json", (0.25, 1.1, "spk_0")),
    _file("azure.json", (0.25, 1.1, "SPEAKER_01")),
    _file("google.json", (0.3, 0.8, "SPEAKER_01")),
    _file("rev.json", (0.3, 0.8, "SPEAKER_00")),
    _file("openai_diarized.json", (0.0, 1.5, "A"), (1.4, 3.0, "B")),
    _file("whispercpp.json", (0.0, 2.0, "SPEAKER_01")),
    _file("insanely.json", (0.0, 1.5, "SPEAKER_00")),
    _file("foxnose.json", (0.0, 1.2, "SPEAKER_00"), (1.3, 2.0, "SPEAKER_01")),
    _file("senko.json", (0.0, 1.0, "SPEAKER_01")),
    _file("pyannote_for_json.json", (0.0, 1.5, "SPEAKER_00")),
    _file("seglst.json", (0.25, 1.5, "spk1", "S1"), (0.5, 1.5, "spk1", "S2"), columns="uri"),
    _file("labelstudio.json", (0.1, 1.5, "Speaker 1")),
    _file("nemo_manifest.json", REFUSED, says="is a NeMo manifest"),
    _file("ms.json", REFUSED, says="milliseconds"),
    _file("ms.csv", REFUSED, says="milliseconds"),
    _file("clock.csv", (1.5, 3.0, "Maya")),
    _file("mmss.csv", (83.4, 85.0, "Maya")),
    _file("sonix.csv", (0.5, 2.0, "Maya")),
    *(_file(name, _ONE) for name in ("tabs.csv", "x.tsv", "spaces.csv", "comment.csv", "Caps.csv")),
    _file("index.csv", _ONE, _TWO),
    _file("utf16.csv", (0.5, 2.25, "Jürgen")),
    _file("cp1252.csv", (0.5, 2.25, "Jürgen"), says="Windows-1252"),
    _file("whisperx_df.csv", (0.497, 2.1, "SPEAKER_00")),
    _file("ragged.csv", (*_ONE, "Hello, there"), columns="text"),
    _file("blankspk.csv", _ONE, (4.0, 5.0, "Otto"), says=_NAMED),
    _file("nanspk.csv", _ONE, says=_NAMED),
    _file("nan_end.csv", _ONE, says=_NAMED),
    _file("empty.csv", REFUSED, says="is empty"),
    _file("header_only.csv"),
    _file(
        "whisperx_aud.txt",
        (0.5, 2.0, "SPEAKER_00", "Hello there."),
        (2.0, 3.5, "SPEAKER_01", "Hi, how are you?"),
        (3.5, 5.0, "SPEAKER_00", "Fine."),
        columns="text",
    ),
]


def _sound(name: str, kind: str, make: Callable[[bytes, bytes], bytes], expected: Any, says: str = "") -> Case:
    """Make a case of a recording, of two parts of 6 and 4 s: how many seconds are heard."""

    def run() -> Any:
        one, other = (_encode(seconds, kind) for seconds in (6.0, 4.0))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, name)
            path.write_bytes(make(one, other))
            with open_recording(path) as recording:
                heard = sum(len(block) for block in recording.blocks()) / 16_000
                for problem in recording.problems:
                    warnings.warn(problem, UserWarning, stacklevel=2)
        return round(heard, 1)

    return Case(name, run, expected, says)


def _encode(seconds: float, kind: str) -> bytes:
    noise = np.random.default_rng(round(seconds)).normal(0, 0.05, round(seconds * 16_000))
    if kind == "RAW":
        content: bytes = (noise * 20_000).astype("<i2").tobytes()
        return content
    file = io.BytesIO()
    container, _, subtype = kind.partition(" ")
    soundfile.write(file, noise, 16_000, format=container, subtype=subtype or None)
    return file.getvalue()


_KINDS = {"ogg": "OGG", "opus": "OGG OPUS", "flac": "FLAC", "mp3": "MP3", "wav": "WAV"}

SOUND = [
    *(_sound(f"two.{suffix}", kind, bytes.__add__, 10.0) for suffix, kind in _KINDS.items()),
    *(
        _sound(f"cut.{suffix}", kind, lambda one, _: one[: len(one) // 2], seconds, "cut off")
        for suffix, kind, seconds in (("ogg", "OGG", 1.8), ("opus", "OGG OPUS", 2.0), ("flac", "FLAC", 6.0))
    ),
    _sound("x.raw", "RAW", bytes.__add__, REFUSED, r"\(samples, rate\)"),
    _sound("x.mp3", "RAW", lambda one, _: b"\xff\xfb\x90\x64" + one, REFUSED, r"\(samples, rate\)"),
]

CASES: dict[str, list[Case]] = {"files": FILES, "sound": SOUND}

# Public reports of other projects in which inputs of the same kind went wrong.
REPORTS = {
    "uri_space.rttm": "NVIDIA-NeMo/Speech#8100",
    "negdur.rttm": "speechbrain/speechbrain#1333",
    "neg.rttm": "kaldi-asr/kaldi#2266",
    "dots.srt": "tkarabela/pysubs2#11",
    "speaker_is_text.srt": "saurabhshri/simple-yet-powerful-srt-subtitle-parser-cpp#1",
    "origin.eaf": "persephone-tools/persephone#87",
    "utf16.csv": "kylebgorman/textgrid#2",
    "two.ogg": "libsndfile/libsndfile#277",
    "two.mp3": "MusicPlayerDaemon/MPD#1200",
    "cut.ogg": "libsndfile/libsndfile#989",
}


def name_case(case: Case) -> str:
    """Return the name of a case, with the public report of its kind where one is known."""
    report = REPORTS.get(case.name)
    return case.name if report is None else f"{case.name} ({report})"


def main(kinds: list[str]) -> None:
    """Print every verdict, and count them by kind."""
    counts: dict[str, Counter[str]] = {}
    for kind in kinds or list(CASES):
        counts[kind] = Counter()
        for case in CASES[kind]:
            verdict = judge(case)
            counts[kind][verdict.word] += 1
            print(f"{kind:8} {verdict.word:7} {name_case(case)}")
            if verdict.word != "right":
                print(f"         found {verdict.found!r:.200}, expected {case.expected!r:.200}")
                print(f"         said {verdict.said!r:.300}")
    print()
    for kind, count in counts.items():
        print(
            f"{kind:8} {count['right']:4} right {count['told']:4} told {count['silent']:4} silent, of {count.total()}"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
