"""The local engine: diarization on this machine, with small networks.

The networks extract some 4 MB of evidence an hour (`evidence`), which takes nearly all the time; from it speakers are
clustered and every frame is decoded (`decoding`) in a moment, and as often as one likes.
"""

from __future__ import annotations

import json
from dataclasses import replace
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from diarnb.engines.base import Answer, Engine, Offer, Option, check_offered, check_options
from diarnb.engines.local import networks
from diarnb.engines.local.count_evidence import CountRow, weigh_counts
from diarnb.engines.local.decoding import decide, keep_blocks
from diarnb.engines.local.evidence import ChannelEvidence, Extractor, extract, is_complete
from diarnb.engines.local.live import follow
from diarnb.engines.local.propagation import reconsider
from diarnb.engines.local.segmentation import RATE, RESOLUTION, seconds
from diarnb.engines.local.segments import find_runs
from diarnb.engines.local.voiceprints import check_length, make_voiceprint, match_voiceprints, unpack
from diarnb.errors import InvalidParameterError
from diarnb.params import Params
from diarnb.tables.activity import is_finite

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterable, Mapping

    from numpy.typing import NDArray

    from diarnb._progress import Progress
    from diarnb._types import Json, Options
    from diarnb.audio import Recording
    from diarnb.engines.local.decoding import Decision
    from diarnb.store.run import Evidence


class Model(NamedTuple):
    """What stands behind the name of a model."""

    revision: int  # raised whenever the same networks would answer differently
    embedding: tuple[str, ...]  # its embedding networks; that of segmentation is the same
    label: str
    help: str


MODELS = {
    "segmentation-3.0+campplus+resnet34": Model(
        8, ("embedding", "resnet34"), "more accurate", "tells voices apart better; needs half as much time again"
    ),
    "segmentation-3.0+campplus": Model(
        6, ("embedding",), "faster", "needs two thirds of the time; mistakes one voice for another more often"
    ),
}
"""The first one is the default; the others take less time."""

_ORDER = itemgetter("start", "end", "speaker")  # of turns
_EARLIER = "An earlier diarnb analysed the recording, less exactly at edges of speech: diarize it again."


def _providers(value: object) -> tuple[str, ...]:
    names = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list | tuple) else ()
    if not names or not all(isinstance(name, str) for name in names):
        raise InvalidParameterError(f"providers is a list such as ['CPUExecutionProvider'], not {value!r:.60}")
    return names


def _threads(value: object) -> int:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer) or value < 1:
        raise InvalidParameterError(f"threads is a whole number from 1, not {value!r:.60}")
    return int(value)


def _threshold(value: object) -> float:
    if not is_finite(value) or not 0 <= value <= 2:
        raise InvalidParameterError(f"threshold is a cosine distance from 0 to 2, not {value!r:.60}")
    return float(value)


class LocalEngine(Engine):
    """Segmentation-3.0, CAM++ and ResNet34 under ONNX Runtime, with Bayesian clustering and overlap."""

    name = "local"
    offer: Offer = Offer(
        models=tuple(MODELS),
        model_help={name: (model.label, model.help) for name, model in MODELS.items()},
        options={
            "providers": Option("ONNX Runtime's execution providers, best first", _providers, changes_result=False),
            "threads": Option("threads to use; by default one for each core", _threads, changes_result=False),
            "threshold": Option(
                "cosine distance (0-2) below which speakers are merged; higher merges more", _threshold
            ),
        },
    )

    live_offer: Offer = replace(offer, exclusive=False, confidence=False, turn_level_confidence=False, channels=False)
    """What `stream` takes."""

    def version(self, model: str) -> str:
        """Return the hashes of a model's networks and the revision of the decisions made from their outputs."""
        facts, asked = networks.provenance(), MODELS[model]
        names = sorted(("segmentation", *asked.embedding))
        return "-".join([str(asked.revision), *(facts[name]["sha256"][:8] for name in names)])

    def diarize(self, recording: Recording, params: Params, options: Options, progress: Progress) -> Answer:
        """Extract the evidence of every channel that is wanted, then decide."""
        channels = range(recording.channels) if params.channels == "split" else [params.channels]
        evidence: Evidence = {}
        duration = 0.0
        for number, channel in enumerate(channels):

            def part(stage: str, fraction: float, done: int = number) -> None:
                progress(stage, 0.98 * (done + fraction) / len(channels))

            channel_evidence, duration = extract(
                recording,
                channel,  # type: ignore[arg-type]  # "mix" or a number
                part,
                number=number,
                embedding=self._model(params).embedding,
                **_select_compute_options(options),
            )
            evidence |= keep_blocks(channel_evidence).pack(number)
        evidence |= _pack_context(duration, recording.problems)
        progress("deciding", 0.98)
        return Answer(self.decide(evidence, params, options), evidence)

    def stream(
        self, blocks: Iterable[NDArray[np.float32]], sample_rate: int, params: Params, options: Options
    ) -> Generator[list[Json], None, tuple[Answer, dict[str, str]]]:
        """Diarize samples as they come; the answer at the end is that of `diarize`."""
        options = check_options(options, self.live_offer, self.name)
        check_offered(params, self.live_offer, self.name)
        extractor = Extractor(**_select_compute_options(options), embedding=self._model(params).embedding, live=True)
        return self._follow(blocks, sample_rate, params, options, extractor)

    def _model(self, params: Params) -> Model:
        """Return the model that is asked for."""
        return MODELS[params.model or self.offer.default_model]

    def _follow(
        self,
        blocks: Iterable[NDArray[np.float32]],
        sample_rate: int,
        params: Params,
        options: Options,
        extractor: Extractor,
    ) -> Generator[list[Json], None, tuple[Answer, dict[str, str]]]:
        threshold = options.get("threshold")
        channel_evidence, labels = yield from follow(
            blocks, sample_rate, extractor, lambda channel_evidence: decide(channel_evidence, *params.bounds, threshold)
        )
        evidence = keep_blocks(channel_evidence).pack(0) | _pack_context(extractor.samples / RATE, [])
        names = {f"SPEAKER_{number:02d}": f"SPEAKER_{label:02d}" for number, label in enumerate(labels)}
        return Answer(self.decide(evidence, params, options), evidence), names

    def decide(self, evidence: Evidence, params: Params, options: Mapping[str, object]) -> Json:
        """Decide from the evidence."""
        duration = float(evidence["duration"])
        remarks: list[str] = json.loads(evidence["problems"].tobytes())
        remarks += [] if is_complete(evidence) else [_EARLIER]
        spoken: list[Json] = []
        exclusive: list[Json] = []
        known = 0
        for channel, decision in enumerate(_decide_channels(evidence, params, options)):
            names = [f"SPEAKER_{known + k:02d}" for k in range(decision.speakers)]
            known += len(names)
            where = {"channel": channel} if params.channels == "split" else {}
            for found, turns in zip((spoken, exclusive), _list_turns(decision, names, duration), strict=True):
                found += [{**turn, **where} for turn in turns]
            remarks += _remark_shortfall(params.bounds[0], len(names), where)
        return {
            "duration": duration,
            "diarization": sorted(spoken, key=_ORDER),
            "exclusiveDiarization": sorted(exclusive, key=_ORDER),
            "warning": " ".join(remarks) or None,
        }

    def frames(self, evidence: Evidence, params: Params, options: Options) -> pd.DataFrame:
        """Score every frame; of several channels the least certain one counts."""
        decisions = _decide_channels(evidence, params, options)
        certainty = 100 * np.min([decision.certainty() for decision in decisions], axis=0).astype(np.float64)
        edges = seconds(np.arange(len(certainty) + 1))
        edges[-1] = float(evidence["duration"])
        activation = 100 * np.hstack([decision.activation() for decision in decisions]).astype(np.float64)
        scores = {f"SPEAKER_{k:02d}": column for k, column in enumerate(activation.T)}
        table = pd.DataFrame({"start": edges[:-1], "end": edges[1:], "confidence": certainty, **scores})
        table.attrs["resolution"] = RESOLUTION
        return table

    def count_evidence(self, evidence: Evidence, params: Params, options: Options) -> pd.DataFrame:
        """Weigh other numbers of speakers, on each channel by itself."""
        tables, known = [], 0
        for channel, channel_evidence in enumerate(ChannelEvidence.unpack(evidence)):
            table = pd.DataFrame(
                weigh_counts(channel_evidence, *params.bounds, options.get("threshold")), columns=list(CountRow._fields)
            )
            for side in ("speaker", "other"):
                table[side] = [f"SPEAKER_{known + k:02d}" if k >= 0 else "" for k in table[side]]
            known += int(table.loc[table["chosen"], "k"].sum())
            tables.append(table.assign(channel=channel))
        table = pd.concat(tables, ignore_index=True)
        return table if params.channels == "split" else table.drop(columns="channel")

    def reconsider(
        self, evidence: Evidence, params: Params, turns: pd.DataFrame, wrong: Mapping[int, Collection[str]]
    ) -> pd.DataFrame:
        """Score every turn's speakers given those that are certain, on each channel by itself."""
        apart = params.channels == "split"
        channel_evidence = enumerate(ChannelEvidence.unpack(evidence))
        parts = [
            reconsider(each, turns[turns["channel"] == channel] if apart else turns, wrong)
            for channel, each in channel_evidence
        ]
        scores = pd.concat(parts).reindex(turns.index)
        known = scores.notna().any(axis=1)
        return scores.where(~known, scores.fillna(0.0))  # a speaker of another channel does not speak on this one

    def check_voiceprints(self, voiceprints: Mapping[str, str]) -> None:
        """Raise VoiceprintError unless each can be read."""
        for label, text in voiceprints.items():
            unpack(text, label)

    def voiceprint(self, recording: Recording) -> tuple[str, str | None]:
        """Diarize the recording, then embed the one who speaks."""
        check_length(recording.name, recording.duration)
        answer = self.diarize(recording, Params(), {}, lambda stage, fraction: None)  # noqa: ARG005
        return make_voiceprint(recording, answer.raw)

    def identify(
        self, recording: Recording, turns: pd.DataFrame, voiceprints: Mapping[str, str]
    ) -> dict[str, dict[str, float]]:
        """Embed every speaker where nobody else speaks, and score them."""
        return match_voiceprints(recording, turns, voiceprints)


def _select_compute_options(options: Mapping[str, object]) -> Json:
    """Return the options of how to compute."""
    return {name: options[name] for name in ("providers", "threads") if name in options}


def _pack_context(duration: float, problems: list[str]) -> Evidence:
    """Pack what belongs to the evidence beside the channels."""
    packed = np.frombuffer(json.dumps(problems).encode(), np.uint8)
    return {"duration": np.array(duration), "problems": packed}


def _decide_channels(evidence: Evidence, params: Params, options: Options) -> list[Decision]:
    """Decide every channel."""
    return [
        decide(channel_evidence, *params.bounds, options.get("threshold"))
        for channel_evidence in ChannelEvidence.unpack(evidence)
    ]


def _list_turns(decision: Decision, names: list[str], duration: float) -> tuple[list[Json], list[Json]]:
    """Return turns, and exclusive ones, as JSON: times in seconds, and each speaker's mean activation within, 0-100."""
    changes = (np.diff(decision.first) != 0) | (np.diff(decision.second) != 0)
    edges = np.concatenate([[0], np.flatnonzero(changes) + 1, [len(decision.first)]])  # between them nobody changes
    first, second = (speaker[edges[:-1]] if len(changes) else speaker for speaker in (decision.first, decision.second))
    masks = [*((first == k) | (second == k) for k in range(len(names))), *(first == k for k in range(len(names)))]
    found = [edges[find_runs(mask)] for mask in masks]
    spans = np.concatenate([np.zeros((0, 2), np.int64), *found])
    speakers = np.repeat(np.tile(np.arange(len(names)), 2), [len(each) for each in found])
    starts, ends = seconds(spans.T).round(6)
    ends = np.minimum(ends, duration).round(6)
    scores = (100 * decision.mean_activation(spans)).round(1)
    turns = [
        {"start": start, "end": end, "speaker": names[speaker], "confidence": dict(zip(names, row, strict=True))}
        for start, end, speaker, row in zip(
            starts.tolist(), ends.tolist(), speakers.tolist(), scores.tolist(), strict=True
        )
    ]
    exclusive = sum(len(each) for each in found[: len(names)])
    # the grid may reach a hair beyond the last sample
    kept = [[turn for turn in part if turn["start"] < turn["end"]] for part in (turns[:exclusive], turns[exclusive:])]
    return kept[0], kept[1]


def _remark_shortfall(low: int, found: int, where: dict[str, int]) -> list[str]:
    """Return a remark where as many speakers as were asked for could not be found."""
    if found >= low or (low == 1 and not found):
        return []
    channel = f" on channel {where['channel']}" if where else ""
    return [f"At least {low} speakers{channel} were asked for, but there is speech enough for {found} only."]
