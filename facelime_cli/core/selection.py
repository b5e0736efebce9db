"""Surrogates that keep only some segments; the coefficients of the others are exactly 0.

`highest`, `forward` and `lars` select as the `lime` package 0.2.0.1 does (`feature_selection` of `lime_base.py`) and
then fit its ridge regression to what is selected, class by class. Least squares gives no error of a coefficient whose
segment was chosen by the same samples.
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

    Chosen = Sequence[NDArray[np.int64]]

RANKING_PENALTY = 0.01
"""Of the ridge regression by which lime's `highest_weights` ranks the features."""
EXPLAINED = 1e-10
"""Share of its variance below which nothing is left of a segment that the selected ones do not hold already."""
MOST_ITERATIONS = 10_000


def lasso(masks: Floats, probabilities: Floats, weights: Floats, *, alpha: float) -> Fit:
    """Fit the lasso (Tibshirani, J. Royal Statistical Society B 58, 1996).

    It is scikit-learn's `Lasso`. Captum's surrogate has α = 0.01.

    Minimises Σ w (y - b - zβ)² / (2 Σ w) + α‖β‖₁.

    Parameters
    ----------
    masks : (S, K) float64 array of 0 and 1
    probabilities : (S, C) float64 array
    weights : (S,) float64 array
    alpha : float
        Penalty, in probability: with half of the segments kept, coefficients below 4α become 0, and the others lose as
        much.
    """
    from sklearn.linear_model import Lasso

    model = Lasso(alpha=alpha, max_iter=MOST_ITERATIONS).fit(masks, probabilities, sample_weight=weights)
    coefficients = np.reshape(model.coef_, (probabilities.shape[1], masks.shape[1])).T
    return Fit(coefficients, np.reshape(model.intercept_, probabilities.shape[1]))


def highest(masks: Floats, probabilities: Floats, weights: Floats, *, features: int, alpha: float) -> Fit:
    """Fit ridge regression to the `features` segments of the largest coefficients in a ridge regression on all.

    This is lime's `highest_weights`.

    Parameters
    ----------
    masks : (S, K) float64 array of 0 and 1
    probabilities : (S, C) float64 array
    weights : (S,) float64 array
    features : int
    alpha : float
        Penalty of the final regression.
    """
    found = moments(masks, probabilities, weights)
    ranking = inverse(found.gram + RANKING_PENALTY * np.eye(len(found.gram))) @ found.right
    order = np.argsort(-np.abs(ranking), axis=0, kind="stable")[:features]
    return _on(list(order.T), found, alpha)


def forward(masks: Floats, probabilities: Floats, weights: Floats, *, features: int, alpha: float) -> Fit:
    """Fit ridge regression to `features` segments that are taken up one after the other.

    Each is the one that raises the weighted R² of least squares most, as in lime's `forward_selection`.

    Parameters
    ----------
    masks : (S, K) float64 array of 0 and 1
    probabilities : (S, C) float64 array
    weights : (S,) float64 array
    features : int
    alpha : float
        Penalty of the final regression.
    """
    found = moments(masks, probabilities, weights)
    return _on([_forward(found.gram, right, features) for right in found.right.T], found, alpha)


def _forward(gram: Floats, right: Floats, features: int) -> NDArray[np.int64]:
    """Return the segments in the order of their choice.

    What is chosen is swept out of the sums of products (Efroymson 1960).
    """
    left, answer, variance = gram.copy(), right.copy(), np.diagonal(gram) * EXPLAINED
    chosen: list[int] = []
    for _ in range(min(features, len(gram))):
        spread = np.diagonal(left)
        own = spread > variance
        gain = np.where(own, answer**2 / np.where(own, spread, 1.0), 0.0)
        gain[chosen] = -1.0
        best = int(gain.argmax())
        chosen.append(best)
        if own[best]:
            column = left[best] / spread[best]
            answer = answer - column * answer[best]
            left = left - np.outer(column, left[best])
    return np.array(chosen, dtype=np.int64)


def lars(masks: Floats, probabilities: Floats, weights: Floats, *, features: int, alpha: float) -> Fit:
    """Fit ridge regression to the segments of the last step of the lasso path that has no more than `features`.

    This is lime's `lasso_path`.

    The path is that of least angle regression (Efron et al., Annals of Statistics 32, 2004).

    Parameters
    ----------
    masks : (S, K) float64 array of 0 and 1
    probabilities : (S, C) float64 array
    weights : (S,) float64 array
    features : int
    alpha : float
        Penalty of the final regression.
    """
    found = moments(masks, probabilities, weights)
    root = np.sqrt(weights)[:, None]
    x, y = found.centred * root, (probabilities - found.level) * root
    return _on([_on_path(x, each, features) for each in y.T], found, alpha)


def _on_path(x: Floats, y: Floats, features: int) -> NDArray[np.int64]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import lars_path

    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ConvergenceWarning
        )  # a segment that others stand for is passed over, as it should be
        steps = lars_path(x, y, method="lasso")[2].T
    sparse = [step for step in steps[1:] if np.count_nonzero(step) <= features]
    return np.flatnonzero(sparse[-1]) if sparse else np.arange(x.shape[1])[:features]


def _on(chosen: Chosen, found: Moments, alpha: float) -> Fit:
    """Fit ridge regression to the chosen segments of each class."""
    coefficients = np.zeros_like(found.right)
    for c, of_class in enumerate(chosen):
        gram = found.gram[np.ix_(of_class, of_class)]
        coefficients[of_class, c] = inverse(gram + alpha * np.eye(len(gram))) @ found.right[of_class, c]
    return Fit(coefficients, found.intercept(coefficients))
