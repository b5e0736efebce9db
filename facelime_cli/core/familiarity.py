"""Whether a picture is like those that a network has learned from: distances between its features and theirs.

A summary of the training features is kept, not the features. Two forms are computed alike: features are projected, and
the distance to the nearest of some points counts. Where there are many pictures, the points are the means of the
classes, and the projection whitens (Mahalanobis' distance). Where there are few, in all or of a class, the points are
the pictures themselves in a random projection, and the distance to the k-th nearest counts.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    Numbers = NDArray[np.float32]
    Summarised = Callable[[Numbers, NDArray[np.int64], int], "Familiar"]

CLASS_MEANS, NEIGHBOURS = "class means", "neighbours"
"""The two methods."""
PERCENTILE = 99
"""Of the distances of training pictures, each measured without its own group: what lies beyond is unlike them."""
FOLDS = 5
FEWEST_PICTURES = 20
"""Fewer have no 99th percentile that means anything."""
FEWEST_FOR_MEANS = 400
"""With fewer pictures, neighbours tell more and are wrong less often (`benchmarks/unlike.py`)."""
FEWEST_PER_CLASS = 30
"""With fewer pictures of a class than this, its mean is not known well enough."""
MOST_PICTURES = 4000
"""Training pictures that are looked at; more change the summary by less than its error."""
MOST_FEATURES = 16_384
"""Numbers in front of a network's last layer; more are no features but pixels."""
DIMENSIONS = 128
"""Of the space in which class means are compared: the directions in which training pictures differ most."""
RANDOM_DIMENSIONS = 64
"""Of the random projection."""
NEAREST = 5
"""Which of the nearest training pictures counts: a single one may be odd itself."""
LEAST_SPREAD = 0.1
"""Of a feature, as a share of the mean of all."""
LEAST_VARIANCE = 1e-9
"""Added to that of every direction, as a share of the mean of all."""
AT_ONCE = 512
"""Pictures whose distances to all points are in memory at a time."""


@dataclass(frozen=True)
class Familiar:
    """A summary of the features of training pictures.

    Attributes
    ----------
    offset : (F,) float32 array
        Subtracted from features.
    projection : (F, D) float32 array
        Behind that.
    points : (P, D) float32 array
        What distances are measured to.
    nearest : int
        The distance to the nearest point of this rank counts, from 1.
    threshold : float
        The distance beyond which a picture is unlike the training pictures.
    """

    offset: Numbers
    projection: Numbers
    points: Numbers
    nearest: int
    threshold: float = 1.0

    def __post_init__(self) -> None:
        """Raise ValueError where the parts do not go together."""
        n_features, n_dimensions = self.projection.shape
        whole = all(np.isfinite(part).all() for part in (self.offset, self.projection, self.points))
        fits = self.offset.shape == (n_features,) and self.points.shape[1:] == (n_dimensions,)
        if not (whole and fits and 1 <= self.nearest <= len(self.points) and 0 < self.threshold < np.inf):
            raise ValueError("the summary of training features is damaged")

    def distances(self, features: Numbers) -> NDArray[np.float64]:
        """Return how far pictures are from those that were learned from.

        Parameters
        ----------
        features : (N, F) float32 array

        Returns
        -------
        (N,) float64 array
            In multiples of the threshold: more than 1 is unlike anything in the training data.

        Raises
        ------
        ValueError
            For features of another length.
        """
        if features.ndim != 2 or features.shape[1] != len(self.offset):  # noqa: PLR2004 - pictures and features
            raise ValueError(f"features of {features.shape} for a summary of {len(self.offset)}")
        found = [self._of(features[start : start + AT_ONCE]) for start in range(0, len(features), AT_ONCE)]
        return np.concatenate([*found, np.zeros(0)])

    def _of(self, features: Numbers) -> NDArray[np.float64]:
        projected = ((features - self.offset) @ self.projection).astype(np.float64)
        points = self.points.astype(np.float64)
        squares = (projected**2).sum(1)[:, None] + (points**2).sum(1) - 2 * projected @ points.T
        ranked = np.partition(squares, self.nearest - 1, axis=1)[:, self.nearest - 1]
        return np.asarray(np.sqrt(np.maximum(ranked, 0)) / self.threshold)

    def arrays(self) -> dict[str, Any]:
        """Return its parts by name, as a file keeps them."""
        return {each.name: np.asarray(getattr(self, each.name)) for each in fields(self)}

    @classmethod
    def read(cls, arrays: Mapping[str, Any]) -> Familiar:
        """Return what `arrays` gave.

        Parameters
        ----------
        arrays : mapping

        Raises
        ------
        KeyError, ValueError, TypeError
            For anything else.
        """
        matrices = {name: np.asarray(arrays[name], np.float32) for name in ("offset", "projection", "points")}
        return cls(**matrices, nearest=int(arrays["nearest"]), threshold=float(arrays["threshold"]))


def method_for(classes: NDArray[np.int64]) -> str:
    """Return the method that suits some training pictures.

    Parameters
    ----------
    classes : (N,) int64 array
        Of each picture; all 0 where pictures have no class.

    Returns
    -------
    str
        `CLASS_MEANS` or `NEIGHBOURS`.

    Examples
    --------
    >>> method_for(np.repeat([0, 1], [300, 300])), method_for(np.repeat([0, 1], [590, 10]))
    ('class means', 'neighbours')
    """
    fewest = np.unique(classes, return_counts=True)[1].min()
    return CLASS_MEANS if len(classes) >= FEWEST_FOR_MEANS and fewest >= FEWEST_PER_CLASS else NEIGHBOURS


def familiar(
    features: Numbers,
    classes: NDArray[np.int64],
    groups: NDArray[np.int64],
    held_out: Numbers | None = None,
    summarised: Summarised | None = None,
) -> Familiar:
    """Return a summary of training features, and from where on a picture is unlike them.

    Parameters
    ----------
    features : (N, F) float32 array
        Of training pictures, at least `FEWEST_PICTURES`.
    classes : (N,) int64 array
        All 0 where pictures have no class.
    groups : (N,) int64 array
        Pictures of one patient or lesion share a number.
    held_out : (M, F) float32 array, optional
        Features of pictures of the same source that the network has not learned from.
    summarised : callable, optional
        What makes a summary of features, classes, and the number of pictures in the smallest of all summaries; by
        default that of `method_for`.

    Returns
    -------
    Familiar

    Notes
    -----
    A picture is near to a summary that contains it, so each training picture is measured with a summary of the others:
    groups are divided into folds, as for cross-fitting. Its features are too near nevertheless where the network itself
    has learned them by heart. That shows in `held_out`: where their median is larger, the threshold rises by the ratio.

    The covariance is shrunk as in Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance
    matrices", J. Multivariate Anal. 88, 365, 2004. Distances to class means: Lee et al., "A simple unified framework
    for detecting out-of-distribution samples", NeurIPS 2018. To neighbours: Sun et al., "Out-of-distribution detection
    with deep nearest neighbors", ICML 2022.
    """
    summarised = summarised or SUMMARIES[method_for(classes)]
    apart = np.zeros(len(features))
    folds = _folds(groups)
    # Distances in spaces of different dimensions cannot be compared: all summaries must be alike.
    fewest = len(features) - int(np.bincount(folds).max())
    for fold in np.unique(folds):
        within = folds == fold
        apart[within] = summarised(features[~within], classes[~within], fewest).distances(features[within])
    # The smallest distance that at least so many lie within: with few pictures the largest of all.
    threshold = float(np.quantile(apart, PERCENTILE / 100, method="higher"))
    whole = summarised(features, classes, fewest)
    if held_out is not None and len(held_out) >= FEWEST_PICTURES:
        threshold *= max(1.0, float(np.median(whole.distances(held_out)) / np.median(apart)))
    return Familiar(
        whole.offset, whole.projection, whole.points, whole.nearest, max(threshold, float(np.finfo(np.float32).tiny))
    )


def _folds(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return a fold for every picture; groups stay together."""
    _, numbers = np.unique(groups, return_inverse=True)
    n_groups = int(numbers.max()) + 1
    order = np.random.Generator(np.random.Philox(0)).permutation(n_groups)
    return np.asarray(order[numbers.ravel()] % min(FOLDS, n_groups))


def class_means(features: Numbers, classes: NDArray[np.int64], fewest: int, dimensions: int = DIMENSIONS) -> Familiar:
    """Return the means of the classes, in a space where pictures of one class scatter alike in all directions.

    Parameters
    ----------
    features : (N, F) float32 array
    classes : (N,) int64 array
    fewest : int
        Pictures in the smallest summary that this one is compared with.
    dimensions : int
        Of that space, at most: a quarter of `fewest` can be known well enough.

    Returns
    -------
    Familiar
        With a threshold of 1.
    """
    from sklearn.covariance import LedoitWolf

    offset = features.mean(axis=0)
    centred = (features - offset).astype(np.float64)
    axes = _directions(centred, max(1, min(dimensions, fewest // 4)))
    reduced = centred @ axes
    present, numbers = np.unique(classes, return_inverse=True)
    means = np.stack([reduced[numbers == number].mean(axis=0) for number in range(len(present))])
    shrunk = LedoitWolf(assume_centered=True).fit(reduced - means[numbers])
    # Where no picture differs from another, there is nothing to shrink towards.
    least = max(LEAST_VARIANCE * float(np.trace(shrunk.covariance_)) / len(shrunk.covariance_), LEAST_VARIANCE)
    whitening = np.linalg.cholesky(np.linalg.inv(shrunk.covariance_ + least * np.eye(len(shrunk.covariance_))))
    return Familiar(offset, (axes @ whitening).astype(np.float32), (means @ whitening).astype(np.float32), nearest=1)


def _directions(centred: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """Return the directions in which pictures differ most, as columns (F, D): their principal components."""
    from scipy.linalg import eigh

    is_wide = len(centred) < centred.shape[1]
    # Of the two products with the same directions the smaller one takes an eighth of the time, or less.
    square = centred @ centred.T if is_wide else centred.T @ centred
    side = len(square)
    _, found = eigh(square, subset_by_index=[side - min(most, side), side - 1])
    if not is_wide:
        return np.asarray(found)
    # Where fewer directions than that are in use, the others are any.
    axes, _ = np.linalg.qr(centred.T @ found[:, ::-1])
    return np.asarray(axes)


def neighbours(
    features: Numbers,
    classes: NDArray[np.int64],
    fewest: int,
    dimensions: int = RANDOM_DIMENSIONS,
    nearest: int = NEAREST,
) -> Familiar:
    """Return the pictures themselves, in a random projection that keeps distances roughly.

    Parameters
    ----------
    features : (N, F) float32 array
    classes : (N,) int64 array
        They do not count.
    fewest : int
        Pictures in the smallest summary that this one is compared with.
    dimensions, nearest : int
        At most; see `RANDOM_DIMENSIONS` and `NEAREST`.

    Returns
    -------
    Familiar
        With a threshold of 1.
    """
    del classes
    offset = features.mean(axis=0)
    n_features, n_dimensions = features.shape[1], min(dimensions, features.shape[1])
    drawn = np.random.Generator(np.random.Philox(0)).standard_normal((n_features, n_dimensions))
    spread = features.std(axis=0)
    # A feature that is the same for all would count without end.
    scale = np.maximum(spread, LEAST_SPREAD * spread.mean() or 1.0)[:, None]
    projection = (drawn / np.sqrt(n_dimensions) / scale).astype(np.float32)
    points = ((features - offset) @ projection).astype(np.float32)
    return Familiar(offset, projection, points, nearest=min(nearest, fewest))


SUMMARIES: dict[str, Summarised] = {CLASS_MEANS: class_means, NEIGHBOURS: neighbours}
"""What makes a summary of features and classes, by method."""
