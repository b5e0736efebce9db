"""Temperature: one number that makes a classifier as sure as it is right, and figures of how well it does.

Notation: N pictures, C classes, L findings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.core import metrics
from facelime_cli.core.labels import SEVERAL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Labels = NDArray[Any]

HOTTEST = 20.0
"""Temperatures are sought between 1/20 and 20: beyond, a network says nothing, or is never in doubt."""
LEAST = 1e-30
"""What stands for a probability of 0, whose logarithm there is none of: a float32 holds it."""


def temperature_for(scores: NDArray[Any], labels: Labels) -> float:
    """Return the temperature with the least log-loss.

    Parameters
    ----------
    scores : (N, C), (N, 1) or (N, L) array
        What goes into the softmax, into the one sigmoid that is yes to the second of two classes, or into the sigmoid
        of each finding.
    labels : (N,) or (N, L) int array
        Class of each picture; for findings 1, 0, or -1 where it is unknown. At least one is known.

    Returns
    -------
    float
        What the scores are divided by: more than 1 for a network that is surer than it is right.

    Notes
    -----
    One more picture, for which every answer is as likely, is added to those that there are. Without it a network that
    is right about all of them would be made infinitely sure.

    References
    ----------
    Guo et al., "On calibration of modern neural networks", ICML 2017, section 4.2. Platt, "Probabilistic outputs for
    support vector machines", 1999, section 2.2, for targets that keep away from 0 and 1.
    """
    from scipy.optimize import minimize_scalar

    margins, weights = _margins(np.asarray(scores, np.float64), labels)

    def loss(log_temperature: float) -> float:
        # The log-loss of an answer is log(sum of exp(other score - its own score)).
        scaled = margins / np.exp(log_temperature)
        return float((weights * np.logaddexp.reduce(scaled, axis=-1)).sum())

    limit = float(np.log(HOTTEST))
    found = minimize_scalar(loss, bounds=(-limit, limit), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def _margins(scores: Floats, labels: Labels) -> tuple[Floats, Floats]:
    """Return how far every score is above that of each possible answer, and what the answer counts.

    Returns
    -------
    margins : (M, C) array
        For each picture, or each known finding, and each answer that it might have had.
    weights : (M,) array
        1 for the true answer, and a small share of one picture for every answer.
    """
    if labels.ndim == SEVERAL:
        known = labels >= 0
        scores, labels = scores[known][:, None], labels[known]
    if scores.shape[1] == 1:
        # A sigmoid is a softmax of 0 and its score.
        scores = np.hstack([np.zeros_like(scores), scores])
    n_answers, n_classes = scores.shape
    margins = scores[:, None, :] - scores[:, :, None]
    weights = np.full((n_answers, n_classes), 1 / (n_answers * n_classes))
    weights[np.arange(n_answers), labels] += 1
    return margins.reshape(-1, n_classes), weights.ravel()


def at_temperature(
    probabilities: NDArray[np.float32], temperature: float | Floats, *, independent: bool
) -> NDArray[np.float32]:
    """Return what probabilities are when the scores behind them are divided by a temperature.

    A temperature of 1 / T undoes one of T.

    Parameters
    ----------
    probabilities : (N, C) float32 array
    temperature : float or (N,) array
        One for all, or one for each picture.
    independent : bool
        Whether each column has a probability of its own: they need not add up to 1.

    Returns
    -------
    (N, C) float32 array

    Examples
    --------
    >>> at_temperature(np.array([[0.8, 0.2]], np.float32), 0.5, independent=False).round(3).tolist()
    [[0.9409999847412109, 0.05900000035762787]]
    """
    values = np.clip(np.asarray(probabilities, np.float64), LEAST, 1.0)
    divisor = np.reshape(np.asarray(temperature, np.float64), (-1, 1))
    raised = values ** (1 / divisor)
    if independent:
        others = np.clip(1 - values, LEAST, 1.0) ** (1 / divisor)
        return np.asarray(raised / (raised + others), np.float32)
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float32)


def figures(labels: Labels, probabilities: NDArray[np.float32]) -> dict[str, float]:
    """Return how far a classifier's probabilities are from what happens.

    Parameters
    ----------
    labels : (N,) or (N, L) int array
        Class of each picture; for findings 1, 0, or -1 where it is unknown.
    probabilities : (N, C) or (N, L) float32 array

    Returns
    -------
    dict
        `expected_calibration_error` of the most probable class in ten bins, or of all known findings together.
        `brier`: mean over pictures of the squared differences to 1 for the true class and 0 for the others, added up;
        for findings the mean squared difference to what is known. Empty where nothing is known.

    References
    ----------
    Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78, 1, 1950.

    Examples
    --------
    >>> figures(np.array([0, 1]), np.array([[1.0, 0.0], [1.0, 0.0]], np.float32))
    {'expected_calibration_error': 0.5, 'brier': 1.0}
    """
    if labels.ndim == SEVERAL:
        known = labels >= 0
        if not known.any():
            return {}
        found = metrics.binned(probabilities[known], labels[known] == 1)
        wrong = (probabilities[known].astype(np.float64) - labels[known]) ** 2
    else:
        found = metrics.reliability(labels, probabilities)
        true = labels[:, None] == np.arange(probabilities.shape[1])
        wrong = ((probabilities.astype(np.float64) - true) ** 2).sum(axis=1)
    return {"expected_calibration_error": found.expected_calibration_error, "brier": float(wrong.mean())}
