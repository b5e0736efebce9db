"""Surrogates: from masks, predictions and the weight of each sample to one coefficient per segment.

For all classes at once.

A surrogate is a function of masks (S, K), probabilities (S, C) and weights (S,) that returns a `Fit`; its own
parameters are keywords.
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

Scikit-learn's own is 1e-3, much for coefficients in probability.
"""


def bayesian_ridge(masks: Floats, probabilities: Floats, weights: Floats) -> Fit:
    """Fit Bayesian ridge regression (MacKay, Neural Computation 4, 1992), scikit-learn's `BayesianRidge`.

    Its penalty is the one that the samples make most likely.

    Weights are scaled to add up to the effective sample size (Σ w)² / Σ w², so that the posterior is as narrow as so
    many samples allow, not as wide as lime's weights are small.

    Parameters
    ----------
    masks : (S, K) float64 array of 0 and 1
    probabilities : (S, C) float64 array
    weights : (S,) float64 array
    """
    from sklearn.linear_model import BayesianRidge

    scaled = weights * weights.sum() / (weights**2).sum()
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        models = [BayesianRidge(tol=CONVERGED).fit(masks, each, sample_weight=scaled) for each in probabilities.T]
    # scikit-learn answers NaN where samples do not vary at all, as a bootstrap of very few may not.
    # Then nothing speaks for any coefficient but 0.
    coefficients = np.nan_to_num(np.stack([each.coef_ for each in models], axis=1))
    covariance = np.nan_to_num(np.stack([each.sigma_ for each in models]), posinf=0.0, neginf=0.0)
    return Fit(coefficients, moments(masks, probabilities, weights).intercept(coefficients), covariance=covariance)


def fitter(name: str, parameters: Mapping[str, Any]) -> Fitter:
    """Return a surrogate as a function of masks, probabilities and weights alone."""
    return partial(SURROGATES[name].load(), **parameters)


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
    return _kernel((1 - np.sqrt(kept)) ** 2, width)


def pixel_weights(masks: NDArray[np.bool_], change: Floats, width: float) -> Floats:
    """Return the proximity of each composed picture to the full one by its pixels, as Xplique computes it.

    Euclidean distance d over all pixels and channels, with values from 0 to 1; kernel sqrt(exp(-d²/width²)).

    Parameters
    ----------
    masks : (S, K) bool array
    change : (K,) float64 array
        From `pixel_change`.
    width : float
        Kernel width, in the unit of the distance: of two pictures of 224 × 224 pixels, one black and one white, it is
        388.

    Returns
    -------
    (S,) float64 array

    Examples
    --------
    >>> pixel_weights(np.array([[True, True], [True, False]]), np.array([9.0, 2.0]), 1.0).round(4).tolist()
    [1.0, 0.3679]
    """
    return _kernel(~masks @ change, width)


def pixel_change(image: NDArray[np.uint8], fill: NDArray[np.uint8], segments: NDArray[np.uint16]) -> Floats:
    """Return what switching a segment off changes.

    The sum of squares over its pixels and channels, values from 0 to 1. (K,) float64.

    Parameters
    ----------
    image, fill : (H, W, 3) uint8 arrays
    segments : (H, W) uint16 array
    """
    squares = ((image.astype(np.float64) - fill) ** 2).sum(axis=-1) / np.iinfo(np.uint8).max ** 2
    return np.asarray(np.bincount(segments.ravel(), weights=squares.ravel()), dtype=np.float64)


def _kernel(squared_distance: Floats, width: float) -> Floats:
    return np.asarray(np.sqrt(np.exp(-squared_distance / width**2)))
