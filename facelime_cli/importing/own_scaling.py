"""Networks that begin with an input scaling of their own: whether the one in front of it goes with that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.core import compose
from facelime_cli.models.backbones import WHITE, scaling_of
from facelime_cli.models.backend import keras
from facelime_cli.models.wrapping import GREY, LUMINANCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Call = Callable[[NDArray[np.float32]], NDArray[np.float32]]

SCALING_LAYERS = {"Rescaling", "Normalization"}
SCALING_OPERATIONS = {"Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Negative"}
"""Operations of Keras that scale where their other argument is a constant."""
PASSING = {"InputLayer", "Identity", "Dropout", "Resizing", "CenterCrop", "Flip", "Cast"}
"""What may stand before a scaling and leaves the range of values as it is."""
ANY_SIDE = 32
"""Of a picture in pixels, where a network takes any."""
AUGMENTING = "Random"
"""How the names of layers begin that do nothing outside training."""
CANDIDATES = ("0..255", "0..1", "-1..1")
"""The scalings that networks with a scaling of their own are trained behind."""
ENDS = ((0.0, 1.0), (-1.0, 1.0), (-0.5, 0.5))
"""Where the scalings of published networks lead."""
NEAR = 0.03
"""Part of a range by which its ends may be off: some divide by 128, not by 127.5."""
LEAST_RANGE, LARGEST_RANGE = 0.5, 20.0
"""Between which the values of pictures from black to white lie that a network was trained on, once they are scaled."""


@dataclass(frozen=True)
class Beginning:
    """What a network does to its pictures before anything else.

    Attributes
    ----------
    names : list of str
        Of what scales them; empty where nothing does.
    call : callable
        Computes it, from the network's input.
    size : (int, int)
        Height and width of a picture that it takes, in pixels.
    channels : int
    channels_first : bool
    """

    names: list[str]
    call: Call
    size: tuple[int, int]
    channels: int
    channels_first: bool = False


def warning_of(its: Beginning | None, scaling: str, what: str) -> tuple[str, ...]:
    """Say that the scaling in front of a network does not go with its own.

    Parameters
    ----------
    its : Beginning or None
        None where it cannot be told.
    scaling : str
        What was asked for, as `backbones.scaling_of` reads it.
    what : str
        The network's name in the sentence.

    Returns
    -------
    tuple of str
        Empty where it has none of its own, or they go together as far as this can be told.
    """
    if its is None or not its.names:
        return ()
    asked = _ends(its, scaling)
    found = {name: _ends(its, name) for name in CANDIDATES}
    better = _better(asked, found)
    if better is None:
        return ()
    sentence = (
        f"{what} begins with a scaling of its own ({', '.join(its.names)}): behind --scaling {scaling} it hands on "
        f"pictures as {_shown(asked)}, behind --scaling {better} as {_shown(found[better])}. Unless it was trained so, "
        f"use --scaling {better}; --check PICTURE --expect CLASS tells."
    )
    return (sentence,)


def _shown(ends: tuple[float, float]) -> str:
    return f"{ends[0]:.3g} to {ends[1]:.3g}"


def _better(asked: tuple[float, float], found: dict[str, tuple[float, float]]) -> str | None:
    """Return the scaling that a network was rather trained behind; None where the asked one may be right."""
    published = [name for name, ends in found.items() if _is_published(ends)]
    if published:
        return None if _is_published(asked) else published[0]
    likely = [name for name, (low, high) in found.items() if LEAST_RANGE <= high - low <= LARGEST_RANGE]
    is_likely = LEAST_RANGE <= asked[1] - asked[0] <= LARGEST_RANGE
    return likely[0] if likely and not is_likely else None


def _is_published(ends: tuple[float, float]) -> bool:
    return any(np.allclose(ends, each, rtol=0, atol=NEAR * (each[1] - each[0])) for each in ENDS)


def _ends(its: Beginning, scaling: str) -> tuple[float, float]:
    """Return what becomes of black and of white behind a scaling and the network's own."""
    how = scaling_of(scaling)
    display = np.stack([np.full((*its.size, 3), value, np.float32) for value in (0, WHITE)])
    values = its.call(
        compose.model_input(
            display,
            how.scale,
            how.offset,
            reverse=how.reverse,
            luminance=LUMINANCE if its.channels == GREY else None,
            channels_first=its.channels_first,
        )
    )
    return float(values.min()), float(values.max())


# What a Keras network begins with


def of_keras(network: Any) -> Beginning:
    """Return what a Keras network begins with, as far as into the networks within it.

    Parameters
    ----------
    network : keras.Model
        From outside, with one picture in.

    Returns
    -------
    Beginning
    """
    names, models, _ = _walk(network)
    _, height, width, channels = network.inputs[0].shape
    size = height or ANY_SIDE, width or ANY_SIDE
    return Beginning(names, lambda values: _computed(models, values), size, channels)


def _computed(models: list[Any], values: NDArray[np.float32]) -> NDArray[np.float32]:
    for each in models:
        values = np.asarray(keras().ops.convert_to_numpy(each(values, training=False)), np.float32)
    return values


def _walk(network: Any) -> tuple[list[str], list[Any], bool]:
    """Follow the pictures into a network, and into networks within it, as long as they are only scaled.

    Returns the names of what scales, networks that compute it one after the other, and whether that is all.
    """
    names: list[str] = []
    # A sequence keeps its graph in a network of its own.
    network = getattr(network, "_functional", None) or network
    if not hasattr(network, "operations"):
        return names, [], False
    current = network.inputs[0]
    while True:
        step = _only_reader(network, current)
        if step is None:
            break
        layer, output = step
        kind = type(layer).__name__
        if hasattr(layer, "layers") and getattr(layer, "inputs", None):
            inner_names, inner, is_all = _walk(layer)
            names += inner_names
            if not is_all:
                return names, [*_up_to(network, current), *inner], False
        elif kind in SCALING_LAYERS or (kind in SCALING_OPERATIONS and _has_constant(layer)):
            names.append(layer.name)
        elif kind not in PASSING and not kind.startswith(AUGMENTING):
            break
        current = output
    return names, _up_to(network, current), current is network.outputs[0]


def _up_to(network: Any, tensor: Any) -> list[Any]:
    """Return the part of a network that computes a tensor; nothing where that is its input."""
    return [] if tensor is network.inputs[0] else [keras().Model(network.inputs[0], tensor)]


def _only_reader(network: Any, tensor: Any) -> tuple[Any, Any] | None:
    """Return the one layer or operation of a network that reads a tensor alone, and what it makes of it."""
    readers = [
        (layer, node)
        for layer in network.operations
        for node in layer._inbound_nodes  # noqa: SLF001 - Keras has no public way along a network's calls
        if any(each is tensor for each in node.input_tensors)
    ]
    if len(readers) != 1 or len(readers[0][1].input_tensors) != 1:
        return None
    layer, node = readers[0]
    return layer, node.output_tensors[0]


def _has_constant(operation: Any) -> bool:
    """Tell whether an operation reads one tensor, and a number or numbers beside it."""
    (node, *others) = operation._inbound_nodes  # noqa: SLF001 - as above
    return not others and len(node.input_tensors) == 1
