"""The command line: `python -m diarnb meeting.wav` prints who spoke when."""

from __future__ import annotations

import argparse
import io
import os
import sys
import warnings
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pandas as pd

    from diarnb._types import Json

# What it takes to answer is imported late, so that --help and a mistake in the command are answered at once.

_PICTURES = (".pdf", ".png", ".svg")
_EPILOG = """\
examples:
  diarnb --example meeting -o timeline.png
                           try it: a synthetic conversation of four voices, drawn as a timeline
  diarnb talk.wav          who speaks when in your own recording
  diarnb talk.wav --num-speakers 2 -o talk.rttm -o talk.csv
                           two people speak; write the turns to two files
  diarnb call.wav --channels split
                           each side of the call is on a separate channel
  diarnb talk.wav --words whisper
                           also transcribe; the text is below the table, line by line
  diarnb talk.wav --json | jq -r .turns[].speaker
                           the turns as JSON, for other programs
  diarnb many calls/ -o calls.parquet
                           every recording in a folder, in one table; see diarnb many --help
  diarnb serve             answer the APIs of pyannoteAI and Deepgram on this machine; see diarnb serve --help
  diarnb ./many            a recording that is called "many" or "serve"

The table, the words and JSON go to stdout, everything else to stderr.

exit codes:
  0  done                            1  the recording, the work or an output failed; stderr says why
  2  the command is wrong            130  interrupted

Times are in seconds from the start of the recording. The local engine sends nothing anywhere. The result is kept,
so the same command returns at once next time. In Python: `diarnb.diarize("talk.wav")`. If `diarnb` is not found, use
`python -m diarnb`.
"""
_MANY = """\
examples:
  diarnb many calls/ -o calls.parquet
                           every recording in a folder; the printed table has a line for each
  diarnb many monday.wav tuesday.wav --same-speakers -o both.csv
                           the same label for a person in both recordings
  diarnb many calls/ --recursive --workers 4 --json > calls.json
                           including subfolders, four recordings at a time

Run the same command again after an interruption or a failure: finished recordings are answered at once, and only the
rest is processed. Files that cannot be used are named on stderr; the others are answered, and the exit code is 1.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the name of the program; by default those of the process.

    Returns
    -------
    int
        The exit code, as ``--help`` explains it.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if list(arguments[:1]) == ["serve"]:
        from diarnb.server.command import main as serve

        return serve(arguments[1:])
    many = list(arguments[:1]) == ["many"]
    parser = _parser_of_many() if many else _parser()
    asked = parser.parse_args(arguments[1:] if many else arguments)
    try:
        _check_outputs(parser, asked.output, many=many)
        with _warnings_in_one_line():
            return _finish(asked, _diarize_many if many else _diarize)
    except KeyboardInterrupt as error:
        from diarnb._progress import describe_interrupt

        return _complain(describe_interrupt(error), 130)


def _parser() -> argparse.ArgumentParser:
    parser = _new_parser(
        "diarnb", "Find who spoke when in a recording, and print the speaker turns as a table.", _EPILOG
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("source", nargs="?", metavar="FILE", help="A recording: a path or an http(s) URL.")
    source.add_argument(
        "--example", metavar="NAME", help="Use a synthetic example instead: meeting, interview or call."
    )
    _add_questions(parser)
    _add_outputs(parser, "Also write the turns (.rttm, .csv, .vtt, ...) or the timeline (.png, .svg, .pdf)")
    parser.add_argument("--version", action=_Version, nargs=0, help="Print the version and exit.")
    parser.add_argument("--versions", action=_Versions, nargs=0, help="Print what a bug report needs and exit.")
    return parser


def _parser_of_many() -> argparse.ArgumentParser:
    description = "Find who spoke when in many recordings: print a line for each, and write all turns to files."
    parser = _new_parser("diarnb many", description, _MANY)
    parser.add_argument(
        "sources", nargs="+", metavar="FOLDER|FILE", help='A folder, a pattern such as "calls/**/*.wav", or recordings.'
    )
    parser.add_argument(
        "--same-speakers", action="store_true", help="Give a person the same label in all recordings, by voice."
    )
    parser.add_argument("--recursive", action="store_true", help="Include subfolders.")
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="How many recordings to process at a time. Default: one."
    )
    _add_questions(parser)
    _add_outputs(parser, "Also write all turns (.csv, .parquet, .json, .rttm, ...)")
    return parser


def _new_parser(name: str, description: str, epilog: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=name,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=False,
    )


def _add_questions(parser: argparse.ArgumentParser) -> None:
    """Add what may be asked of one recording and of many; each means what the parameter of `diarize` means."""
    from diarnb.params import Params

    told = {name: text.replace("%", "%%") for name, text in Params.help().items()}
    parser.add_argument("--engine", default="local", help="The engine. Default: local, on this machine.")
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="One of the engine's models. The local engine's faster one is segmentation-3.0+campplus.",
    )
    for name in ("num_speakers", "min_speakers", "max_speakers"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, metavar="N", help=told[name])
    for name in ("exclusive", "confidence", "turn_level_confidence"):
        parser.add_argument(f"--{name.replace('_', '-')}", action="store_true", help=told[name])
    parser.add_argument("--channels", type=_channels, default="mix", metavar="mix|split|N", help=told["channels"])
    parser.add_argument(
        "--words",
        metavar="NAME",
        help="Also transcribe with moonshine, sphinx, whisper or whisper:SIZE (extras with these names).",
    )


def _add_outputs(parser: argparse.ArgumentParser, written: str) -> None:
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        action="append",
        default=[],
        metavar="PATH",
        help=f"{written}; may be repeated.",
    )
    parser.add_argument("--json", action="store_true", help="Print the turns as JSON, as -o turns.json writes them.")
    parser.add_argument("--no-progress", action="store_true", help="Show no progress on the terminal.")
    parser.add_argument("-h", "--help", action="help", help="Show this help and exit.")


class _Version(argparse.Action):
    """As argparse's own, but the version is looked up only when asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        import diarnb

        print("diarnb", diarnb.__version__)
        parser.exit()


class _Versions(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        import diarnb

        diarnb.show_versions()
        parser.exit()


def _channels(text: str) -> str | int:
    return int(text) if text.isdecimal() else text


def _check_outputs(parser: argparse.ArgumentParser, outputs: list[Path], *, many: bool) -> None:
    """Refuse an output that could not be written, before minutes of work."""
    from diarnb.formats import FORMATS, READ_ONLY, WORDS_ONLY, holds_several

    fitting = {suffix for suffix, form in FORMATS.items() if holds_several(form)} if many else {*FORMATS, *_PICTURES}
    known = sorted(fitting - WORDS_ONLY - READ_ONLY)
    for path in outputs:
        if path.suffix.lower() not in known:
            parser.error(f"cannot write {str(path)!r}: an output ends in one of {', '.join(known)}")
        try:
            if not path.parent.is_dir():
                parser.error(f"cannot write {str(path)!r}: there is no folder {str(path.parent)!r}")
            if path.is_dir():
                parser.error(f"cannot write {str(path)!r}: it is a folder")
        except OSError as error:  # a name that no file can have
            parser.error(f"cannot write {str(path)!r:.80}: {error.strerror}")


def _finish(asked: argparse.Namespace, ask: Callable[[argparse.Namespace], pd.DataFrame]) -> int:
    """Ask, write the files, and print; return the exit code."""
    import diarnb
    from diarnb.errors import DiarnbError, InvalidParameterError

    try:
        turns = ask(asked)
        if asked.exclusive:
            turns = diarnb.exclusive(turns)
    except InvalidParameterError as error:
        return _complain(f"error: {error}", 2)
    except DiarnbError as error:
        return _complain(f"error: {error}", 1)
    failures = turns.attrs["diarnb"].get("failures", [])
    for failure in failures:
        named = failure["message"].startswith(failure["uri"])
        _complain(f"error: {'' if named else failure['uri'] + ': '}{failure['message']}", 1)
    # Files first: whoever reads stdout may stop reading, but what went wrong with a file must not cost the table.
    written = [_write(turns, path) for path in asked.output]
    try:
        sys.stdout.write(_format_output(turns, asked))
        sys.stdout.flush()
    except BrokenPipeError:
        # Python would try again at exit, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if "uri" not in turns:
        _say(_summary(turns))
    return 0 if all(written) and not failures else 1


def _diarize(asked: argparse.Namespace) -> pd.DataFrame:
    import diarnb

    source = asked.source if asked.example is None else diarnb.example(asked.example)
    return diarnb.diarize(source, **_questions(asked))


def _diarize_many(asked: argparse.Namespace) -> pd.DataFrame:
    from concurrent.futures import ProcessPoolExecutor

    import diarnb
    from diarnb.errors import InvalidParameterError

    sources = asked.sources[0] if len(asked.sources) == 1 else asked.sources
    if isinstance(sources, str) and Path(sources).is_file():
        sources = [sources]
    if asked.workers < 1:
        raise InvalidParameterError(f"--workers is 1 or more, not {asked.workers}")
    with ProcessPoolExecutor(asked.workers) if asked.workers > 1 else nullcontext() as executor:
        how = {"executor": executor, "same_speakers": asked.same_speakers, "recursive": asked.recursive}
        return diarnb.diarize_many(sources, **how, **_questions(asked))


def _questions(asked: argparse.Namespace) -> Json:
    counts = ("num_speakers", "min_speakers", "max_speakers")
    flags = ("exclusive", "confidence", "turn_level_confidence")
    told = {name: getattr(asked, name) for name in ("engine", "model", *counts, *flags, "channels", "words")}
    return {**told, "progress": not asked.no_progress}


def _format_output(turns: pd.DataFrame, asked: argparse.Namespace) -> str:
    """Write what goes to stdout."""
    from diarnb.formats import document

    if asked.json:
        return document.to_text(turns)
    if "uri" in turns:
        return _recordings(turns)
    return _table(turns) if asked.words is None else f"{_table(turns)}\n{_transcript(turns)}\n"


def _write(turns: pd.DataFrame, path: Path) -> bool:
    import diarnb
    from diarnb.errors import DiarnbError

    try:
        if path.suffix.lower() in _PICTURES:
            path.write_bytes(_picture(turns, path.suffix[1:].lower()))
        else:
            diarnb.write(turns, path)
    except (DiarnbError, OSError) as error:
        _complain(f"error: cannot write {str(path)!r}: {getattr(error, 'strerror', None) or error}", 1)
        return False
    _say(f"wrote {path}")
    return True


def _picture(turns: pd.DataFrame, kind: str) -> bytes:
    """Draw the timeline, whole or not at all."""
    import matplotlib.pyplot as plt

    import diarnb

    figure = diarnb.timeline(turns).get_figure(root=True)
    assert figure is not None  # noqa: S101 - an Axes that was just made has one
    drawn = io.BytesIO()
    figure.savefig(drawn, format=kind, dpi=150)
    plt.close(figure)
    return drawn.getvalue()


def _table(turns: pd.DataFrame) -> str:
    """Write the turns for people, and for awk: the speaker, whose name may hold spaces, comes last."""
    from diarnb._text import visible

    digits = {"start": 2, "end": 2, "duration": 2, "confidence": 0, "channel": 0}
    columns = [[name, *(f"{n:.{places}f}" for n in turns[name])] for name, places in digits.items() if name in turns]
    columns = [[cell.rjust(max(map(len, cells))) for cell in cells] for cells in columns]
    columns.append(["speaker", *(visible(name, limit=80) for name in turns["speaker"])])
    return "".join("  ".join(row) + "\n" for row in zip(*columns, strict=True))


def _recordings(turns: pd.DataFrame) -> str:
    """Write a line for each recording that was answered, those without speech too; the name comes last."""
    from diarnb._text import visible
    from diarnb.analysis import summary
    from diarnb.batch import manifest

    digits = {"speech": 1, "speakers": 0, "turns": 0}
    done = manifest(turns)
    names = done.loc[done["state"] == "done", "uri"]
    told = summary(turns).set_index("uri")[list(digits)].reindex(names).fillna(0)
    columns = [[name, *(f"{n:.{places}f}" for n in told[name])] for name, places in digits.items()]
    columns = [[cell.rjust(max(map(len, cells))) for cell in cells] for cells in columns]
    columns.append(["recording", *(visible(name, limit=80) for name in names)])
    return "".join("  ".join(row) + "\n" for row in zip(*columns, strict=True))


def _transcript(turns: pd.DataFrame) -> str:
    """Write what was said, a line for each utterance."""
    import diarnb
    from diarnb._text import visible

    return "\n".join(visible(line, limit=10_000) for line in diarnb.transcript(turns).splitlines())


def _summary(turns: pd.DataFrame) -> str:
    """Write in a few lines how much each speaker talks."""
    import diarnb
    from diarnb._text import visible

    if turns.empty:
        return "No speech found."
    told = diarnb.speakers(turns)
    names = [visible(name, limit=40) for name in told["speaker"]]
    width = max(map(len, names))
    return "\n".join(
        f"{name:{width}}  {time:8.1f} s  {share:4.0%} of the talk  {count:4} turn{'s' if count != 1 else ''}"
        for name, time, share, count in zip(
            names, told["talk_time"], told["share_of_speech"], told["turns"], strict=True
        )
    )


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """Print our own warnings as a person wants to read them, and leave those of others alone."""
    from diarnb.errors import DiarnbWarning

    with warnings.catch_warnings():
        warnings.simplefilter("always", DiarnbWarning)
        as_usual = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if issubclass(category, DiarnbWarning):
                _complain(f"warning: {message}", 0)
            else:
                as_usual(message, category, *place, **more)

        warnings.showwarning = show
        yield


def _complain(text: str, code: int) -> int:
    """Print one line on stderr, whatever is in it, and return the exit code that goes with it."""
    from diarnb._text import visible

    _say(f"diarnb: {visible(' '.join(text.split()), limit=2000)}")
    return code


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def run() -> NoReturn:
    """Be the program `diarnb`, which is the same as ``python -m diarnb``."""
    # This process is ours: no window, though pyplot would find a screen, and no traceback for a letter that it lacks.
    os.environ.setdefault("MPLBACKEND", "agg")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(main())


if __name__ == "__main__":
    run()
