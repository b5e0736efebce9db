"""Whether a picture is like those that a network has learned from: distances between its features and theirs.

A summary of the training features is kept, not the features. Two forms are computed alike: features are projected, and
the distance to the nearest of some points counts. Where every class has many pictures, the points are the means of the
classes, and the projection whitens (Mahalanobis' distance). Where a class has few, the points are the pictures
themselves in a random projection, and the distance to the k-th nearest counts.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Numbers = NDArray[np.float32]

CLASS_MEANS, NEIGHBOURS = "class means", "neighbours"
"""The two methods."""
PERCENTILE = 99
"""Of the distances of training pictures, each measured without its own group: what lies beyond is unlike them."""
FOLDS = 5
FEWEST_PICTURES = 20
"""Fewer have no 99th percentile that means anything."""
FEWEST_PER_CLASS = 30
"""With fewer pictures of a class than this, its mean is not known well enough."""
MOST_PICTURES = 4000
"""Training pictures that are looked at; more change the summary by less than its error."""
MOST_FEATURES = 16_384
"""Numbers in front of a network's last layer; more are no features but pixels."""
DIMENSIONS = 64
"""Of the space in which class means are compared: the directions in which training pictures differ most."""
RANDOM_DIMENSIONS = 64
"""Of the random projection."""
NEAREST = 5
"""Which of the nearest training pictures counts: a single one may be odd itself."""
LEAST_SPREAD = 0.1
"""Of a feature, as a share of the mean of all."""
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
    >>> method_for(np.repeat([0, 1], [50, 50])), method_for(np.repeat([0, 1], [90, 10]))
    ('class means', 'neighbours')
    """
    return CLASS_MEANS if np.unique(classes, return_counts=True)[1].min() >= FEWEST_PER_CLASS else NEIGHBOURS


def familiar(
    features: Numbers,
    classes: NDArray[np.int64],
    groups: NDArray[np.int64],
    held_out: Numbers | None = None,
    method: str | None = None,
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
    method : str, optional
        `CLASS_MEANS` or `NEIGHBOURS`; by default `method_for` chooses.

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
    summarised = SUMMARIES[method or method_for(classes)]
    apart = np.zeros(len(features))
    folds = _folds(groups)
    for fold in np.unique(folds):
        within = folds == fold
        apart[within] = summarised(features[~within], classes[~within]).distances(features[within])
    # The smallest distance that at least so many lie within: with few pictures the largest of all.
    threshold = float(np.quantile(apart, PERCENTILE / 100, method="higher"))
    whole = summarised(features, classes)
    if held_out is not None and len(held_out) >= FEWEST_PICTURES:
        threshold *= max(1.0, float(np.median(whole.distances(held_out)) / np.median(apart)))
    return Familiar(whole.offset, whole.projection, whole.points, whole.nearest, max(threshold, np.finfo(float).tiny))


def _folds(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return a fold for every picture; groups stay together."""
    _, numbers = np.unique(groups, return_inverse=True)
    n_groups = int(numbers.max()) + 1
    order = np.random.Generator(np.random.Philox(0)).permutation(n_groups)
    return np.asarray(order[numbers.ravel()] % min(FOLDS, n_groups))


def _class_means(features: Numbers, classes: NDArray[np.int64]) -> Familiar:
    """Return the means of the classes, in a space where pictures of one class scatter alike in all directions."""
    from sklearn.covariance import LedoitWolf

    offset = features.mean(axis=0)
    centred = (features - offset).astype(np.float64)
    n_dimensions = min(DIMENSIONS, len(features) // 4, features.shape[1])
    _, directions = np.linalg.eigh(centred.T @ centred)
    axes = directions[:, ::-1][:, : max(n_dimensions, 1)]
    reduced = centred @ axes
    present, numbers = np.unique(classes, return_inverse=True)
    means = np.stack([reduced[numbers == number].mean(axis=0) for number in range(len(present))])
    shrunk = LedoitWolf(assume_centered=True).fit(reduced - means[numbers])
    whitening = np.linalg.cholesky(shrunk.precision_)
    return Familiar(offset, (axes @ whitening).astype(np.float32), (means @ whitening).astype(np.float32), nearest=1)


def _neighbours(features: Numbers, classes: NDArray[np.int64]) -> Familiar:
    """Return the pictures themselves, in a random projection that keeps distances roughly."""
    del classes
    offset = features.mean(axis=0)
    n_features, n_dimensions = features.shape[1], min(RANDOM_DIMENSIONS, features.shape[1])
    drawn = np.random.Generator(np.random.Philox(0)).standard_normal((n_features, n_dimensions))
    spread = features.std(axis=0)
    # A feature that is the same for all would count without end.
    scale = np.maximum(spread, LEAST_SPREAD * spread.mean() or 1.0)[:, None]
    projection = (drawn / np.sqrt(n_dimensions) / scale).astype(np.float32)
    points = ((features - offset) @ projection).astype(np.float32)
    return Familiar(offset, projection, points, nearest=min(NEAREST, len(points)))


SUMMARIES = {CLASS_MEANS: _class_means, NEIGHBOURS: _neighbours}
"""What makes a summary of features and classes, by method."""
