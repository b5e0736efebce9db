"""Segmentations of a picture into regions that a surrogate switches on and off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.errors import FacelimeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

MOST_SEGMENTS = 4096
"""More regions than any sample of masks can tell apart, and a sign of wrong parameters."""


def segment(image: NDArray[np.uint8], method: str, parameters: Mapping[str, Any]) -> NDArray[np.uint16]:
    """Return a picture's segments, numbered without gaps in the order of their first pixel.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        Display space.
    method : str
        Name of a function in this module.
    parameters : mapping
        All keyword arguments of that function.

    Returns
    -------
    (H, W) uint16 array of 0…K-1

    Raises
    ------
    FacelimeError
        When there is one region only, or more than `MOST_SEGMENTS`.

    Examples
    --------
    >>> halves = np.zeros((40, 40, 3), np.uint8)
    >>> halves[:, 20:] = 255
    >>> labels = segment(halves, "slic", {"segments": 8, "compactness": 1.0, "sigma": 0.0})
    >>> labels.dtype, int(labels[0, 0]), bool(labels[0, 19] != labels[0, 20])
    (dtype('uint16'), 0, True)
    """
    labels = METHODS[method](image, **parameters)
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    count = len(first)
    if count == 1:
        raise FacelimeError("only one region, so there is nothing to compare; ask for more or smaller segments (--segments, a smaller --max-dist or --compactness)")
    if count > MOST_SEGMENTS:
        raise FacelimeError(f"{count} regions, more than {MOST_SEGMENTS}; ask for fewer or larger segments (--segments, a larger --max-dist or --kernel-size)")
    return rank[inverse].reshape(labels.shape).astype(np.uint16)


def quickshift(image: NDArray[np.uint8], *, kernel_size: float, max_dist: float, ratio: float, sigma: float) -> NDArray[Any]:
    """Mode seeking in colour and place: Vedaldi and Soatto, «Quick shift and kernel methods for mode seeking», ECCV 2008."""
    from skimage.segmentation import quickshift as implementation

    return np.asarray(implementation(image, kernel_size=kernel_size, max_dist=max_dist, ratio=ratio, sigma=sigma, rng=42))


def slic(image: NDArray[np.uint8], *, segments: int, compactness: float, sigma: float) -> NDArray[Any]:
    """k-means in colour and place: Achanta et al., «SLIC superpixels compared to state-of-the-art superpixel methods», TPAMI 2012."""
    from skimage.segmentation import slic as implementation

    return np.asarray(implementation(image, n_segments=segments, compactness=compactness, sigma=sigma, start_label=0, channel_axis=-1))


METHODS: dict[str, Callable[..., NDArray[Any]]] = {"quickshift": quickshift, "slic": slic}
