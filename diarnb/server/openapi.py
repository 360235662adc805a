"""What the server answers, as OpenAPI 3.1: a document for each dialect, written from the rules that are applied."""

from __future__ import annotations

from diarnb._types import Json
from diarnb.engines.deepgram.parameters import UTT_SPLIT
from diarnb.engines.pyannoteai.parameters import TRANSCRIBERS
from diarnb.server.deepgram import rules as deepgram_rules
from diarnb.server.pyannoteai import rules as pyannoteai_rules
from diarnb.server.settings import MAX_BODY

Schema = Json

_STREAMS = ("interim_results", "vad_events", "no_delay")  # flags that only a stream has

_TEXT: Schema = {"type": "string"}
_FLAG: Schema = {"type": ["boolean", "null"], "default": False}
_COUNT: Schema = {"type": ["integer", "null"], "minimum": 1}
_SECONDS: Schema = {"type": "number", "minimum": 0}
_SCORE: Schema = {"type": "number", "minimum": 0, "maximum": 100}
_SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
_ID: Schema = {"type": "string", "format": "uuid"}
_MEDIA: Schema = {
    "type": "string",
    "pattern": f"^{pyannoteai_rules.MEDIA}$",
    "maxLength": pyannoteai_rules.LONGEST_MEDIA,
}
_FETCHED: Schema = {
    "type": "string",
    "format": "recording-url",
    "maxLength": pyannoteai_rules.LONGEST_URL,
    "description": "An http or https address of a host that the server fetches from",
}
_LIMIT: Schema = {
    "type": "integer",
    "minimum": 1,
    "maximum": pyannoteai_rules.MOST_LISTED,
    "default": pyannoteai_rules.LISTED_UNASKED,
}


def pyannoteai(origin: str, *, fetches: bool = False) -> Schema:
    """Describe pyannoteAI's dialect.

    Parameters
    ----------
    origin : str
        Of the server.
    fetches : bool, default False
        Whether recordings may be fetched from addresses of the web.

    Examples
    --------
    >>> sorted(pyannoteai("http://127.0.0.1:8000")["paths"])[:2]
    ['/v1/diarize', '/v1/identify']
    """
    refusal = _refers("Refusal")
    no = {"400": _json("It is refused, and why", refusal), "401": _json("No key, or a wrong one", refusal)}
    busy = {"429": _json("Too many requests, with --rate-limits vendor", refusal)}
    accepted = {"200": _json("It is accepted", _refers("Accepted")), **no, **busy}

    def submit(summary: str, body: Schema) -> Schema:
        return {"post": _operation(summary, accepted, body=body)}

    def address(summary: str) -> Schema:
        media = _object({"url": _MEDIA}, "url")
        signed = {"201": _json("An address that is valid for an hour", _object({"url": _TEXT}, "url"))}
        return {"post": _operation(summary, {**signed, **no, **busy}, body=media)}

    listing = [
        _parameter("limit", _LIMIT),
        _parameter("cursor", _tell_together("cursor", _bound_text(pyannoteai_rules.LONGEST_CURSOR))),
        _parameter("status", {"type": "string", "enum": list(pyannoteai_rules.STATUSES)}),
    ]
    job_id = {"name": "id", "in": "path", "required": True, "schema": _TEXT}
    job = {"200": _json("The job", _refers("Job")), "404": _json("There is none", refusal), "401": no["401"], **busy}
    paths = {
        "/v1/test": {
            "get": _operation("Try a key", {"200": _json("It is right", {"type": "object"}), "401": no["401"]})
        },
        "/v1/media/input": address("Ask for an address to upload a recording to, by PUT and without a key"),
        "/v1/media/output": address("Ask for an address to read an upload from"),
        "/v1/diarize": submit("Ask who spoke when", _job_body("diarize", fetches=fetches)),
        "/v1/identify": submit("Ask who of some people spoke when", _job_body("identify", fetches=fetches)),
        "/v1/voiceprint": submit("Make a voiceprint", _job_body("voiceprint", fetches=fetches)),
        "/v1/jobs/{id}": {"get": {**_operation("Get a job", job), "parameters": [job_id]}},
        "/v2/jobs": {
            "get": {
                **_operation("List jobs, the newest first", {"200": _json("A page", _refers("Page")), **no, **busy}),
                "parameters": listing,
            }
        },
    }
    return _document("pyannoteAI", origin, paths, _PYANNOTEAI, {"type": "http", "scheme": "bearer"})


def deepgram(origin: str, *, fetches: bool = False) -> Schema:
    """Describe Deepgram's dialect.

    Parameters
    ----------
    origin : str
        Of the server.
    fetches : bool, default False
        Whether recordings may be fetched from addresses of the web.

    Examples
    --------
    >>> list(deepgram("http://127.0.0.1:8000")["paths"])
    ['/v1/listen']
    """
    refusal = _refers("Refusal")
    whys = {
        "400": "It is refused, and why",
        "401": "No key, or a wrong one",
        "408": "The recording came too slowly",
        "413": f"The recording is larger than {MAX_BODY >> 30} GiB",
        "429": "Too many requests wait",
        "503": "Try again",
        "504": "It took too long",
    }
    answers = {
        "200": _json("What was said, or with `callback` the request's id", _refers("Answer")),
        **{status: _json(why, refusal) for status, why in whys.items()},
    }
    content = {
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        **({"application/json": {"schema": _object({"url": _FETCHED}, "url")}} if fetches else {}),
    }
    post = _operation("Listen to a recording", answers)
    post |= {"parameters": _listen_parameters(), "requestBody": {"required": True, "content": content}}
    scheme = {"type": "apiKey", "in": "header", "name": "Authorization", "description": "`Token KEY` or `Bearer KEY`"}
    return _document("Deepgram", origin, {"/v1/listen": {"post": post}}, _DEEPGRAM, scheme)


def _job_body(kind: str, *, fetches: bool) -> Schema:
    rules = pyannoteai_rules
    members: Schema = {
        "url": {"anyOf": [_MEDIA, _FETCHED]} if fetches else _MEDIA,
        "model": {
            "enum": [*rules.list_models(kind), None],
            "description": "Whatever it says, the local engine answers",
        },
        "webhook": {
            "type": ["string", "null"],
            "format": "webhook-url",
            "maxLength": rules.LONGEST_URL,
            "description": "An https address that is public, or of a host that the server allows",
        },
        "webhookStatusOnly": _FLAG,
    }
    needed, more = ["url"], {}
    if kind != "voiceprint":
        members |= dict.fromkeys(("numSpeakers", "minSpeakers", "maxSpeakers"), _COUNT)
        members |= dict.fromkeys(rules.SCORES, _FLAG)
        members["minSpeakers"] = _tell_together("minSpeakers", _COUNT)
        more["allOf"] = [{"not": _both("numSpeakers", other)} for other in ("minSpeakers", "maxSpeakers")]
    if kind == "diarize":
        members["transcription"] = _FLAG
        members["transcriptionConfig"] = {
            "type": ["object", "null"],
            "properties": {"model": {"enum": [*TRANSCRIBERS, None]}},
        }
    if kind == "identify":
        label = {**_bound_text(rules.LONGEST_LABEL), "pattern": f"^(?!{rules.RESERVED_LABEL})"}
        text = {**_bound_text(rules.LONGEST_VOICEPRINT), "pattern": f"^{rules.VOICEPRINT}$"}
        item = _object({"label": _tell_together("label", label), "voiceprint": text}, "label", "voiceprint")
        members["voiceprints"] = {**_list(item), "minItems": 1, "maxItems": rules.MOST_VOICEPRINTS}
        members["matching"] = {
            "type": ["object", "null"],
            "properties": {
                "exclusive": {**_FLAG, "default": True},
                "threshold": {**_SCORE, "type": ["number", "null"], "default": 0},
            },
        }
        needed.append("voiceprints")
    return {**_object(members, *needed), **more}


def _tell_together(name: str, schema: Schema) -> Schema:
    return {**schema, "description": pyannoteai_rules.TOGETHER[name]}


def _both(*names: str) -> Schema:
    """Describe objects that have some counts at once."""
    return _object({name: {"type": "integer"} for name in names}, *names)


def _bound_text(longest: int) -> Schema:
    return {**_TEXT, "minLength": 1, "maxLength": longest}


def _listen_parameters() -> list[Schema]:
    rules = deepgram_rules
    choices: dict[str, Schema] = {
        **{name: {"type": "boolean"} for name in rules.FLAGS if name not in _STREAMS},
        **{name: {"enum": list(values)} for name, values in rules.CHOICES.items()},
    }
    lists: dict[str, Schema] = {
        **{name: _list(_TEXT) for name in rules.REPEATED},
        "tag": _list(_bound_text(rules.LONGEST_TAG)),
        "extra": _list({**_TEXT, "pattern": ":", "maxLength": rules.LONGEST_EXTRA}),
        "language_hint": _list({**_TEXT, "pattern": f"^({rules.LANGUAGE})$"}),
    }
    lists |= {name: {**lists[name], "maxItems": most} for name, most in rules.LISTS.items()}
    own = {"type": "string", "pattern": f"^{rules.MODEL}$", "not": {"pattern": f"^{rules.FAMILY}$"}}
    texts: dict[str, Schema] = {
        "model": {"anyOf": [{"enum": list(rules.KNOWN)}, own], "default": rules.DEFAULT_MODEL},
        "language": {**_TEXT, "pattern": f"^({rules.LANGUAGE})$"},
        "utt_split": {"type": "number", "minimum": 0, "exclusiveMaximum": rules.LARGEST, "default": UTT_SPLIT},
        "callback": {**_TEXT, "format": "callback-url"},
    }
    told = {**choices, **lists, **texts}
    told |= {name: {**told[name], "description": words} for name, words in rules.TOGETHER.items()}
    return [_parameter(name, schema) for name, schema in told.items()]


def _document(service: str, origin: str, paths: Schema, schemas: Schema, scheme: Schema) -> Schema:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"diarnb in the dialect of {service}",
            "version": "1",
            "description": "Answered on this machine, by diarnb's local engine.",
        },
        "servers": [{"url": origin}],
        "security": [{"key": []}],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"key": scheme}},
    }


def _operation(summary: str, answers: Schema, *, body: Schema | None = None) -> Schema:
    told: Schema = {"summary": summary, "responses": answers}
    if body is not None:
        told["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return told


def _json(why: str, schema: Schema) -> Schema:
    return {"description": why, "content": {"application/json": {"schema": schema}}}


def _refers(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _parameter(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "query", "schema": schema}


def _object(members: Schema, *needed: str) -> Schema:
    return {"type": "object", "properties": members, "required": list(needed)}


def _list(of: Schema) -> Schema:
    return {"type": "array", "items": of}


_TURN = _object({"speaker": _TEXT, "start": _SECONDS, "end": _SECONDS}, "speaker", "start", "end")
_SCORES = _object({"score": _list(_SCORE), "resolution": _SECONDS}, "score", "resolution")
_STATUS: Schema = {"enum": list(pyannoteai_rules.STATUSES)}
_OUTPUT: Schema = {
    "type": "object",
    "properties": {
        "diarization": _list(_refers("Turn")),
        "exclusiveDiarization": _list(_refers("Turn")),
        "confidence": _SCORES,
        "identification": _list(_refers("Turn")),
        "voiceprints": _list({"type": "object"}),
        "voiceprint": _TEXT,
        "warning": _TEXT,
        "error": _TEXT,
    },
}
_WRONG = _list(_object({"field": _TEXT, "message": _TEXT}, "field", "message"))
_JOB = {"jobId": _TEXT, "status": _STATUS, "createdAt": _TEXT, "updatedAt": _TEXT, "output": _OUTPUT}
_ITEM = _object({"id": _TEXT, "status": _STATUS, "createdAt": _TEXT}, "id", "status", "createdAt")

_PYANNOTEAI: Schema = {
    "Turn": _TURN,
    "Accepted": _object({"jobId": _ID, "status": _STATUS}, "jobId", "status"),
    "Job": _object(_JOB, "jobId", "status", "createdAt", "updatedAt"),
    "Page": _object({"items": _list(_ITEM), "nextCursor": {"type": ["string", "null"]}}, "items", "nextCursor"),
    "Refusal": _object({"message": _TEXT, "requestId": _ID, "errors": _WRONG}, "message"),
}

_WORD = _object(
    {
        "word": _TEXT,
        "start": _SECONDS,
        "end": _SECONDS,
        "confidence": _SHARE,
        "speaker": {"type": "integer", "minimum": 0},
        "speaker_confidence": _SHARE,
        "punctuated_word": _TEXT,
    },
    *("word", "start", "end", "confidence"),
)
_ALTERNATIVE = _object(
    {"transcript": _TEXT, "confidence": _SHARE, "words": _list(_WORD), "paragraphs": {"type": "object"}},
    *("transcript", "confidence", "words"),
)
_RESULTS = _object(
    {
        "channels": _list(_object({"alternatives": _list(_ALTERNATIVE)}, "alternatives")),
        "utterances": _list({"type": "object"}),
    },
    "channels",
)
_METADATA = _object(
    {
        "request_id": _ID,
        "sha256": _TEXT,
        "created": _TEXT,
        "duration": _SECONDS,
        "channels": {"type": "integer", "minimum": 1},
        "models": _list(_ID),
        "model_info": {"type": "object"},
        "diarize_info": {"type": "object"},
    },
    *("request_id", "sha256", "created", "duration", "channels", "models", "model_info"),
)

_DEEPGRAM: Schema = {
    "Answer": {
        "oneOf": [
            _object({"metadata": _METADATA, "results": _RESULTS}, "metadata", "results"),
            {**_object({"request_id": _ID}, "request_id"), "additionalProperties": False},
        ]
    },
    "Refusal": _object(
        {"err_code": _TEXT, "err_msg": _TEXT, "request_id": _ID, "category": _TEXT, "message": _TEXT, "details": _TEXT},
        *("err_code", "err_msg", "request_id"),
    ),
}
