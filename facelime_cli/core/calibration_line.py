"""How far probabilities lie beside the truth, in two numbers: a line through the log-odds.

Notation: n pictures, R rounds of a bootstrap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

LEAST = 1e-7
"""A probability nearer to 0 or 1 counts as if it were so far: in 32 bits a network easily says 0 or 1 itself."""
MOST_STEPS = 60
LARGEST_STEP = 2.0
"""Of Newton's method: a longer step may end where the curve is flat, and would not come back."""
SMALL_STEP = 1e-7
"""Below this the fit is done."""


def log_odds(probabilities: NDArray[np.float32]) -> Floats:
    """Return the logarithms of the odds of some probabilities.

    Parameters
    ----------
    probabilities : (n,) float array

    Returns
    -------
    (n,) float64 array
        Finite: see `LEAST`.

    Examples
    --------
    >>> [round(float(each), 2) for each in log_odds(np.array([0.5, 0.9, 1.0]))]
    [0.0, 2.2, 16.12]
    """
    inside = np.clip(probabilities.astype(np.float64), LEAST, 1 - LEAST)
    found: Floats = np.log(inside) - np.log1p(-inside)
    return found


def in_the_large(odds: Floats, true: Bools, weights: Floats) -> Floats:
    """Return calibration-in-the-large: by how much the log-odds are too low on the whole.

    Parameters
    ----------
    odds : (n,) float64 array
        Log-odds that a classifier gives.
    true : (n,) bool array
        What happened.
    weights : (n, R) float64 array
        How often each picture counts in each round.

    Returns
    -------
    (R,) float64 array
        0 for probabilities that are right on the whole, more where it happens more often than they say. NaN in a round
        in which it always or never happens.

    References
    ----------
    Van Calster et al., "Calibration: the Achilles heel of predictive analytics", BMC Medicine 17, 230, 2019.

    Examples
    --------
    >>> odds, true = np.zeros(4), np.array([True, True, True, False])
    >>> round(float(in_the_large(odds, true, np.ones((4, 1)))[0]), 3)
    1.099
    """
    shift = np.zeros(weights.shape[1])
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        for _ in range(MOST_STEPS):
            said = _chances(odds[:, None] + shift)
            step = (weights * (true[:, None] - said)).sum(axis=0) / (weights * said * (1 - said)).sum(axis=0)
            shift += np.clip(step, -LARGEST_STEP, LARGEST_STEP)
            if not (np.abs(step) > SMALL_STEP).any():
                break
    shift[~_has_both(true, weights)] = np.nan
    return shift


def slope(odds: Floats, true: Bools, weights: Floats) -> Floats:
    """Return the calibration slope: by what to multiply the log-odds so that they fit what happens.

    Parameters
    ----------
    odds : (n,) float64 array
    true : (n,) bool array
    weights : (n, R) float64 array

    Returns
    -------
    (R,) float64 array
        That of a logistic regression on the log-odds. 1 is right; below 1 the probabilities are too near to 0 and 1,
        above 1 too far from them. NaN in a round whose pictures of both kinds are told apart without a mistake, for
        there is no largest slope then, and in one with pictures of one kind only.

    References
    ----------
    Cox, "Two further applications of a model for binary regression", Biometrika 45, 562, 1958.

    Examples
    --------
    >>> odds = np.log([1 / 3] * 4 + [3] * 4)
    >>> true = np.array([0, 0, 0, 1, 0, 1, 1, 1], bool)
    >>> round(float(slope(2 * odds, true, np.ones((8, 1)))[0]), 3)
    0.5
    """
    spread = float(odds.std())
    defined = _has_both(true, weights) & ~_told_apart(odds, true, weights)
    found = np.full(weights.shape[1], np.nan)
    if not spread or not defined.any():
        return found
    # In units of their spread, a step of Newton's method means the same for every network.
    centred = (odds - odds.mean()) / spread
    # Rounds differ little from the mean of them all, so that a fit of that saves most steps of theirs.
    near = _fitted(centred, true, weights[:, defined].mean(axis=1, keepdims=True), np.zeros(2))
    found[defined] = _fitted(centred, true, weights[:, defined], np.nan_to_num(near[:, 0]))[1] / spread
    return found


def _fitted(values: Floats, true: Bools, weights: Floats, start: Floats) -> Floats:
    """Return levels and slopes of logistic regressions, (2, R), by Newton's method for all rounds at once."""
    level, steepness = np.repeat(start[:, None], weights.shape[1], axis=1)
    squares = values**2
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        for _ in range(MOST_STEPS):
            said = _chances(level + values[:, None] * steepness)
            missing, certain = weights * (true[:, None] - said), weights * said * (1 - said)
            of_level, of_slope = missing.sum(axis=0), values @ missing
            n, across, along = certain.sum(axis=0), values @ certain, squares @ certain
            room = n * along - across**2
            steps = np.stack([along * of_level - across * of_slope, n * of_slope - across * of_level]) / room
            # Both are shortened alike, so that the direction stays.
            longest = np.maximum(np.abs(steps).max(axis=0), LARGEST_STEP) / LARGEST_STEP
            level, steepness = level + steps[0] / longest, steepness + steps[1] / longest
            if not (np.abs(steps) > SMALL_STEP).any():
                break
    done = np.abs(steps).max(axis=0) <= SMALL_STEP
    return np.where(done, np.stack([level, steepness]), np.nan)


def _chances(odds: Floats) -> Floats:
    """Return probabilities from log-odds."""
    found: Floats = 1 / (1 + np.exp(-odds))
    return found


def _has_both(true: Bools, weights: Floats) -> Bools:
    """Return which rounds have pictures of both kinds."""
    both: Bools = (weights[true].sum(axis=0) > 0) & (weights[~true].sum(axis=0) > 0)
    return both


def _told_apart(odds: Floats, true: Bools, weights: Floats) -> Bools:
    """Return in which rounds a threshold parts the pictures of both kinds, of which every round has some."""
    column, is_true, drawn = odds[:, None], true[:, None], weights > 0
    low, high = (np.where(drawn & is_true, column, end) for end in (np.inf, -np.inf))
    low_of_others, high_of_others = (np.where(drawn & ~is_true, column, end) for end in (np.inf, -np.inf))
    apart: Bools = (low.min(axis=0) >= high_of_others.max(axis=0)) | (low_of_others.min(axis=0) >= high.max(axis=0))
    return apart
