"""How well a model's values agree with known ones: errors, R², and the limits of agreement of Bland and Altman."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FIGURES = ("mae", "rmse", "r2", "bias", "lower_limit", "upper_limit")
"""Mean absolute error, root mean squared error, coefficient of determination, mean difference, limits of agreement."""
LIMITS = 1.96
"""Standard deviations of the differences between which 95 % of them lie, if they are normal."""


def figures(true: Floats, said: Floats) -> dict[str, float | None]:
    """Return every figure of some values.

    Parameters
    ----------
    true, said : (N,) float64 arrays
        The known values and the model's.

    Returns
    -------
    dict
        By the names of `FIGURES`; None where a figure cannot be told, such as R² where all known values are equal.

    Examples
    --------
    >>> found = figures(np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 5.0]))
    >>> found["mae"], found["bias"], found["r2"]
    (1.0, 1.0, -1.5)
    """
    once = np.ones((1, len(true)), np.int16)
    found = {name: float(values[0]) for name, values in resampled(true, said, once).items()}
    return {name: value if np.isfinite(value) else None for name, value in found.items()}


def resampled(true: Floats, said: Floats, rounds: NDArray[np.int16]) -> dict[str, Floats]:
    """Return the figures in each round of a bootstrap.

    Parameters
    ----------
    true, said : (N,) float64 arrays
    rounds : (rounds, N) int16 array
        How often each picture counts, from `metrics.rounds_by_group`.

    Returns
    -------
    dict of str to (rounds,) float64 array
        By the names of `FIGURES`; NaN where a round cannot tell one.

    Notes
    -----
    A difference is the model's value minus the known one. R² is 1 - Σ difference² / Σ (known - mean known)²: it is
    below 0 where the mean alone would be better.

    References
    ----------
    Bland and Altman, "Statistical methods for assessing agreement between two methods of clinical measurement", Lancet
    327, 307, 1986: the bias, and the limits bias ± 1.96 standard deviations of the differences.
    """
    counts = rounds.astype(np.float64)
    n = counts.sum(axis=1)
    difference = said - true
    # Far from 0, squares lose the digits that the variance is made of.
    centred = true - true.mean()
    with np.errstate(invalid="ignore", divide="ignore"):
        bias = counts @ difference / n
        squared = counts @ difference**2
        around = counts @ centred**2 - (counts @ centred) ** 2 / n
        spread = np.sqrt(np.maximum(squared - n * bias**2, 0) / (n - 1))
        r2 = np.where(around > 0, 1 - squared / around, np.nan)
    return {
        "mae": counts @ np.abs(difference) / n,
        "rmse": np.sqrt(squared / n),
        "r2": r2,
        "bias": bias,
        "lower_limit": bias - LIMITS * spread,
        "upper_limit": bias + LIMITS * spread,
    }
