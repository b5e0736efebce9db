"""The features of a network: what its last layer of weights makes the answer from."""

from __future__ import annotations

from typing import Any

from facelime_cli.core.familiarity import MOST_FEATURES
from facelime_cli.errors import FacelimeError
from facelime_cli.models.backend import keras
from facelime_cli.models.wrapping import IMAGE_AXES, MEAN_LAYER, SPEAKING_LAYER, VECTOR_AXES

NO_FEATURES = "its last layer is no matrix product, so it has no features"


def network_of(network: Any, what: str) -> Any:
    """Return the network that answers with features in place of probabilities; layers and weights are the same.

    Parameters
    ----------
    network : keras.Model
        One picture in. Of several outputs the first counts.
    what : str
        Its name in errors.

    Returns
    -------
    keras.Model
        To (B, F) values.

    Raises
    ------
    FacelimeError
        Where there are none: no layer with weights is found behind its answer, or it reads too many numbers.
    """
    found = _features(network.outputs[0])
    if found is None:
        raise FacelimeError(f"{what} cannot say which pictures it knows: {NO_FEATURES}.")
    if not 1 < (found.shape[-1] or 0) <= MOST_FEATURES:
        raise FacelimeError(
            f"{what} cannot say which pictures it knows: its last layer reads {found.shape[-1]} numbers, and features "
            f"are 2 to {MOST_FEATURES}."
        )
    return keras().Model(network.inputs[0], found)


def _features(answer: Any) -> Any:
    """Follow an answer back to what the layer reads that makes the scores; None where none does."""
    layers = keras().layers
    while True:
        history = getattr(answer, "_keras_history", None)
        if history is None:
            return None
        layer = history.operation
        nodes = layer._inbound_nodes  # noqa: SLF001 - Keras has no public way from a tensor to what it was made from
        given = nodes[history.node_index].input_tensors
        # Of the mean of several networks, the first stands for all.
        if len(given) != 1 and layer.name not in {MEAN_LAYER, SPEAKING_LAYER}:
            return None
        before = given[0]
        if hasattr(layer, "layers") and getattr(layer, "outputs", None):
            # A network within: its layers are called anew, on what it reads here.
            within = _features(layer.outputs[history.tensor_index])
            return None if within is None else keras().Model(layer.inputs[0], within)(before)
        if isinstance(layer, layers.Dense) and _decides(before, answer, VECTOR_AXES):
            return before
        if isinstance(layer, layers.Conv2D) and _decides(before, answer, IMAGE_AXES):
            # Such as MobileNet's last layer; where it has several places, pooling before it is pooling behind it.
            return layers.GlobalAveragePooling2D()(before)
        answer = before


def _decides(before: Any, behind: Any, axes: int) -> bool:
    """Tell whether a layer makes scores of features: one that calibrates, or makes two sides of one, reads scores."""
    n_read = before.shape[-1] or 0
    return len(before.shape) == axes and n_read not in {0, 1, behind.shape[-1]}
