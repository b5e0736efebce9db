"""Fills: what stands where a segment is switched off.

A fill is a function of a picture (H, W, 3) uint8 and its segments (H, W) uint16 that returns (H, W, 3) uint8. Anything
else that it needs is a keyword.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from facelime_cli.core import shapes
from facelime_cli.core.masks import random_words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facelime_cli.core.shapes import Size

    Pixels = NDArray[np.uint8]
    Segments = NDArray[np.uint16]

MIDDLE_GREY = 128
"""Half of the range of a uint8."""
BLUR_SHARE = 0.1
"""Standard deviation of `blur` as a share of the picture's side, see `usual_sigma`.

A square as large as one of 40 segments, 0.16 of the side, then keeps a third of its contrast in its middle: the square
of erf(0.08 / (0.1 √2)) is 0.33. Finer details disappear. Fong and Vedaldi (ICCV 2017) use 10 of 224 pixels, which keep
0.85 of it.
"""
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
    sums = []
    for channel in range(image.shape[-1]):
        values = image[..., channel].ravel()
        sums.append(np.bincount(flat, weights=values))
    means = np.stack(sums, axis=-1) / sizes[:, None]
    # Truncated and not rounded, so that the composed pictures are those of lime.
    colours = means.astype(np.uint8)
    return colours[segments]


def black(image: Pixels, segments: Segments) -> Pixels:  # noqa: ARG001 - one signature for every fill
    """Return black.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        Display space. Only its size is used.
    segments : (H, W) uint16 array
        Not used.

    Returns
    -------
    (H, W, 3) uint8 array
        0 everywhere.
    """
    return np.zeros_like(image)


def grey(image: Pixels, segments: Segments) -> Pixels:  # noqa: ARG001 - as above
    """Return the middle grey.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        Display space. Only its size is used.
    segments : (H, W) uint16 array
        Not used.

    Returns
    -------
    (H, W, 3) uint8 array
        128 everywhere.
    """
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
    """Return the picture smoothed by a Gaussian.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        Display space.
    segments : (H, W) uint16 array
        Not used.
    sigma : float
        Standard deviation, in pixels. Beyond its edge the picture repeats its last pixels.

    Returns
    -------
    (H, W, 3) uint8 array

    References
    ----------
    Fong and Vedaldi, "Interpretable explanations of black boxes by meaningful perturbation", ICCV 2017.

    Examples
    --------
    >>> image = np.zeros((1, 9, 3), np.uint8)
    >>> image[0, 4] = 100
    >>> blur(image, np.zeros((1, 9), np.uint16), sigma=1.0)[0, :, 0].tolist()
    [0, 0, 5, 24, 40, 24, 5, 0, 0]
    """
    from scipy.ndimage import gaussian_filter

    values = image.astype(np.float64)
    # 0: the channels do not mix.
    smooth = gaussian_filter(values, (sigma, sigma, 0), mode="nearest")
    return _rounded(smooth)


def usual_sigma(size: Size) -> float:
    """Return the standard deviation of `blur` that is used when none is asked for.

    Parameters
    ----------
    size : int or sequence of int
        Side of the pictures, or height and width, in pixels.

    Returns
    -------
    float
        In pixels.

    Examples
    --------
    >>> usual_sigma(224), usual_sigma([75, 100])
    (22.4, 8.66)
    """
    # Segments have a share of the area, so that it is the side of a square of the same area that counts.
    side = math.sqrt(math.prod(shapes.sides(size)))
    return round(BLUR_SHARE * side, 3)


def inpaint(image: Pixels, segments: Segments) -> Pixels:
    """Return each segment painted from its surroundings, without any pixel of its own.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        Display space.
    segments : (H, W) uint16 array
        0 to K-1.

    Returns
    -------
    (H, W, 3) uint8 array
        Within the range of the pixels around each segment.

    Notes
    -----
    Each segment is painted alone. All others show the picture meanwhile.

    References
    ----------
    Damelin and Hoang, "On surface completion and image inpainting by biharmonic functions: numerical aspects", IJMMS
    2018, article 3950312; scikit-image's `inpaint_biharmonic`.

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
    # `regionprops` takes label 0 for the ground between regions.
    from_one = segments.astype(np.int32) + 1
    for region in regionprops(from_one):
        # The equations reach no further, so that a segment's surroundings do instead of the whole picture.
        rows, columns = region.slice
        window = (_wider(rows), _wider(columns))
        hidden = segments[window] == region.label - 1
        values = inpaint_biharmonic(image[window], hidden, channel_axis=-1)
        painted = _rounded(255 * values)
        filled[window][hidden] = painted[hidden]
    return filled


def _wider(extent: slice) -> slice:
    """Return a slice with the pixels on both sides that an inpainting looks at."""
    # A slice may end beyond the picture, but must not begin before it.
    first = max(extent.start - BILAPLACIAN_RADIUS, 0)
    return slice(first, extent.stop + BILAPLACIAN_RADIUS)


def noise(image: Pixels, segments: Segments, *, key: int) -> Pixels:  # noqa: ARG001 - one signature for every fill
    """Return noise: each pixel and channel is drawn alone, and every value is as likely as any other.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        Display space. Only its size is used.
    segments : (H, W) uint16 array
        Not used.
    key : int
        From `masks.key_of`. The same key gives the same noise.

    Returns
    -------
    (H, W, 3) uint8 array

    References
    ----------
    The generator is Philox, see `masks.random_words`.
    """
    height, width, channels = image.shape
    row_bytes = width * channels
    words = random_words(key, 0, height, math.ceil(row_bytes / WORD_BYTES))
    # The order of bytes is fixed, so that every machine draws the same noise.
    values = words.astype("<u4").view(np.uint8)
    # The last word of a row may have bytes to spare.
    used = values[:, :row_bytes]
    return used.reshape(image.shape)


def other_picture(image: Pixels, segments: Segments, *, picture: Pixels) -> Pixels:  # noqa: ARG001 - as above
    """Return another picture: one from a file, or the nearest of another class (`core.neighbours`).

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        Not used.
    segments : (H, W) uint16 array
        Not used.
    picture : (H, W, 3) uint8 array
        The other picture, of the same size.

    Returns
    -------
    (H, W, 3) uint8 array
        `picture` itself.
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
        Display space.
    segments : (H, W) uint16 array
        0 to K-1.

    Returns
    -------
    (K,) bool array
    """
    differs = (image != fill).any(axis=-1)
    changed_pixels = np.bincount(segments.ravel(), weights=differs.ravel())
    return np.asarray(changed_pixels == 0)
