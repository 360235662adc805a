"""Change an ONNX graph: add constants and operations by name, and make names short in the end."""

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


def shorten_names(model: onnx.ModelProto) -> None:
    """Give constants and results short names, and operations none: a third of the time to load CAM++ went to names."""
    graph = model.graph
    names = {each.name: each.name for each in (*graph.input, *graph.output)} | {"": ""}
    for constant in graph.initializer:
        constant.name = names.setdefault(constant.name, f"t{len(names)}")
    for node in graph.node:
        node.name = ""
        node.input[:] = [names.setdefault(name, f"t{len(names)}") for name in node.input]
        node.output[:] = [names.setdefault(name, f"t{len(names)}") for name in node.output]
    del graph.value_info[:]
    onnx.checker.check_model(model)
