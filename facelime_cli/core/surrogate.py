"""Surrogates: from masks, predictions and the weight of each sample to one coefficient per segment and class.

A surrogate is a function of masks (S, K), probabilities (S, C) and weights (S,) that returns a `Fit`. It fits all
classes at once. Its own parameters are keywords.
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
"""Bayesian ridge stops when the absolute values of the coefficients change by less than this, added up.

Scikit-learn's own value is 1e-3. That is too much for coefficients in probability.
"""


def bayesian_ridge(masks: Floats, probabilities: Floats, weights: Floats) -> Fit:
    """Fit Bayesian ridge regression: ridge with the penalty that the samples make most likely.

    Parameters
    ----------
    masks : (S, K) float64 array
        0 or 1, 1 = kept.
    probabilities : (S, C) float64 array
        The model's, per sample and class.
    weights : (S,) float64 array
        Not negative, and not all 0.

    Returns
    -------
    Fit
        With the covariance of the posterior.

    Notes
    -----
    Weights are scaled so that they add up to the effective sample size (Σ w)² / Σ w². The posterior is then as narrow
    as that many samples allow. The weights of lime are far below 1 and would make it too wide.

    References
    ----------
    MacKay, "Bayesian interpolation", Neural Computation 4, 1992; scikit-learn's `BayesianRidge`.
    """
    from sklearn.linear_model import BayesianRidge

    scaled = weights * weights.sum() / (weights**2).sum()
    models = []
    # Samples that do not vary make scikit-learn divide by 0.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for each in probabilities.T:
            model = BayesianRidge(tol=CONVERGED)
            model.fit(masks, each, sample_weight=scaled)
            models.append(model)
    # It answers NaN then, as in a bootstrap of very few samples. No coefficient but 0 has anything for it there.
    fitted = np.stack([each.coef_ for each in models], axis=1)
    coefficients = np.nan_to_num(fitted)
    posterior = np.stack([each.sigma_ for each in models])
    covariance = np.nan_to_num(posterior, posinf=0.0, neginf=0.0)
    intercept = moments(masks, probabilities, weights).intercept(coefficients)
    return Fit(coefficients, intercept, covariance=covariance)


def fitter(name: str, parameters: Mapping[str, Any]) -> Fitter:
    """Return a surrogate as a function of masks, probabilities and weights alone.

    Parameters
    ----------
    name : str
        A key of `choices.SURROGATES`.
    parameters : mapping
        The surrogate's own keywords, such as `alpha` of `ridge`.

    Returns
    -------
    callable
        From (S, K), (S, C) and (S,) float64 arrays to a `Fit`.
    """
    implementation = SURROGATES[name].load()
    return partial(implementation, **parameters)


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
    # The cosine between z and ones is Σz / sqrt(Σz · K), the root of the share that is kept.
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
        Kernel width, in the unit of the distance. A black and a white picture of 224 × 224 pixels are 388 apart.

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
    """Return how much of a picture switching each segment off changes.

    Parameters
    ----------
    image, fill : (H, W, 3) uint8 arrays
        Display space.
    segments : (H, W) uint16 array
        0 to K-1.

    Returns
    -------
    (K,) float64 array
        The sum of squared differences over the segment's pixels and channels, with values from 0 to 1.
    """
    # In uint8 a difference below 0 would wrap round.
    difference = image.astype(np.float64) - fill
    white = np.iinfo(np.uint8).max
    squares = (difference**2).sum(axis=-1) / white**2
    changed = np.bincount(segments.ravel(), weights=squares.ravel())
    return np.asarray(changed, dtype=np.float64)


def _kernel(squared_distance: Floats, width: float) -> Floats:
    """Return lime's kernel, the root of a Gaussian of a distance."""
    gaussian = np.exp(-squared_distance / width**2)
    return np.asarray(np.sqrt(gaussian))
