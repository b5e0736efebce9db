"""Weighted least squares: what every surrogate is fitted with, for all classes at once.

Notation: S samples, K segments, C classes; z in {0,1}^(S×K) the masks, y in R^(S×C) the model's probabilities, w in
R^S the weights of the samples. A sample of weight 0 is not fitted. So some of the samples can be held out, or drawn
twice, by their weights alone.
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
"""Least ratio of the diagonal of a Cholesky factor for which a matrix is inverted without its eigenvalues."""


@dataclass(frozen=True)
class Smoother:
    """How a fit that is linear in y answers to each sample.

    With x the regressors and B `spread`, the fitted value of a sample s changes by w_s (x_s B x_s + `level`) when y_s
    changes by 1.

    Attributes
    ----------
    regressors : (S, K) float64 array
        x.
    weights : (S,) float64 array
        w.
    spread : (K, K) float64 array
        B, which turns Σ w x y into coefficients.
    level : float
        1 / Σ w where the fit has a free intercept that its regressors are centred for, else 0.
    """

    regressors: Floats
    weights: Floats
    spread: Floats
    level: float

    @cached_property
    def lever(self) -> Floats:
        """What a sample adds to the coefficients for each unit of w y: (S, K) float64."""
        # Kept once it is made: each size of units asks for it again.
        return np.asarray(self.regressors @ self.spread)

    @cached_property
    def leverage(self) -> Floats:
        """What a change of a sample's probability does to the fitted value there: (S,) float64, 0…1."""
        # The diagonal of the hat matrix alone: the whole of it is S × S.
        own = np.einsum("sk,sk->s", self.lever, self.regressors)
        return np.asarray(self.weights * (own + self.level))


@dataclass(frozen=True)
class Fit:
    """A fitted surrogate.

    Attributes
    ----------
    coefficients : (K, C) float64 array
        In probability; exactly 0 for a segment that the surrogate leaves out.
    intercept : (C,) float64 array
        In probability.
    smoother : Smoother, optional
        For fits that are linear in y: the errors of the coefficients follow from it.
    unbiased : (K, C) float64 array, optional
        The coefficients without what a penalty takes away, where that has a formula: what the smoother makes of y.
    covariance : (C, K, K) float64 array, optional
        Of a posterior, for fits that have one.
    """

    coefficients: Floats
    intercept: Floats
    smoother: Smoother | None = None
    unbiased: Floats | None = None
    covariance: Floats | None = None

    @property
    def target(self) -> Floats:
        """The best guess of what the coefficients become with samples without end: (K, C) float64."""
        return self.coefficients if self.unbiased is None else self.unbiased

    def predict(self, masks: Floats) -> Floats:
        """Return the surrogate's probabilities.

        Parameters
        ----------
        masks : (S, K) float64 array
            1 where a segment is kept, else 0.

        Returns
        -------
        (S, C) float64 array
            Not limited to 0…1: the surrogate is a plane.
        """
        return masks @ self.coefficients + self.intercept


@dataclass(frozen=True)
class Moments:
    """Weighted means, and sums of products about them.

    Attributes
    ----------
    total : float
        Σ w.
    centre : (K,) float64 array
        Weighted mean of z.
    level : (C,) float64 array
        Weighted mean of y.
    centred : (S, K) float64 array
        z - centre.
    gram : (K, K) float64 array
        Weighted sums of products of `centred` with itself.
    right : (K, C) float64 array
        Weighted sums of products of `centred` with y - level.
    """

    total: float
    centre: Floats
    level: Floats
    centred: Floats
    gram: Floats
    right: Floats

    def intercept(self, coefficients: Floats) -> Floats:
        """Return the intercept that goes with coefficients.

        Parameters
        ----------
        coefficients : (K, C) float64 array
            In probability.

        Returns
        -------
        (C,) float64 array
            In probability.
        """
        return np.asarray(self.level - self.centre @ coefficients)


def moments(masks: Floats, probabilities: Floats, weights: Floats) -> Moments:
    """Return the moments that every fit with a free intercept needs; one set serves all classes.

    Parameters
    ----------
    masks : (S, K) float64 array
        z.
    probabilities : (S, C) float64 array
        y.
    weights : (S,) float64 array
        w, not all 0.

    Returns
    -------
    Moments
    """
    # Centred, so that the intercept falls out of the equations: a penalty must not pull it to 0.
    total = weights.sum()
    centre = weights @ masks / total
    level = weights @ probabilities / total
    centred = masks - centre
    gram, right = products(centred, probabilities - level, weights)
    return Moments(float(total), centre, level, centred, gram, right)


def products(x: Floats, y: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return the weighted sums of products of x with itself, and with y.

    Parameters
    ----------
    x : (S, K) float64 array
        Regressors.
    y : (S, C) float64 array
        What they explain.
    weights : (S,) float64 array
        Not negative.

    Returns
    -------
    (K, K) float64 array
        Σ w x xᵀ, exactly symmetric.
    (K, C) float64 array
        Σ w x yᵀ.
    """
    # The root on both factors, not the weight on one: only so the first product is symmetric to the last bit.
    root = np.sqrt(weights)[:, None]
    weighted = x * root
    return weighted.T @ weighted, weighted.T @ (y * root)


def ridge(masks: Floats, probabilities: Floats, weights: Floats, *, alpha: float) -> Fit:
    """Fit weighted ridge regression with a free intercept: with α = 1, the `lime` package's own surrogate.

    Minimises Σ w (y - b - zβ)² + α‖β‖².

    Parameters
    ----------
    masks : (S, K) float64 array
        z, of 0 and 1.
    probabilities : (S, C) float64 array
        y.
    weights : (S,) float64 array
        w.
    alpha : float
        Penalty, in the unit of the sum of weights. With 0, and where the masks do not determine the coefficients, the
        solution of least norm is taken.

    Returns
    -------
    Fit
        With `smoother` and `unbiased`.

    Notes
    -----
    The same as scikit-learn's `Ridge` with sample weights (Hoerl and Kennard, Technometrics 12, 1970). The unbiased
    coefficients are the almost unbiased ridge estimate β + α (G + α)⁻¹ β, G the weighted sums of products (Singh,
    Chaubey and Dwivedi, Sankhyā B 48, 1986).

    Examples
    --------
    >>> masks = np.array([[1.0, 1.0], [0.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    >>> fit = ridge(masks, masks @ np.array([[0.5], [0.25]]), np.ones(4), alpha=1.0)
    >>> fit.coefficients.round(4).tolist(), fit.intercept.round(4).tolist()
    ([[0.25], [0.125]], [0.1875])
    """
    found = moments(masks, probabilities, weights)
    penalty = alpha * np.eye(len(found.gram))
    solve = inverse(found.gram + penalty)
    coefficients = solve @ found.right
    # The estimate without bias is linear in y too, so that its errors follow from this matrix as those of β would.
    spread = solve + alpha * solve @ solve
    smoother = Smoother(found.centred, weights, spread, 1 / found.total)
    return Fit(coefficients, found.intercept(coefficients), smoother, spread @ found.right)


def linear(masks: Floats, probabilities: Floats, weights: Floats) -> Fit:
    """Fit weighted least squares, as the rosacea system's LinearRegression: ridge without a penalty.

    Parameters
    ----------
    masks : (S, K) float64 array
        z, of 0 and 1.
    probabilities : (S, C) float64 array
        y.
    weights : (S,) float64 array
        w.

    Returns
    -------
    Fit
        With `smoother`.
    """
    # With fewer samples than segments, scikit-learn takes the solution of least norm too.
    return ridge(masks, probabilities, weights, alpha=0.0)


def inverse(gram: Floats) -> Floats:
    """Return the inverse of a symmetric non-negative matrix, its pseudo-inverse where it is singular.

    Parameters
    ----------
    gram : (K, K) float64 array
        Symmetric, without negative eigenvalues.

    Returns
    -------
    (K, K) float64 array

    Examples
    --------
    >>> inverse(np.array([[2.0, 0.0], [0.0, 0.0]])).tolist()
    [[0.5, 0.0], [0.0, 0.0]]
    """
    # A Cholesky factor costs a tenth of the eigenvalues, and its diagonal shows a matrix that is nearly singular.
    try:
        scale = np.diagonal(np.linalg.cholesky(gram))
    except np.linalg.LinAlgError:
        return _pseudo_inverse(gram)
    if scale.min() > SURELY_REGULAR * scale.max():
        return np.asarray(np.linalg.inv(gram))
    return _pseudo_inverse(gram)


def _pseudo_inverse(gram: Floats) -> Floats:
    """Return the Moore-Penrose inverse of a symmetric matrix: of all solutions it gives the one of least norm."""
    values, vectors = np.linalg.eigh(gram)
    # The threshold of NumPy's `matrix_rank`: eigenvalues below it are rounding, and dividing by them makes noise.
    threshold = max(values[-1], 0.0) * len(values) * np.finfo(np.float64).eps
    usable = values > threshold
    divisors = np.where(usable, values, 1.0)
    inverted = np.where(usable, 1 / divisors, 0.0)
    return np.asarray((vectors * inverted) @ vectors.T)
