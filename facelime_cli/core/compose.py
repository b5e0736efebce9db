"""Perturbed pictures in NumPy, for classifiers that compose nothing themselves.

What stands around such a classifier is here too: its input and its answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from facelime_cli.core.shapes import Sides

    Numbers = Sequence[float]
    Floats32 = NDArray[np.float32]
    Bytes = NDArray[np.uint8]
    Indices = NDArray[np.int32]

ON = np.uint8(255)
"""All bits of a colour: what a kept segment lets through."""


def compose(packed: Bytes, index: Indices, pictures: Bytes, segments: Indices, out: NDArray[Any]) -> NDArray[Any]:
    """Write perturbed pictures, and return them.

    A pixel is the image's where its segment is kept, else the fill's: x = fill + (image - fill) · mask[segments].
    The result is exact, since each pixel is chosen and none is computed.

    Parameters
    ----------
    packed : (B, M) uint8 array
        Masks, segment k in bit k mod 8 of byte k div 8.
    index : (B,) int32 array
        The picture of each mask.
    pictures : (U, 2, P, 3) uint8 array
        Fill and image of each picture, P pixels.
    segments : (U, P) int32 array
        The segment of each pixel.
    out : (B, P, 3) array
        Contiguous, of any type that holds 0 to 255. Use one array again and again: clearing fresh memory takes the
        system half of the time.

    Returns
    -------
    (B, P, 3) array
        `out` itself.

    Notes
    -----
    The perturbation of LIME (Ribeiro et al., "Why Should I Trust You?", KDD 2016, section 3.3).

    Examples
    --------
    >>> pictures = np.array([[[[7, 7, 7], [7, 7, 7]], [[1, 2, 3], [4, 5, 6]]]], np.uint8)
    >>> packed = np.array([[0b01]], np.uint8)
    >>> index = np.array([0], np.int32)
    >>> segments = np.array([[0, 1]], np.int32)
    >>> compose(packed, index, pictures, segments, np.empty((1, 2, 3), np.uint8)).tolist()
    [[[1, 2, 3], [7, 7, 7]]]
    """
    colours = pictures.reshape(len(pictures), 2, -1)
    flat = out.reshape(len(out), -1)
    through = np.unpackbits(packed, axis=1, bitorder="little") * ON
    for row, (mask, picture) in enumerate(zip(through, index, strict=True)):
        fill, image = colours[picture]
        kept = mask.take(segments[picture])
        # Bits of colours, not a choice per pixel: twice as fast. Fill with the bits flipped that differ is the image.
        flat[row] = fill ^ ((fill ^ image) & np.repeat(kept, 3))
    return out


def sides_of(pair: NDArray[Any]) -> NDArray[Any]:
    """Return what `choose` reads of a picture: the bits of its fill, and those that differ in its image.

    Parameters
    ----------
    pair : (2, R, L) uint8 or float32 array
        Fill and image, in the form that `choose` is to write.

    Returns
    -------
    (2, R, L) uint8 or uint32 array
    """
    fill, image = np.ascontiguousarray(pair).view(f"u{pair.dtype.itemsize}")
    return np.stack([fill, fill ^ image])


def choose(packed: Bytes, sides: NDArray[Any], segments: Indices, out: NDArray[Any]) -> NDArray[Any]:
    """Write perturbed forms of one picture, and return them.

    What is the same for every mask, such as an input scaling, is so computed once for a picture, not for each mask.
    The result is exact, since each number is chosen and none is computed.

    Parameters
    ----------
    packed : (B, M) uint8 array
        Masks, segment k in bit k mod 8 of byte k div 8.
    sides : (2, R, L) unsigned array
        From `sides_of`: either R planes of L = P pixels, or one row of L = C · P numbers, C beside each other for each
        pixel.
    segments : (P,) int32 array
        The segment of each pixel.
    out : (B, R, L) array
        Contiguous, of the dtype that `sides_of` was given. Use one array again and again.

    Returns
    -------
    (B, R, L) array
        `out` itself.

    Examples
    --------
    >>> sides = sides_of(np.array([[[7.5, 7.5]], [[1.0, 2.0]]], np.float32))
    >>> choose(np.array([[0b01]], np.uint8), sides, np.array([0, 1], np.int32), np.empty((1, 1, 2), np.float32))
    array([[[1. , 7.5]]], dtype=float32)
    """
    fill, differs = sides
    bits = out.view(sides.dtype)
    through = np.unpackbits(packed, axis=1, bitorder="little").astype(sides.dtype) * np.iinfo(sides.dtype).max
    # NumPy looks up with its own integers, and would convert these for every mask.
    places = segments.astype(np.intp)
    kept = np.empty(len(places), sides.dtype)
    beside = sides.shape[-1] // len(places)
    for mask, row in zip(through, bits, strict=True):
        np.take(mask, places, out=kept, mode="clip")
        np.bitwise_and(differs, kept if beside == 1 else np.repeat(kept, beside), out=row)
        np.bitwise_xor(row, fill, out=row)
    return out


def composed(image: Bytes, fill: Bytes, segments: NDArray[np.uint16], kept: NDArray[np.bool_]) -> Bytes:
    """Return perturbed pictures as the model sees them: fill where a segment is switched off.

    Parameters
    ----------
    image, fill : (H, W, 3) uint8 array
    segments : (H, W) uint16 array
    kept : (n, K) bool array

    Returns
    -------
    (n, H, W, 3) uint8 array
    """
    return np.where(kept[:, segments][..., None], image, fill)


def resized(pictures: Floats32, sides: Sides) -> Floats32:
    """Return pictures of another size, bilinear, in which all pixels of a larger picture count.

    Parameters
    ----------
    pictures : (B, H, W, 3) float32 array
        Display space, 0 to 255.
    sides : (int, int)
        Height and width, in pixels.

    Returns
    -------
    (B, *sides, 3) float32 array

    Notes
    -----
    Pillow widens its filter when it shrinks, as Keras' `Resizing` does with `antialias=True`. A bilinear filter
    without that skips pixels, and the network would be explained on other pictures than it was trained on.
    """
    height, width = pictures.shape[1:3]
    # Pillow resizes floats one channel at a time.
    channels = np.moveaxis(pictures, -1, 1).reshape(-1, height, width)
    resized_channels = []
    for channel in channels:
        picture = Image.fromarray(channel).resize(sides[::-1], Image.Resampling.BILINEAR)
        resized_channels.append(np.asarray(picture))
    small = np.stack(resized_channels).reshape(len(pictures), -1, *sides)
    return np.moveaxis(small, 1, -1)


def model_input(
    pictures: Floats32,
    scale: Numbers,
    offset: Numbers,
    *,
    reverse: bool,
    luminance: Numbers | None,
    channels_first: bool,
) -> Floats32:
    """Return what a network's first layer gets.

    Parameters
    ----------
    pictures : (B, H, W, 3) float32 array
        Display space, 0 to 255.
    scale, offset : sequence of 1 or 3 floats
        Display space × scale + offset, per channel of the result.
    reverse : bool
        Channels in the order blue, green, red.
    luminance : sequence of 3 floats, optional
        Weights of red, green and blue in the one channel of a grey network.
    channels_first : bool
        Channels before height and width, as PyTorch has them.

    Returns
    -------
    (B, H, W, C) float32 array, or (B, C, H, W)
        Contiguous.

    Examples
    --------
    >>> grey = np.full((1, 1, 1, 3), 255, np.float32)
    >>> model_input(grey, [2 / 255], [-1], reverse=False, luminance=None, channels_first=False).tolist()
    [[[[1.0, 1.0, 1.0]]]]
    """
    x = pictures
    if luminance is not None:
        x = x @ np.array(luminance, np.float32)[:, None]
    # Before the scaling: its numbers are given per channel of the result, thus in the network's own order.
    if reverse:
        x = x[..., ::-1]
    x = x * np.array(scale, np.float32) + np.array(offset, np.float32)
    if channels_first:
        x = np.moveaxis(x, -1, 1)
    # Runtimes outside Python read memory as it lies, and know nothing of strides.
    return np.ascontiguousarray(x)


def softmax(logits: Floats32) -> Floats32:
    """Return probabilities that add up to 1 along the last axis.

    Parameters
    ----------
    logits : (..., C) float32 array
        A network's last values before its softmax.

    Returns
    -------
    (..., C) float32 array
        Probabilities, 0…1.

    Examples
    --------
    >>> softmax(np.array([[0.0, 0.0]], np.float32))
    array([[0.5, 0.5]], dtype=float32)
    """
    # The largest logit is taken off first: the exponential of 89 already overflows float32.
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float32)


def sigmoid(logits: Floats32) -> Floats32:
    """Return independent probabilities.

    Parameters
    ----------
    logits : float32 array
        Of any shape.

    Returns
    -------
    float32 array
        Of the same shape, probabilities 0…1.

    Examples
    --------
    >>> sigmoid(np.array([0.0], np.float32))
    array([0.5], dtype=float32)
    """
    # The same as 1 / (1 + exp(-x)), but exp overflows for large negative logits and tanh does not.
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)), np.float32)
