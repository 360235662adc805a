"""What schemathesis has to know beyond a schema: texts of our own formats, and rules that no schema can say."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import schemathesis
import soundfile
from hypothesis import strategies as st

HOSTS = st.sampled_from(["example.org", "hooks.example.org:8443", "a-b.example.net"])
PATHS = st.text("abcXYZ019-_~/.", max_size=50).map("/".__add__)
ADDRESSES = st.builds("https://{}{}".format, HOSTS, PATHS)
for name in ("webhook-url", "callback-url", "recording-url"):
    schemathesis.openapi.format(name, ADDRESSES)


def _recording() -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.zeros(800, np.float32), 8000, format="WAV")
    return file.getvalue()


schemathesis.openapi.media_type("application/octet-stream", st.just(_recording()))


@schemathesis.hook
def filter_case(context: Any, case: Any) -> bool:
    """Keep what is not refused for a rule that is written in words only, or cannot be made up."""
    query = case.query if isinstance(case.query, dict) else {}
    if "cursor" in query:  # it names a job
        return False
    if "diarize" in query and "diarize_model" in query:
        return False
    model = str(query.get("model", ""))
    if ("keywords" in query and model.startswith("nova-3")) or "keyterm" in query:
        return False
    body = case.body if isinstance(case.body, dict) else {}
    least, most = body.get("minSpeakers"), body.get("maxSpeakers")
    if isinstance(least, int) and isinstance(most, int) and least > most:
        return False
    prints = body.get("voiceprints")
    labels = [item.get("label") for item in prints if isinstance(item, dict)] if isinstance(prints, list) else []
    return len({repr(label) for label in labels}) == len(labels)
