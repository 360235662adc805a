"""Store the convolutions of the embedding network in 8 bits: half the time, and 6 MB less in the wheel.

    pip install onnx onnxruntime soundfile soxr
    python -m tools.quantise_models FOLDER --only TUNE.txt

A maintainer's tool, to be run after `tools/export_models.py`. It reads the float model that is shipped, quantises its
convolutions (QDQ, a scale per channel, weights of 7 bits: processors without VNNI saturate otherwise), calibrated on
speech of FOLDER, compares the embeddings of both on the same speech, and writes sha256 and provenance anew. Run
`tools/share_context.py` after it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import soundfile
import soxr
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from diarnb.engines.local.embedding import make_filter_bank
from diarnb.engines.local.networks import MODELS
from diarnb.engines.local.segmentation import RATE
from tools._graph import condense

FRAMES = 500  # of 10 ms, as `diarnb.engines.local.embedding` runs the network
CHUNKS = 60
LEAST_SIMILARITY = 0.96


class Chunks(CalibrationDataReader):
    """Chunks of features, drawn from recordings."""

    def __init__(self, folder: Path, only: Path) -> None:
        found = []
        for name in only.read_text(encoding="utf-8").split():
            features = read_features(folder / f"{name}.flac")
            found += [features[start : start + FRAMES] for start in range(0, len(features) - FRAMES, FRAMES)]
        drawn = np.random.default_rng(0).permutation(len(found))[: 2 * CHUNKS]
        self.chunks = [to_inputs(found[number]) for number in drawn]
        self._coming = iter(self.chunks[:CHUNKS])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._coming, None)


def read_features(path: Path) -> np.ndarray:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    bank = make_filter_bank()
    bank.accept_waveform(RATE, soxr.resample(samples.mean(1), rate, RATE).astype(np.float32))
    return np.array([bank.get_frame(number) for number in range(bank.num_frames_ready)], np.float32).reshape(-1, 80)


def to_inputs(features: np.ndarray) -> dict[str, np.ndarray]:
    """Return the network's inputs: the chunk normalised by its mean, and a pooling mask for each second of it."""
    masks = np.repeat(np.eye(FRAMES // 100, dtype=np.float32), 50, axis=1)
    return {"features": (features - features.mean(0))[None], "weights": masks[None]}


def restore_float(model: onnx.ModelProto) -> None:
    """Replace float16 weights behind a Cast by float32 ones."""
    graph = model.graph
    weights = {weight.name: weight for weight in graph.initializer}
    for node in list(graph.node):
        if node.op_type == "Cast" and node.input[0] in weights:
            values = numpy_helper.to_array(weights[node.input[0]]).astype(np.float32)
            graph.initializer.remove(weights[node.input[0]])
            graph.initializer.append(numpy_helper.from_array(values, node.output[0]))
            graph.node.remove(node)


def embed(path: Path, inputs: list[dict[str, np.ndarray]]) -> np.ndarray:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, each)[0][0] for each in inputs])


def quantise(plain: Path, quantised: Path, chunks: Chunks) -> None:
    """Quantise the convolutions of a network, calibrated on chunks."""
    without_symbolic_shapes = (False, False, True)  # they need sympy, and static ones suffice
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder, "prepared.onnx")
        quant_pre_process(str(plain), str(prepared), *without_symbolic_shapes)
        quantize_static(
            str(prepared),
            str(quantised),
            chunks,
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            op_types_to_quantize=["Conv"],
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    model = onnx.load(str(quantised))
    tidy(model)
    condense(model)
    onnx.save(model, str(quantised))


def tidy(model: onnx.ModelProto) -> None:
    """Remove what a graph does not need, and check it."""
    del model.metadata_props[:]
    used = {node.domain for node in model.graph.node}
    for opset in [each for each in model.opset_import if each.domain not in used]:
        model.opset_import.remove(opset)
    onnx.checker.check_model(model)


def add_speech(parser: argparse.ArgumentParser) -> None:
    """Let the command line name recordings to calibrate on."""
    parser.add_argument("folder", type=Path, help="recordings of speech, NAME.flac")
    parser.add_argument("--only", type=Path, required=True, metavar="NAMES.txt", help="those to take, one name a line")


def store(name: str, plain: Path, chunks: Chunks, **facts: object) -> None:
    """Quantise a network, compare it with the float one, and write it into the package with what is known of it."""
    path = MODELS / f"{name}.onnx"
    quantise(plain, path, chunks)
    held = chunks.chunks[CHUNKS:]
    similarity = float((embed(plain, held) * embed(path, held)).sum(-1).mean())
    assert similarity > LEAST_SIMILARITY, f"embeddings differ: mean similarity {similarity}"
    record(
        name,
        **facts,
        mean_similarity_to_float=round(similarity, 4),
        quantised_with=f"onnxruntime {ort.__version__}, QDQ of Conv, per channel, 7 bits",
    )
    print(f"{name}: {path.stat().st_size / 1e6:.1f} MB, mean similarity to float {similarity:.4f}")


def record(name: str, **facts: object) -> None:
    """Write the hash and the size of a network into its provenance, and what else is known of it."""
    path, content = MODELS / "provenance.json", (MODELS / f"{name}.onnx").read_bytes()
    known: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    size = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    known[name] = known.get(name, {}) | size | facts
    path.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_speech(parser)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder, "plain.onnx")
        model = onnx.load(str(MODELS / "embedding.onnx"))
        restore_float(model)
        onnx.save(model, str(plain))
        store("embedding", plain, Chunks(arguments.folder, arguments.only))


if __name__ == "__main__":
    main()
