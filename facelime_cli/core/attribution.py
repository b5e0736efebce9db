"""How much of an attribution lies where it should: against a known region."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Overlap:
    """Attribution against a known region.

    Attributes
    ----------
    on_truth : float
        Share of the positive coefficients' sum that lies in the region; a segment counts by the share of its pixels inside.
    by_chance : float
        What an attribution spread evenly over the segments would reach.
    pointing : float
        Share of the strongest segment that lies in the region (the pointing game of Zhang et al., IJCV 2018, on segments).
    """

    on_truth: float
    by_chance: float
    pointing: float


def overlap(
    coefficients: NDArray[np.float64], segments: NDArray[np.uint16], truth: NDArray[np.uint8]
) -> Overlap | None:
    """Compare one class's coefficients with a known region; None when the region is empty or nothing speaks for the class.

    Parameters
    ----------
    coefficients : (K,) float64 array
    segments : (H, W) uint16 array
    truth : (H, W) uint8 array of 0 and 1

    Examples
    --------
    >>> segments = np.array([[0, 0, 1, 2]], np.uint16)
    >>> overlap(np.array([0.3, -0.2, 0.1]), segments, np.array([[1, 1, 0, 0]], np.uint8)).on_truth
    0.75
    """
    flat = segments.ravel()
    inside = np.bincount(flat, weights=truth.ravel().astype(np.float64)) / np.bincount(flat)
    positive = np.maximum(coefficients, 0)
    if not truth.any() or not positive.any():
        return None
    return Overlap(
        round(float(positive @ inside / positive.sum()), 6),
        float(inside.mean()),
        float(inside[np.argmax(coefficients)]),
    )


def strongest(coefficients: NDArray[np.float64], top: int) -> NDArray[np.int64]:
    """Return the `top` segments with the largest coefficients in size, strongest first; those of exactly 0 are left out."""
    order = np.argsort(-np.abs(coefficients), kind="stable")[:top]
    return np.asarray(order[coefficients[order] != 0])
