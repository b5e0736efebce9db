"""A network as facelime keeps it: input scaling inside, probabilities out; loading, saving, checking."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.errors import BrokenError, FacelimeError, first_line
from facelime_cli.models import backend
from facelime_cli.models.backbones import ACTIVATIONS, SCALINGS
from facelime_cli.models.backend import UNLOADABLE, keras
from facelime_cli.store import digests

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601), as Pillow's own conversion to grey."""


SUM_TOLERANCE = 1e-3
RANGE_TOLERANCE = 1e-6
BOTH_SIDES = 2
"""Columns of a one-unit sigmoid: [1 - p, p]."""


SIGNATURE = "serving_default"


PASSING_LAYERS = {"Reshape", "Flatten", "Dropout", "Identity"}
"""Layers that hand values on as they are."""
BOTH_SIDES_LAYER = "both_sides"
FLOAT32_LAYERS = {"Rescaling", "Normalization", "Softmax", "Sigmoid"}
"""Layers that keep 32 bits in every precision: what makes the input, and the answer."""


def check_channels(scaling: str, channels: int) -> None:
    """Raise when a scaling of three channels is to go in front of a network that reads one."""
    how = SCALINGS[scaling]
    if channels == 1 and (len(how.offset) > 1 or how.reverse):
        raise FacelimeError(
            f"--scaling {scaling} is for three channels, but the network reads one; use 0..1, -1..1 or 0..255."
        )


def scaled(inputs: Any, scaling: str, channels: int) -> Any:
    """Apply the layers that turn display space into a network's input: luminance, channel order, scale. Keras layers only, so that any Keras can load them."""
    k = keras()
    how = SCALINGS[scaling]
    x = inputs
    check_channels(scaling, channels)
    if channels == 1:
        x = _fixed_colour_map(x, np.array(LUMINANCE)[:, None], "luminance")
    elif how.reverse:
        x = _fixed_colour_map(x, np.eye(3)[::-1], "blue_green_red")
    scale, offset = (list(value) if len(value) > 1 else value[0] for value in (how.scale, how.offset))
    return k.layers.Rescaling(scale, offset, name="input_scaling")(x)


def _fixed_colour_map(x: Any, matrix: NDArray[np.float64], name: str) -> Any:
    layer = keras().layers.Conv2D(matrix.shape[1], 1, use_bias=False, trainable=False, name=name)
    y = layer(x)
    layer.set_weights([matrix[None, None].astype(np.float32)])
    return y


def both_sides() -> Any:
    """Return the layer that makes [1 - p, p] of one p."""
    layer = keras().layers.Dense(BOTH_SIDES, trainable=False, name=BOTH_SIDES_LAYER, dtype="float32")
    layer.build((None, 1))
    layer.set_weights([np.array([[-1.0, 1.0]], np.float32), np.array([1.0, 0.0], np.float32)])
    return layer


def with_scaling(network: Any, *, scaling: str, size: int, n_classes: int, activation: str | None) -> Any:
    """Wrap a network from outside, so that it reads display space and answers with probabilities of at least two classes.

    Parameters
    ----------
    network : keras.Model
        One picture in, one vector out.
    scaling : str
        A key of `SCALINGS`.
    size : int
    n_classes : int
    activation : str or None
        What to put behind a network that ends in logits.
    """
    k = keras()
    channels, outputs = _shapes(network)
    ends_in = final_activation(network)
    if activation and ends_in in {"softmax", "sigmoid"}:
        raise FacelimeError(f"the network ends in {ends_in} already; leave --activation {activation} out.")
    check_activation(activation, outputs)
    inputs = k.Input((size, size, 3), name="display")
    try:
        y = network(scaled(inputs, scaling, channels), training=False)
    except (ValueError, TypeError) as why:
        raise FacelimeError(
            f"the network does not take a picture of {size}×{size} pixels ({first_line(why)}); give its input size with --size."
        ) from why
    if activation:
        y = k.layers.Activation(activation, name="probabilities")(y)
    if outputs == 1 and n_classes == BOTH_SIDES:
        y = both_sides()(y)
    elif outputs != n_classes:
        raise FacelimeError(
            f"the network has {outputs} outputs, but {n_classes} classes are named; name one class per output with --classes."
        )
    return k.Model(inputs, y)


def check_activation(activation: str | None, outputs: int) -> None:
    """Raise when what is put behind a network would make the same of whatever it answers."""
    if activation == "softmax" and outputs == 1:
        raise FacelimeError("--activation softmax makes 1 of a single output; use --activation sigmoid.")


def _shapes(network: Any) -> tuple[int, int]:
    """Return channels and number of outputs of a network, or say why it cannot be explained."""
    if len(network.inputs) != 1 or len(network.outputs) != 1:
        raise FacelimeError(
            f"the network has {len(network.inputs)} inputs and {len(network.outputs)} outputs; facelime explains networks with one picture in and one vector out."
        )
    shape, out = tuple(network.inputs[0].shape), tuple(network.outputs[0].shape)
    if len(shape) != 4 or shape[-1] not in (1, 3) or len(out) != 2:  # noqa: PLR2004 - batch, height, width, channel; batch, class
        raise FacelimeError(
            f"the network reads {shape} and answers {out}; it should read (batch, height, width, 1 or 3) and answer (batch, classes)."
        )
    return int(shape[-1]), int(out[-1])


def input_size(network: Any) -> int | None:
    """Return the side of the square that a network reads, or None when it is open."""
    height, width = (*network.inputs[0].shape, None, None, None)[1:3]
    if height != width:
        raise FacelimeError(
            f"the network reads pictures of {height}×{width}; only square inputs can be explained, put a resizing layer in front of it."
        )
    return None if height is None else int(height)


def channels(network: Any) -> int:
    """Return how many channels a network reads."""
    return int(network.inputs[0].shape[-1])


def final_activation(network: Any) -> str:
    """Return the name of the activation that makes a network's output, or an empty string when it cannot be told."""
    layer = network.outputs[0]._keras_history.operation  # noqa: SLF001 - Keras has no public way from a tensor to its layer
    while type(layer).__name__ in PASSING_LAYERS:
        layer = layer.input._keras_history.operation  # noqa: SLF001 - as above
    if hasattr(layer, "outputs") and hasattr(layer, "layers"):
        return final_activation(layer)
    if type(layer).__name__ in {"Softmax", "Sigmoid"}:
        return type(layer).__name__.lower()
    return getattr(getattr(layer, "activation", None), "__name__", "")


def why_not_probabilities(values: NDArray[np.float32], activation: str, *, independent: bool = False) -> str | None:
    """Say why a network's answers are no probabilities, or None when they are.

    Parameters
    ----------
    values : (B, C) float32 array
        Answers to a few pictures.
    activation : str
        From `final_activation`: independent sigmoids need not add up to 1.
    independent : bool
        Whether each class has a probability of its own, whatever the network ends in.
    """
    n_outputs = values.shape[1]
    remedy = f"--activation {'sigmoid' if n_outputs == 1 else 'softmax'}"
    if not np.isfinite(values).all():
        return "the network answers with NaN or infinity; check --scaling and the file."
    if values.min() < -RANGE_TOLERANCE or values.max() > 1 + RANGE_TOLERANCE:
        return f"the network answers between {values.min():.3g} and {values.max():.3g}, which are no probabilities but probably logits; add {remedy}."
    if activation == "linear" and n_outputs == 1:
        return f"the network ends in a linear unit, so its answer is no probability; add {remedy}."
    off = float(np.abs(values.sum(axis=1) - 1).max())
    if n_outputs > 1 and activation != "sigmoid" and not independent and off > SUM_TOLERANCE:
        return f"the network's classes add up to {values[0].sum():.3g}, not to 1; add --multi-label if each has a probability of its own, --activation softmax or sigmoid if these are logits."
    return None


def save(network: Any, path: Path) -> None:
    """Save a network with its scaling, and without anything of its training."""
    network.save(path)


def load(path: Path, *, trust: bool = False) -> Any:
    """Load a saved network; code inside the file (a Lambda layer) is refused, unless it is trusted."""
    k = keras()
    try:
        return k.models.load_model(path, compile=False, safe_mode=not trust)
    except UNLOADABLE as why:
        if not trust and "ambda" in str(why):
            raise FacelimeError(
                f"{path.name} holds code of its own (a Lambda layer), which would run on this machine; if you know who made it, add --trust."
            ) from why
        raise BrokenError(
            f"{path} cannot be loaded as a Keras model ({first_line(why)}); give a .keras or .h5 file of a whole model, or --backbone NAME for a file of weights alone."
        ) from why


def load_saved_model(path: Path) -> Any:
    """Return a TensorFlow SavedModel as a network of one layer: its signature `serving_default`, one picture in, one vector out."""
    k = keras()
    if k.backend.backend() != "tensorflow":
        raise FacelimeError(
            f"{path.name} is a TensorFlow SavedModel, which KERAS_BACKEND={k.backend.backend()} does not run; leave the variable out."
        )
    import tensorflow as tf

    try:
        signatures = tf.saved_model.load(str(path)).signatures
        layer = k.layers.TFSMLayer(str(path), call_endpoint=SIGNATURE)
    except (*UNLOADABLE, tf.errors.OpError) as why:
        raise BrokenError(
            f"{path} cannot be loaded as a SavedModel with a signature {SIGNATURE} ({first_line(why)}); export the model again, with `model.export(folder)` in Keras."
        ) from why
    specs = list(signatures[SIGNATURE].structured_input_signature[1].values())
    if len(specs) != 1 or len(signatures[SIGNATURE].structured_outputs) != 1:
        raise FacelimeError(
            f"{path} has {len(specs)} inputs and {len(signatures[SIGNATURE].structured_outputs)} outputs; facelime explains networks with one picture in and one vector out."
        )
    shape, kind = specs[0].shape, specs[0].dtype
    if shape.rank != 4 or shape[0] is not None or kind != tf.float32:  # noqa: PLR2004 - batch, height, width, channel
        raise FacelimeError(
            f"{path} reads {kind.name} of {shape}; it should read float32 of (None, height, width, 1 or 3), any number of pictures: export it again so."
        )
    inputs = k.Input(tuple(shape)[1:])
    return k.Model(inputs, next(iter(layer(inputs).values())))


def in_precision(network: Any, precision: str, *, trust: bool = False) -> Any:
    """Return a network that computes with 16 bits for `bfloat16`, else with 32, whatever it was saved with; what makes its probabilities has 32 bits always.

    Multiplications have 16 bits, sums and weights 32 (Keras' `mixed_bfloat16`).
    """
    policy = "mixed_bfloat16" if precision == "bfloat16" else "float32"
    if policy == "float32" and all(
        getattr(layer, "compute_dtype", "float32") == "float32"
        for layer in network._flatten_layers()  # noqa: SLF001 - Keras has no public way to all layers within layers
    ):
        return network
    if trust:
        keras().config.enable_unsafe_deserialization()  # `load` asks for safety each time, whatever is said here
    other = type(network).from_config(_with_policy(network.get_config(), policy))
    other.set_weights(network.get_weights())
    return other


def _with_policy(config: Any, policy: str) -> Any:
    """Return a network's configuration with another policy in every layer, but those that answer."""
    if isinstance(config, (list, tuple)):
        return [_with_policy(each, policy) for each in config]
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "DTypePolicy":
        return {**config, "config": {**config["config"], "name": policy}}
    own = config.get("config")
    if isinstance(own, dict) and (
        config.get("class_name") in FLOAT32_LAYERS
        or own.get("activation") in ACTIVATIONS
        or own.get("name") == BOTH_SIDES_LAYER
    ):
        policy = "float32"
    return {key: _with_policy(value, policy) for key, value in config.items()}


def resized(network: Any, size: int) -> Any:
    """Return a network that reads pictures of another size: a layer in front makes them its own (bilinear, antialiased)."""
    k = keras()
    inputs = k.Input((size, size, 3), name="display")
    own = input_size(network)
    return k.Model(
        inputs, network(k.layers.Resizing(own, own, interpolation="bilinear", antialias=True, name="resize")(inputs))
    )


def export(network: Any, path: Path, form: str) -> None:
    """Write a network for another runtime, `onnx` or `openvino`; from (B, H, W, 3) float32 display space to (B, C) probabilities, any B."""
    if keras().backend.backend() != "tensorflow":
        raise FacelimeError(
            f"a network is converted for --runtime {form} with Keras on TensorFlow; run the command once without KERAS_BACKEND, the result is kept."
        )
    network(np.zeros((1, *network.inputs[0].shape[1:]), np.float32))  # Keras exports what has been called
    with backend.silent_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # Keras' own, of NumPy
        try:
            network.export(str(path), format=form, verbose=False)
        except Exception as why:  # converters raise anything
            raise FacelimeError(
                f"the network cannot be converted for --runtime {form} ({first_line(why)}); use --runtime keras, which runs it as it is."
            ) from why


def digest(network: Any) -> str:
    """Return the content digest of a network: its configuration and its weights."""
    weights = [
        [
            each.path,
            str(each.dtype),
            list(each.shape),
            digests.of_bytes(np.asarray(keras().ops.convert_to_numpy(each)).tobytes()),
        ]
        for each in network.weights
    ]
    return digests.of_value({"configuration": network.to_json(), "weights": weights})
