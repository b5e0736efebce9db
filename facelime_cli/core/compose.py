"""Perturbed pictures in NumPy, for classifiers that compose nothing themselves, and what stands around such a classifier: its input, its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

ON = np.uint8(255)
"""All bits of a colour: what a kept segment lets through."""


def compose(
    packed: NDArray[np.uint8],
    index: NDArray[np.int32],
    pictures: NDArray[np.uint8],
    segments: NDArray[np.int32],
    out: NDArray[Any],
) -> NDArray[Any]:
    """Write perturbed pictures, and return them: x = fill + (image - fill) · mask[segments], exactly, since each pixel is chosen and none computed.

    Parameters
    ----------
    packed : (B, M) uint8 array
        Masks, segment k in bit k mod 8 of byte k div 8.
    index : (B,) int32 array
        The picture of each mask.
    pictures : (U, 2, P, 3) uint8 array
        Fill and image of each picture, P pixels.
    segments : (U, P) int32 array
    out : (B, P, 3) array, contiguous
        Of any type that holds 0 to 255; one that is used again saves the system's clearing of fresh memory, half of the time.
    """
    colours = pictures.reshape(len(pictures), 2, -1)
    flat = out.reshape(len(out), -1)
    through = np.unpackbits(packed, axis=1, bitorder="little") * ON
    for row, (mask, picture) in enumerate(zip(through, index, strict=True)):
        fill, image = colours[picture]
        # Bits of colours, not a choice per pixel: twice as fast.
        flat[row] = fill ^ ((fill ^ image) & np.repeat(mask.take(segments[picture]), 3))
    return out


def resized(pictures: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Return (B, size, size, 3) float32 pictures: bilinear, with all of a larger picture's pixels counting, as Keras' antialiased `Resizing`."""
    channels = np.moveaxis(pictures, -1, 1).reshape(-1, *pictures.shape[1:3])
    small = np.stack(
        [np.asarray(Image.fromarray(each).resize((size, size), Image.Resampling.BILINEAR)) for each in channels]
    )
    return np.moveaxis(small.reshape(len(pictures), -1, size, size), 1, -1)


def model_input(
    pictures: NDArray[np.float32],
    scale: Sequence[float],
    offset: Sequence[float],
    *,
    reverse: bool,
    luminance: Sequence[float] | None,
    channels_first: bool,
) -> NDArray[np.float32]:
    """Return what a network's first layer gets.

    Parameters
    ----------
    pictures : (B, H, W, 3) float32 array
        Display space, 0 to 255.
    scale, offset : 1 or 3 numbers
        Display space × scale + offset, per channel of the result.
    reverse : bool
        Channels in the order blue, green, red.
    luminance : 3 numbers, optional
        Weights of red, green and blue in the one channel of a grey network.
    channels_first : bool

    Returns
    -------
    (B, H, W, C) float32 array, or (B, C, H, W)
    """
    x = pictures if luminance is None else pictures @ np.array(luminance, np.float32)[:, None]
    if reverse:
        x = x[..., ::-1]
    x = x * np.array(scale, np.float32) + np.array(offset, np.float32)
    return np.ascontiguousarray(np.moveaxis(x, -1, 1) if channels_first else x)


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return probabilities that add up to 1 along the last axis.

    Examples
    --------
    >>> softmax(np.array([[0.0, 0.0]], np.float32))
    array([[0.5, 0.5]], dtype=float32)
    """
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float32)


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return independent probabilities.

    Examples
    --------
    >>> sigmoid(np.array([0.0], np.float32))
    array([0.5], dtype=float32)
    """
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)), np.float32)
