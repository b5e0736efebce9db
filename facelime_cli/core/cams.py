"""Class activation maps: where a convolution's maps speak for a class. Pure functions on maps (h, w, n) and gradients of the class's score (h, w, n)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Maps = NDArray[np.float32]


def gradcam(maps: Maps, gradients: Maps) -> NDArray[np.float64]:
    """Return the maps' sum, each weighted by its mean gradient, where it is positive: Selvaraju et al., «Grad-CAM», ICCV 2017, equations 1 and 2.

    Parameters
    ----------
    maps, gradients : (h, w, n) float32 array

    Returns
    -------
    (h, w) float64 array, not negative

    Examples
    --------
    >>> gradcam(np.array([[[1.0, 2.0], [3.0, 0.0]]]), np.array([[[1.0, -1.0], [1.0, 0.0]]])).tolist()
    [[0.0, 3.0]]
    """
    return np.asarray(np.maximum(maps.astype(np.float64) @ gradients.astype(np.float64).mean(axis=(0, 1)), 0))


def gradcam_plus_plus(maps: Maps, gradients: Maps) -> NDArray[np.float64]:
    """Return the maps' sum, each weighted by its positive gradients, those of rare places the more: Chattopadhyay et al., «Grad-CAM++», WACV 2018, equations 10 to 19.

    The class's score is the exponential of the one before the softmax, as there; its own size cancels out of the map's shape and is left out.
    """
    a, g = maps.astype(np.float64), gradients.astype(np.float64)
    below = 2 * g**2 + a.sum(axis=(0, 1)) * g**3
    share = np.divide(g**2, below, out=np.zeros_like(g), where=below != 0)
    return np.asarray(np.maximum(a @ (share * np.maximum(g, 0)).sum(axis=(0, 1)), 0))


def eigencam(maps: Maps, gradients: Maps) -> NDArray[np.float64]:  # noqa: ARG001 - one signature for every variant
    """Return the maps' first principal component, where it is positive: Muhammad and Yeasin, «Eigen-CAM», IJCNN 2020. It asks for no score and is the same for every class.

    The sign, which a component does not have, is the one that makes its sum positive.
    """
    flat = maps.reshape(-1, maps.shape[-1]).astype(np.float64)
    _, _, directions = np.linalg.svd(flat, full_matrices=False)
    found = (flat @ directions[0]).reshape(maps.shape[:2])
    return np.asarray(np.maximum(found if found.sum() > 0 else -found, 0))


def enlarged(cam: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """Return a map at the size of its picture, linear between the middles of its cells: (H, W) float64."""
    height, width = size
    return np.asarray(
        Image.fromarray(cam.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR), dtype=np.float64
    )


def pooled(cam: NDArray[np.float64], segments: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Return which share of a map lies on each segment.

    Parameters
    ----------
    cam : (h, w) float64 array, not negative
        Enlarged to the size of the segments first.
    segments : (H, W) uint16 array

    Returns
    -------
    (K,) float64 array
        Sums to 1, or is 0 where the map is.

    Examples
    --------
    >>> pooled(np.array([[1.0, 3.0]]), np.array([[0, 1]], np.uint16)).tolist()
    [0.25, 0.75]
    """
    sums = np.bincount(segments.ravel(), weights=enlarged(cam, (segments.shape[0], segments.shape[1])).ravel())
    return np.asarray(sums / sums.sum() if sums.sum() > 0 else sums)
