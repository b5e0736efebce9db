"""Labels of pictures, in their two forms: one class for each picture, or several findings that are there or not.

One class: (N,) integers, the number of the class, -1 where it is unknown. Several findings: (N, L) int8, 1 present,
0 absent, -1 unknown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bools = NDArray[np.bool_]
    Labels = NDArray[Any]

PRESENT, ABSENT = 1, 0
"""What is known of one finding of a picture; a negative number where nothing is."""
SEVERAL = 2
"""Dimensions of labels with several findings per picture."""


def labelled(labels: Labels) -> Bools:
    """Return which pictures have a class, or a finding that is known.

    Parameters
    ----------
    labels : (N,) or (N, L) integer array

    Returns
    -------
    (N,) bool array

    Examples
    --------
    >>> labelled(np.array([2, -1])).tolist()
    [True, False]
    >>> labelled(np.array([[0, -1], [-1, -1]])).tolist()
    [True, False]
    """
    known: Bools = labels >= 0
    return np.asarray(known.any(axis=1)) if labels.ndim == SEVERAL else known


def having(labels: Labels, number: int) -> Bools:
    """Return which pictures are of a class, or show a finding.

    Parameters
    ----------
    labels : (N,) or (N, L) integer array
    number : int
        Of the class or finding.

    Returns
    -------
    (N,) bool array

    Examples
    --------
    >>> having(np.array([2, 0, -1]), 2).tolist()
    [True, False, False]
    >>> having(np.array([[0, 1], [1, -1]]), 1).tolist()
    [True, False]
    """
    return np.asarray(labels[:, number] == PRESENT if labels.ndim == SEVERAL else labels == number)


def lacking(labels: Labels, number: int) -> Bools:
    """Return which pictures are known to be of another class, or not to show a finding.

    Parameters
    ----------
    labels : (N,) or (N, L) integer array
    number : int
        Of the class or finding.

    Returns
    -------
    (N,) bool array

    Examples
    --------
    >>> lacking(np.array([2, 0, -1]), 2).tolist()
    [False, True, False]
    >>> lacking(np.array([[0, 1], [1, -1]]), 1).tolist()
    [False, False]
    """
    if labels.ndim == SEVERAL:
        return np.asarray(labels[:, number] == ABSENT)
    return np.asarray((labels >= 0) & (labels != number))
