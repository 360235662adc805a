r"""Names in front of what is said: which of the words before a colon, or in brackets, are speakers.

One line cannot tell: `Maya: Hello.` looks as `Note: we start at nine.` does. So the whole file votes: who speaks has a
short name in capitals that comes back, or stands in front of most lines. What is marked as a name always is one:
``[Maya]: Hello.``, in which any name can stand (``\\``, ``\]``, ``\n``, ``\r`` and ``\t`` stand for those characters),
``>> MAYA: Hello.``, and numbered speakers.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from diarnb.formats._shared.reading import list_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from diarnb.formats._shared.reading import Reading

_PLAIN = re.compile(
    r"([^\s:：\[\]\\<>{}](?:[^:：\[\]\\<>{}\t\r\n]{0,58}[^\s:：\[\]\\<>{}])?)(?::(?:\s+|$)|：\s*)(.*)", re.DOTALL
)
_BRACKETS = re.compile(r"\[((?:[^\]\\\n]|\\.)*)\](?:(:)|(?=\s|$))\s*(.*)", re.DOTALL)
_DOUBLE = re.compile(r"\[\[([^\]\n]+)\]\](:?)\s*(.*)", re.DOTALL)
_PARENTHESES = re.compile(r"\(([^()\n]{1,60})\)(?:(:)|(?=\s|$))\s*(.*)", re.DOTALL)
_CHANGE = re.compile(r">{2,3}\s*")
_DASH = re.compile(r"[-–—]\s*(?=\S)")
_NUMBERED = re.compile(
    r"(?:speaker|spk|spkr|sprecher|locuteur|participant|person)[ _#-]?(?:\d{1,3}|[A-Z])|S\d{1,3}", re.IGNORECASE
)
_SHAPE = re.compile(r"[^\W\d_][\w'’.-]*(?:\s+(?:[^\W_][\w'’.-]*|&)){0,4}")
_SMALL = re.compile(r"and|&|al|bin|da|dal|de|del|den|der|di|du|e|el|la|le|of|ter|the|van|von|y", re.IGNORECASE)
_CLAUSES = re.compile(
    r"answer|attention|careful|caution|chapter|conclusion|dear|example|fact|finally|first|for|fourth|hello|hint|honestly|"
    r"important|listen|look|meanwhile|no|note|now|number|ok|okay|one|part|please|plus|point|ps|question|reminder|remember|"
    r"result|right|second|section|so|sorry|step|summary|sure|then|third|three|time|tip|title|today|topic|two|update|"
    r"warning|well|yes",
    re.IGNORECASE,
)
_SOUNDS = re.compile(
    r"music|laugh\w*|applause|cheer\w*|clap\w*|cough\w*|sigh\w*|noise|silence|pause|inaudible|unintelligible|crosstalk|"
    r"indistinct|foreign|blank|beep\w*|bell|ring\w*|sing\w*|door|whisper\w*|chuckl\w*|cry\w*|scream\w*|gasp\w*|sound",
    re.IGNORECASE,
)
_NOISE = re.compile(r"\[[^\]]*\]|\([^)]*\)|[♪♫].*")  # what is heard, and said by nobody
_ESCAPES = {"\\": "\\\\", "]": "\\]", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_UNESCAPES = {escape: character for character, escape in _ESCAPES.items()}
_OFTEN = 0.5  # the share of lines with a name in front from which each of them is one
_SELDOM = 0.1  # below, a name in lower case letters is none even where it comes back, and nobody keeps the floor


class Voice(NamedTuple):
    """What one voice says in a cue; the speaker is None where the file does not tell."""

    speaker: str | None
    text: str
    change: bool
    """Whether the file says that somebody else speaks, whoever it is."""


class _CueLine(NamedTuple):
    raw: str
    name: str | None = None
    text: str = ""
    sure: bool = False
    change: bool = False


def add_name(name: str, text: str) -> str:
    r"""Write who says a line: ``Maya: Hello.``, or ``[Dr: Maya]: Hello.`` where the plain way might be read otherwise.

    Examples
    --------
    >>> add_name("Maya", "Hello."), add_name("Dr: Maya", "Hello.")
    ('Maya: Hello.', '[Dr: Maya]: Hello.')
    """
    plain = f"{name}: {text}".rstrip()
    line = _split(plain)
    if (line.name, line.text, line.change) == (name, text, False) and is_shaped(name):
        return plain
    return f"[{''.join(_ESCAPES.get(character, character) for character in name)}]: {text}".rstrip()


def has_name(line: str) -> bool:
    """Check whether a line might be read as a name and what is said."""
    return _split(line).name is not None


def assign_names(cues: Sequence[str], reading: Reading) -> list[list[Voice]]:
    """Find who says what in each cue, by the vote of all.

    Parameters
    ----------
    cues : sequence of str
        What is said; several lines may be by several speakers.
    reading : Reading
        Its ``speakers`` decide where they are given; else what was decided becomes a remark if it might be otherwise.

    Returns
    -------
    list of list of Voice
        For each cue at least one part.
    """
    lines = [[_split(line) for line in _cut_lines(cue)] for cue in cues]
    names = _elect(lines, reading)
    return [_join(cue, names) for cue in lines]


def keep_floor(cues: Sequence[Sequence[Voice]], reading: Reading) -> list[list[Voice]]:
    """Assign cues without a name to whoever was named last, where a file names speakers as they change.

    Where hardly any cue has a name, these are only those who are not seen, and nobody keeps the floor.
    """
    parts = [part for cue in cues for part in cue]
    named = sum(part.speaker is not None for part in parts)
    if named < _SELDOM * len(parts):
        return [list(cue) for cue in cues]
    speaker, count, kept = None, 0, []
    for cue in cues:
        own = []
        for part in cue:
            if _NOISE.fullmatch(part.text):
                own.append(part)
                continue
            if part.speaker is None and not part.change and speaker is not None and part.text:
                count += 1
            speaker = part.speaker if part.speaker is not None or part.change else speaker
            own.append(part._replace(speaker=speaker))
        kept.append(own)
    if count:
        reading.remarks.append(f"{count} of {len(parts)} lines without a name were given to the last speaker named")
    return kept


def _cut_lines(cue: str) -> list[str]:
    return [line for line in cue.strip().split("\n") if line.strip()] or [""]


def _split(line: str) -> _CueLine:
    rest = line.strip()
    change = _CHANGE.match(rest) or _DASH.match(rest)
    marked = change is not None and rest.startswith(">>")
    if change is not None:
        rest = rest[change.end() :]
    for pattern in (_DOUBLE, _BRACKETS, _PARENTHESES):
        if (found := pattern.match(rest)) is not None:
            name = found[1]
            if pattern is _BRACKETS:
                name = re.sub(r"\\.", lambda escape: _UNESCAPES.get(escape[0], escape[0]), name)
            if pattern is _BRACKETS and name.endswith(":") and not found[2]:
                return _CueLine(line, name[:-1], found[3].strip(), sure=True, change=marked)  # [MAYA:] Hello.
            sure = pattern is _DOUBLE or (pattern is _BRACKETS and found[2] is not None) or _is_numbered(name)
            if not sure and (_SOUNDS.search(name) or not is_shaped(name)):
                break
            text = found[3].removeprefix(":").lstrip() if pattern is _PARENTHESES else found[3]
            return _CueLine(line, name, text.strip(), sure=sure or marked, change=change is not None)
    if (found := _PLAIN.match(rest)) is not None:
        sure = (marked and is_shaped(found[1])) or _is_numbered(found[1])
        return _CueLine(line, found[1], found[2].strip(), sure=sure, change=change is not None)
    return _CueLine(line, change=change is not None)


def _is_numbered(name: str) -> bool:
    return _NUMBERED.fullmatch(name.strip()) is not None


def is_shaped(name: str) -> bool:
    """Check whether words look like a name: few, short, and each with a capital where the script has any."""
    words = name.split()
    if not _SHAPE.fullmatch(name) or len(name) > 40 or _CLAUSES.fullmatch(words[0]):
        return False
    capital = [word[0].upper() == word[0] for word in words]
    return capital[0] and all(high or _SMALL.fullmatch(word) for high, word in zip(capital, words, strict=True))


def _elect(cues: list[list[_CueLine]], reading: Reading) -> set[str]:
    """Find the names of a file."""
    found = [line for cue in cues for line in cue if line.name is not None]
    if reading.speakers is False:
        return set()
    if reading.speakers is not None:
        given = {name.casefold() for name in reading.speakers}
        return {line.name for line in found if line.name is not None and line.name.casefold() in given}
    counts = Counter(line.name for line in found if line.name is not None)
    sure = {line.name for line in found if line.sure}
    shaped = {name for name in counts if name in sure or is_shaped(name)}
    said = max(sum(any(line.raw.strip() for line in cue) for cue in cues), 1)
    share = sum(any(line.name in shaped for line in cue) for cue in cues) / said
    names = {
        name
        for name in shaped
        if name in sure or share >= _OFTEN or (counts[name] > 1 and (share >= _SELDOM or name.isupper()))
    }
    _remark_on(names, counts, sure, said, reading)
    return names


def _remark_on(names: set[str], counts: Counter[str], sure: set[str | None], said: int, reading: Reading) -> None:
    """Report what was taken for a name where it might be otherwise."""
    rejected = [repr(name) for name, _ in counts.most_common() if name not in names]
    once = [name for name in names if counts[name] == 1 and name not in sure]
    doubtful = said >= 4 and 0 < len(once) < len(names)
    if names and (rejected or doubtful):
        reading.remarks.append(f"the speakers are taken to be {list_names(sorted(names))}")
    if rejected:
        what = list_names(rejected, 3)
        reading.remarks.append(f"words before a colon or in brackets are read as text, not as a name: {what}")
    if rejected or doubtful:
        reading.remarks.append("speakers=[...] or speakers=False overrides this")


def _join(cue: list[_CueLine], names: set[str]) -> list[Voice]:
    """Join the lines of a cue to the parts of those who speak in it."""
    parts: list[list[Voice]] = []
    for line in cue:
        named = line.name is not None and line.name in names
        part = Voice(line.name, line.text, line.change) if named else Voice(None, line.raw.strip(), line.change)
        if parts and not named and not line.change:
            parts[-1].append(part)
        else:
            parts.append([part])
    return [
        Voice(first.speaker, "\n".join(filter(None, (first.text, *(part.text for part in rest)))), first.change)
        for first, *rest in parts
    ]
