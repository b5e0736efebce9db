"""Fills: what stands where a segment is switched off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def mean(image: NDArray[np.uint8], segments: NDArray[np.uint16]) -> NDArray[np.uint8]:
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
    sums = np.stack([np.bincount(flat, weights=image[..., channel].ravel()) for channel in range(image.shape[-1])], axis=-1)
    return (sums / sizes[:, None]).astype(np.uint8)[segments]


def black(image: NDArray[np.uint8], segments: NDArray[np.uint16]) -> NDArray[np.uint8]:  # noqa: ARG001 - one signature for every fill
    """Return black: (H, W, 3) uint8 zeros."""
    return np.zeros_like(image)


FILLS = {"mean": mean, "black": black}


def unchanged(image: NDArray[np.uint8], fill: NDArray[np.uint8], segments: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """Return which segments a fill changes in no pixel: whatever the model does, these will look unimportant. (K,) bool."""
    differs = np.bincount(segments.ravel(), weights=(image != fill).any(axis=-1).ravel())
    return np.asarray(differs == 0)
