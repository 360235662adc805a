"""Describe conversations: who takes the floor from whom, how fast, and who talks when, for any table of turns.

Every function returns a plain DataFrame, with types even if it is empty. The plots are drawn from these tables. In a
table with a ``uri`` column, each recording is treated separately.

Turn-taking is derived from times alone, by one rule. A *stretch* is what one speaker says without a pause longer than
`pause` seconds. The *floor* passes to each stretch that outlasts all stretches that began before it. A stretch that
ends while somebody else continues does not take the floor. So every overlap is one of the two kinds of Yuan, Liberman
and Cieri (2007): the other side takes over before the first has finished, or speaks in the middle of the first's turn.
The content is not considered: read the words, or listen, before you blame anybody.

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
