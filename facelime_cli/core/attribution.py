"""How much of an attribution lies where it should: against a known region."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Overlap:
    """Attribution against a known region.

    Attributes
    ----------
    on_truth : float
        Share of the positive coefficients' sum that lies in the region, 0…1. A segment counts by the share of its
        pixels inside.
    by_chance : float
        What an attribution spread evenly over the segments would reach, 0…1.
    pointing : float
        Share of the strongest segment that lies in the region, 0…1.
    """

    on_truth: float
    by_chance: float
    pointing: float


def overlap(coefficients: Floats, segments: NDArray[np.uint16], truth: NDArray[np.uint8]) -> Overlap | None:
    """Compare one class's coefficients with a known region.

    Parameters
    ----------
    coefficients : (K,) float64 array
        In probability.
    segments : (H, W) uint16 array
        The segment of each pixel, 0…K-1.
    truth : (H, W) uint8 array
        1 in the known region, else 0.

    Returns
    -------
    Overlap or None
        None when the region is empty, or no segment speaks for the class.

    Notes
    -----
    `on_truth` is the energy-based pointing game of Wang et al. ("Score-CAM", CVPR Workshops 2020), `pointing` the
    pointing game of Zhang et al. ("Top-down Neural Attention by Excitation Backprop", IJCV 2018). Both are computed
    on segments here.

    Examples
    --------
    >>> segments = np.array([[0, 0, 1, 2]], np.uint16)
    >>> overlap(np.array([0.3, -0.2, 0.1]), segments, np.array([[1, 1, 0, 0]], np.uint8)).on_truth
    0.75
    """
    # A share of each segment, no yes or no: segments hardly ever end where a region does.
    segment = segments.ravel()
    pixels_inside = np.bincount(segment, weights=truth.ravel().astype(np.float64))
    inside = pixels_inside / np.bincount(segment)
    # What speaks against the class is evidence too, but no claim that the finding lies there.
    positive = np.maximum(coefficients, 0)
    if not truth.any() or not positive.any():
        return None
    on_truth = float(positive @ inside / positive.sum())
    pointing = float(inside[np.argmax(coefficients)])
    return Overlap(round(on_truth, 6), float(inside.mean()), pointing)


def strongest(coefficients: Floats, top: int) -> NDArray[np.int64]:
    """Return the segments with the largest coefficients in size.

    Parameters
    ----------
    coefficients : (K,) float64 array
        Of either sign.
    top : int
        How many segments to return at most.

    Returns
    -------
    (k,) int64 array
        Strongest first, k ≤ `top`. Segments of exactly 0 are left out: a selection did not choose them.

    Examples
    --------
    >>> strongest(np.array([0.1, -0.4, 0.0]), 3).tolist()
    [1, 0]
    """
    # A stable order, so that segments of the same size come in the same order on every machine.
    order = np.argsort(-np.abs(coefficients), kind="stable")[:top]
    return np.asarray(order[coefficients[order] != 0])
