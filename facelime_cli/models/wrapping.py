"""A network as facelime keeps it: input scaling inside, probabilities out; loading, saving, checking."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.core import shapes
from facelime_cli.errors import BrokenError, FacelimeError, first_line
from facelime_cli.models import outputs
from facelime_cli.models.backbones import ACTIVATIONS, SIGMOID, SOFTMAX, scaling_of
from facelime_cli.models.backend import UNLOADABLE, keras
from facelime_cli.store import digests, files

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from facelime_cli.core.shapes import Size

LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601), as Pillow's own conversion to grey."""
GREY, COLOUR = 1, 3
"""Channels that a network may read."""
IMAGE_AXES, VECTOR_AXES = 4, 2
"""Of a batch of pictures (batch, height, width, channel), and of vectors (batch, class)."""

SUM_TOLERANCE = 1e-3
RANGE_TOLERANCE = 1e-6
BOTH_SIDES = 2
"""Columns of a one-unit sigmoid: [1 - p, p]."""
BOTH_SIDES_LAYER = "both_sides"
VALUES_LAYER = "values"
TEMPERATURE_LAYER, SCORES_LAYER = "temperature", "uncalibrated_scores"
"""What calibration puts into a network: the layer that divides its scores, and the one that makes them."""
MEAN_LAYER = "mean_of_members"
SPEAKING_LAYER = "mean_and_members"
VALUE_REMEDY = "if it answers with values such as an age, give --output-kind value and --names"

SIGNATURE = "serving_default"
"""What TensorFlow calls the function of a SavedModel that answers."""
PASSING_LAYERS = {"Reshape", "Flatten", "Dropout", "Identity"}
"""Layers that hand values on as they are."""
ANSWERING_LAYERS = {"Softmax", "Sigmoid"}
"""Layers that are nothing but an activation."""
FLOAT32_LAYERS = {"Rescaling", "Normalization", *ANSWERING_LAYERS}
"""Layers that keep 32 bits in every precision: what makes the input, and the answer."""
KEEPING_32_BITS = {BOTH_SIDES_LAYER, VALUES_LAYER, SCORES_LAYER, MEAN_LAYER}
"""The same by their names."""


# Scaling


def check_channels(scaling: str, channels: int) -> None:
    """Raise when a scaling of three channels is to go in front of a network that reads one.

    Parameters
    ----------
    scaling : str
        As `backbones.scaling_of` reads it.
    channels : int
        That the network reads.

    Raises
    ------
    FacelimeError
    """
    how = scaling_of(scaling)
    needs_colour = len(how.offset) > 1 or how.reverse
    if channels == GREY and needs_colour:
        raise FacelimeError(
            f"--scaling {scaling} is for three channels, but the network reads one; use one of a single range, such as "
            "0..1, or a mean and a deviation of one number each."
        )


def scaled(inputs: Any, scaling: str, channels: int) -> Any:
    """Apply the layers that turn display space into a network's input: luminance, channel order, scale.

    Only layers of Keras are used, so that any Keras can load them.

    Parameters
    ----------
    inputs : keras tensor
        (B, H, W, 3) in display space.
    scaling : str
        As `backbones.scaling_of` reads it.
    channels : int
        That the network reads.

    Returns
    -------
    keras tensor

    Raises
    ------
    FacelimeError
        Where the scaling is not for this number of channels.
    """
    how = scaling_of(scaling)
    x = inputs
    check_channels(scaling, channels)
    if channels == GREY:
        weights = np.array(LUMINANCE)[:, None]
        x = _fixed_colour_map(x, weights, "luminance")
    elif how.reverse:
        x = _fixed_colour_map(x, np.eye(COLOUR)[::-1], "blue_green_red")
    rescaling = keras().layers.Rescaling(_spelled(how.scale), _spelled(how.offset), name="input_scaling")
    return rescaling(x)


def _spelled(values: tuple[float, ...]) -> list[float] | float:
    """Return numbers as Keras writes them into a file: a list, or the only one."""
    return list(values) if len(values) > 1 else values[0]


def _fixed_colour_map(x: Any, matrix: NDArray[np.float64], name: str) -> Any:
    layer = keras().layers.Conv2D(matrix.shape[1], 1, use_bias=False, trainable=False, name=name)
    y = layer(x)
    layer.set_weights([matrix[None, None].astype(np.float32)])
    return y


def both_sides() -> Any:
    """Return the layer that makes [1 - p, p] of one p.

    Returns
    -------
    keras.layers.Layer
    """
    layer = keras().layers.Dense(BOTH_SIDES, trainable=False, name=BOTH_SIDES_LAYER, dtype="float32")
    layer.build((None, 1))
    slopes, offsets = np.array([[-1.0, 1.0]], np.float32), np.array([1.0, 0.0], np.float32)
    layer.set_weights([slopes, offsets])
    return layer


def with_scaling(
    network: Any, *, scaling: str, size: Size, n_classes: int, activation: str | None, values: bool = False
) -> Any:
    """Wrap a network from outside, so that it reads display space and answers with probabilities, or with values.

    Parameters
    ----------
    network : keras.Model
        One picture in, one vector out.
    scaling : str
        As `backbones.scaling_of` reads it.
    size : int or sequence of int
        Side of the pictures, or height and width, in pixels.
    n_classes : int
        At least two; or the number of values.
    activation : str or None
        What to put behind a network that ends in logits.
    values : bool
        Whether its answers are values, which stay as they are.

    Returns
    -------
    keras.Model

    Raises
    ------
    FacelimeError
        Where the network does not go with the rest.
    """
    k = keras()
    n_channels, n_outputs = _shapes(network)
    ends_in = final_activation(network)
    if activation and ends_in in ACTIVATIONS:
        raise FacelimeError(f"the network ends in {ends_in} already; leave --activation {activation} out.")
    check_activation(activation, n_outputs)
    inputs = k.Input((*shapes.sides(size), COLOUR), name="display")
    try:
        y = network(scaled(inputs, scaling, n_channels), training=False)
    except (ValueError, TypeError) as why:
        raise FacelimeError(
            f"the network does not take a picture of {shapes.shown(size)} pixels ({first_line(why)}); "
            "give its input size with --size."
        ) from why
    if activation:
        y = k.layers.Activation(activation, name="probabilities")(y)
    if values:
        # In 32 bits, in whatever precision the network computes.
        y = k.layers.Activation("linear", name=VALUES_LAYER, dtype="float32")(y)
    if n_outputs == 1 and n_classes == BOTH_SIDES and not values:
        y = both_sides()(y)
    elif n_outputs != n_classes:
        named = f"--names names {n_classes} values" if values else f"--classes names {n_classes} classes"
        raise FacelimeError(
            f"the network has {n_outputs} outputs, but {named}; name one {'value' if values else 'class'} per output."
        )
    return k.Model(inputs, y)


# What a network is like


def check_activation(activation: str | None, outputs: int) -> None:
    """Raise when an activation would make the same of whatever a network answers.

    Parameters
    ----------
    activation : str or None
        What is to be put behind it.
    outputs : int

    Raises
    ------
    FacelimeError
    """
    if activation == SOFTMAX and outputs == 1:
        raise FacelimeError("--activation softmax makes 1 of a single output; use --activation sigmoid.")


def _shapes(network: Any) -> tuple[int, int]:
    """Return channels and number of outputs of a network, or say why it cannot be explained."""
    n_inputs, n_outputs = len(network.inputs), len(network.outputs)
    if n_inputs != 1 or n_outputs != 1:
        raise FacelimeError(
            f"the network has {n_inputs} inputs and {n_outputs} outputs; "
            "facelime explains networks with one picture in and one vector out."
        )
    shape, out = tuple(network.inputs[0].shape), tuple(network.outputs[0].shape)
    reads_pictures = len(shape) == IMAGE_AXES and shape[-1] in {GREY, COLOUR}
    if not reads_pictures or len(out) != VECTOR_AXES:
        raise FacelimeError(
            f"the network reads {shape} and answers {out}; "
            "it should read (batch, height, width, 1 or 3) and answer (batch, classes)."
        )
    return int(shape[-1]), int(out[-1])


def input_sides(network: Any) -> tuple[int | None, int | None]:
    """Return height and width of the pictures that a network reads.

    Parameters
    ----------
    network : keras.Model

    Returns
    -------
    (int or None, int or None)
        In pixels; None for what is open.
    """
    # A network that does not read pictures has fewer axes; it is refused later, with its whole shape.
    height, width = (*network.inputs[0].shape, None, None, None)[1:3]
    return height, width


def input_size(network: Any) -> int | list[int]:
    """Return the size of the pictures that a wrapped network reads, as the facts of a model hold it.

    Parameters
    ----------
    network : keras.Model
        From `with_scaling`: nothing of its input is open.

    Returns
    -------
    int or list of int
    """
    _, height, width, _ = network.inputs[0].shape
    return shapes.size_of(height, width)


def channels(network: Any) -> int:
    """Return how many channels a network reads.

    Parameters
    ----------
    network : keras.Model

    Returns
    -------
    int
    """
    return int(network.inputs[0].shape[-1])


def final_activation(network: Any) -> str:
    """Return the name of the activation that makes a network's output.

    Parameters
    ----------
    network : keras.Model

    Returns
    -------
    str
        Empty when it cannot be told.
    """
    layer = network.outputs[0]._keras_history.operation  # noqa: SLF001 - Keras has no public way to a tensor's layer
    while type(layer).__name__ in PASSING_LAYERS:
        layer = layer.input._keras_history.operation  # noqa: SLF001 - as above
    if hasattr(layer, "outputs") and hasattr(layer, "layers"):
        return final_activation(layer)
    if type(layer).__name__ in ANSWERING_LAYERS:
        return type(layer).__name__.lower()
    activation = getattr(layer, "activation", None)
    return getattr(activation, "__name__", "")


def why_not_probabilities(
    values: NDArray[np.float32], activation: str, *, independent: bool = False, step: float = 0.0
) -> str | None:
    """Say why a network's answers are no probabilities.

    Parameters
    ----------
    values : (B, C) float32 array
        Answers to a few pictures.
    activation : str
        From `final_activation`: independent sigmoids need not add up to 1.
    independent : bool
        Whether each class has a probability of its own, whatever the network ends in.
    step : float
        Between two answers that a quantised network can give: each of them may be half a step off.

    Returns
    -------
    str or None
        A sentence with the remedy; None when they are probabilities.
    """
    n_outputs = values.shape[1]
    remedy = f"--activation {SIGMOID if n_outputs == 1 else SOFTMAX}"
    fault = why_not_values(values)
    if fault is not None:
        return fault
    least, most = values.min(), values.max()
    if n_outputs == 1 and least == most == 1:
        return (
            "the network has one output, which is 1 for every picture, as behind a softmax of one unit; "
            "export it with a sigmoid, or without an activation and with --activation sigmoid."
        )
    if least < -RANGE_TOLERANCE or most > 1 + RANGE_TOLERANCE:
        return (
            f"the network answers between {least:.3g} and {most:.3g}, which are no probabilities; "
            f"add {remedy} if these are logits; {VALUE_REMEDY}."
        )
    if activation == "linear" and n_outputs == 1:
        return (
            f"the network ends in a linear unit, so its answer is no probability; add {remedy} if it is a logit; "
            f"{VALUE_REMEDY}."
        )
    off = float(np.abs(values.sum(axis=1) - 1).max())
    must_add_up = n_outputs > 1 and activation != SIGMOID and not independent
    if must_add_up and off > SUM_TOLERANCE + n_outputs * step / 2:
        return (
            f"the network's classes add up to {values[0].sum():.3g}, not to 1; add --multi-label if each has a "
            "probability of its own, --activation softmax or sigmoid if these are logits."
        )
    return None


def why_not_values(values: NDArray[np.float32]) -> str | None:
    """Say why a network's answers are no values.

    Parameters
    ----------
    values : (B, C) float32 array
        Answers to a few pictures.

    Returns
    -------
    str or None
        A sentence with the remedy; None when they are numbers.
    """
    if not np.isfinite(values).all():
        return "the network answers with NaN or infinity; check --scaling and the file."
    return None


# Files


def save(network: Any, path: Path) -> None:
    """Save a network with its scaling, and without anything of its training.

    Parameters
    ----------
    network : keras.Model
    path : pathlib.Path
        A file that is whole or not there; an existing one is replaced.
    """
    with files.replacing(path, ending=path.suffix) as beside:
        network.save(beside)


def load(path: Path, *, trust: bool = False, what: str = "") -> Any:
    """Load a saved network. `programs` tells before whether its file carries code; Keras looks once more here.

    Parameters
    ----------
    path : pathlib.Path
    trust : bool
        Whether code inside the file may run.
    what : str
        Its name in errors, where that is another than its path.

    Returns
    -------
    keras.Model

    Raises
    ------
    BrokenError
        For a file that is no network, or whose code may not run.
    """
    k = keras()
    try:
        return k.models.load_model(path, compile=False, safe_mode=not trust)
    except UNLOADABLE as why:
        raise BrokenError(
            f"{what or path} cannot be loaded as a Keras model ({first_line(why)}); "
            "give a .keras or .h5 file of a whole model, or --backbone NAME for a file of weights alone."
        ) from why


def load_saved_model(path: Path, what: str = "", output: str | None = None) -> Any:
    """Return a TensorFlow SavedModel as a network of one layer: its signature `serving_default`.

    Parameters
    ----------
    path : pathlib.Path
        Its folder.
    what : str
        Its name in errors, where that is another than its path.
    output : str, optional
        The name of the output that it answers with, where it has several.

    Returns
    -------
    keras.Model
        One picture in, one vector out.

    Raises
    ------
    FacelimeError
        Where the backend does not run it, or it reads something other than pictures.
    BrokenError
        Where it cannot be loaded.
    """
    k = keras()
    its_backend = k.backend.backend()
    if its_backend != "tensorflow":
        raise FacelimeError(
            f"{what or path.name} is a TensorFlow SavedModel, which KERAS_BACKEND={its_backend} does not run; "
            "leave the variable out."
        )
    import tensorflow as tf

    try:
        signatures = tf.saved_model.load(str(path)).signatures
        layer = k.layers.TFSMLayer(str(path), call_endpoint=SIGNATURE)
    except (*UNLOADABLE, tf.errors.OpError) as why:
        raise BrokenError(
            f"{what or path} cannot be loaded as a SavedModel with a signature {SIGNATURE} ({first_line(why)}); "
            "export the model again, with `model.export(folder)` in Keras."
        ) from why
    spec = _only_input(signatures[SIGNATURE], what or str(path))
    if spec.shape.rank != IMAGE_AXES or spec.shape[0] is not None or spec.dtype != tf.float32:
        raise FacelimeError(
            f"{what or path} reads {spec.dtype.name} of {spec.shape}; "
            "it should read float32 of (None, height, width, 1 or 3), any number of pictures: export it again so."
        )
    inputs = k.Input(tuple(spec.shape)[1:])
    answers = layer(inputs)
    names = sorted(answers)
    return k.Model(inputs, answers[names[outputs.place_of(output, names, what or str(path))]])


def _only_input(signature: Any, what: str) -> Any:
    """Return what a signature of TensorFlow reads."""
    _, named = signature.structured_input_signature
    specs = list(named.values())
    if len(specs) != 1:
        raise FacelimeError(f"{what} has {len(specs)} inputs; facelime explains networks with one picture in.")
    return specs[0]


# Other precisions, sizes and runtimes


def in_precision(network: Any, precision: str, *, trust: bool = False) -> Any:
    """Return a network that computes with 16 bits for `bfloat16`, else with 32, whatever it was saved with.

    What makes its probabilities has 32 bits always.

    Parameters
    ----------
    network : keras.Model
    precision : str
        One of `runtimes.PRECISIONS`.
    trust : bool
        Whether code inside it may run.

    Returns
    -------
    keras.Model

    Notes
    -----
    Multiplications have 16 bits, sums and weights 32 (Keras' `mixed_bfloat16`).
    """
    policy = "mixed_bfloat16" if precision == "bfloat16" else "float32"
    layers = network._flatten_layers()  # noqa: SLF001 - Keras has no public way to all layers within layers
    has_32_bits = all(getattr(layer, "compute_dtype", "float32") == "float32" for layer in layers)
    if policy == "float32" and has_32_bits:
        return network
    configuration = _with_policy(network.get_config(), policy)
    if trust:
        # For this network alone: Keras' own switch would hold for all that the process loads afterwards.
        saving = keras().saving
        described = {**saving.serialize_keras_object(network), "config": configuration}
        other = saving.deserialize_keras_object(described, safe_mode=False)
    else:
        other = type(network).from_config(configuration)
    other.set_weights(network.get_weights())
    return other


def _with_policy(config: Any, policy: str) -> Any:
    """Return a network's configuration with another policy in every layer, except those that answer."""
    if isinstance(config, (list, tuple)):
        return [_with_policy(each, policy) for each in config]
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "DTypePolicy":
        return {**config, "config": {**config["config"], "name": policy}}
    if _answers(config):
        policy = "float32"
    return {key: _with_policy(value, policy) for key, value in config.items()}


def _answers(config: dict[str, Any]) -> bool:
    """Tell whether a configuration is that of a layer that keeps 32 bits."""
    own = config.get("config")
    if not isinstance(own, dict):
        return False
    name = str(own.get("name"))
    # Of several outputs, each has scores of its own.
    if config.get("class_name") in FLOAT32_LAYERS or name in KEEPING_32_BITS or name.startswith(SCORES_LAYER):
        return True
    # The activation may be a configuration itself, which no table can look up.
    return own.get("activation") in tuple(ACTIVATIONS)


def resized(network: Any, size: Size) -> Any:
    """Return a network that reads pictures of another size: a layer in front resizes them (bilinear, antialiased).

    Parameters
    ----------
    network : keras.Model
    size : int or sequence of int
        Side of the pictures, or height and width, in pixels. Another aspect ratio is stretched.

    Returns
    -------
    keras.Model
    """
    k = keras()
    inputs = k.Input((*shapes.sides(size), COLOUR), name="display")
    own = shapes.sides(input_size(network))
    resize = k.layers.Resizing(*own, interpolation="bilinear", antialias=True, name="resize")
    return k.Model(inputs, network(resize(inputs)))


def digest(network: Any) -> str:
    """Return the content digest of a network: its configuration and its weights.

    Parameters
    ----------
    network : keras.Model

    Returns
    -------
    str
    """
    weights = []
    for each in network.weights:
        values = np.asarray(keras().ops.convert_to_numpy(each))
        weights.append([each.path, str(each.dtype), list(each.shape), digests.of_bytes(values.tobytes())])
    return digests.of_value({"configuration": network.to_json(), "weights": weights})
