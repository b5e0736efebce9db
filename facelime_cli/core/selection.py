"""Surrogates that keep only some segments; the coefficients of the others are exactly 0.

`highest`, `forward` and `lars` select as the `lime` package 0.2.0.1 does (`feature_selection` of `lime_base.py`).
They then fit its ridge regression to the selected segments, class by class.

Least squares gives no error of a coefficient whose segment was chosen by the same samples.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from facelime_cli.core.linear import Fit, inverse, moments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from facelime_cli.core.linear import Floats, Moments

    Integers = NDArray[np.int64]
    Chosen = Sequence[Integers]

RANKING_PENALTY = 0.01
"""Penalty of the ridge regression by which lime's `highest_weights` ranks the features."""
EXPLAINED = 1e-10
"""Share of a segment's variance below which the selected segments hold all of it already."""
MOST_ITERATIONS = 10_000


def lasso(masks: Floats, probabilities: Floats, weights: Floats, *, alpha: float) -> Fit:
    """Fit the lasso: scikit-learn's `Lasso`, and Captum's surrogate with α = 0.01.

    Parameters
    ----------
    masks : (S, K) float64 array of 0 and 1
    probabilities : (S, C) float64 array
    weights : (S,) float64 array
    alpha : float
        Penalty, in probability. With half of the segments kept, coefficients below 4α become 0, and the others lose
        as much.

    Returns
    -------
    Fit
        Minimises Σ w (y - b - zβ)² / (2 Σ w) + α‖β‖₁.

    References
    ----------
    Tibshirani, "Regression shrinkage and selection via the lasso", J. Royal Statistical Society B 58, 1996.
    """
    from sklearn.linear_model import Lasso

    n_classes, n_segments = probabilities.shape[1], masks.shape[1]
    model = Lasso(alpha=alpha, max_iter=MOST_ITERATIONS)
    model.fit(masks, probabilities, sample_weight=weights)
    # scikit-learn leaves the axis of the classes out where there is one class.
    coefficients = np.reshape(model.coef_, (n_classes, n_segments)).T
    intercept = np.reshape(model.intercept_, n_classes)
    return Fit(coefficients, intercept)


def highest(masks: Floats, probabilities: Floats, weights: Floats, *, features: int, alpha: float) -> Fit:
    """Fit ridge regression to the segments of the largest coefficients in a ridge regression on all.

    Parameters
    ----------
    masks : (S, K) float64 array of 0 and 1
    probabilities : (S, C) float64 array
    weights : (S,) float64 array
    features : int
        How many segments are kept.
    alpha : float
        Penalty of the final regression.

    Returns
    -------
    Fit

    Notes
    -----
    This is `highest_weights` of the `lime` package 0.2.0.1.
    """
    found = moments(masks, probabilities, weights)
    penalty = RANKING_PENALTY * np.eye(len(found.gram))
    ranking = inverse(found.gram + penalty) @ found.right
    # A stable order: of equal coefficients, the first segment is kept.
    order = np.argsort(-np.abs(ranking), axis=0, kind="stable")
    chosen = list(order[:features].T)
    return _on(chosen, found, alpha)


def forward(masks: Floats, probabilities: Floats, weights: Floats, *, features: int, alpha: float) -> Fit:
    """Fit ridge regression to segments that are chosen one after the other.

    Each is the one that raises the weighted R² of least squares most.

    Parameters
    ----------
    masks : (S, K) float64 array of 0 and 1
    probabilities : (S, C) float64 array
    weights : (S,) float64 array
    features : int
        How many segments are kept.
    alpha : float
        Penalty of the final regression.

    Returns
    -------
    Fit

    Notes
    -----
    This chooses as `forward_selection` of the `lime` package 0.2.0.1 does.
    """
    found = moments(masks, probabilities, weights)
    chosen = [_forward(found.gram, right, features) for right in found.right.T]
    return _on(chosen, found, alpha)


def _forward(gram: Floats, right: Floats, features: int) -> Integers:
    """Return the segments in the order of their choice.

    A chosen segment is swept out of the sums of products (Efroymson, "Multiple regression analysis", 1960).
    """
    left = gram.copy()
    answer = right.copy()
    variance = np.diagonal(gram) * EXPLAINED
    chosen: list[int] = []
    for _ in range(min(features, len(gram))):
        spread = np.diagonal(left)
        # What is left of a segment that the chosen ones hold is rounding: its gain would be noise divided by noise.
        own = spread > variance
        divisor = np.where(own, spread, 1.0)
        gain = np.where(own, answer**2 / divisor, 0.0)
        gain[chosen] = -1.0
        best = int(gain.argmax())
        chosen.append(best)
        if own[best]:
            column = left[best] / spread[best]
            answer = answer - column * answer[best]
            left = left - np.outer(column, left[best])
    return np.array(chosen, dtype=np.int64)


def lars(masks: Floats, probabilities: Floats, weights: Floats, *, features: int, alpha: float) -> Fit:
    """Fit ridge regression to the segments of a step of the lasso path.

    It is the last step that has no more than `features` segments.

    Parameters
    ----------
    masks : (S, K) float64 array of 0 and 1
    probabilities : (S, C) float64 array
    weights : (S,) float64 array
    features : int
        How many segments are kept at most.
    alpha : float
        Penalty of the final regression.

    Returns
    -------
    Fit

    Notes
    -----
    This chooses as `lasso_path` of the `lime` package 0.2.0.1 does.

    References
    ----------
    Efron et al., "Least angle regression", Annals of Statistics 32, 2004.
    """
    found = moments(masks, probabilities, weights)
    # Rows times the root of their weight: ordinary least squares on them is the weighted one.
    root = np.sqrt(weights)[:, None]
    x = found.centred * root
    y = (probabilities - found.level) * root
    chosen = [_on_path(x, each, features) for each in y.T]
    return _on(chosen, found, alpha)


def _on_path(x: Floats, y: Floats, features: int) -> Integers:
    """Return the segments of the last step of the lasso path that has no more than `features`."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import lars_path

    with warnings.catch_warnings():
        # A segment that others stand for is passed over, which is what is wanted here.
        warnings.simplefilter("ignore", ConvergenceWarning)
        _, _, path = lars_path(x, y, method="lasso")
    steps = path.T
    # The first step of every path has no segment.
    sparse = [step for step in steps[1:] if np.count_nonzero(step) <= features]
    if sparse:
        return np.flatnonzero(sparse[-1])
    # A path of no such step chooses nothing. lime would keep all segments then, more than were asked for.
    return np.arange(x.shape[1])[:features]


def _on(chosen: Chosen, found: Moments, alpha: float) -> Fit:
    """Fit ridge regression to the chosen segments of each class."""
    coefficients = np.zeros_like(found.right)
    for c, of_class in enumerate(chosen):
        gram = found.gram[np.ix_(of_class, of_class)]
        penalty = alpha * np.eye(len(gram))
        right = found.right[of_class, c]
        coefficients[of_class, c] = inverse(gram + penalty) @ right
    return Fit(coefficients, found.intercept(coefficients))
