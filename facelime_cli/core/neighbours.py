"""The most similar picture of another class, as a fill: every composed picture then consists of real ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.core.labels import labelled, unlike

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bools = NDArray[np.bool_]
    Integers = NDArray[np.int64]
    Floats = NDArray[np.float32]

CELLS = 16
"""Mean colours along each side by which pictures are compared: pose, light and background, no detail."""
FEATURES = 3 * CELLS**2
"""Numbers in the thumbnail of a picture."""
AT_ONCE = 256
"""Pictures whose donors are looked for at a time."""
CANDIDATES_AT_ONCE = 4096
"""Pictures that these are compared with at a time: with `AT_ONCE`, all that a search holds in memory."""
FIRST_CANDIDATES = 512
"""Candidates that are looked at first: they say how near the others must be."""
MIDDLE = 128
"""Is taken from the values of thumbnails, so that float32 holds every sum of products of up to 1,024 exactly."""
AXES = 32
"""Axes along which pictures are compared first."""
AXES_FROM = 2048
"""Candidates from which axes are computed. With fewer, all numbers are compared at once."""
AXES_ROUNDS = 4
"""After so many, the axes are near those along which pictures differ most; nearer ones are hardly faster."""
SLACK = 256
"""More than float32 can lose of a squared distance along the axes: it is at most 5 · 10⁷, a sum of 33 products."""
FEW = 1 / 16
"""Share of pairs up to which it is faster to compare these alone than all."""
NOTHING = np.iinfo(np.int64).max
"""Stands where no donor is found."""


def thumbnails(images: NDArray[np.uint8]) -> Integers:
    """Return the mean colours of the cells of pictures, rounded.

    Parameters
    ----------
    images : (N, H, W, 3) uint8 array
        Height and width at least 16.

    Returns
    -------
    (N, 768) int64 array
        Values of 0 to 255.

    Examples
    --------
    >>> thumbnails(np.full((1, 16, 16, 3), 7, np.uint8))[0, :3].tolist()
    [7, 7, 7]
    """
    _, height, width, _ = images.shape
    tops, lefts = _begins(height), _begins(width)
    # Sums in whole numbers are exact: the same thumbnail on every machine.
    sums = images.astype(np.int64)
    sums = np.add.reduceat(sums, tops, axis=1)
    sums = np.add.reduceat(sums, lefts, axis=2)
    heights = np.diff(np.append(tops, height))
    widths = np.diff(np.append(lefts, width))
    pixels = heights[:, None, None] * widths[None, :, None]
    # Half of the divisor rounds to the nearest whole number.
    means = np.asarray((sums + pixels // 2) // pixels)
    return means.reshape(len(images), -1)


def _begins(side: int) -> Integers:
    """Return where each cell begins along a side; cells differ by one pixel at most."""
    return np.arange(CELLS) * side // CELLS


def nearest_unlike(
    thumbs: NDArray[np.integer[Any]],
    labels: NDArray[Any],
    groups: Integers,
    rows: Integers,
    pool: Integers,
    count: int,
) -> Integers:
    """Return for each of some pictures the most similar ones of another kind and another group, its donors.

    Similarity is the squared distance of thumbnails. Each donor is of another group than those before it.

    Parameters
    ----------
    thumbs : (N, F) integer array
        Of every picture of a dataset, see `thumbnails`: values of 0 to 255, at most 1,024 of each picture.
    labels : (N,) or (N, L) integer array
        What tells the kinds apart, see `core.labels.unlike`.
    groups : (N,) int64 array
        Equal for pictures of one patient.
    rows : (R,) int64 array
        The pictures that need donors.
    pool : (P,) int64 array
        The pictures that may be one, in ascending order.
    count : int
        How many donors to find.

    Returns
    -------
    (R, count) int64 array
        Rows of the dataset, the most similar first, the lower row first of equals; -1 where there is none.

    Notes
    -----
    Every pair counts, so the time grows with R times P, and the memory with N alone. Most pairs are compared along a
    few axes only: two pictures are at least as far apart as along these. What may be near is compared in whole numbers,
    so that every machine finds the same.

    References
    ----------
    The nearest unlike neighbour: Dasarathy, Journal of Pattern Recognition 28, 1995.
    As the picture that regions are taken from: Goyal et al., "Counterfactual visual explanations", ICML 2019.

    Examples
    --------
    >>> thumbs, labels = np.array([[0], [1], [9], [4]]), np.array([0, 0, 1, 1], np.int16)
    >>> nearest_unlike(thumbs, labels, np.arange(4), np.array([0, 2]), np.arange(4), 2).tolist()
    [[3, 2], [1, 0]]
    """
    found = np.full((len(rows), count), -1)
    known = pool[labelled(labels)[pool]]
    if not len(known):
        return found
    # Numbers without gaps, so that a picture and a group make one number.
    patients = np.asarray(np.unique(groups, return_inverse=True)[1])
    search = _Search.among(thumbs, labels, patients, known)
    for first in range(0, len(rows), AT_ONCE):
        found[first : first + AT_ONCE] = search.donors(rows[first : first + AT_ONCE], count)
    return found


def has_unlike(labels: NDArray[Any], groups: Integers, rows: Integers, pool: Integers) -> Bools:
    """Return which of some pictures have one of another kind and another group.

    Parameters
    ----------
    labels, groups, rows, pool
        As in `nearest_unlike`.

    Returns
    -------
    (R,) bool array

    Notes
    -----
    Kinds are compared, not pictures: a picture lacks a donor when all of the fitting kinds are in its own group.

    Examples
    --------
    >>> labels, groups = np.array([0, 0, 1, -1]), np.array([0, 1, 1, 2])
    >>> has_unlike(labels, groups, np.arange(4), np.arange(4)).tolist()
    [True, False, True, False]
    """
    own, kind_of = _kinds(labels, rows)
    other, other_of = _kinds(labels, pool)
    # The lowest and the highest group of each kind: where both are one, its pictures are in no other.
    lowest, highest = np.full(len(other), NOTHING), np.full(len(other), -1)
    np.minimum.at(lowest, other_of, groups[pool])
    np.maximum.at(highest, other_of, groups[pool])
    low, high = np.full(len(own), NOTHING), np.full(len(own), -1)
    for first in range(0, len(own), AT_ONCE):
        some = slice(first, first + AT_ONCE)
        fitting = unlike(labels, own[some], other)
        low[some] = np.where(fitting, lowest, NOTHING).min(axis=1, initial=NOTHING)
        high[some] = np.where(fitting, highest, -1).max(axis=1, initial=-1)
    mine = groups[rows]
    return np.asarray((high[kind_of] >= 0) & ((low[kind_of] != mine) | (high[kind_of] != mine)))


def _kinds(labels: NDArray[Any], rows: Integers) -> tuple[Integers, Integers]:
    """Return a picture of each kind among some, and the number of the kind of each of these."""
    _, firsts, numbers = np.unique(labels[rows], axis=0, return_index=True, return_inverse=True)
    return rows[firsts], np.asarray(numbers).reshape(-1)


def _centred(thumbs: NDArray[np.integer[Any]]) -> Floats:
    """Return thumbnails as floats whose products have exact sums."""
    return thumbs.astype(np.float32) - np.float32(MIDDLE)


def _lengths(centred: Floats) -> Integers:
    """Return the squared lengths of centred thumbnails, exact."""
    return np.asarray(np.einsum("ij,ij->i", centred, centred).astype(np.int64))


def _axes(thumbs: NDArray[np.integer[Any]], known: Integers) -> NDArray[np.float64]:
    """Return orthogonal axes along which some thumbnails differ much, (F, A); none where it does not pay."""
    n_numbers = thumbs.shape[1]
    if len(known) < AXES_FROM or n_numbers <= AXES:
        return np.empty((n_numbers, 0))
    # A sample is enough: other axes make the search slower, and find the same.
    sample = _centred(thumbs[known[:AXES_FROM]]).astype(np.float64)
    sample -= sample.mean(axis=0)
    axes = np.random.default_rng(0).standard_normal((n_numbers, AXES))
    for _ in range(AXES_ROUNDS):
        axes = np.linalg.qr(sample.T @ (sample @ axes))[0]
    return axes


def _along(centred: Floats, axes: NDArray[np.float64]) -> Floats:
    """Return where thumbnails lie on each axis, and how far from all of them: (n, A + 1)."""
    values = centred.astype(np.float64)
    places = values @ axes
    aside = np.sqrt(np.maximum(_lengths(centred) - (places**2).sum(axis=1), 0))
    return np.column_stack([places, aside]).astype(np.float32)


@dataclass(frozen=True)
class _Search:
    """A search for donors among the known pictures of a dataset, in any order.

    A distance and the row of a donor make one whole number, its key: the lower key is the donor that comes first.

    Attributes
    ----------
    thumbs, labels, groups
        As in `nearest_unlike`.
    known : (P,) int64 array
    lengths : (P,) int64 array
        Of the known thumbnails, see `_lengths`.
    axes : (F, A) float64 array
    along : (P, A + 1) float32 array
        The known thumbnails on the axes, see `_along`.
    """

    thumbs: NDArray[np.integer[Any]]
    labels: NDArray[Any]
    groups: Integers
    known: Integers
    lengths: Integers
    axes: NDArray[np.float64]
    along: Floats

    @classmethod
    def among(
        cls, thumbs: NDArray[np.integer[Any]], labels: NDArray[Any], groups: Integers, known: Integers
    ) -> _Search:
        """Return a search among some pictures."""
        # Shuffled, so that the first ones are of all kinds: they say soon how near the others must be.
        known = np.random.default_rng(0).permutation(known)
        axes = _axes(thumbs, known)
        lengths, along = np.empty(len(known), np.int64), np.empty((len(known), axes.shape[1] + 1), np.float32)
        for first in range(0, len(known), CANDIDATES_AT_ONCE):
            some = slice(first, first + CANDIDATES_AT_ONCE)
            centred = _centred(thumbs[known[some]])
            lengths[some], along[some] = _lengths(centred), _along(centred, axes)
        return cls(thumbs, labels, groups, known, lengths, axes, along)

    def donors(self, some: Integers, count: int) -> Integers:
        """Return the donors of a few pictures: (R, count), -1 where there is none."""
        best = np.full((len(some), count), NOTHING)
        own = _centred(self.thumbs[some])
        along = _along(own, self.axes)
        first = 0
        while first < len(self.known):
            others = slice(first, first + (CANDIDATES_AT_ONCE if first else FIRST_CANDIDATES))
            first = others.stop
            rows = self.known[others]
            chosen = self._may_be_nearer(along, self.along[others], best[:, -1])
            chosen &= unlike(self.labels, some, rows)
            chosen &= self.groups[some][:, None] != self.groups[rows]
            picture, place = _pairs(chosen)
            keys = self._distances(own, others, picture, place) * len(self.thumbs) + rows[place]
            nearer = keys < best[picture, -1]
            best = self._first(best, picture[nearer], keys[nearer])
        return np.where(best == NOTHING, -1, best % len(self.thumbs))

    def _may_be_nearer(self, along: Floats, theirs: Floats, best: Integers) -> Bools:
        """Return which candidates may be nearer than the last donor so far, by where they lie on the axes."""
        reach = np.where(best == NOTHING, np.inf, best // len(self.thumbs) + SLACK)
        # Of |a - b|² <= reach, what belongs to one picture alone is on one side.
        least = ((along**2).sum(axis=1) - reach) / 2
        likeness = along @ theirs.T
        likeness -= (theirs**2).sum(axis=1) / 2
        return np.asarray(likeness >= least.astype(np.float32)[:, None])

    def _distances(self, own: Floats, others: slice, picture: Integers, place: Integers) -> Integers:
        """Return the squared distances of pairs of pictures, exact: from the centred thumbnails, among some known."""
        rows = self.known[others]
        if len(picture) > FEW * len(own) * len(rows):
            products = (own @ _centred(self.thumbs[rows]).T)[picture, place]
        else:
            products = np.empty(len(picture), np.float32)
            for first in range(0, len(picture), CANDIDATES_AT_ONCE):
                some = slice(first, first + CANDIDATES_AT_ONCE)
                theirs = _centred(self.thumbs[rows[place[some]]])
                products[some] = np.einsum("ij,ij->i", own[picture[some]], theirs)
        return np.asarray(_lengths(own)[picture] + self.lengths[others][place] - 2 * products.astype(np.int64))

    def _first(self, best: Integers, picture: Integers, keys: Integers) -> Integers:
        """Return the lowest keys of each picture: those so far and some more, one of each group."""
        if not len(keys):
            return best
        n, count = best.shape
        pictures, every = np.append(np.repeat(np.arange(n), count), picture), np.append(best.ravel(), keys)
        there = every != NOTHING
        pictures, every = pictures[there], every[there]
        order = np.lexsort((every, pictures))
        pictures, every = pictures[order], every[order]
        of_group = pictures * len(self.thumbs) + self.groups[every % len(self.thumbs)]
        firsts = np.sort(np.unique(of_group, return_index=True)[1])
        pictures, every = pictures[firsts], every[firsts]
        # How many of the same picture stand before each.
        place = np.arange(len(firsts)) - np.searchsorted(pictures, pictures)
        lowest = np.full((n, count), NOTHING)
        lowest[pictures[place < count], place[place < count]] = every[place < count]
        return lowest


def _pairs(chosen: Bools) -> tuple[Integers, Integers]:
    """Return where a matrix is true: rows and columns. NumPy's own search takes several times as long for few."""
    flat = np.flatnonzero(chosen)
    return flat // chosen.shape[1], flat % chosen.shape[1]
