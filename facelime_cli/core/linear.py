"""Weighted least squares: what every surrogate is fitted with, for all classes at once.

Notation: S samples, K segments, C classes; z in {0,1}^(S×K) the masks, y in R^(S×C) the model's probabilities, w in R^S the weights of the samples. A sample of weight 0 is not
fitted, so that a part of the samples can be held out, or drawn twice, by its weights alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Fitter = Callable[[Floats, Floats, Floats], "Fit"]

SURELY_REGULAR = 1e-5
"""Least ratio of the diagonal of a Cholesky factor for which a matrix is inverted without looking at its eigenvalues."""


@dataclass(frozen=True)
class Smoother:
    """How a fit that is linear in y answers to each sample: x the regressors, B `spread`, a value changes by w_s (x B x_s + `level`) when y_s changes by 1.

    Attributes
    ----------
    regressors : (S, K) array
    weights : (S,) array
    spread : (K, K) array
        Turns Σ w x y into coefficients.
    level : float
        1 / Σ w where the fit has a free intercept that its regressors are centred for, else 0.
    """

    regressors: Floats
    weights: Floats
    spread: Floats
    level: float

    @cached_property
    def lever(self) -> Floats:
        """What a sample adds to the coefficients for each unit of w y: (S, K)."""
        return np.asarray(self.regressors @ self.spread)

    @cached_property
    def leverage(self) -> Floats:
        """What a change of a sample's probability does to the fitted value there: (S,)."""
        return np.asarray(self.weights * (np.einsum("sk,sk->s", self.lever, self.regressors) + self.level))


@dataclass(frozen=True)
class Fit:
    """A fitted surrogate.

    Attributes
    ----------
    coefficients : (K, C) array
        In probability; exactly 0 for a segment that the surrogate leaves out.
    intercept : (C,) array
    smoother : Smoother, optional
        For fits that are linear in y: the errors of the coefficients follow from it.
    unbiased : (K, C) array, optional
        The coefficients without what a penalty takes away, where that has a formula: what the smoother makes of y.
    covariance : (C, K, K) array, optional
        Of a posterior, for fits that have one.
    """

    coefficients: Floats
    intercept: Floats
    smoother: Smoother | None = None
    unbiased: Floats | None = None
    covariance: Floats | None = None

    @property
    def target(self) -> Floats:
        """The best guess of what the coefficients become with samples without end: (K, C)."""
        return self.coefficients if self.unbiased is None else self.unbiased

    def predict(self, masks: Floats) -> Floats:
        """Return the surrogate's probabilities, (S, C)."""
        return masks @ self.coefficients + self.intercept


@dataclass(frozen=True)
class Moments:
    """Weighted means, and sums of products about them.

    Attributes
    ----------
    total : float
    centre : (K,) array
    level : (C,) array
    centred : (S, K) array
        z - centre.
    gram : (K, K) array
    right : (K, C) array
    """

    total: float
    centre: Floats
    level: Floats
    centred: Floats
    gram: Floats
    right: Floats

    def intercept(self, coefficients: Floats) -> Floats:
        """Return the intercept that goes with coefficients: (C,)."""
        return np.asarray(self.level - self.centre @ coefficients)


def moments(masks: Floats, probabilities: Floats, weights: Floats) -> Moments:
    """Return the moments that every fit with a free intercept needs; one set serves all classes."""
    total = weights.sum()
    centre, level = weights @ masks / total, weights @ probabilities / total
    centred = masks - centre
    return Moments(float(total), centre, level, centred, *products(centred, probabilities - level, weights))


def products(x: Floats, y: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return the weighted sums of products of x (S, K) with itself, (K, K), and with y (S, C), (K, C)."""
    root = np.sqrt(weights)[:, None]
    weighted = x * root
    return weighted.T @ weighted, weighted.T @ (y * root)


def ridge(masks: Floats, probabilities: Floats, weights: Floats, *, alpha: float) -> Fit:
    """Fit weighted ridge regression with a free intercept: with α = 1, the `lime` package's own surrogate.

    Minimises Σ w (y - b - zβ)² + α‖β‖², as scikit-learn's `Ridge` does with sample weights. The unbiased coefficients are the almost unbiased ridge estimate
    β + α (G + α)⁻¹ β (Singh, Chaubey and Dwivedi, Sankhyā B 48, 1986), G the weighted sums of products.

    Parameters
    ----------
    masks : (S, K) float64 array of 0 and 1
    probabilities : (S, C) float64 array
    weights : (S,) float64 array
    alpha : float
        Penalty, in the unit of the sum of weights. With 0, and where the masks do not determine the coefficients, the solution of least norm is taken.
    """
    found = moments(masks, probabilities, weights)
    solve = inverse(found.gram + alpha * np.eye(len(found.gram)))
    coefficients = solve @ found.right
    spread = solve + alpha * solve @ solve
    return Fit(
        coefficients,
        found.intercept(coefficients),
        Smoother(found.centred, weights, spread, 1 / found.total),
        spread @ found.right,
    )


def linear(masks: Floats, probabilities: Floats, weights: Floats) -> Fit:
    """Fit weighted least squares, as the rosacea system's LinearRegression: ridge without a penalty."""
    return ridge(masks, probabilities, weights, alpha=0.0)


def inverse(gram: Floats) -> Floats:
    """Return the inverse of a symmetric non-negative matrix, its pseudo-inverse where it is singular."""
    try:
        scale = np.diagonal(np.linalg.cholesky(gram))
    except np.linalg.LinAlgError:
        return _pseudo_inverse(gram)
    return np.asarray(np.linalg.inv(gram)) if scale.min() > SURELY_REGULAR * scale.max() else _pseudo_inverse(gram)


def _pseudo_inverse(gram: Floats) -> Floats:
    values, vectors = np.linalg.eigh(gram)
    usable = values > max(values[-1], 0.0) * len(values) * np.finfo(np.float64).eps
    return np.asarray((vectors * np.where(usable, 1 / np.where(usable, values, 1.0), 0.0)) @ vectors.T)
