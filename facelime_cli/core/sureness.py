"""How sure a model is of its answers, and of its mistakes: what pictures are ranked by.

Labels are one class for each picture, (N,) integers; or findings, (N, L) int8, 1 present, 0 absent, -1 unknown; or
known values, (N, V) floats. A finding is called from its threshold on; of classes, the most probable is the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.core.labels import ABSENT, PRESENT, SEVERAL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.floating[Any]]

NONE = -np.inf
"""The rank of a picture that is none of what is looked for."""


def predicted(answers: Floats, thresholds: Floats | None) -> NDArray[np.bool_]:
    """Return which classes the model gives each picture.

    Parameters
    ----------
    answers : (N, C) float array
        Probabilities.
    thresholds : (C,) float array or None
        Of findings; None where each picture gets its most probable class.

    Returns
    -------
    (N, C) bool array

    Examples
    --------
    >>> predicted(np.array([[0.7, 0.6]]), None).tolist(), predicted(np.array([[0.7, 0.6]]), np.full(2, 0.5)).tolist()
    ([[True, False]], [[True, True]])
    """
    if thresholds is not None:
        return np.asarray(answers >= thresholds)
    return np.asarray(np.arange(answers.shape[1]) == answers.argmax(axis=1)[:, None])


def mistakes(answers: Floats, labels: NDArray[Any], thresholds: Floats | None) -> NDArray[np.float64]:
    """Return how sure the model is of each picture that it gets wrong.

    Parameters
    ----------
    answers : (N, C) float array
        Probabilities, or values.
    labels : array
        Classes, findings or known values.
    thresholds : (C,) float array or None
        Of findings.

    Returns
    -------
    (N,) float64 array
        `NONE` for a picture that it gets right. Else the probability of the wrong class; of findings that of the
        wrong answer of which the model is surest; of values the largest error, as a multiple of the mean error of
        that value.

    Examples
    --------
    >>> mistakes(np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([1, 0]), None).tolist()
    [0.9, -inf]
    """
    if labels.dtype.kind == "f":
        known = np.isfinite(labels)
        error = np.abs(answers - np.where(known, labels, answers))
        total, count = error.sum(axis=0), known.sum(axis=0)
        # Values of different units are ranked together; one that is right everywhere has no mean error.
        shares = error * np.divide(count, total, out=np.ones(len(count)), where=total > 0)
        return np.asarray(np.where(known, shares, NONE).max(axis=1), np.float64)
    called = predicted(answers, thresholds)
    if labels.ndim < SEVERAL:
        wrong = answers.argmax(axis=1) != labels
        return np.where(wrong, answers.max(axis=1), NONE).astype(np.float64)
    false, missed = called & (labels == ABSENT), ~called & (labels == PRESENT)
    sure = np.where(false, answers, np.where(missed, 1 - answers, NONE))
    return np.asarray(sure.max(axis=1), np.float64)


def sureness(answers: Floats, thresholds: Floats | None) -> NDArray[np.float64]:
    """Return how sure the model is of its answers.

    Parameters
    ----------
    answers : (N, C) float array
        Probabilities.
    thresholds : (C,) float array or None
        Of findings.

    Returns
    -------
    (N,) float64 array
        By how much the most probable class leads before the next; of findings, how far the one is from its threshold
        that is nearest to it.

    Examples
    --------
    >>> sureness(np.array([[0.75, 0.25]]), None).tolist(), sureness(np.array([[0.75, 0.4]]), np.full(2, 0.5)).round(2)
    ([0.5], array([0.1]))
    """
    if thresholds is not None:
        return np.asarray(np.abs(answers - thresholds).min(axis=1), np.float64)
    first, second = np.sort(answers, axis=1)[:, ::-1][:, :2].T
    return np.asarray(first - second, np.float64)
