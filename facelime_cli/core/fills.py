"""Fills: what stands where a segment is switched off.

A fill is a function of a picture (H, W, 3) uint8 and its segments (H, W) uint16 that returns (H, W, 3) uint8.
What it needs beside them it takes by keyword.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from facelime_cli.core.masks import random_words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Segments = NDArray[np.uint16]
    Colour = tuple[int, int, int]

MIDDLE_GREY = 128
"""Half of the range of a uint8."""
BLUR_SHARE = 0.1
"""Standard deviation of `blur` as a share of the picture's side.
A bright square as large as one of 40 segments is .16 of the side. It keeps a third of its contrast in its middle,
erf(.08 / (.1 √2))² = .33, and whatever is finer is gone.
Fong and Vedaldi (ICCV 2017) use 10 of 224 pixels, which keep .85 of it."""
BILAPLACIAN_RADIUS = 2
"""Pixels around a segment that its inpainting looks at."""
WORD_BYTES = 4
"""Bytes of one random word."""


def mean(image: Pixels, segments: Segments) -> Pixels:
    """Return each segment's mean colour, truncated to uint8.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        Display space.
    segments : (H, W) uint16 array
        0 to K-1.

    Returns
    -------
    (H, W, 3) uint8 array

    References
    ----------
    The default of the `lime` package, `lime_image.py`, which truncates as well.

    Examples
    --------
    >>> image = np.array([[[1, 0, 9], [2, 0, 9], [7, 7, 7]]], np.uint8)
    >>> mean(image, np.array([[0, 0, 1]], np.uint16))[0, :, 0].tolist()
    [1, 1, 7]
    """
    flat = segments.ravel()
    sizes = np.bincount(flat)
    channels = []
    for channel in range(image.shape[-1]):
        values = image[..., channel].ravel()
        channels.append(np.bincount(flat, weights=values))
    sums = np.stack(channels, axis=-1)
    colours = (sums / sizes[:, None]).astype(np.uint8)
    return colours[segments]


def black(image: Pixels, segments: Segments) -> Pixels:  # noqa: ARG001 - one signature for every fill
    """Return black everywhere.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    segments : (H, W) uint16 array

    Returns
    -------
    (H, W, 3) uint8 array
    """
    return np.zeros_like(image)


def grey(image: Pixels, segments: Segments) -> Pixels:  # noqa: ARG001 - as above
    """Return the middle grey everywhere, which is 128.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    segments : (H, W) uint16 array

    Returns
    -------
    (H, W, 3) uint8 array
    """
    return np.full_like(image, MIDDLE_GREY)


def dataset_mean(image: Pixels, segments: Segments, *, colour: Colour) -> Pixels:  # noqa: ARG001 - as above
    """Return one colour everywhere, the mean of a dataset.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        Display space. Only its size is used.
    segments : (H, W) uint16 array
        Not used.
    colour : (int, int, int)
        Red, green and blue, 0 to 255.

    Returns
    -------
    (H, W, 3) uint8 array
    """
    return np.full_like(image, colour)


def blur(image: Pixels, segments: Segments, *, sigma: float) -> Pixels:  # noqa: ARG001 - as above
    """Return the picture under a Gaussian.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        Display space.
    segments : (H, W) uint16 array
        Not used.
    sigma : float
        Standard deviation, in pixels. Beyond the edge the picture's last pixels are repeated.

    Returns
    -------
    (H, W, 3) uint8 array

    References
    ----------
    Fong and Vedaldi, Interpretable explanations of black boxes by meaningful perturbation, ICCV 2017.

    Examples
    --------
    >>> image = np.zeros((1, 9, 3), np.uint8)
    >>> image[0, 4] = 100
    >>> blur(image, np.zeros((1, 9), np.uint16), sigma=1.0)[0, :, 0].tolist()
    [0, 0, 5, 24, 40, 24, 5, 0, 0]
    """
    from scipy.ndimage import gaussian_filter

    values = image.astype(np.float64)
    # Nothing is smoothed along the axis of the channels.
    return _rounded(gaussian_filter(values, (sigma, sigma, 0), mode="nearest"))


def inpaint(image: Pixels, segments: Segments) -> Pixels:
    """Return each segment as its surroundings continue into it, without any pixel of its own.

    Each segment is inpainted alone, from the picture as it is around it.
    Values stay within the range of the pixels that it looks at.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    segments : (H, W) uint16 array

    Returns
    -------
    (H, W, 3) uint8 array

    References
    ----------
    Biharmonic functions: Damelin and Hoang, International Journal of Mathematics and Mathematical Sciences, 2018,
    article 3950312.

    Examples
    --------
    >>> ramp = np.repeat(np.repeat(np.arange(0, 180, 20, dtype=np.uint8)[None, :, None], 9, 0), 3, 2)
    >>> segments = np.zeros((9, 9), np.uint16)
    >>> segments[3:6, 3:6] = 1
    >>> spoilt = ramp.copy()
    >>> spoilt[4, 4] = 255
    >>> inpaint(spoilt, segments)[4, 3:6, 0].tolist()
    [60, 80, 100]
    """
    from skimage.measure import regionprops
    from skimage.restoration import inpaint_biharmonic

    filled = np.empty_like(image)
    for region in regionprops(segments.astype(np.int32) + 1):
        # What lies farther away has no weight in the inpainting, and would only take time.
        part = tuple(slice(max(at.start - BILAPLACIAN_RADIUS, 0), at.stop + BILAPLACIAN_RADIUS) for at in region.slice)
        hidden = segments[part] == region.label - 1
        inpainted = inpaint_biharmonic(image[part], hidden, channel_axis=-1)
        colours = _rounded(255 * inpainted)
        filled[part][hidden] = colours[hidden]
    return filled


def _wider(extent: slice) -> slice:
    """Return a slice with the pixels on both sides that an inpainting looks at."""
    # A slice may end beyond the picture, but must not begin before it.
    first = max(extent.start - BILAPLACIAN_RADIUS, 0)
    return slice(first, extent.stop + BILAPLACIAN_RADIUS)


def noise(image: Pixels, segments: Segments, *, key: int) -> Pixels:  # noqa: ARG001 - one signature for every fill
    """Return noise: every value 0 to 255 alike, each pixel and channel by itself; the same key gives the same bits.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        Display space. Only its size is used.
    segments : (H, W) uint16 array
        Not used.
    key : int
        From `masks.key_of`.

    Returns
    -------
    (H, W, 3) uint8 array
    """
    height = image.shape[0]
    width = image.shape[1] * image.shape[2]
    words = random_words(key, 0, height, -(-width // WORD_BYTES))
    # The order of the bytes in a word is fixed, so that every machine makes the same noise.
    values = words.astype("<u4").view(np.uint8)
    return values[:, :width].reshape(image.shape)


def other_picture(image: Pixels, segments: Segments, *, picture: Pixels) -> Pixels:  # noqa: ARG001 - as above
    """Return another picture: one from a file, or the nearest of another class (`core.neighbours`).

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        Not used.
    segments : (H, W) uint16 array
        Not used.
    picture : (H, W, 3) uint8 array
        Of the same size.

    Returns
    -------
    (H, W, 3) uint8 array
        `picture` itself, not a copy.
    """
    return picture


def _rounded(values: NDArray[np.float64]) -> Pixels:
    """Return values in whole numbers, 0 to 255."""
    whole = np.round(values)
    return np.asarray(np.clip(whole, 0, 255), dtype=np.uint8)


def unchanged(image: Pixels, fill: Pixels, segments: Segments) -> NDArray[np.bool_]:
    """Return which segments a fill changes in no pixel. These look unimportant whatever the model does.

    Parameters
    ----------
    image, fill : (H, W, 3) uint8 arrays
    segments : (H, W) uint16 array

    Returns
    -------
    (K,) bool array
    """
    changed = (image != fill).any(axis=-1)
    counts = np.bincount(segments.ravel(), weights=changed.ravel())
    return np.asarray(counts == 0)
