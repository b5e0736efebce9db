"""Composition and forward pass in one compiled call, for each backend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.models import backend, wrapping
from facelime_cli.models.backend import keras, memory_errors_named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray


CONSTANT_WEIGHTS = 1 << 25
"""Networks with more weights keep them as variables: as constants of a graph they take about 15 times their own memory while it is compiled, and half of that after."""


def composer(size: tuple[int, int]) -> Callable[..., Any]:
    """Return the function that composes perturbed pictures on the device.

    It reads packed masks (B, M) uint8, the picture of each row (B,) int32, fills and images (U, 2, H·W, 3) uint8 and segments (U, H·W) int32, and returns
    (B, H, W, 3) float32: x = fill + (image - fill) · mask[segments], exactly, since each pixel is chosen and none computed.
    """
    ops = keras().ops
    n_pixels = size[0] * size[1]

    def compose(bits: Any, index: Any, pictures: Any, segments: Any) -> Any:
        masks = ops.bitwise_and(
            ops.right_shift(ops.cast(ops.expand_dims(bits, -1), "int32"), ops.arange(8, dtype="int32")), 1
        )
        first = ops.expand_dims(ops.arange(bits.shape[0], dtype="int32") * bits.shape[1] * 8, -1)
        kept = ops.take(ops.reshape(masks, (-1,)), ops.take(segments, index, axis=0) + first)
        pixel = (ops.expand_dims(index, -1) * 2 + kept) * n_pixels + ops.arange(n_pixels, dtype="int32")
        chosen = ops.take(ops.reshape(pictures, (-1, 3)), pixel, axis=0)
        return ops.cast(ops.reshape(chosen, (-1, *size, 3)), "float32")

    return compose


def compiled(network: Any) -> Callable[..., NDArray[np.float32]]:
    """Return one compiled call for composition and forward pass, from arrays to (B, C) float32 probabilities."""
    return _COMPILERS[keras().backend.backend()](composer(tuple(network.inputs[0].shape)[1:3]), network)


def _compile_tensorflow(compose: Callable[..., Any], network: Any) -> Callable[..., NDArray[np.float32]]:
    import tensorflow as tf

    k = keras()
    # XLA fuses the composition (2 ms a batch of 32 instead of 11); the network itself is faster without it on a processor.
    fused = tf.function(compose, autograph=False, jit_compile=True)
    # Weights that are constants of the graph can be folded and laid out once: a tenth to a half more evaluations/s on a processor.
    constant = not backend.on_accelerator() and network.count_params() <= CONSTANT_WEIGHTS
    values = [(each, np.asarray(each)) for each in network.variables] if constant else []

    def answer(*arrays: Any) -> Any:
        composed = fused(*arrays)
        with k.StatelessScope(state_mapping=[(each, tf.constant(value)) for each, value in values]):
            return network(composed, training=False)

    graphs: dict[tuple[Any, ...], Any] = {}

    def run(*arrays: Any) -> NDArray[np.float32]:
        shapes = tuple(tuple(array.shape) for array in arrays)
        if shapes not in graphs:
            graphs.clear()  # the graph of another batch size, with all its constants
            graphs[shapes] = tf.function(answer, autograph=False)
        with memory_errors_named():
            return np.asarray(graphs[shapes](*(tf.convert_to_tensor(array) for array in arrays)))

    return run


def _compile_jax(compose: Callable[..., Any], network: Any) -> Callable[..., NDArray[np.float32]]:
    import jax

    k = keras()

    def stateless(values: Any, *arrays: Any) -> Any:
        with k.StatelessScope(state_mapping=list(zip(network.variables, values, strict=True))):
            return network(compose(*arrays), training=False)

    function = jax.jit(stateless)
    values = [each.value for each in network.variables]

    def run(*arrays: Any) -> NDArray[np.float32]:
        with memory_errors_named():
            return np.asarray(function(values, *arrays))

    return run


def _compile_torch(compose: Callable[..., Any], network: Any) -> Callable[..., NDArray[np.float32]]:
    import torch

    ops = keras().ops

    def run(*arrays: Any) -> NDArray[np.float32]:
        with memory_errors_named(), torch.inference_mode():
            tensors = (ops.convert_to_tensor(array) for array in arrays)
            return np.asarray(ops.convert_to_numpy(network(compose(*tensors), training=False)))

    return run


_COMPILERS: dict[str, Callable[[Callable[..., Any], Any], Callable[..., NDArray[np.float32]]]] = {
    "tensorflow": _compile_tensorflow,
    "jax": _compile_jax,
    "torch": _compile_torch,
}


def trial_pictures(size: int) -> NDArray[np.float32]:
    """Return a drawn face, noise and black: (3, size, size, 3) float32 display space."""
    from facelime_cli.core.faces import draw

    noise = np.random.Generator(np.random.Philox(0)).integers(0, 256, (size, size, 3), dtype=np.uint8)
    return np.stack([draw(0, 0, size, flushed=True).image, noise, np.zeros_like(noise)]).astype(np.float32)


def trial_answers(network: Any, size: int) -> NDArray[np.float32]:
    """Return what a network answers to the trial pictures: (3, C) float32, one column for a single unit."""
    values = np.asarray(keras().ops.convert_to_numpy(network(trial_pictures(size), training=False)))
    return values[:, 1:] if network.layers[-1].name == wrapping.BOTH_SIDES_LAYER else values


@dataclass(frozen=True)
class Part:
    """Some of a data set: how to read it, which rows it has, and their classes.

    `read` returns what a network reads for a list of rows: (B, H, W, 3) uint8 pictures, or (B, F) float32 features.
    """

    read: Callable[[list[int]], NDArray[Any]]
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]


def forward(network: Any) -> Callable[..., NDArray[np.float32]]:
    """Return one compiled forward pass, from (B, …) values in display space (or features) to (B, C) float32."""
    return _COMPILERS[keras().backend.backend()](lambda values: keras().ops.cast(values, "float32"), network)


def answers(call: Callable[..., NDArray[np.float32]], part: Part, batch_size: int) -> Iterator[NDArray[np.float32]]:
    """Yield what a compiled pass answers, batch by batch; the last batch is padded to full size, so that the bits do not depend on how many pictures there are."""
    for start in range(0, len(part.rows), batch_size):
        values = part.read([int(row) for row in part.rows[start : start + batch_size]])
        padding = [(0, batch_size - len(values)), *[(0, 0)] * (values.ndim - 1)]
        yield call(np.pad(values, padding))[: len(values)]


def probabilities(network: Any, part: Part, batch_size: int) -> NDArray[np.float32]:
    """Return a network's probabilities for the pictures of a part, (N, C) float32."""
    return np.concatenate(list(answers(forward(network), part, batch_size)))
