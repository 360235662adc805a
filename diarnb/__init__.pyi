# isort: skip_file
# The public names, each with the module that it is loaded from when it is first used.

# Diarize
from .api import diarize as diarize, diarize_async as diarize_async, recluster as recluster
from .batch import diarize_many as diarize_many
from .streaming import stream as stream

# Look and listen
from .plot import timeline as timeline
from .playback import clip as clip
from .widgets.controls import controls as controls
from .widgets.player import player as player
from .widgets.cards import cards as cards
from .widgets.review import review as review
from .widgets.studio import studio as studio
from .corrections import edits as edits

# Name speakers
from .tables.turns import rename as rename
from .voiceprints import identify as identify, matches as matches, voiceprint as voiceprint

# Words
from .results import search as search, utterances as utterances, words as words
from .transcripts import assign_speakers as assign_speakers
from .analysis.reading import transcript as transcript

# Measure
from .tables.turns import overlap as overlap, speakers as speakers
from .results import confidences as confidences, exclusive as exclusive, frames as frames
from .scoring import score as score, worst as worst
from .comparing import compare as compare
from .tables.fusion import fuse as fuse

# Files
from .examples import example as example
from .formats import read as read, write as write

# Earlier runs
from .api import resume as resume
from .results.runs import forget as forget, open_run as open_run, raw as raw, runs as runs

# Serve, and report versions
from .server import serve as serve
from ._versions import show_versions as show_versions

# More, by topic
from . import analysis as analysis
from . import batch as batch
from . import cloud as cloud
from . import comparing as comparing
from . import engines as engines
from . import errors as errors
from . import formats as formats
from . import metrics as metrics
from . import plot as plot
from . import testing as testing
from . import transcribers as transcribers
from . import widgets as widgets

__version__: str
