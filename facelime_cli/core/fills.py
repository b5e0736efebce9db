"""Fills: what stands where a segment is switched off.

A fill is a function of a picture (H, W, 3) uint8 and its segments (H, W) uint16 that returns (H, W, 3) uint8; what it
needs beside them it takes by keyword.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facelime_cli.core.masks import random_words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Segments = NDArray[np.uint16]

MIDDLE_GREY = 128
BLUR_SHARE = 0.1
"""Standard deviation of `blur` as a share of the picture's side.

A bright square as large as one of 40 segments, .16 of the side, then keeps a third of its contrast in its middle
(erf(.08 / (.1 √2))² = .33), and whatever is finer is gone. Fong and Vedaldi (ICCV 2017) use 10 of 224 pixels, which
keep .85 of it.
"""
BILAPLACIAN_RADIUS = 2
"""Pixels around a segment that its inpainting looks at."""
WORD_BYTES = 4


def mean(image: Pixels, segments: Segments) -> Pixels:
    """Return each segment's mean colour, truncated to uint8 as the `lime` package does (its default).

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    segments : (H, W) uint16 array

    Returns
    -------
    (H, W, 3) uint8 array

    Examples
    --------
    >>> image = np.array([[[1, 0, 9], [2, 0, 9], [7, 7, 7]]], np.uint8)
    >>> mean(image, np.array([[0, 0, 1]], np.uint16))[0, :, 0].tolist()
    [1, 1, 7]
    """
    flat = segments.ravel()
    sizes = np.bincount(flat)
    sums = np.stack(
        [np.bincount(flat, weights=image[..., channel].ravel()) for channel in range(image.shape[-1])], axis=-1
    )
    return (sums / sizes[:, None]).astype(np.uint8)[segments]


def black(image: Pixels, segments: Segments) -> Pixels:  # noqa: ARG001 - one signature for every fill
    """Return black: (H, W, 3) uint8 zeros."""
    return np.zeros_like(image)


def grey(image: Pixels, segments: Segments) -> Pixels:  # noqa: ARG001 - as above
    """Return the middle grey: (H, W, 3) uint8, 128 everywhere."""
    return np.full_like(image, MIDDLE_GREY)


def dataset_mean(
    image: Pixels,
    segments: Segments,  # noqa: ARG001 - as above
    *,
    colour: tuple[int, int, int],
) -> Pixels:
    """Return one colour everywhere, the mean of a dataset.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    segments : (H, W) uint16 array
    colour : (3,) of int
        Red, green and blue, 0 to 255.
    """
    return np.full_like(image, colour)


def blur(image: Pixels, segments: Segments, *, sigma: float) -> Pixels:  # noqa: ARG001 - as above
    """Return the picture under a Gaussian.

    Fong and Vedaldi, "Interpretable explanations of black boxes by meaningful perturbation", ICCV 2017.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    segments : (H, W) uint16 array
    sigma : float
        Standard deviation, in pixels. Beyond the edge the picture's last pixels go on.

    Examples
    --------
    >>> image = np.zeros((1, 9, 3), np.uint8)
    >>> image[0, 4] = 100
    >>> blur(image, np.zeros((1, 9), np.uint16), sigma=1.0)[0, :, 0].tolist()
    [0, 0, 5, 24, 40, 24, 5, 0, 0]
    """
    from scipy.ndimage import gaussian_filter

    return _rounded(gaussian_filter(image.astype(np.float64), (sigma, sigma, 0), mode="nearest"))


def inpaint(image: Pixels, segments: Segments) -> Pixels:
    """Return each segment as its surroundings go on into it, without any pixel of its own.

    Biharmonic functions, Damelin and Hoang, IJMMS 2018, article 3950312.

    Each segment is inpainted alone, from the picture as it is around it; values stay within the range of the pixels
    that it looks at.

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
        part = tuple(slice(max(at.start - BILAPLACIAN_RADIUS, 0), at.stop + BILAPLACIAN_RADIUS) for at in region.slice)
        hidden = segments[part] == region.label - 1
        filled[part][hidden] = _rounded(255 * inpaint_biharmonic(image[part], hidden, channel_axis=-1))[hidden]
    return filled


def noise(image: Pixels, segments: Segments, *, key: int) -> Pixels:  # noqa: ARG001 - one signature for every fill
    """Return noise: every value 0 to 255 alike, each pixel and channel by itself; the same bits always.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    segments : (H, W) uint16 array
    key : int
        From `masks.key_of`.
    """
    height, width = image.shape[0], image.shape[1] * image.shape[2]
    words = random_words(key, 0, height, -(-width // WORD_BYTES))
    return words.astype("<u4").view(np.uint8)[:, :width].reshape(image.shape)


def other_picture(image: Pixels, segments: Segments, *, picture: Pixels) -> Pixels:  # noqa: ARG001 - as above
    """Return another picture: one from a file, or the nearest of another class (`core.neighbours`).

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    segments : (H, W) uint16 array
    picture : (H, W, 3) uint8 array
        Of the same size.
    """
    return picture


def _rounded(values: NDArray[np.float64]) -> Pixels:
    return np.asarray(np.clip(np.round(values), 0, 255), dtype=np.uint8)


def unchanged(image: Pixels, fill: Pixels, segments: Segments) -> NDArray[np.bool_]:
    """Return which segments a fill changes in no pixel: whatever the model does, these will look unimportant.

    (K,) bool.
    """
    differs = np.bincount(segments.ravel(), weights=(image != fill).any(axis=-1).ravel())
    return np.asarray(differs == 0)
