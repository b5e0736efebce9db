"""The features of an ONNX file: the same network, which answers with what its last matrix product reads."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from facelime_cli.answering.converting import FEATURES
from facelime_cli.answering.runtimes import ONNX, installing
from facelime_cli.core.familiarity import MOST_FEATURES
from facelime_cli.errors import FacelimeError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MULTIPLYING = {"Gemm", "MatMul", "Conv"}
"""Nodes with weights: their second input."""


def write(source: Path, target: Path, output: str | None) -> None:
    """Write an ONNX file that answers with the features of another.

    Parameters
    ----------
    source, target : pathlib.Path
    output : str, optional
        The name of the output that is explained; by default the first.

    Raises
    ------
    FacelimeError
        Where the package `onnx` is missing, or no matrix product makes the scores.
    """
    if importlib.util.find_spec("onnx") is None:
        raise FacelimeError(
            f"--reference looks into {source.name} with the package onnx, which is not installed; "
            f"`{installing(ONNX)}` installs it."
        )
    import onnx

    network = onnx.load(str(source))
    graph = network.graph
    read = _read_by_the_last(graph, output or graph.output[0].name)
    if read is None:
        raise FacelimeError(
            f"{source.name} cannot say which pictures it knows: no matrix product of 2 to {MOST_FEATURES} numbers "
            "makes its scores; leave --reference out."
        )
    name, is_map = read
    graph.node.extend(_flattening(name, is_map=is_map))
    del graph.output[:]
    graph.output.append(onnx.helper.make_tensor_value_info(FEATURES, onnx.TensorProto.FLOAT, [None, None]))
    onnx.save(network, str(target))


def _read_by_the_last(graph: Any, answer: str) -> tuple[str, bool] | None:
    """Follow an answer back to what the product reads that makes the scores, and whether that has places."""
    makers = {each: node for node in graph.node for each in node.output}
    weights = _shapes_of_constants(graph)
    while answer in makers:
        node = makers[answer]
        given = [each for each in node.input if each and each not in weights]
        shape = next((weights[each] for each in node.input if each in weights), ())
        if node.op_type in MULTIPLYING and given == [node.input[0]]:
            n_read, n_answered = _sides(node, shape)
            # One that calibrates, or makes two sides of one score, reads scores.
            if 1 < n_read <= MOST_FEATURES and n_read != n_answered:
                return node.input[0], node.op_type == "Conv"
        if len(given) != 1:
            return None
        answer = given[0]
    return None


def _sides(node: Any, shape: tuple[int, ...]) -> tuple[int, int]:
    """Return how many numbers a product reads and answers for each picture, or place."""
    if node.op_type == "Conv":
        return shape[1], shape[0]
    if len(shape) != 2:  # noqa: PLR2004 - a matrix
        return 0, 0
    turned = node.op_type == "Gemm" and any(each.name == "transB" and each.i for each in node.attribute)
    return (shape[1], shape[0]) if turned else (shape[0], shape[1])


def _shapes_of_constants(graph: Any) -> dict[str, tuple[int, ...]]:
    """Return the shape of everything in a graph that depends on no picture."""
    found = {each.name: tuple(each.dims) for each in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            found[node.output[0]] = next((tuple(each.t.dims) for each in node.attribute if each.name == "value"), ())
    return found


def _flattening(name: str, *, is_map: bool) -> Iterator[Any]:
    """Yield the nodes that make float32 features of what a product reads."""
    from onnx import TensorProto, helper

    if is_map:
        yield helper.make_node("GlobalAveragePool", [name], [f"{FEATURES}/pooled"])
        name = f"{FEATURES}/pooled"
    yield helper.make_node("Flatten", [name], [f"{FEATURES}/flat"], axis=1)
    yield helper.make_node("Cast", [f"{FEATURES}/flat"], [FEATURES], to=TensorProto.FLOAT)
