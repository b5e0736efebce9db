"""Feature maps of a network's layers, and how a class's score changes with them, on every backend."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.core.layers import MAP_AXES, Layer, named
from facelime_cli.errors import NotFoundError
from facelime_cli.models.backbones import ACTIVATIONS
from facelime_cli.models.backend import keras, memory_errors_named
from facelime_cli.models.wrapping import BOTH_SIDES_LAYER, PASSING_LAYERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

OURS = frozenset({"luminance", "blue_green_red", "input_scaling"})
"""Layers that make a network's input from display space."""
PASSED_OVER = ("Pool", "Dropout", "Padding", "Reshape", "Flatten", "Input", "Cropping", "Permute", "Normalization")
"""How layers are named whose output is no new map.

A convolution's normalisation is followed by its activation, or is itself passed over.
"""
ENDS = frozenset(ACTIVATIONS)
"""What makes a network's answer of its scores: names of activations, and of layers that are nothing else."""


# Layers


def layers_of(network: Any) -> list[tuple[str, Any]]:
    """Return every layer that computes, in the order of the network.

    Parameters
    ----------
    network : keras.Model

    Returns
    -------
    list of (str, keras.layers.Layer)
        Each with its name; those of networks within it by their path, as `mobilenetv2/Conv_1`.
    """
    found: list[tuple[str, Any]] = []
    for layer in network.layers:
        if hasattr(layer, "layers"):
            found += [(f"{layer.name}/{name}", inner) for name, inner in layers_of(layer)]
        elif type(layer).__name__ != "InputLayer":
            found.append((layer.name, layer))
    return found


def listed(network: Any) -> list[Layer]:
    """Return every layer that computes, with its kind and shape.

    Parameters
    ----------
    network : keras.Model

    Returns
    -------
    list of Layer
    """
    return [
        Layer(name, type(layer).__name__, shape_of(layer), has_maps=len(shape_of(layer)) == MAP_AXES)
        for name, layer in layers_of(network)
    ]


def shape_of(layer: Any) -> tuple[int | None, ...]:
    """Return the shape of a layer's output, without the batch.

    Parameters
    ----------
    layer : keras.layers.Layer

    Returns
    -------
    tuple
        Empty when it is not known.
    """
    try:
        return tuple(layer.output.shape[1:])
    except (AttributeError, ValueError):
        return ()


def last_maps(network: Any) -> str:
    """Return the layer whose output is what the last convolution hands on.

    It is behind the convolution's activation or its branches' union, and before pooling.

    Parameters
    ----------
    network : keras.Model

    Returns
    -------
    str
        Its name, as `layers_of` gives it.

    Raises
    ------
    NotFoundError
        Where there is no convolution.
    """
    found, is_convolved = "", False
    for name, layer in layers_of(network):
        kind, shape = type(layer).__name__, shape_of(layer)
        is_convolved |= "Conv" in kind and layer.name not in OURS
        # Maps of one place (a squeeze-and-excitation block's) say nothing about where.
        has_places = len(shape) == MAP_AXES and shape[:2] != (1, 1)
        if is_convolved and has_places and not any(each in kind for each in PASSED_OVER):
            found = name
    if not found:
        raise NotFoundError(
            "the network has no convolution, so it has no maps of places; explain it with LIME or `facelime occlusion`."
        )
    return found


def layer_of(network: Any, name: str) -> Any:
    """Return the layer of a name.

    Parameters
    ----------
    network : keras.Model
    name : str
        Its whole name, or the end of its path where that is enough.

    Returns
    -------
    keras.layers.Layer

    Raises
    ------
    NotFoundError
        Where there is none, or more than one.
    """
    return dict(layers_of(network))[named(name, listed(network)).name]


# Maps and gradients


def activations(
    network: Any, images: NDArray[np.uint8], layers: Sequence[str]
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield what each layer answers to some pictures; one layer's maps at a time are in memory.

    Parameters
    ----------
    network : keras.Model
    images : (B, H, W, 3) uint8 array
    layers : sequence of str
        Names, as `layers_of` gives them.

    Yields
    ------
    (str, (B, …) float32 array)

    Raises
    ------
    NotFoundError
        Where there is no such layer.
    """
    for name in layers:
        with _added(layer_of(network, name)) as seen, memory_errors_named():
            network(keras().ops.convert_to_tensor(images.astype(np.float32)), training=False)
        yield name, _as_float32(seen["maps"])


def maps_and_gradients(
    network: Any, layer: str, images: NDArray[np.uint8], classes: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a layer's maps, and the gradient of a class's score by them.

    The score is what goes into the final softmax or sigmoid, or the probability where a network does not end in one of
    these.

    Parameters
    ----------
    network : keras.Model
        Reads display space.
    layer : str
        From `last_maps`, or a name of `layers_of`.
    images : (B, H, W, 3) uint8 array
    classes : (B,) int array
        For each picture its class.

    Returns
    -------
    maps, gradients : (B, h, w, n) float32 arrays

    Raises
    ------
    NotFoundError
        Where there is no such layer.

    Notes
    -----
    A zero is added to the layer's output. The score's gradient by this zero is the one by the maps, on every backend
    and in networks within networks.

    References
    ----------
    Selvaraju et al. 2017, Grad-CAM, section 3: the score y^c before the softmax, and its gradient by the maps A^k.
    """
    k = keras()
    x = k.ops.convert_to_tensor(images.astype(np.float32))
    n_outputs = network.outputs[0].shape[-1]
    indices = k.ops.convert_to_tensor(classes.astype(np.int32))
    wanted = k.ops.one_hot(indices, n_outputs, dtype="float32")
    with _added(layer_of(network, layer)) as seen, _scores(network), memory_errors_named():

        def score(zero: Any) -> tuple[Any, Any]:
            seen["zero"] = zero
            return k.ops.sum(network(x, training=False) * wanted), seen["maps"]

        _, maps = score(0.0)  # only to learn the shape of the maps
        zero = np.zeros(tuple(maps.shape), np.float32)
        maps, gradients = _GRADIENTS[k.backend.backend()](score, zero)
        return _as_float32(maps), _as_float32(gradients)


def _as_float32(tensor: Any) -> NDArray[np.float32]:
    return np.asarray(keras().ops.convert_to_numpy(tensor), dtype=np.float32)


@contextlib.contextmanager
def _added(layer: Any) -> Iterator[dict[str, Any]]:
    """Let a layer add `zero` to its output, and keep that as `maps`."""
    seen: dict[str, Any] = {"zero": 0.0}
    own = layer.call

    def call(*values: Any, **options: Any) -> Any:
        seen["maps"] = own(*values, **options) + seen["zero"]
        return seen["maps"]

    layer.call = call
    try:
        yield seen
    finally:
        layer.call = own


@contextlib.contextmanager
def _scores(network: Any) -> Iterator[None]:
    """Let a network answer with what goes into its final softmax or sigmoid; any other answers as ever."""
    layer = _ending(network)
    if type(layer).__name__.lower() in ENDS:
        name, instead = "call", _unchanged
    else:
        name, instead = "activation", keras().activations.linear
    own = getattr(layer, name, None)
    if name == "activation" and getattr(own, "__name__", "") not in ENDS:
        yield
        return
    setattr(layer, name, instead)
    try:
        yield
    finally:
        setattr(layer, name, own)


def _unchanged(values: Any, **_: Any) -> Any:
    return values


def _ending(network: Any) -> Any:
    """Return the layer that makes a network's answer, behind those that hand it on."""
    layer = network.outputs[0]._keras_history.operation  # noqa: SLF001 - Keras has no public way to a tensor's layer
    while type(layer).__name__ in PASSING_LAYERS or layer.name == BOTH_SIDES_LAYER:
        layer = layer.input._keras_history.operation  # noqa: SLF001 - as above
    is_network = hasattr(layer, "outputs") and hasattr(layer, "layers")
    return _ending(layer) if is_network else layer


# Each backend's way to a gradient: from the score and a zero to maps and gradients


def _tensorflow(score: Callable[[Any], tuple[Any, Any]], zero: NDArray[np.float32]) -> tuple[Any, Any]:
    import tensorflow as tf

    added = tf.convert_to_tensor(zero)
    with tf.GradientTape() as tape:
        tape.watch(added)
        value, maps = score(added)
    return maps, tape.gradient(value, added)


def _jax(score: Callable[[Any], tuple[Any, Any]], zero: NDArray[np.float32]) -> tuple[Any, Any]:
    import jax

    gradients, maps = jax.grad(score, has_aux=True)(jax.numpy.asarray(zero))
    return maps, gradients


def _torch(score: Callable[[Any], tuple[Any, Any]], zero: NDArray[np.float32]) -> tuple[Any, Any]:
    import torch

    added = keras().ops.convert_to_tensor(zero).requires_grad_()
    value, maps = score(added)
    (gradients,) = torch.autograd.grad(value, added)
    return maps.detach(), gradients


_GRADIENTS: dict[str, Callable[[Callable[[Any], tuple[Any, Any]], NDArray[np.float32]], tuple[Any, Any]]] = {
    "tensorflow": _tensorflow,
    "jax": _jax,
    "torch": _torch,
}
