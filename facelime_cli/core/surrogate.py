"""Surrogates: one coefficient per segment from masks, predictions and weights, for all classes at once.

A surrogate is a function of masks (S, K), probabilities (S, C) and weights (S,) that returns a `Fit`.
Its own parameters are keywords.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.choices import SURROGATES
from facelime_cli.core.linear import Fit, moments

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from facelime_cli.core.linear import Fitter, Floats

CONVERGED = 1e-6
"""Change of the coefficients' sum of sizes at which the evidence is taken for maximal.
scikit-learn's own is 1e-3, which is much for coefficients in probability."""


def bayesian_ridge(masks: Floats, probabilities: Floats, weights: Floats) -> Fit:
    """Fit Bayesian ridge regression, scikit-learn's `BayesianRidge`: the samples decide how large its penalty is.

    Weights are scaled to add up to the effective sample size (Σ w)² / Σ w².
    The posterior is then as narrow as so many samples allow, not as wide as lime's weights are small.

    Parameters
    ----------
    masks : (S, K) float64 array
        0 or 1, 1 = kept.
    probabilities : (S, C) float64 array
        The model's, per sample and class.
    weights : (S,) float64 array

    Returns
    -------
    Fit
        With the covariance of the coefficients, (C, K, K) float64.

    References
    ----------
    MacKay, Bayesian interpolation, Neural Computation 4, 1992.
    """
    from sklearn.linear_model import BayesianRidge

    scaled = weights * weights.sum() / (weights**2).sum()
    models = []
    # Samples that do not vary make scikit-learn divide by 0.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        models = [BayesianRidge(tol=CONVERGED).fit(masks, each, sample_weight=scaled) for each in probabilities.T]
    # scikit-learn answers NaN where samples do not vary at all, as in a bootstrap of very few.
    # Then nothing speaks for any coefficient but 0.
    means = np.stack([model.coef_ for model in models], axis=1)
    spreads = np.stack([model.sigma_ for model in models])
    coefficients = np.nan_to_num(means)
    covariance = np.nan_to_num(spreads, posinf=0.0, neginf=0.0)
    intercept = moments(masks, probabilities, weights).intercept(coefficients)
    return Fit(coefficients, intercept, covariance=covariance)


def fitter(name: str, parameters: Mapping[str, Any]) -> Fitter:
    """Return a surrogate as a function of masks, probabilities and weights alone.

    Parameters
    ----------
    name : str
        A key of `choices.SURROGATES`.
    parameters : mapping
        The surrogate's own keyword arguments.

    Returns
    -------
    function
    """
    surrogate = SURROGATES[name].load()
    return partial(surrogate, **parameters)


def cosine_weights(masks: NDArray[np.bool_], width: float) -> Floats:
    """Return the proximity of each mask to the full picture, exactly as the `lime` package computes it.

    Parameters
    ----------
    masks : (S, K) bool array
        True = kept.
    width : float
        Kernel width, no unit. The package's own is 0.25.

    Returns
    -------
    (S,) float64 array
        Above 0, and 1 for the full picture.

    Notes
    -----
    d is the cosine distance between a mask z and the mask of ones, and 1 for an empty z. The kernel is
    sqrt(exp(-d²/width²)).

    References
    ----------
    Ribeiro, Singh and Guestrin, "Why should I trust you?", KDD 2016; the `lime` package, `lime_image.py`.

    Examples
    --------
    >>> cosine_weights(np.array([[True, True], [True, False]]), 0.25).round(4).tolist()
    [1.0, 0.5034]
    """
    # The cosine of a mask and the mask of ones is the root of the share that is kept.
    kept = masks.mean(axis=1)
    distance = 1 - np.sqrt(kept)
    return _kernel(distance**2, width)


def pixel_weights(masks: NDArray[np.bool_], change: Floats, width: float) -> Floats:
    """Return the proximity of each composed picture to the full one by its pixels, as Xplique computes it.

    Parameters
    ----------
    masks : (S, K) bool array
        True = kept.
    change : (K,) float64 array
        From `pixel_change`.
    width : float
        Kernel width, in the unit of the distance.
        The distance of a black and a white picture of 224 × 224 pixels is 388.

    Returns
    -------
    (S,) float64 array
        0 to 1, and 1 for the full picture.

    Notes
    -----
    d is the Euclidean distance over all pixels and channels, with values from 0 to 1. The kernel is
    sqrt(exp(-d²/width²)).

    References
    ----------
    Fel et al., "Xplique: a deep learning explainability toolbox", 2022; the `xplique` package, `attributions/lime.py`.

    Examples
    --------
    >>> pixel_weights(np.array([[True, True], [True, False]]), np.array([9.0, 2.0]), 1.0).round(4).tolist()
    [1.0, 0.3679]
    """
    # Segments do not overlap, so that the squares of those that are off add up to the squared distance.
    squared_distance = ~masks @ change
    return _kernel(squared_distance, width)


def pixel_change(image: NDArray[np.uint8], fill: NDArray[np.uint8], segments: NDArray[np.uint16]) -> Floats:
    """Return what switching a segment off changes: the sum of squares over its pixels and channels.

    Parameters
    ----------
    image, fill : (H, W, 3) uint8 arrays
        Display space.
    segments : (H, W) uint16 array

    Returns
    -------
    (K,) float64 array
        In squares of values from 0 to 1.
    """
    difference = image.astype(np.float64) - fill
    squares = (difference**2).sum(axis=-1) / np.iinfo(np.uint8).max ** 2
    sums = np.bincount(segments.ravel(), weights=squares.ravel())
    return np.asarray(sums, dtype=np.float64)


def _kernel(squared_distance: Floats, width: float) -> Floats:
    """Return lime's kernel, the root of a Gaussian of a distance."""
    gaussian = np.exp(-squared_distance / width**2)
    return np.asarray(np.sqrt(gaussian))
