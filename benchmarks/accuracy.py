"""Measures who-spoke-when on recordings with a reference: ``python -m benchmarks.accuracy FOLDER``.

The folder holds NAME.flac or NAME.wav, NAME.rttm beside it, and NAME.uem where only a part is scored. Every system of
one command sees the same recordings in the same run; pyannote.metrics is the scorer.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import asdict, dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING

import soundfile as sf
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate, JaccardErrorRate

from benchmarks._machine import heading, table, versions
from benchmarks._systems import Answer, System, Turn, add_arguments, chosen, write_wav

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# Name -> seconds that are not scored on each side of a reference boundary, and whether overlapped speech is left out.
CONVENTIONS = {
    "collar 0": (0.0, False),
    "collar 0.1": (0.1, False),
    "collar 0.25": (0.25, False),
    "collar 0, overlap skipped": (0.0, True),
    "collar 0.25, overlap skipped": (0.25, True),
}
CONTINUOUS = {"nganasan_dialog"}
"""Recordings whose reference counts pauses as speech: what is found of their pauses counts as missed."""
NOTES = """\
- DER = (missed + false alarm + confusion) / reference speech, by pyannote.metrics; speakers mapped for each recording.
- collar 0.25: 0.25 s on *each* side of every reference boundary is not scored (NIST md-eval's `-c 0.25`; as
  pyannote.metrics counts the whole width, `collar=0.5` there); collar 0.1 likewise. Overlapped speech is scored except
  where a column says "skip".
- Scored region: NAME.uem where there is one, else the whole recording from 0 to its end.
- Pooled: summed errors over summed reference speech, so that long recordings weigh more; JER: mean over all reference
  speakers, collar 0, overlap scored.
- Speakers: distinct labels inside the scored region; no system is told the count.
- x real time: wall time of the calls / audio. diarnb reads the recording as it is; a peer gets 16 kHz mono WAV that was
  converted before."""


@dataclass(frozen=True)
class Recording:
    """A recording to score: times in seconds."""

    name: str
    audio: Path
    duration: float
    reference: list[Turn]
    scored: list[tuple[float, float]]


@dataclass(frozen=True)
class Errors:
    """Speaker-seconds of reference speech and of each kind of error; they add up over recordings."""

    reference: float
    missed: float
    false_alarm: float
    confusion: float

    def __add__(self, other: Errors) -> Errors:
        return Errors(
            self.reference + other.reference,
            self.missed + other.missed,
            self.false_alarm + other.false_alarm,
            self.confusion + other.confusion,
        )

    @property
    def der(self) -> float:
        """Diarization error rate in percent; without reference speech 0, or 100 where something was found."""
        wrong = self.missed + self.false_alarm + self.confusion
        return 100 * (wrong / self.reference if self.reference else float(wrong > 0))


@dataclass(frozen=True)
class Score:
    """One system on one recording, or on several."""

    errors: Mapping[str, Errors]
    jaccard: float
    """Summed Jaccard error of the reference speakers, 0-1 each."""
    reference_speakers: int
    found_speakers: int
    recordings: int = 1
    count_exact: int = 0
    count_within_one: int = 0
    audio: float = 0.0
    seconds: float = 0.0

    @property
    def jer(self) -> float:
        """Jaccard error rate in percent, the mean over reference speakers."""
        return 100 * self.jaccard / self.reference_speakers if self.reference_speakers else 0.0


def read_folder(folder: Path, only: set[str] | None = None, leave_out: Iterable[str] = ()) -> list[Recording]:
    """Return the folder's recordings that have a reference, by name; raises SystemExit when none is left."""
    found = []
    for audio in sorted(path for path in folder.iterdir() if path.suffix in {".flac", ".wav"}):
        name, rttm, uem = audio.stem, audio.with_suffix(".rttm"), audio.with_suffix(".uem")
        if not rttm.exists() or name in set(leave_out) or (only is not None and name not in only):
            continue
        duration = sf.info(audio).duration
        scored = read_uem(uem) if uem.exists() else [(0.0, duration)]
        found.append(Recording(name, audio, duration, read_rttm(rttm), scored))
    unknown = (only or set()) - {recording.name for recording in found}
    if unknown or not found:
        raise SystemExit(
            f"{folder}: no recording with a reference{': ' + ', '.join(sorted(unknown)) if unknown else ''}."
        )
    return found


def read_rttm(path: Path) -> list[Turn]:
    """Return the SPEAKER lines of an RTTM file as turns."""
    fields = (line.split() for line in path.read_text(encoding="utf-8").splitlines())
    return [(float(f[3]), float(f[3]) + float(f[4]), f[7]) for f in fields if f and f[0] == "SPEAKER"]


def read_uem(path: Path) -> list[tuple[float, float]]:
    """Return the scored regions of a UEM file (name, channel, start, end)."""
    fields = (line.split() for line in path.read_text(encoding="utf-8").splitlines())
    return [(float(f[2]), float(f[3])) for f in fields if f and not f[0].startswith(";")]


def annotation(turns: Iterable[Turn]) -> Annotation:
    """Return turns as pyannote knows them; turns of zero length vanish."""
    marked = Annotation()
    for track, (start, end, speaker) in enumerate(turns):
        if end > start:
            marked[Segment(start, end), track] = speaker
    return marked


def score(recording: Recording, turns: Sequence[Turn], seconds: float = 0.0) -> Score:
    """Score one system's turns against a recording's reference."""
    uem = Timeline([Segment(start, end) for start, end in recording.scored])
    reference, found = annotation(recording.reference), annotation(turns)
    errors = {}
    for name, (each_side, skip_overlap) in CONVENTIONS.items():
        metric = DiarizationErrorRate(collar=2 * each_side, skip_overlap=skip_overlap)
        part = metric(reference, found, uem=uem, detailed=True)
        errors[name] = Errors(part["total"], part["missed detection"], part["false alarm"], part["confusion"])
    jaccard = JaccardErrorRate()(reference, found, uem=uem, detailed=True)  # type: ignore[no-untyped-call]
    expected, counted = (len(each.crop(uem, mode="intersection").labels()) for each in (reference, found))
    return Score(
        errors=errors,
        jaccard=jaccard["speaker error"],
        reference_speakers=expected,
        found_speakers=counted,
        count_exact=int(expected == counted),
        count_within_one=int(abs(expected - counted) <= 1),
        audio=recording.duration,
        seconds=seconds,
    )


def pool(scores: Sequence[Score]) -> Score:
    """Return the sum over recordings, from which pooled rates follow."""
    return Score(
        errors={name: reduce(add, (each.errors[name] for each in scores)) for name in CONVENTIONS},
        jaccard=sum(each.jaccard for each in scores),
        reference_speakers=sum(each.reference_speakers for each in scores),
        found_speakers=sum(each.found_speakers for each in scores),
        recordings=sum(each.recordings for each in scores),
        count_exact=sum(each.count_exact for each in scores),
        count_within_one=sum(each.count_within_one for each in scores),
        audio=sum(each.audio for each in scores),
        seconds=sum(each.seconds for each in scores),
    )


def per_recording(scores: Mapping[str, Score]) -> str:
    """Return one system's table: recordings, then pooled by source (the name up to its first ``_``), then all."""
    sources: dict[str, list[Score]] = {}
    for name, each in scores.items():
        sources.setdefault(name.partition("_")[0], []).append(each)
    rows = [_row(name, each) for name, each in scores.items()]
    rows += [_row(f"pooled: {name}", pool(group)) for name, group in sources.items() if len(group) > 1]
    rows.append(_row("pooled: all", pool(list(scores.values()))))
    if set(scores) & CONTINUOUS and set(scores) - CONTINUOUS:
        others = [each for name, each in scores.items() if name not in CONTINUOUS]
        rows.append(_row(f"pooled: all but {', '.join(sorted(CONTINUOUS))}", pool(others)))
    header = [
        "recording",
        "min",
        "miss",
        "FA",
        "conf",
        "DER 0",
        "DER .1",
        "DER .25",
        "0 skip",
        ".25 skip",
        "JER",
        "spk",
        "found",
    ]
    return table(header, rows)


def _row(name: str, each: Score) -> list[str]:
    strict = each.errors["collar 0"]
    parts = [
        100 * part / strict.reference if strict.reference else 0.0
        for part in (strict.missed, strict.false_alarm, strict.confusion)
    ]
    rates = [*parts, *(errors.der for errors in each.errors.values()), each.jer]
    return [
        name,
        f"{each.audio / 60:.1f}",
        *(f"{rate:.1f}" for rate in rates),
        str(each.reference_speakers),
        str(each.found_speakers),
    ]


def side_by_side(pooled: Mapping[str, Score]) -> str:
    """Return the pooled figures, one column a system, and the relative reduction of DER by the first system."""
    names = list(pooled)
    rows = [[f"DER, {c}", *(f"{pooled[n].errors[c].der:.1f} %" for n in names)] for c in CONVENTIONS]
    rows.append(["JER", *(f"{pooled[n].jer:.1f} %" for n in names)])
    rows.append(["count exact", *(f"{pooled[n].count_exact} of {pooled[n].recordings}" for n in names)])
    rows.append(["count within one", *(f"{pooled[n].count_within_one} of {pooled[n].recordings}" for n in names)])
    rows.append(["x real time", *(f"{pooled[n].seconds / pooled[n].audio:.3f}" for n in names)])
    text = table(["pooled", *names], rows)
    own, *peers = names
    for peer in peers:
        less = ((c, 1 - pooled[own].errors[c].der / pooled[peer].errors[c].der) for c in CONVENTIONS)
        text += f"\n\nRelative reduction of pooled DER, {own} against {peer}: "
        text += "; ".join(f"{100 * part:.1f} % ({convention})" for convention, part in less)
    return text


def run(system: System, recordings: Sequence[Recording], wavs: Path) -> tuple[Answer, dict[str, Score]]:
    """Diarize every recording with one system in one process, and score what it answers.

    The shortest recording is run once more before the others, so that loading models counts for nobody.
    """
    paths = {r.name: r.audio if system.name == "diarnb" else wavs / f"{r.name}.wav" for r in recordings}
    shortest = min(recordings, key=lambda recording: recording.duration)
    answer = system.run([paths[shortest.name], *paths.values()])
    measured = zip(recordings, answer.turns[1:], answer.seconds[1:], strict=True)
    return answer, {recording.name: score(recording, turns, seconds) for recording, turns, seconds in measured}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("folder", type=Path)
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--only", type=Path, metavar="NAMES.txt", help="score these recordings, one name a line")
    choice.add_argument("--except", type=Path, metavar="NAMES.txt", dest="leave_out", help="score all but these")
    parser.add_argument("--engine", default="local", help="diarnb's engine (default: local)")
    add_arguments(parser)
    arguments = parser.parse_args(argv)

    def names(path: Path) -> set[str]:
        return set(path.read_text(encoding="utf-8").split())

    only = names(arguments.only) if arguments.only else None
    recordings = read_folder(arguments.folder, only, names(arguments.leave_out) if arguments.leave_out else ())
    results = {}
    with tempfile.TemporaryDirectory() as scratch:
        if arguments.peer:
            for recording in recordings:
                write_wav(recording.audio, Path(scratch, f"{recording.name}.wav"))
        for system in chosen(arguments.peer, arguments.peer_python, arguments.engine):
            results[system.name] = run(system, recordings, Path(scratch))
            about = "missed, false alarm, confusion in % of reference speech at collar 0"
            print(f"{system.name}: {about}\n\n{per_recording(results[system.name][1])}\n", flush=True)

    shown = {name: answer.versions for name, (answer, _) in results.items()}
    shown["scorer"] = versions("pyannote.metrics", "pyannote.core")
    print(heading(shown), NOTES, sep="\n")
    pooled = {name: pool(list(scores.values())) for name, (_, scores) in results.items()}
    print(f"\n{side_by_side(pooled)}")
    if arguments.json:
        figures = {n: {r: asdict(s) for r, s in scores.items()} for n, (_, scores) in results.items()}
        written = {"about": heading(shown).splitlines(), "conventions": CONVENTIONS, "scores": figures}
        arguments.json.write_text(json.dumps(written, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
