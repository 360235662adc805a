"""Compute CAM++'s context masks once for 100 frames, not for each: nearly a third of its time less.

    pip install onnx onnxruntime
    python -m tools.share_context

A maintainer's tool, to be run after `tools/quantise_models.py`. Each layer of CAM++ is masked by its context, which is
the mean of the whole chunk and that of every 100 frames [1]_. As exported, a layer repeats the latter for each frame in
some twenty operations, and computes the mask for all of them. Here two matrices, made once, average before the mask is
computed and repeat it afterwards. That is the same but for the order in which 100 numbers are summed, which moves one
embedding in a hundred by a step of its 8 bits.

References
----------
.. [1] Wang et al., "CAM++: A fast and efficient network for speaker verification using context-aware masking",
   Interspeech 2023.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, TensorProto

from diarnb.engines.local.networks import MODELS
from tools._graph import Graph, condense
from tools.quantise_models import embed, record, tidy

LAYERS, FRAMES = 52, 100
LEAST_SIMILARITY = 0.9999


def share_context(model: onnx.ModelProto) -> None:
    """Average over 100 frames by one matrix, and repeat the masks that follow by another."""
    nodes = list(model.graph.node)
    means = {node.output[0] for node in nodes if node.op_type == "ReduceMean"}
    layers = 0
    del model.graph.node[:]
    graph = Graph(model)
    for node in nodes:
        if node.op_type == "AveragePool":
            if not layers:
                add_matrices(graph, node.input[0])
            graph.add("MatMul", [node.input[0], "average"], node.output[0])
            averages, layers = node.output[0], layers + 1
            continue
        if node.op_type == "Add" and means & set(node.input):
            node.input[:] = [name if name in means else averages for name in node.input]
        if node.op_type == "Sigmoid":
            mask, shared = node.output[0], f"{node.output[0]} shared"
            node.output[0] = shared
            model.graph.node.append(node)
            graph.add("MatMul", [shared, "repeat"], mask)
        else:
            model.graph.node.append(node)
    assert layers == LAYERS, f"{layers} layers"
    drop_unused(model)
    tidy(model)
    condense(model)


def add_matrices(graph: Graph, x: str) -> None:
    """Add what averages 100 frames of `x` [shape=(frames, segments)], and what repeats a value for each of them."""
    zero, one, width = (graph.constant(str(number), number, np.int64) for number in (0, 1, FRAMES))
    graph.add("Squeeze", [graph.add("Shape", [x], "shape", start=2, end=3)], "frames")
    graph.add("Div", [graph.add("Range", [zero, "frames", one], "places"), width], "segment of each")
    rounded = graph.add("Add", ["frames", graph.constant("all but one", FRAMES - 1, np.int64)], "rounded")
    graph.add("Range", [zero, graph.add("Div", [rounded, width], "count"), one], "segments")
    graph.add("Unsqueeze", ["segments", graph.constant("columns", [1], np.int64)], "column")
    graph.add("Cast", [graph.add("Equal", ["column", "segment of each"], "within")], "repeat", to=TensorProto.FLOAT)
    graph.add("ReduceSum", ["repeat", "columns"], "lengths", keepdims=1)
    graph.add("Transpose", [graph.add("Div", ["repeat", "lengths"], "shares")], "average", perm=[1, 0])


def drop_unused(model: onnx.ModelProto) -> None:
    """Remove operations and constants that no output needs."""
    needed = {output.name for output in model.graph.output}
    kept: list[NodeProto] = []
    for node in reversed(model.graph.node):
        if needed & set(node.output):
            needed |= set(node.input)
            kept.append(node)
    constants = [each for each in model.graph.initializer if each.name in needed]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(reversed(kept))
    model.graph.initializer.extend(constants)


def make_noise(frames: int) -> dict[str, np.ndarray]:
    """Make inputs of a length, all of it pooled."""
    features = np.random.default_rng(frames).standard_normal((2, frames, 80)).astype(np.float32)
    return {"features": features, "weights": np.ones((2, 1, -(-frames // 2)), np.float32)}


def main() -> None:
    path = MODELS / "embedding.onnx"
    with tempfile.TemporaryDirectory() as folder:
        before = Path(folder, "before.onnx")
        before.write_bytes(path.read_bytes())
        model = onnx.load(str(path))
        share_context(model)
        onnx.save(model, str(path))
        inputs = [make_noise(frames) for frames in (2, 31, 148, 200, 201, 496, 500, 1203)]
        similarity = float((embed(before, inputs) * embed(path, inputs)).sum(-1).min())
    assert similarity > LEAST_SIMILARITY, f"embeddings differ: least similarity {similarity}"
    record("embedding", context="means of 100 frames by a matrix")
    print(f"embedding: {len(model.graph.node)} operations, least similarity to before {similarity:.6f}")


if __name__ == "__main__":
    main()
