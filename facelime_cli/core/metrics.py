"""Figures of a classifier on labelled pictures, by scikit-learn."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

CONFIDENCE = 0.95
BINS = 10
"""Of the reliability curve."""
ROUNDING = 1e-9
UNKNOWN = "unknown"


def figures(labels: NDArray[np.int64], probabilities: NDArray[np.float32], classes: Sequence[str]) -> dict[str, Any]:
    """Return the figures that describe a classifier.

    Parameters
    ----------
    labels : (N,) int array
        True class of each picture.
    probabilities : (N, C) float32 array
    classes : sequence of C str

    Returns
    -------
    dict
        `n`, `accuracy`, `balanced_accuracy`, `macro_f1`, `auc` (one class against the rest, averaged; None where a
        class is missing), `recall`, `precision` and `f1` by class (None for a class that does not occur),
        `confusion_matrix` (rows true, columns predicted). `macro_f1` is over the classes that are true or predicted at
        least once, as scikit-learn's. No figures but `n` when there are no pictures.
    """
    from sklearn import metrics

    if len(labels) == 0:
        return {"n": 0}
    predicted, every = probabilities.argmax(axis=1), np.arange(len(classes))
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        labels, predicted, labels=every, zero_division=0.0
    )
    occurs = (support > 0) | (np.bincount(predicted, minlength=len(classes)) > 0)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", UserWarning
        )  # a class of `labels` that is never true: its recall is left out, as it should be
        balanced = float(metrics.balanced_accuracy_score(labels, predicted))
    return {
        "n": len(labels),
        "classes": list(classes),
        "accuracy": float(metrics.accuracy_score(labels, predicted)),
        "balanced_accuracy": balanced,
        "macro_f1": float(f1[occurs].mean()),
        "auc": _auc(labels, probabilities),
        "recall": _by_class(classes, recall, support > 0),
        "precision": _by_class(classes, precision, occurs),
        "f1": _by_class(classes, f1, occurs),
        "confusion_matrix": metrics.confusion_matrix(labels, predicted, labels=every).tolist(),
    }


def _by_class(classes: Sequence[str], values: NDArray[np.float64], known: NDArray[np.bool_]) -> dict[str, float | None]:
    return {
        name: float(value) if is_known else None for name, value, is_known in zip(classes, values, known, strict=True)
    }


def _auc(
    labels: NDArray[np.int64], probabilities: NDArray[np.float32], weights: NDArray[np.int16] | None = None
) -> float | None:
    from sklearn import metrics

    n_classes = probabilities.shape[1]
    present = np.unique(labels if weights is None else labels[weights > 0])
    if len(present) < n_classes:
        return None
    scores = [metrics.roc_auc_score(labels == c, probabilities[:, c], sample_weight=weights) for c in range(n_classes)]
    return float(np.mean(scores))


def wilson(right: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share, `right` of `n` (Wilson 1927, J. Am. Stat. Assoc. 22, 209).

    Examples
    --------
    >>> [round(each, 3) for each in wilson(94, 100)]
    [0.875, 0.972]
    """
    from scipy.stats import binomtest

    found = binomtest(right, n).proportion_ci(CONFIDENCE, method="wilson")
    return float(found.low), float(found.high)


def rounds_by_group(groups: Sequence[str], rounds: int, seed: int) -> NDArray[np.int16]:
    """Return how often each picture counts in each round of a bootstrap that draws whole groups with replacement.

    (rounds, N) int16.

    Pictures of one patient are no independent cases: drawing pictures one by one would make intervals too narrow
    (Davison and Hinkley 1997, §3.8).
    """
    names, group = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    generator = np.random.Generator(np.random.Philox(seed))
    drawn = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), size=rounds)
    counts: NDArray[np.int16] = drawn.astype(np.int16)[:, group]
    return counts


def resampled(
    labels: NDArray[np.int64], probabilities: NDArray[np.float32], rounds: NDArray[np.int16]
) -> dict[str, NDArray[np.float64]]:
    """Return `accuracy`, `balanced_accuracy`, `macro_f1` and `auc` in each round of a bootstrap.

    Each (rounds,) float64, NaN where a round has none.

    Parameters
    ----------
    labels : (N,) int array
    probabilities : (N, C) float32 array
    rounds : (rounds, N) int16 array
        From `rounds_by_group`.
    """
    n_classes, predicted = probabilities.shape[1], probabilities.argmax(axis=1)
    hit = labels == predicted
    right, true, said = (
        np.stack([np.bincount(cells, weights=counts, minlength=n_classes) for counts in kept])
        for cells, kept in ((labels[hit], rounds[:, hit]), (labels, rounds), (predicted, rounds))
    )
    auc = [_auc(labels, probabilities, each) for each in rounds]
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a round without any picture
        return {
            "accuracy": right.sum(axis=1) / true.sum(axis=1),
            "balanced_accuracy": np.nanmean(np.where(true > 0, right / true, np.nan), axis=1),
            "macro_f1": np.nanmean(np.where(true + said > 0, 2 * right / (true + said), np.nan), axis=1),
            "auc": np.array([np.nan if each is None else each for each in auc], dtype=float),
        }


def interval(values: NDArray[np.float64]) -> list[float] | None:
    """Return the middle 95 % of the rounds of a bootstrap (percentile interval), or None when no round has a value."""
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    return [float(each) for each in np.quantile(known, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])]


@dataclass(frozen=True)
class Reliability:
    """How often a classifier is right when it is so sure: one entry per bin of its confidence that holds pictures."""

    counts: list[int]
    confidence: list[float]
    accuracy: list[float]
    expected_calibration_error: float


def reliability(labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> Reliability:
    """Return the reliability curve of the most probable class, in ten bins of equal width.

    Its expected calibration error stands beside it (Guo et al. 2017, eq. 3).
    """
    confidence, right = probabilities.max(axis=1).astype(np.float64), probabilities.argmax(axis=1) == labels
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    held = [place == each for each in range(BINS) if (place == each).any()]
    counts = [int(each.sum()) for each in held]
    mean, share = [float(confidence[each].mean()) for each in held], [float(right[each].mean()) for each in held]
    error = sum(n * abs(a - b) for n, a, b in zip(counts, mean, share, strict=True)) / len(labels)
    return Reliability(counts, mean, share, error)


def threshold_for(labels: NDArray[np.int64], scores: NDArray[np.float32], recall: float) -> float:
    """Return the highest score from which on at least `recall` of the true pictures are called so.

    Parameters
    ----------
    labels : (N,) bool array
        Whether a picture is of the class; at least one is.
    scores : (N,) float32 array
    recall : float
        More than 0, at most 1.

    Examples
    --------
    >>> threshold_for(np.array([1, 1, 1, 1, 0]), np.array([0.9, 0.8, 0.4, 0.2, 0.6]), 0.75)
    0.4
    """
    ordered = np.sort(scores[labels.astype(bool)])[::-1]
    return float(ordered[int(np.ceil(recall * len(ordered) - ROUNDING)) - 1])


def at_threshold(labels: NDArray[np.int64], scores: NDArray[np.float32], threshold: float) -> dict[str, Any]:
    """Return the figures of a classifier that names a class from a threshold on.

    `recall`, `specificity`, `precision` with Wilson intervals, and the counts; None where there is nothing to count.
    """
    true, said = labels.astype(bool), scores >= threshold
    hits, misses, false, rejected = (
        int((a & b).sum()) for a, b in ((true, said), (true, ~said), (~true, said), (~true, ~said))
    )
    shares = {
        "recall": (hits, hits + misses),
        "specificity": (rejected, rejected + false),
        "precision": (hits, hits + false),
    }
    found: dict[str, Any] = {
        "true_positives": hits,
        "false_negatives": misses,
        "false_positives": false,
        "true_negatives": rejected,
    }
    for name, (right, n) in shares.items():
        found[name] = right / n if n else None
        found[f"{name}_interval"] = list(wilson(right, n)) if n else None
    return found


def bands(values: NDArray[np.float64]) -> list[str]:
    """Return the quarter of each number, in words with its limits; equal numbers are in one band, NaN is `unknown`.

    Examples
    --------
    >>> bands(np.array([1.0, 2.0, 3.0, 4.0, np.nan]))
    ['up to 1.75', '1.75 to 2.5', '2.5 to 3.25', 'over 3.25', 'unknown']
    """
    known = values[np.isfinite(values)]
    edges = np.unique(np.quantile(known, [0.25, 0.5, 0.75])) if len(known) else np.zeros(0)
    names = (
        [
            f"up to {edges[0]:g}",
            *(f"{low:g} to {high:g}" for low, high in itertools.pairwise(edges)),
            f"over {edges[-1]:g}",
        ]
        if len(edges)
        else []
    )
    return [names[int(np.searchsorted(edges, value))] if np.isfinite(value) else UNKNOWN for value in values]


def mcnemar(first_right: NDArray[np.bool_], second_right: NDArray[np.bool_]) -> dict[str, Any]:
    """Compare two classifiers on the same pictures by those that only one gets right.

    The exact test of McNemar (1947, Psychometrika 12, 153).
    """
    from scipy.stats import binomtest

    only_first, only_second = int((first_right & ~second_right).sum()), int((~first_right & second_right).sum())
    differing = only_first + only_second
    return {
        "only_first": only_first,
        "only_second": only_second,
        "p": float(binomtest(only_first, differing).pvalue) if differing else 1.0,
    }
