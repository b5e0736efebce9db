"""Shapley values by weighted least squares: KernelSHAP.

Lundberg and Lee, «A unified approach to interpreting model predictions», NeurIPS 2017, theorem 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammaln

from facelime_cli.core.linear import Fit, Smoother, inverse, products

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facelime_cli.core.linear import Floats


def kernel(masks: NDArray[np.bool_]) -> Floats:
    """Return the Shapley kernel of each mask, (K - 1) / (C(K, s) s (K - s)) with s segments kept.

    0 for all and for none, which are no samples but conditions.

    For masks that are each there once, as in the `exact` design.

    Parameters
    ----------
    masks : (S, K) bool array

    Returns
    -------
    (S,) float64 array

    Examples
    --------
    >>> kept = np.array([[1, 1, 1], [1, 0, 1], [0, 0, 1], [0, 0, 0]], dtype=bool)
    >>> kernel(kept).round(4).tolist()
    [0.0, 0.3333, 0.3333, 0.0]
    """
    n, kept = masks.shape[1], masks.sum(axis=1)
    inside = (kept > 0) & (kept < n)
    s = np.where(inside, kept, 1)
    ways = np.exp(gammaln(n + 1) - gammaln(s + 1) - gammaln(n - s + 1))
    return np.where(inside, (n - 1) / (ways * s * (n - s)), 0.0) if n > 1 else np.zeros(len(masks))


def drawn(masks: NDArray[np.bool_]) -> Floats:
    """Return 1 for each mask, and 0 for all and for none.

    Masks whose sizes were drawn by the kernel, as in the `shapley` design, have its weight by their number.

    Parameters
    ----------
    masks : (S, K) bool array

    Returns
    -------
    (S,) float64 array
    """
    kept = masks.sum(axis=1)
    return np.asarray((kept > 0) & (kept < masks.shape[1]), dtype=np.float64)


def shapley(masks: Floats, probabilities: Floats, weights: Floats) -> Fit:
    """Fit Shapley values: weighted least squares under the condition that the coefficients add up to f(all) - f(none).

    The surrogate is exact on the full picture, and on the empty one where that is among the samples; else its value is
    the intercept, estimated with the rest. On all 2^K masks with `kernel` for weights these are the Shapley values.

    Parameters
    ----------
    masks : (S, K) float64 array of 0 and 1
        One row keeps all.
    probabilities : (S, C) float64 array
    weights : (S,) float64 array
        From the design's `weights`: 0 for the rows that keep all or none.
    """
    n = masks.shape[1]
    kept = masks.sum(axis=1)
    full = probabilities[np.argmax(kept)]
    nothing = np.flatnonzero(kept == 0)
    if len(nothing) == 0:
        x = masks - 1
        gram, right = products(x, probabilities - full, weights)
        spread = inverse(gram)
        coefficients = spread @ right
        return Fit(coefficients, full - coefficients.sum(axis=0), Smoother(x, weights, spread, 0.0))
    empty = probabilities[nothing[0]]
    share = (full - empty) / n
    x = masks - kept[:, None] / n
    gram, right = products(x, probabilities - empty - kept[:, None] * share, weights)
    # Each row of x adds up to 0, so that the constant added here changes no result: it makes a singular matrix regular.
    spread = inverse(gram + np.trace(gram) / n**2)
    beyond = spread @ right
    return Fit(share + beyond - beyond.mean(axis=0), empty, Smoother(x, weights, spread, 0.0))
