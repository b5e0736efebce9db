"""Layers of networks that Keras computes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.answering.keras_networks import network_of
from facelime_cli.answering.runtimes import n_members, usual
from facelime_cli.core import shapes
from facelime_cli.core.layers import MAP_AXES, Attended, Layer
from facelime_cli.errors import FacelimeError
from facelime_cli.models import ensembles, gradients, running

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
        Of a mean of several networks, `MeanLayers`.

    Raises
    ------
    FacelimeError
        Where it cannot be loaded.
    """
    network, size = network_of(model, usual(model)), shapes.sides(model.facts["size"])
    if not n_members(model):
        return KerasLayers(network, size)
    members = ensembles.members_of(network, n_members(model), model.reference)
    return MeanLayers(network, size, [KerasLayers(each, size) for each in members])


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


@dataclass(frozen=True)
class MeanLayers(KerasLayers):
    """The mean of several networks with the same layers: a layer is that of every member, their maps side by side.

    Grad-CAM of the mean of the members' scores is then what it is of one network: the weighted sum of these maps.

    Attributes
    ----------
    members : list of KerasLayers
    """

    members: list[KerasLayers]

    def layers(self) -> list[Layer]:
        """Return every layer of a member that computes, in the order of the network."""
        return self.members[0].layers()

    def layer(self, name: str) -> Layer:
        """Return one layer; the shape of its answer is measured, and is that of all members side by side."""
        found = self.members[0].layer(name)
        *places, n_values = found.shape
        return replace(found, shape=(*places, (n_values or 0) * len(self.members)))

    def last_maps(self) -> str:
        """Return the layer of a member whose output is what the last convolution hands on."""
        return self.members[0].last_maps()

    def activations(self, images: NDArray[np.uint8], names: Sequence[str]) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Yield what each layer answers, the members' answers side by side."""
        for of_layer in zip(*(each.activations(images, names) for each in self.members), strict=True):
            yield of_layer[0][0], np.concatenate([values for _, values in of_layer], axis=-1)

    def maps_and_gradients(
        self, layer: str, images: NDArray[np.uint8], classes: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return a layer's maps in all members, and the gradient of the mean of their scores by them."""
        found = [each.maps_and_gradients(layer, images, classes) for each in self.members]
        maps, of_each = (np.concatenate(each, axis=-1) for each in zip(*found, strict=True))
        return maps, (of_each / len(self.members)).astype(np.float32)
