"""What schemathesis has to know beyond a schema: texts of our own formats, and rules that no schema can say."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import schemathesis
import soundfile
from hypothesis import strategies as st
from schemathesis import GenerationMode

from diarnb.server.deepgram import rules
from diarnb.server.pyannoteai.rules import LONGEST_LABEL

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
def map_case(context: Any, case: Any) -> Any:
    """Make what a schema allows fit the few rules that it can say in words only; what it forbids stays as it is."""
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return case
    query = case.query if isinstance(case.query, dict) else {}
    query.pop("cursor", None)  # it names a job, which nobody can make up
    if "diarize_model" in query:
        query.pop("diarize", None)
    nova = str(query.get("model", rules.DEFAULT_MODEL)).startswith("nova-3")
    if "keyterm" in query and not nova:
        query["model"] = "nova-3"
        nova = True
    if "keywords" in query and nova:
        query["model"] = "own-model" if "keyterm" in query else "nova-2"
    body = case.body if isinstance(case.body, dict) else {}
    least, most = body.get("minSpeakers"), body.get("maxSpeakers")
    if least is not None and most is not None and least > most:
        body["minSpeakers"], body["maxSpeakers"] = most, least
    for number, item in enumerate(body.get("voiceprints") or []):
        item["label"] = f"{number}{item['label']}"[:LONGEST_LABEL]
    return case
