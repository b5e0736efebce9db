"""Labels of pictures, in their two forms: one class for each picture, or several findings that are there or not.

One class: (N,) integers, the number of the class, -1 where it is unknown. Several findings: (N, L) int8, 1 present,
0 absent, -1 unknown. Several labels of the first form beside one another, as a network with several outputs learns
them, are (N,) structured arrays with a field of integers for each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    labels : (N,) or (N, L) integer array, or (N, V) float array of known values, NaN where one is not known
        Or a structured array; one known label is enough.

    Returns
    -------
    (N,) bool array

    Examples
    --------
    >>> labelled(np.array([2, -1])).tolist()
    [True, False]
    >>> labelled(np.array([[0, -1], [-1, -1]])).tolist()
    [True, False]
    >>> labelled(np.array([(0, -1), (-1, -1)], [("class", int), ("subtype", int)])).tolist()
    [True, False]
    """
    if labels.dtype.names:
        return np.asarray(np.any([labels[name] >= 0 for name in labels.dtype.names], axis=0))
    known: Bools = np.isfinite(labels) if labels.dtype.kind == "f" else labels >= 0
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


def unlike(labels: Labels, rows: NDArray[np.int64], others: NDArray[np.int64]) -> Bools:
    """Return which pictures are known to be of another kind than others.

    Of one class each, they are of two classes. With several findings, the other has none of those that a picture has;
    where the picture has none, the other has one.

    Parameters
    ----------
    labels : (N,) or (N, L) integer array
    rows, others : (R,) and (P,) int64 arrays
        Places in `labels`.

    Returns
    -------
    (R, P) bool array
        False wherever the labels do not say it.

    Examples
    --------
    >>> labels = np.array([[1, 1], [0, 0], [1, 0], [0, -1]])
    >>> unlike(labels, np.array([0, 1]), np.array([0, 1, 2, 3])).tolist()
    [[False, True, False, False], [True, False, True, False]]
    """
    own, their = labels[rows], labels[others]
    if labels.ndim != SEVERAL:
        return np.asarray((own[:, None] >= 0) & (their >= 0) & (own[:, None] != their))
    present = own == PRESENT
    # Small whole numbers, which float32 holds exactly.
    n_lacking = present.astype(np.float32) @ (their == ABSENT).T.astype(np.float32)
    n_present = present.sum(axis=1)[:, None]
    healthy = labelled(own)[:, None] & (n_present == 0)
    has_one = (their == PRESENT).any(axis=1)
    return np.asarray(np.where(n_present > 0, n_lacking == n_present, healthy & has_one))


def present(label: NDArray[Any], names: Sequence[str]) -> list[str]:
    """Return the names of the class or the findings of one picture.

    Parameters
    ----------
    label : () or (L,) integer array
        One picture's part of labels.
    names : sequence of str
        Of the classes or findings.

    Returns
    -------
    list of str
        Empty where nothing is known to be there.

    Examples
    --------
    >>> present(np.int16(1), ["a", "b"]), present(np.array([1, -1]), ["a", "b"]), present(np.int16(-1), ["a"])
    (['b'], ['a'], [])
    """
    if label.ndim:
        return [names[i] for i in np.flatnonzero(label == PRESENT).tolist()]
    return [names[int(label)]] if label >= 0 else []


def words(label: NDArray[Any], names: Sequence[str]) -> str | None:
    """Return what is known of one picture, in words.

    Parameters
    ----------
    label : () or (L,) integer array
        One picture's part of labels.
    names : sequence of str
        Of the classes or findings.

    Returns
    -------
    str or None
        None where nothing is known.

    Examples
    --------
    >>> words(np.array([1, 1, -1]), ["a", "b", "c"]), words(np.array([0, 0]), ["a", "b"])
    ('a, b', 'no finding')
    >>> words(np.array([0, -1]), ["a", "b"]), words(np.int16(-1), ["a", "b"])
    ('no known finding', None)
    """
    found = present(label, names)
    if found:
        return ", ".join(found)
    if not label.ndim or not (label >= 0).any():
        return None
    return "no finding" if (label >= 0).all() else "no known finding"
