"""The temperature of a network: a layer in front of what makes its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facelime_cli.models import wrapping
from facelime_cli.models.backend import keras

if TYPE_CHECKING:
    from collections.abc import Mapping


def scores_of(network: Any) -> Any:
    """Return the network that answers with what goes into its last softmax or sigmoid.

    Parameters
    ----------
    network : keras.Model
        From `building.build`.

    Returns
    -------
    keras.Model
        With the same layers and weights. One column where one sigmoid tells two classes apart.
    """
    _, scores = _ending(network)
    return keras().Model(network.inputs[0], scores)


def with_temperature(network: Any, temperature: float, of_output: str = "") -> Any:
    """Return a network whose scores are divided by a temperature before they become probabilities.

    Parameters
    ----------
    network : keras.Model
        From `building.build`.
    temperature : float
        More than 0.
    of_output : str
        Ends the names of the layers, where the network has several outputs.

    Returns
    -------
    keras.Model
        With the same layers and weights. Its last layers are the scores, the `temperature` that they are divided by,
        and the activation: layers of Keras alone, so that any Keras can load them.
    """
    layers = keras().layers
    ending, scores = _ending(network, of_output)
    divide = layers.Rescaling(1 / temperature, name=f"{wrapping.TEMPERATURE_LAYER}{of_output}", dtype="float32")
    divided = divide(scores)
    answer = layers.Activation(ending.activation, name=ending.name, dtype="float32")(divided)
    if network.layers[-1].name == wrapping.BOTH_SIDES_LAYER:
        answer = wrapping.both_sides()(answer)
    return keras().Model(network.inputs[0], answer)


def each_with_temperature(network: Any, temperatures: Mapping[str, float]) -> Any:
    """Return a network with several outputs whose scores are each divided by a temperature of their own.

    Parameters
    ----------
    network : keras.Model
        Answers with a dictionary.
    temperatures : mapping
        By the name of the output; one that is not there stays as it is.

    Returns
    -------
    keras.Model
        With the same outputs.
    """
    found = {}
    for number, (name, answer) in enumerate(network.output.items(), 1):
        found[name] = answer
        if name in temperatures:
            alone = keras().Model(network.inputs[0], answer)
            ending = f"_{number}" if number > 1 else ""
            found[name] = with_temperature(alone, temperatures[name], ending).outputs[0]
    return keras().Model(network.inputs[0], found)


def _ending(network: Any, of_output: str = "") -> tuple[Any, Any]:
    """Return the layer that makes a network's probabilities, and the tensor of the scores behind them."""
    answer = network.outputs[0]
    if network.layers[-1].name == wrapping.BOTH_SIDES_LAYER:
        answer = _input_of(answer)
    ending = answer._keras_history.operation  # noqa: SLF001 - Keras has no public way to a tensor's layer
    scoring = keras().layers.Dense(ending.units, name=f"{wrapping.SCORES_LAYER}{of_output}", dtype="float32")
    scores = scoring(_input_of(answer))
    scoring.set_weights(ending.get_weights())
    return ending, scores


def _input_of(tensor: Any) -> Any:
    """Return what a layer made a tensor of; the layer may have made others elsewhere."""
    made = tensor._keras_history  # noqa: SLF001 - as above
    (found,) = made.operation._inbound_nodes[made.node_index].input_tensors  # noqa: SLF001 - as above
    return found
