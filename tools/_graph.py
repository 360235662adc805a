"""Change an ONNX graph: add constants and operations by name, and make it quick to load in the end."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper


class Graph:
    """An ONNX graph, to which constants and operations are added by name."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.graph = model.graph

    def constant(self, name: str, value: Any, dtype: Any = np.float32) -> str:
        self.graph.initializer.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def add(self, operation: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.graph.node.append(helper.make_node(operation, inputs, [output], **attributes))
        return output

    def take(self, name: str) -> np.ndarray:
        """Remove a constant, and return it."""
        weight = next(each for each in self.graph.initializer if each.name == name)
        self.graph.initializer.remove(weight)
        return numpy_helper.to_array(weight)


def condense(model: onnx.ModelProto) -> None:
    """Make a graph quick to load: equal constants once, one dequantising operation a reader, and short names.

    ONNX Runtime would do the first two itself, and check the whole graph after each. Names take it a third of the time.
    """
    share_constants(model.graph)
    split_dequantising(model.graph)
    shorten_names(model.graph)
    onnx.checker.check_model(model)


def share_constants(graph: onnx.GraphProto) -> None:
    """Keep one of equal constants."""
    first: dict[tuple[object, ...], str] = {}
    names, kept = {}, []
    for constant in graph.initializer:
        content = (constant.data_type, *constant.dims, numpy_helper.to_array(constant).tobytes())
        names[constant.name] = first.setdefault(content, constant.name)
        if names[constant.name] == constant.name:
            kept.append(constant)
    del graph.initializer[:]
    graph.initializer.extend(kept)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]


def split_dequantising(graph: onnx.GraphProto) -> None:
    """Give every reader of a dequantised result a DequantizeLinear of its own."""
    made = {node.output[0]: node for node in graph.node if node.op_type == "DequantizeLinear"}
    nodes, read = [], set()
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name in made and name in read:
                again = onnx.NodeProto()
                again.CopyFrom(made[name])
                again.output[0] = node.input[place] = f"{name} for {node.output[0]} {place}"
                nodes.append(again)
            read.add(name)
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)


def shorten_names(graph: onnx.GraphProto) -> None:
    """Give constants and results short names, and operations none."""
    names = {each.name: each.name for each in (*graph.input, *graph.output)} | {"": ""}
    for constant in graph.initializer:
        constant.name = names.setdefault(constant.name, f"t{len(names)}")
    for node in graph.node:
        node.name = ""
        node.input[:] = [names.setdefault(name, f"t{len(names)}") for name in node.input]
        node.output[:] = [names.setdefault(name, f"t{len(names)}") for name in node.output]
    del graph.value_info[:]
