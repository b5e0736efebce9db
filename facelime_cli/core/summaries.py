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
"""Nothing measured is larger.

Such a number is a table's way to say that there is none, and its square is beyond the floats.
"""


@dataclass(frozen=True)
class Spread:
    """How the values of one column lie; None where there are too few of them.

    Attributes
    ----------
    n, missing : int
        Values that are numbers, and those that are not.
    mean, sd : float or None
        `sd` is the sample's (divided by n - 1).
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
    """Return which of (N,) floats are numbers that somebody may have measured.

    Not NaN, not infinite, not beyond `LARGEST`.
    """
    return np.asarray(np.abs(values) < LARGEST)


def spread(values: NDArray[np.float64]) -> Spread:
    """Return how values lie: (N,) floats, of which those that are not `known` count as missing.

    Examples
    --------
    >>> spread(np.array([1.0, 2.0, np.nan, 6.0]))
    Spread(n=3, missing=1, mean=3.0, sd=2.6457513110645907, minimum=1.0, q1=1.5, median=2.0, q3=4.0, maximum=6.0)
    """
    numbers = values[known(values)]
    n, missing = len(numbers), len(values) - len(numbers)
    if not n:
        return Spread(n, missing, *[None] * 7)
    sd = float(numbers.std(ddof=1)) if n > 1 else None
    return Spread(n, missing, float(numbers.mean()), sd, *map(float, np.percentile(numbers, QUARTERS)))


def by_frequency(texts: Iterable[str]) -> list[tuple[str, int]]:
    """Return the distinct texts and how often each is there.

    The most frequent first, equally frequent ones in alphabetical order.

    Examples
    --------
    >>> by_frequency(["b", "c", "b", "a"])
    [('b', 2), ('a', 1), ('c', 1)]
    """
    return sorted(Counter(texts).items(), key=lambda item: (-item[1], item[0]))


def most_shown(n: int, most: int) -> int:
    """Return how many of `n` things are shown when about `most` have room.

    These are all, or `most` where at least two others are put together.

    Examples
    --------
    >>> [most_shown(n, 12) for n in (3, 13, 14)]
    [3, 13, 12]
    """
    return n if n <= most + 1 else most


def folded(codes: NDArray[Any], n: int, most: int) -> tuple[list[int], NDArray[np.int64]]:
    """Put all but about the `most` most frequent codes together.

    Parameters
    ----------
    codes : (N,) int array
        0…n - 1.
    n, most : int

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
    kept = np.sort(np.argsort(-counts, kind="stable")[: most_shown(n, most)])
    place = np.full(n, len(kept))
    place[kept] = np.arange(len(kept))
    return [int(each) for each in kept], place[codes]


def crosstab(rows: NDArray[Any], columns: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.int64]:
    """Count how often each pair occurs.

    Parameters
    ----------
    rows, columns : (N,) int arrays
        0…R - 1 and 0…C - 1.
    shape : (R, C)

    Returns
    -------
    (R, C) int64 array

    Examples
    --------
    >>> crosstab(np.array([0, 1, 1]), np.array([2, 0, 0]), (2, 3)).tolist()
    [[0, 0, 1], [2, 0, 0]]
    """
    counts = np.zeros(shape, dtype=np.int64)
    np.add.at(counts, (rows, columns), 1)
    return counts
