"""Keras networks as files for other runtimes."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.errors import FacelimeError, first_line
from facelime_cli.models import backend
from facelime_cli.models.backend import keras

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OF_WEIGHTS = "weight_"
"""Begins the names of a traced call's weights."""


def reading_planes(network: Any) -> Any:
    """Return a network that reads (B, 3, H, W) uint8 in place of (B, H, W, 3) float32.

    Parameters
    ----------
    network : keras.Model

    Returns
    -------
    keras.Model
    """
    k = keras()
    planes = k.Input((3, *network.inputs[0].shape[1:3]), dtype="uint8", name="planes")
    return k.Model(planes, network(k.ops.cast(k.ops.transpose(planes, (0, 2, 3, 1)), "float32")))


def export(network: Any, path: Path, form: str) -> None:
    """Write a network for another runtime; Keras runs on TensorFlow.

    Parameters
    ----------
    network : keras.Model
        From one array of pictures to (B, C) probabilities, any B.
    path : pathlib.Path
    form : str
        `onnx` or `openvino`.

    Raises
    ------
    FacelimeError
        Where the network cannot be converted.
    """
    with backend.silent_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converters' own, of NumPy and of Keras
        try:
            _EXPORTS[form](network, path)
        except Exception as why:  # converters raise anything
            raise FacelimeError(
                f"the network cannot be converted for --runtime {form} ({first_line(why)}); "
                "use --runtime keras, which runs it as it is."
            ) from why


def _to_openvino(network: Any, path: Path) -> None:
    # Without this package OpenVINO's converter does not tell its makers that it was used.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    given = network.inputs[0]
    network(np.zeros((1, *given.shape[1:]), given.dtype))  # Keras exports what has been called
    network.export(str(path), format="openvino", verbose=False)


def _to_onnx(network: Any, path: Path) -> None:
    """Convert the call with its weights as inputs, and put these into the file afterwards.

    As constants of the graph they are copied by every step of the converter: 6.8 GB and 56 s for InceptionV3, this way
    1.2 GB and 13 s (`benchmarks/conversion.py`). The answers have the same bits.
    """
    import onnx
    import tensorflow as tf
    import tf2onnx
    from keras.src.export.tf2onnx_lib import patch_tf2onnx
    from onnx import numpy_helper

    patch_tf2onnx()  # it knows only NumPy 1
    k, variables, given = keras(), network.variables, network.inputs[0]

    def call(pictures: Any, *weights: Any) -> Any:
        with k.StatelessScope(state_mapping=list(zip(variables, weights, strict=True))):
            return network(pictures, training=False)

    names = [f"{OF_WEIGHTS}{number}" for number in range(len(variables))]
    signature = [tf.TensorSpec((None, *given.shape[1:]), given.dtype, name="pictures")]
    for each, name in zip(variables, names, strict=True):
        signature.append(tf.TensorSpec(each.shape, each.dtype, name=name))
    made, _ = tf2onnx.convert.from_function(tf.function(call, autograph=False), signature)
    values = dict(zip(names, variables, strict=True))
    inputs = list(made.graph.input)
    del made.graph.input[:]
    for each in inputs:
        if each.name in values:
            made.graph.initializer.append(numpy_helper.from_array(np.asarray(values[each.name]), each.name))
        else:
            made.graph.input.append(each)
    # The converter leaves what it does not know as it is.
    onnx.checker.check_model(made)
    onnx.save(made, str(path))


_EXPORTS: dict[str, Callable[[Any, Path], None]] = {"onnx": _to_onnx, "openvino": _to_openvino}
