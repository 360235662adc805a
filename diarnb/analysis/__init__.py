"""What a conversation is like: who takes the floor from whom, how fast, and who talks when; for any table of turns.

Every verb answers a plain DataFrame, typed also where it is empty, and draws nothing; the figures are made of these
tables. In a table with a ``uri`` column each recording is treated on its own.

How people take turns is read off times alone, by one rule. A *stretch* is what one speaker says with no own pause
longer than `pause` seconds. The *floor* passes to each stretch that outlasts all that began before it; a stretch that
ends while somebody else goes on leaves the floor where it is. So every overlap is of one of the two kinds of Yuan,
Liberman and Cieri (2007): the other side takes over before the first has finished, or speaks in the middle of the
first's turn. Content is not heard: read the words, or listen, before you blame anybody.

>>> from diarnb import analysis
>>> turns = read(example("meeting").with_suffix(".rttm"))
>>> analysis.interruptions(turns)["kind"].value_counts().to_dict()
{'backchannel': 7, 'early': 7, 'interruption': 1}
"""

from __future__ import annotations

from diarnb._text import refuse_call
from diarnb.analysis.drawing import profile_plot, responses_plot, turn_taking_plot
from diarnb.analysis.floor import interruptions, monologues, responses, turn_taking
from diarnb.analysis.profiles import per_minute, summary
from diarnb.analysis.reading import transcript, transcript_html, transcript_lines
from diarnb.analysis.stereo import channels, without_bleed
from diarnb.transcripts import doubtful_words

__all__ = [
    "channels",
    "doubtful_words",
    "interruptions",
    "monologues",
    "per_minute",
    "profile_plot",
    "responses",
    "responses_plot",
    "summary",
    "transcript",
    "transcript_html",
    "transcript_lines",
    "turn_taking",
    "turn_taking_plot",
    "without_bleed",
]


def __dir__() -> list[str]:
    return __all__


refuse_call(__name__)
