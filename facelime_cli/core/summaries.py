"""Counts and figures of a dataset's columns, class by class."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

QUARTERS = (0, 25, 50, 75, 100)
LARGEST = 1e100
"""Nothing measured is larger: such a number is a table's sign for "unknown", and its square is beyond float64."""


@dataclass(frozen=True)
class Spread:
    """The distribution of one column's values; None where there are too few of them.

    Attributes
    ----------
    n : int
        Values that are numbers.
    missing : int
        Values that are not.
    mean : float or None
    sd : float or None
        Of the sample: divided by n - 1.
    minimum, q1, median, q3, maximum : float or None
        Quartiles between two values are interpolated linearly.
    """

    n: int
    missing: int
    mean: float | None
    sd: float | None
    minimum: float | None
    q1: float | None
    median: float | None
    q3: float | None
    maximum: float | None


def known(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which values are numbers that somebody may have measured: not NaN, not infinite, not beyond `LARGEST`.

    Parameters
    ----------
    values : (N,) float64 array

    Returns
    -------
    (N,) bool array

    Examples
    --------
    >>> known(np.array([-3.0, np.nan, np.inf, 1e300])).tolist()
    [True, False, False, False]
    """
    # Comparisons with NaN are false, and infinity is larger than every limit.
    return np.asarray(np.abs(values) < LARGEST)


def spread(values: NDArray[np.float64]) -> Spread:
    """Return the distribution of values.

    Parameters
    ----------
    values : (N,) float64 array
        Those that are not `known` count as missing.

    Returns
    -------
    Spread

    Examples
    --------
    >>> spread(np.array([1.0, 2.0, np.nan, 6.0]))
    Spread(n=3, missing=1, mean=3.0, sd=2.6457513110645907, minimum=1.0, q1=1.5, median=2.0, q3=4.0, maximum=6.0)
    """
    numbers = values[known(values)]
    n = len(numbers)
    missing = len(values) - n
    if not n:
        return Spread(n, missing, *[None] * 7)
    mean = float(numbers.mean())
    # One value has no deviation: dividing by n - 1 would give NaN, and a warning.
    sd = float(numbers.std(ddof=1)) if n > 1 else None
    quarters = np.percentile(numbers, QUARTERS).tolist()
    return Spread(n, missing, mean, sd, *quarters)


def by_frequency(texts: Iterable[str]) -> list[tuple[str, int]]:
    """Return the distinct texts and how often each is there, the most frequent first.

    Parameters
    ----------
    texts : iterable of str

    Returns
    -------
    list of (str, int)
        Equally frequent texts are in alphabetical order.

    Examples
    --------
    >>> by_frequency(["b", "c", "b", "a"])
    [('b', 2), ('a', 1), ('c', 1)]
    """
    alphabetical = sorted(Counter(texts).items())
    # Sorting is stable: the alphabet decides among equals.
    return sorted(alphabetical, key=lambda item: -item[1])


def most_shown(n: int, most: int) -> int:
    """Return how many of some things are shown one by one, when about `most` have room.

    Parameters
    ----------
    n : int
        How many things there are.
    most : int
        How many have room, beside one place for all others.

    Returns
    -------
    int
        All, or `most` where at least two others are put together.

    Examples
    --------
    >>> [most_shown(n, 12) for n in (3, 13, 14)]
    [3, 13, 12]
    """
    # The place for the others has room for a single one.
    return n if n <= most + 1 else most


def folded(codes: NDArray[Any], n: int, most: int) -> tuple[list[int], NDArray[np.int64]]:
    """Put all but about the `most` most frequent codes together.

    Parameters
    ----------
    codes : (N,) int array
        0…n - 1.
    n : int
        How many codes there are.
    most : int
        How many have room, see `most_shown`.

    Returns
    -------
    kept : list of int
        `most_shown` codes, in their order.
    fold : (N,) int64 array
        Index into `kept`; `len(kept)` for every other code.

    Examples
    --------
    >>> kept, fold = folded(np.array([3, 0, 3, 1, 1, 2]), 4, 2)
    >>> kept, fold.tolist()
    ([1, 3], [1, 2, 1, 0, 0, 2])
    """
    counts = np.bincount(codes, minlength=n)
    # A stable order: of equally frequent codes, the first is kept, on every machine.
    by_count = np.argsort(-counts, kind="stable")
    kept = np.sort(by_count[: most_shown(n, most)])
    place = np.full(n, len(kept))
    place[kept] = np.arange(len(kept))
    return kept.tolist(), place[codes]


def crosstab(rows: NDArray[Any], columns: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.int64]:
    """Count how often each pair occurs.

    Parameters
    ----------
    rows, columns : (N,) int arrays
        0…R - 1 and 0…C - 1.
    shape : (int, int)
        R and C.

    Returns
    -------
    (R, C) int64 array

    Examples
    --------
    >>> crosstab(np.array([0, 1, 1]), np.array([2, 0, 0]), (2, 3)).tolist()
    [[0, 0, 1], [2, 0, 0]]
    """
    counts = np.zeros(shape, dtype=np.int64)
    # `counts[rows, columns] += 1` would count a pair that is there twice only once.
    np.add.at(counts, (rows, columns), 1)
    return counts
