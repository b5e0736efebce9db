"""Networks whose layers can be looked into, whatever computes them: one interface, and which formats have it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from facelime_cli.answering.runtimes import FORMATS, check_installed, format_of, require_answering, usual
from facelime_cli.choices import loaded
from facelime_cli.errors import FacelimeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.core.layers import Attended, Layer
    from facelime_cli.store.artifacts import Artifact


class Layered(Protocol):
    """A network whose layers show what they answer, and how a class's score changes with it.

    Layers are named by their whole path, or by its end where that is enough. Pictures are (B, H, W, 3) uint8.
    """

    def layers(self) -> list[Layer]:
        """Return every layer that computes, in order, with the shape of its answer where that is known."""

    def layer(self, name: str) -> Layer:
        """Return one layer, with the shape of its answer; it raises NotFoundError where there is none or several."""

    def last_maps(self) -> str:
        """Return the layer whose maps are explained by default; it raises NotFoundError where there are no maps."""

    def answers(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return probabilities (B, C)."""

    def activations(self, images: NDArray[np.uint8], names: Sequence[str]) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Yield what each layer answers: maps (B, h, w, n), or what else it has."""

    def maps_and_gradients(
        self, layer: str, images: NDArray[np.uint8], classes: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return a layer's maps (B, h, w, n), and the gradient by them of each picture's score for its class."""

    def attended(self) -> Attended:
        """Return how tokens attend to one another; it raises FacelimeError where that cannot be had."""

    def attention(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the weights of attention (B, layers, T, T), the mean of the heads."""


def layered(model: Artifact) -> Layered:
    """Return a model's network, for what looks into its layers.

    Parameters
    ----------
    model : Artifact

    Returns
    -------
    Layered

    Raises
    ------
    FacelimeError
        For a format whose layers cannot be looked into, or where the network cannot be loaded.
    """
    check_layers(model)
    its_format = format_of(model)
    check_installed(usual(model).runtime, its_format)
    found: Layered = loaded(FORMATS[its_format].layers)(model)
    return found


def check_attention(model: Artifact, option: str) -> None:
    """Raise where a network's attention cannot be read, before anything is computed.

    Parameters
    ----------
    model : Artifact
    option : str
        What asks for it, for the message.

    Raises
    ------
    FacelimeError
    """
    if not FORMATS[format_of(model)].attends:
        raise FacelimeError(
            f"{option} reads the attention of PyTorch transformers, and models/{model.id} is "
            f"{FORMATS[format_of(model)].words}; choose another --variant."
        )


def check_layers(model: Artifact) -> None:
    """Raise when the layers of a model cannot be looked into.

    Parameters
    ----------
    model : Artifact

    Raises
    ------
    FacelimeError
        It says what to do instead.
    """
    require_answering(model)
    its_format = FORMATS[format_of(model)]
    if not its_format.layers:
        raise FacelimeError(
            f"models/{model.id} is {its_format.words}, whose layers cannot be looked into; {its_format.instead}, or "
            "explain this one with LIME or `facelime occlusion`."
        )
