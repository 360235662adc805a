"""Diarizes 16 kHz mono WAV files with sherpa-onnx and prints one line of JSON; needs sherpa-onnx, onnx and soundfile.

It runs diarnb's own networks, in copies with the metadata that sherpa-onnx asks for, so that what is compared is all
the rest; its settings are those that it has of itself.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx  # type: ignore[import-not-found]
import sherpa_onnx  # type: ignore[import-not-found]
import soundfile as sf

from benchmarks._machine import cores
from benchmarks._peer_answers import Turn, answer

if TYPE_CHECKING:
    from collections.abc import Callable

MODELS = Path(__file__).parents[1] / "diarnb" / "engines" / "local" / "models"
SEGMENTATION = {
    "sample_rate": 16_000,
    "window_size": 160_000,
    "receptive_field_size": 991,
    "receptive_field_shift": 270,
    "num_speakers": 3,
    "powerset_max_classes": 2,
    "num_classes": 7,
}
EMBEDDING = {
    "framework": "3d-speaker",
    "language": "Chinese-English",
    "sample_rate": 16_000,
    "output_dim": 192,
    "normalize_samples": 1,
    "feature_normalize_type": "global-mean",
}


def copy_segmentation(folder: Path) -> Path:
    """Write the segmentation network with metadata."""
    model = onnx.load(MODELS / "segmentation.onnx")
    return _save(model, SEGMENTATION, folder / "segmentation.onnx")


def copy_embedding(folder: Path) -> Path:
    """Write the embedding network with metadata, for one voice that speaks in all frames: ours takes masks of many."""
    model = onnx.load(MODELS / "embedding.onnx")
    graph, make = model.graph, onnx.helper.make_node
    for name, numbers in {"one": [1], "two": [2], "whole": [-1, 192]}.items():
        graph.initializer.append(
            onnx.helper.make_tensor(f"all_{name}", onnx.TensorProto.INT64, [len(numbers)], numbers)
        )
    ones = onnx.helper.make_tensor("ones", onnx.TensorProto.FLOAT, [1], [1.0])
    before = [
        make("Shape", ["features"], ["all_batch"], start=0, end=1),
        make("Shape", ["features"], ["all_frames"], start=1, end=2),
        make("Add", ["all_frames", "all_one"], ["all_more"]),
        make("Div", ["all_more", "all_two"], ["all_pooled"]),  # two feature frames are pooled as one
        make("Concat", ["all_batch", "all_one", "all_pooled"], ["all_shape"], axis=0),
        make("ConstantOfShape", ["all_shape"], ["weights"], value=ones),
    ]
    nodes = [*before, *graph.node, make("Reshape", ["voices", "all_whole"], ["embedding"])]
    del graph.node[:]
    graph.node.extend(nodes)
    features = next(each for each in graph.input if each.name == "features")
    del graph.input[:], graph.output[:]
    graph.input.append(features)
    graph.output.append(onnx.helper.make_tensor_value_info("embedding", onnx.TensorProto.FLOAT, ["batch", 192]))
    return _save(model, EMBEDDING, folder / "embedding.onnx")


def _save(model: Any, metadata: dict[str, object], path: Path) -> Path:
    onnx.helper.set_model_props(model, {name: str(value) for name, value in metadata.items()})
    onnx.save(model, path)
    return path


def load(cold: bool) -> Callable[[Path], list[Turn]]:
    with tempfile.TemporaryDirectory() as scratch:
        config = sherpa_onnx.OfflineSpeakerDiarizationConfig(
            segmentation=sherpa_onnx.OfflineSpeakerSegmentationModelConfig(
                pyannote=sherpa_onnx.OfflineSpeakerSegmentationPyannoteModelConfig(
                    model=str(copy_segmentation(Path(scratch)))
                ),
                num_threads=cores(),
            ),
            embedding=sherpa_onnx.SpeakerEmbeddingExtractorConfig(
                model=str(copy_embedding(Path(scratch))), num_threads=cores()
            ),
            clustering=sherpa_onnx.FastClusteringConfig(num_clusters=-1),
        )
        diarizer = sherpa_onnx.OfflineSpeakerDiarization(config)

    def diarize(path: Path) -> list[Turn]:
        samples, _ = sf.read(path, dtype="float32")
        found = diarizer.process(samples).sort_by_start_time()
        return [(turn.start, turn.end, f"SPEAKER_{turn.speaker:02d}") for turn in found]

    return diarize


if __name__ == "__main__":
    answer("sherpa-onnx", ("sherpa-onnx", "numpy"), load)
