"""Weighted linear surrogates: from masks and predictions to one coefficient per segment, for all classes at once.

Notation: S samples, K segments, C classes; z in {0,1}^(S×K) the masks, y in R^(S×C) the model's probabilities, w in R^S the proximity weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

NORMAL_95 = 1.959963984540054
"""97.5 % quantile of the standard normal distribution."""
LARGEST_LEVERAGE = 0.99
"""A row that the fit follows entirely has no residual left to judge it by; HC3 divides by 1 - leverage."""


@dataclass(frozen=True)
class Fit:
    """A fitted surrogate.

    Attributes
    ----------
    coefficients : (K, C) array
        In probability.
    intercept : (C,) array
    influence : (S, K) array
        What a change of a sample's probability does to each coefficient: the fit is linear in y.
    leverage : (S,) array
        What a change of a sample's probability does to the surrogate's own value there.
    """

    coefficients: Floats
    intercept: Floats
    influence: Floats
    leverage: Floats

    def predict(self, masks: Floats) -> Floats:
        """Return the surrogate's probabilities, (S, C)."""
        return masks @ self.coefficients + self.intercept


def cosine_weights(masks: NDArray[np.bool_], width: float) -> Floats:
    """Return the proximity of each mask to the full picture, exactly as the `lime` package computes it.

    Cosine distance d between z and the all-ones mask (1 when z is empty), kernel sqrt(exp(-d²/width²)).

    Parameters
    ----------
    masks : (S, K) bool array
    width : float
        Kernel width, no unit.

    Returns
    -------
    (S,) float64 array in (0, 1]

    Examples
    --------
    >>> cosine_weights(np.array([[True, True], [True, False]]), 0.25).round(4).tolist()
    [1.0, 0.5034]
    """
    kept = masks.mean(axis=1)
    distance = 1 - np.sqrt(kept)
    return np.asarray(np.sqrt(np.exp(-(distance**2) / width**2)))


def ridge(masks: Floats, probabilities: Floats, weights: Floats, alpha: float = 1.0) -> Fit:
    """Fit weighted ridge regression with a free intercept: the `lime` package's own surrogate (α = 1).

    Minimises Σ w (y - b - zβ)² + α‖β‖², as scikit-learn's `Ridge` does with sample weights.

    Parameters
    ----------
    masks : (S, K) float64 array of 0 and 1
    probabilities : (S, C) float64 array
    weights : (S,) float64 array
    alpha : float
    """
    total = weights.sum()
    centre, level = weights @ masks / total, weights @ probabilities / total
    z = masks - centre
    zw = z * weights[:, None]
    gram = z.T @ zw
    gram[np.diag_indices_from(gram)] += alpha
    # Σ w z = 0, so centring y changes nothing here: the influence on β is that of y itself.
    influence = _solve(gram, zw.T).T
    coefficients = influence.T @ (probabilities - level)
    leverage = (z * influence).sum(axis=1) + weights / total
    return Fit(coefficients, level - centre @ coefficients, influence, leverage)


def linear(masks: Floats, probabilities: Floats, weights: Floats) -> Fit:
    """Fit weighted least squares (the rosacea system's LinearRegression): ridge without a penalty.

    Where the masks do not determine the coefficients, the solution of least norm is taken.
    """
    return ridge(masks, probabilities, weights, alpha=0.0)


SURROGATES: dict[str, Callable[[Floats, Floats, Floats], Fit]] = {"ridge": ridge, "linear": linear}


def _solve(gram: Floats, right: Floats) -> Floats:
    """Solve for a symmetric non-negative matrix, by least norm where it is singular."""
    values, vectors = np.linalg.eigh(gram)
    usable = values > values[-1] * len(values) * np.finfo(np.float64).eps
    inverse = np.where(usable, 1 / np.where(usable, values, 1.0), 0.0)
    return np.asarray(vectors @ (inverse[:, None] * (vectors.T @ right)))


def robust_errors(fit: Fit, residuals: Floats) -> Floats:
    """Return the residuals scaled for HC3, (S, C): MacKinnon and White, J. Econometrics 29 (1985), eq. 12.

    With them, Σ_s influence² · error² estimates the variance of each coefficient without assuming equal variances.
    """
    return np.asarray(residuals / (1 - np.minimum(fit.leverage, LARGEST_LEVERAGE))[:, None])


def intervals(fit: Fit, errors: Floats) -> Floats:
    """Return 95 % intervals of the coefficients from robust errors: (K, C, 2)."""
    half = NORMAL_95 * np.sqrt((fit.influence**2).T @ (errors**2))
    return np.stack([fit.coefficients - half, fit.coefficients + half], axis=-1)
