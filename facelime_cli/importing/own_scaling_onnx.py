"""What an ONNX file does to its pictures before anything else."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.importing.own_scaling import ANY_SIDE, Beginning

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from facelime_cli.answering.onnx_files import Input

    Step = Callable[[NDArray[np.float32]], NDArray[np.float32]]

ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
}
PASSING = {"Cast", "Identity", "Dropout"}
PER_CHANNEL = {1, 3}
"""Numbers of a scaling: more are a picture of their own."""
TRANSPOSE, CONSTANT = "Transpose", "Constant"


def of_onnx(path: Path, its: Input) -> Beginning | None:
    """Return what an ONNX file begins with.

    Parameters
    ----------
    path : pathlib.Path
    its : Input

    Returns
    -------
    Beginning or None
        None where the package `onnx`, which reads graphs, is not installed.
    """
    if importlib.util.find_spec("onnx") is None:
        return None
    import onnx

    graph = onnx.load(str(path)).graph
    names, steps = _steps(graph)

    def call(values: NDArray[np.float32]) -> NDArray[np.float32]:
        for step in steps:
            values = step(values)
        return values

    height, width = (side or ANY_SIDE for side in its.sides)
    return Beginning(names, call, (height, width), its.channels, its.channels_first)


def _steps(graph: Any) -> tuple[list[str], list[Step]]:
    """Follow the pictures into a graph as long as they are only scaled, cast and transposed."""
    from onnx import numpy_helper

    constants = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    for node in graph.node:
        if node.op_type == CONSTANT and [each.name for each in node.attribute] == ["value"]:
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    current = next(each.name for each in graph.input if each.name not in constants)
    names: list[str] = []
    steps: list[Step] = []
    while True:
        readers = [node for node in graph.node if current in node.input]
        if len(readers) != 1:
            return names, steps
        (node,) = readers
        beside = [constants[each] for each in node.input if each in constants]
        if node.op_type in ARITHMETIC and [each.size in PER_CHANNEL for each in beside] == [True]:
            names.append(node.name or node.op_type)
            steps.append(_scaling(node, current, constants))
        elif node.op_type == TRANSPOSE:
            steps.append(_transposing(list(node.attribute[0].ints) if node.attribute else None))
        elif node.op_type not in PASSING:
            return names, steps
        current = node.output[0]


def _scaling(node: Any, current: str, constants: dict[str, NDArray[Any]]) -> Step:
    first, second = (None if each == current else constants[each].astype(np.float32) for each in node.input)
    compute = ARITHMETIC[node.op_type]
    return lambda values: compute(values if first is None else first, values if second is None else second)


def _transposing(axes: list[int] | None) -> Step:
    return lambda values: np.transpose(values, axes)
