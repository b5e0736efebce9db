"""A network as a graph of TensorFlow with its weights in it, which runs without Keras."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.models import backend
from facelime_cli.models.backend import keras

if TYPE_CHECKING:
    from facelime_cli.core.shapes import Sides

MOST_WEIGHTS = 1 << 25
"""Networks with more weights keep them as variables.

As constants of a graph, weights take about 16 times their own memory while it is compiled, and 9 times after: 1.4 and
0.8 GB for InceptionV3.
"""
PICTURES, ANSWERS, FEATURES = "pictures", "answers", "features"
"""Names of what a graph reads and of what it answers."""


@dataclass(frozen=True)
class Graph:
    """A network without Keras.

    Attributes
    ----------
    sides : (int, int)
        Height and width of the pictures in pixels.
    definition : tensorflow.GraphDef
        From `PICTURES` (B, H, W, 3) float32 in display space to `ANSWERS` (B, C) float32, any B, and to `FEATURES`
        where it was made with them.
    answer : str
        Which of them it answers with.
    """

    sides: Sides
    definition: Any
    answer: str = ANSWERS

    def __call__(self, pictures: Any) -> Any:
        """Make the network a part of the graph that is traced now.

        Parameters
        ----------
        pictures : tensor
            (B, H, W, 3) float32.

        Returns
        -------
        tensor
            (B, C) float32.
        """
        tf = backend.tensorflow()
        (answers,) = tf.graph_util.import_graph_def(
            self.definition, input_map={f"{PICTURES}:0": pictures}, return_elements=[f"{self.answer}:0"], name="network"
        )
        return answers

    @property
    def of_features(self) -> Graph | None:
        """The same graph, which answers with features; None where it was made without them."""
        has_some = any(node.name == FEATURES for node in self.definition.node)
        return replace(self, answer=FEATURES) if has_some else None

    def written(self) -> bytes:
        """Return the graph as bytes, for `read`."""
        return bytes(self.definition.SerializeToString(deterministic=True))


def read(content: bytes, sides: Sides) -> Graph:
    """Return a graph from its bytes.

    Parameters
    ----------
    content : bytes
        From `Graph.written`. They are a program: they must come from this user's own facelime.
    sides : (int, int)
        Height and width of the pictures in pixels.

    Returns
    -------
    Graph
    """
    definition = backend.tensorflow().compat.v1.GraphDef()
    definition.ParseFromString(content)
    return Graph(sides, definition)


def are_constant(network: Any) -> bool:
    """Tell whether the weights of a network become constants of the compiled call.

    They can be folded and laid out once then: 10 to 50 % more evaluations per second on a processor.

    Parameters
    ----------
    network : keras.Model

    Returns
    -------
    bool
    """
    return not backend.on_accelerator() and bool(network.count_params() <= MOST_WEIGHTS)


def of(network: Any, features: Any = None) -> Graph | None:
    """Return a network as a graph.

    Parameters
    ----------
    network : keras.Model
        Reads display space. Keras runs on TensorFlow.
    features : keras.Model, optional
        Its own layers up to the features, from `features.network_of`.

    Returns
    -------
    Graph or None
        None where its weights stay variables, or where something else of it lives outside of the graph.
    """
    tf, given = backend.tensorflow(), network.inputs[0]
    if not are_constant(network) or given.shape[0] is not None:
        return None
    values = [(each, np.asarray(each)) for each in network.variables]
    called: Any = network
    names: tuple[str, ...] = (ANSWERS,)
    if features is not None:
        # One network with both: its layers are traced once.
        called = keras().Model(network.inputs, [network.outputs[0], features.outputs[0]])
        names = (ANSWERS, FEATURES)

    def call(pictures: Any) -> Any:
        constants = [(each, tf.constant(value)) for each, value in values]
        with keras().StatelessScope(state_mapping=constants):
            found = called(pictures, training=False)
            found = [found] if features is None else found
            return [tf.identity(each, name=name) for each, name in zip(found, names, strict=True)]

    signature = [tf.TensorSpec(given.shape, tf.float32, name=PICTURES)]
    traced = tf.function(call, input_signature=signature, autograph=False).get_concrete_function().graph
    if traced.captures:
        return None
    _, height, width, _ = given.shape
    return Graph((height, width), traced.as_graph_def())
