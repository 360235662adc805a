"""Build onto an ONNX graph: constants and operations by name."""

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
