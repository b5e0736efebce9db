"""Shapley values by weighted least squares: KernelSHAP.

Lundberg and Lee, "A unified approach to interpreting model predictions", NeurIPS 2017, theorem 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammaln

from facelime_cli.core.linear import Fit, Smoother, inverse, products

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facelime_cli.core.linear import Floats

    Masks = NDArray[np.bool_]


def kernel(masks: Masks) -> Floats:
    """Return the Shapley kernel of each mask, for masks that are each there once, as in the `exact` design.

    Parameters
    ----------
    masks : (S, K) bool array

    Returns
    -------
    (S,) float64 array
        (K - 1) / (C(K, s) s (K - s)) with s segments kept; 0 for all and for none, which are conditions, not samples.

    References
    ----------
    Lundberg and Lee, "A unified approach to interpreting model predictions", NeurIPS 2017, theorem 2.

    Examples
    --------
    >>> masks = np.array([[True, True, True], [True, False, True], [False, False, True], [False, False, False]])
    >>> kernel(masks).round(4).tolist()
    [0.0, 0.3333, 0.3333, 0.0]
    """
    n_samples, n = masks.shape
    # A single segment is either kept or not: there is nothing between the two conditions.
    if n <= 1:
        return np.zeros(n_samples)
    kept = masks.sum(axis=1)
    inside = (kept > 0) & (kept < n)
    # The formula divides by 0 for all and for none; 1 stands in where its result is not used.
    s = np.where(inside, kept, 1)
    # By logarithms, since factorials of some hundred segments are beyond float64.
    ways = np.exp(gammaln(n + 1) - gammaln(s + 1) - gammaln(n - s + 1))
    weights = (n - 1) / (ways * s * (n - s))
    return np.where(inside, weights, 0.0)


def drawn(masks: Masks) -> Floats:
    """Return the weights of masks whose sizes were drawn by the kernel, as in the `shapley` design.

    Such masks have the kernel's weight by their number.

    Parameters
    ----------
    masks : (S, K) bool array

    Returns
    -------
    (S,) float64 array
        1, and 0 for all and for none, which are conditions, not samples.

    Examples
    --------
    >>> drawn(np.array([[True, True], [True, False], [False, False]])).tolist()
    [0.0, 1.0, 0.0]
    """
    kept = masks.sum(axis=1)
    inside = (kept > 0) & (kept < masks.shape[1])
    return np.asarray(inside, dtype=np.float64)


def shapley(masks: Floats, probabilities: Floats, weights: Floats) -> Fit:
    """Fit Shapley values: weighted least squares under the condition that they add up to f(all) - f(none).

    Parameters
    ----------
    masks : (S, K) float64 array of 0 and 1
        One row keeps all.
    probabilities : (S, C) float64 array
    weights : (S,) float64 array
        From the design's `weights`: 0 for the rows that keep all or none.

    Returns
    -------
    Fit
        Exact on the full picture, and on the empty one where that is among the samples.
        Otherwise the intercept is estimated with the rest.

    Notes
    -----
    On all 2^K masks, with `kernel` for weights, these are the Shapley values (Lundberg and Lee 2017, theorem 2).
    """
    n = masks.shape[1]
    kept = masks.sum(axis=1)
    full = probabilities[np.argmax(kept)]
    nothing = np.flatnonzero(kept == 0)
    if len(nothing) == 0:
        return _through_full(masks, probabilities, weights, full)
    empty = probabilities[nothing[0]]
    # The condition goes by a change of variables: what is fitted is how far each value is from an equal share.
    share = (full - empty) / n
    kept_column = kept[:, None]
    x = masks - kept_column / n
    beyond_share = probabilities - empty - kept_column * share
    gram, right = products(x, beyond_share, weights)
    # Each row of x adds up to 0, so that the constant added here changes no result: it makes a singular matrix regular.
    spread = inverse(gram + np.trace(gram) / n**2)
    beyond = spread @ right
    coefficients = share + beyond - beyond.mean(axis=0)
    return Fit(coefficients, empty, Smoother(x, weights, spread, 0.0))


def _through_full(masks: Floats, probabilities: Floats, weights: Floats, full: Floats) -> Fit:
    """Fit values that are exact on the full picture alone."""
    # With all segments kept, x is 0: a fit without intercept goes through the full picture.
    x = masks - 1
    gram, right = products(x, probabilities - full, weights)
    spread = inverse(gram)
    coefficients = spread @ right
    intercept = full - coefficients.sum(axis=0)
    return Fit(coefficients, intercept, Smoother(x, weights, spread, 0.0))
