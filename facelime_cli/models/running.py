"""Composition and forward pass in one compiled call, for each backend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli import machine
from facelime_cli.core import shapes
from facelime_cli.models import backend, wrapping
from facelime_cli.models.backend import keras, memory_errors_named
from facelime_cli.models.graphs import Graph, are_constant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from facelime_cli.core.shapes import Size

    Answers = Callable[..., NDArray[np.float32]]


BITS = 8
"""In a byte of a packed mask."""
OF_BATCH = 2
"""How many arrays of a composed call have a row for each evaluation; the others have one for each picture."""


def composer(size: tuple[int, int]) -> Callable[..., Any]:
    """Return the function that composes perturbed pictures on the device.

    Parameters
    ----------
    size : (int, int)
        Height and width in pixels.

    Returns
    -------
    callable
        It reads packed masks (B, M) uint8, the picture of each row (B,) int32, fills and images (U, 2, H·W, 3) uint8
        and segments (U, H·W) int32. It returns (B, H, W, 3) float32.

    Notes
    -----
    x = fill + (image - fill) · mask[segments], exactly, since each pixel is chosen and none computed.
    """
    ops = backend.operations()
    n_pixels = size[0] * size[1]

    def compose(bits: Any, index: Any, pictures: Any, segments: Any) -> Any:
        # Unpack the bits of every mask, the lowest first.
        places = ops.arange(BITS, dtype="int32")
        shifted = ops.right_shift(ops.cast(ops.expand_dims(bits, -1), "int32"), places)
        masks = ops.reshape(ops.bitwise_and(shifted, 1), (-1,))
        # Look up, for every pixel, whether its segment is kept: where each row's mask begins, plus the segment.
        first = ops.expand_dims(ops.arange(bits.shape[0], dtype="int32") * bits.shape[1] * BITS, -1)
        kept = ops.take(masks, ops.take(segments, index, axis=0) + first)
        # Take the pixel from the fill (0) or from the image (1).
        source = ops.expand_dims(index, -1) * 2 + kept
        pixel = source * n_pixels + ops.arange(n_pixels, dtype="int32")
        chosen = ops.take(ops.reshape(pictures, (-1, 3)), pixel, axis=0)
        return ops.cast(ops.reshape(chosen, (-1, *size, 3)), "float32")

    return compose


def compiled(network: Any) -> Answers:
    """Return one compiled call for composition and forward pass.

    Parameters
    ----------
    network : keras.Model or Graph
        Reads display space.

    Returns
    -------
    callable
        From the arrays that `composer` reads to (B, C) float32 probabilities.

    Raises
    ------
    DeviceMemoryError
        By the call, where a batch does not fit.
    """
    sides = network.sides if isinstance(network, Graph) else network.inputs[0].shape[1:3]
    return _COMPILERS[backend.name()](composer(tuple(sides)), network)


def _compile_tensorflow(compose: Callable[..., Any], network: Any) -> Answers:
    tf = backend.tensorflow()
    # XLA fuses the composition (2 ms a batch of 32 instead of 11); the network is faster without it on a processor.
    fused = tf.function(compose, autograph=False, jit_compile=True)
    is_constant = isinstance(network, Graph) or are_constant(network)
    call = network if isinstance(network, Graph) else _with_weights(network, is_constant=is_constant)

    def answer(*arrays: Any) -> Any:
        return call(fused(*arrays))

    graphs: dict[tuple[Any, ...], Any] = {}

    def run(*arrays: Any) -> NDArray[np.float32]:
        # The pictures of a run, unlike its batches, are of any number: views and checks share one graph.
        shapes = tuple(
            tuple(array.shape) if place < OF_BATCH else (None, *array.shape[1:]) for place, array in enumerate(arrays)
        )
        with memory_errors_named():
            tensors = [tf.convert_to_tensor(array) for array in arrays]
            if shapes not in graphs:
                graphs.clear()  # the graph of another batch size, with all its constants
                signature = [tf.TensorSpec(shape, each.dtype) for shape, each in zip(shapes, tensors, strict=True)]
                graphs[shapes] = tf.function(answer, input_signature=signature, autograph=False)
                answers = np.asarray(graphs[shapes](*tensors))
                if is_constant:
                    machine.give_back_memory()
                return answers
            return np.asarray(graphs[shapes](*tensors))

    return run


def _with_weights(network: Any, *, is_constant: bool) -> Callable[[Any], Any]:
    """Return a network's call, for a function that is traced, with its weights as constants or as variables."""
    tf, k = backend.tensorflow(), keras()

    def call(pictures: Any) -> Any:
        # Read while the graph is traced: a copy that waits for the next graph would be kept for nothing.
        with tf.init_scope():
            values = [(each, np.asarray(each)) for each in network.variables] if is_constant else []
        constants = [(each, tf.constant(value)) for each, value in values]
        with k.StatelessScope(state_mapping=constants):
            return network(pictures, training=False)

    return call


def _compile_jax(compose: Callable[..., Any], network: Any) -> Answers:
    import jax

    k = keras()

    def stateless(values: Any, *arrays: Any) -> Any:
        mapping = list(zip(network.variables, values, strict=True))
        with k.StatelessScope(state_mapping=mapping):
            return network(compose(*arrays), training=False)

    function = jax.jit(stateless)
    values = [each.value for each in network.variables]

    def run(*arrays: Any) -> NDArray[np.float32]:
        with memory_errors_named():
            return np.asarray(function(values, *arrays))

    return run


def _compile_torch(compose: Callable[..., Any], network: Any) -> Answers:
    import torch

    ops = keras().ops

    def run(*arrays: Any) -> NDArray[np.float32]:
        with memory_errors_named(), torch.inference_mode():
            tensors = [ops.convert_to_tensor(array) for array in arrays]
            found = network(compose(*tensors), training=False)
            return np.asarray(ops.convert_to_numpy(found))

    return run


_COMPILERS: dict[str, Callable[[Callable[..., Any], Any], Answers]] = {
    "tensorflow": _compile_tensorflow,
    "jax": _compile_jax,
    "torch": _compile_torch,
}


# What is tried before a model is imported


def trial_pictures(size: Size) -> NDArray[np.float32]:
    """Return a drawn face, noise and black.

    Parameters
    ----------
    size : int or sequence of int
        Side, or height and width, in pixels.

    Returns
    -------
    (3, H, W, 3) float32 array
        In display space.
    """
    from facelime_cli.core.faces import draw

    generator = np.random.Generator(np.random.Philox(0))
    height, width = shapes.sides(size)
    noise = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
    # The middle of a drawn square.
    square = draw(0, 0, max(height, width), flushed=True).image
    top, left = (len(square) - height) // 2, (len(square) - width) // 2
    face = square[top : top + height, left : left + width]
    return np.stack([face, noise, np.zeros_like(noise)]).astype(np.float32)


def answers_of(network: Any, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what a network answers to a few pictures, without compiling it.

    Parameters
    ----------
    network : keras.Model
        Reads display space.
    pictures : (B, H, W, 3) float32 array

    Returns
    -------
    (B, C) float32 array
    """
    return np.asarray(keras().ops.convert_to_numpy(network(pictures, training=False)))


def trial_answers(network: Any, size: Size) -> NDArray[np.float32]:
    """Return what a network answers to the trial pictures.

    Parameters
    ----------
    network : keras.Model
        Reads display space.
    size : int or sequence of int
        Side of its input, or height and width, in pixels.

    Returns
    -------
    (3, C) float32 array
        One column for a single unit.
    """
    values = answers_of(network, trial_pictures(size))
    # The first of both sides is made of the second.
    return values[:, 1:] if network.layers[-1].name == wrapping.BOTH_SIDES_LAYER else values


# Many pictures


@dataclass(frozen=True)
class Labelled:
    """Some pictures with their classes, or their findings.

    Attributes
    ----------
    read : callable
        From a list of rows to what a network reads: (B, H, W, 3) uint8 pictures, or (B, F) float32 features.
    rows : (N,) int array
        Rows in their dataset.
    labels : (N,) int array
        Class of each; (N, L) for findings, and a structured array for several labels, as in `core.labels`.
    """

    read: Callable[[list[int]], NDArray[Any]]
    rows: NDArray[np.int64]
    labels: NDArray[Any]


def forward(network: Any) -> Answers:
    """Return one compiled forward pass.

    Parameters
    ----------
    network : keras.Model or Graph

    Returns
    -------
    callable
        From (B, …) values in display space, or features, to (B, C) float32.
    """

    def as_float32(values: Any) -> Any:
        return backend.operations().cast(values, "float32")

    return _COMPILERS[backend.name()](as_float32, network)


def answers(call: Answers, pictures: Labelled, batch_size: int) -> Iterator[NDArray[np.float32]]:
    """Yield what a compiled pass answers, batch by batch.

    The last batch is padded to full size, so that the bits do not depend on how many pictures there are.

    Parameters
    ----------
    call : callable
        From `forward`.
    pictures : Labelled
    batch_size : int

    Yields
    ------
    (B, C) float32 array
    """
    for start in range(0, len(pictures.rows), batch_size):
        rows = [int(row) for row in pictures.rows[start : start + batch_size]]
        values = pictures.read(rows)
        missing = batch_size - len(values)
        padding = [(0, missing)] + [(0, 0)] * (values.ndim - 1)
        yield call(np.pad(values, padding))[: len(values)]


def probabilities(network: Any, pictures: Labelled, batch_size: int) -> NDArray[np.float32]:
    """Return a network's probabilities for some pictures.

    Parameters
    ----------
    network : keras.Model
    pictures : Labelled
    batch_size : int

    Returns
    -------
    (N, C) float32 array
    """
    return np.concatenate(list(answers(forward(network), pictures, batch_size)))
