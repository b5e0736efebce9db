"""Layers of networks that Keras computes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.answering.keras_networks import network_of
from facelime_cli.answering.runtimes import usual
from facelime_cli.core import shapes
from facelime_cli.core.layers import MAP_AXES, Attended, Layer
from facelime_cli.errors import FacelimeError
from facelime_cli.models import gradients, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from facelime_cli.core.shapes import Sides
    from facelime_cli.store.artifacts import Artifact

NO_ATTENTION = "the attention of Keras networks is not read; choose another --variant."


def of(model: Artifact) -> KerasLayers:
    """Return a model's network with its layers.

    Parameters
    ----------
    model : Artifact
        Of the format `keras`.

    Returns
    -------
    KerasLayers

    Raises
    ------
    FacelimeError
        Where it cannot be loaded.
    """
    return KerasLayers(network_of(model, usual(model)), shapes.sides(model.facts["size"]))


@dataclass(frozen=True)
class KerasLayers:
    """A Keras network whose layers are looked into: `answering.layers.Layered`.

    Attributes
    ----------
    network : keras.Model
        It reads display space.
    size : (int, int)
        Height and width of its pictures.
    """

    network: Any
    size: Sides

    def layers(self) -> list[Layer]:
        """Return every layer that computes, in the order of the network."""
        return gradients.listed(self.network)

    def layer(self, name: str) -> Layer:
        """Return one layer; the shape of its answer is measured."""
        # Any picture tells the shape.
        black = np.zeros((1, *self.size, 3), np.uint8)
        ((_, values),) = self.activations(black, [name])
        shape = tuple(values.shape[1:])
        kind = type(gradients.layer_of(self.network, name)).__name__
        return Layer(name, kind, shape, has_maps=len(shape) == MAP_AXES)

    def last_maps(self) -> str:
        """Return the layer whose output is what the last convolution hands on."""
        return gradients.last_maps(self.network)

    @cached_property
    def answers(self) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
        """A compiled pass to probabilities (B, C)."""
        return running.forward(self.network)

    def activations(self, images: NDArray[np.uint8], names: Sequence[str]) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Yield what each layer answers."""
        return gradients.activations(self.network, images, names)

    def maps_and_gradients(
        self, layer: str, images: NDArray[np.uint8], classes: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return a layer's maps, and the gradient of each picture's score for its class by them."""
        return gradients.maps_and_gradients(self.network, layer, images, classes)

    def attended(self) -> Attended:
        """Raise: the attention of Keras networks is not read."""
        raise FacelimeError(NO_ATTENTION)

    def attention(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:  # noqa: ARG002 - the interface's
        """Raise: the attention of Keras networks is not read."""
        raise FacelimeError(NO_ATTENTION)
