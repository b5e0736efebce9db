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

    Labels = NDArray[np.int64]
    Probabilities = NDArray[np.float32]
    Rounds = NDArray[np.int16]
    Floats = NDArray[np.float64]
    Truths = NDArray[np.bool_]

CONFIDENCE = 0.95
BINS = 10
"""Of the reliability curve."""
ROUNDING = 1e-9
UNKNOWN = "unknown"


def figures(labels: Labels, probabilities: Probabilities, classes: Sequence[str]) -> dict[str, Any]:
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
        `n`, `accuracy`, `balanced_accuracy`, `macro_f1`, `auc` and `confusion_matrix` (rows true, columns predicted).
        `recall`, `precision` and `f1` hold one figure for each class, None for a class that does not occur.
        `auc` is the mean over one class against the rest, None where a class is missing.
        `macro_f1` is over the classes that are true or predicted at least once, as scikit-learn's.
        Without pictures, `n` alone.
    """
    from sklearn import metrics

    if len(labels) == 0:
        return {"n": 0}
    n_classes = len(classes)
    predicted = probabilities.argmax(axis=1)
    every = np.arange(n_classes)
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        labels, predicted, labels=every, zero_division=0.0
    )
    is_true = support > 0
    is_predicted = np.bincount(predicted, minlength=n_classes) > 0
    occurs = is_true | is_predicted
    with warnings.catch_warnings():
        # scikit-learn leaves out the recall of a class that is never true. That is what is wanted here.
        warnings.simplefilter("ignore", UserWarning)
        balanced = float(metrics.balanced_accuracy_score(labels, predicted))
    matrix = metrics.confusion_matrix(labels, predicted, labels=every)
    accuracy = float(metrics.accuracy_score(labels, predicted))
    macro_f1 = float(f1[occurs].mean())
    return {
        "n": len(labels),
        "classes": list(classes),
        "accuracy": accuracy,
        "balanced_accuracy": balanced,
        "macro_f1": macro_f1,
        "auc": _auc(labels, probabilities),
        "recall": _by_class(classes, recall, is_true),
        "precision": _by_class(classes, precision, occurs),
        "f1": _by_class(classes, f1, occurs),
        "confusion_matrix": matrix.tolist(),
    }


def _by_class(classes: Sequence[str], values: Floats, known: Truths) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for name, value, is_known in zip(classes, values, known, strict=True):
        found[name] = float(value) if is_known else None
    return found


def _auc(labels: Labels, probabilities: Probabilities, weights: Rounds | None = None) -> float | None:
    from sklearn import metrics

    # A picture that a round did not draw has weight 0, and its class counts as missing.
    drawn = labels if weights is None else labels[weights > 0]
    n_classes = probabilities.shape[1]
    if len(np.unique(drawn)) < n_classes:
        return None
    scores = []
    for number in range(n_classes):
        of_class = labels == number
        score = metrics.roc_auc_score(of_class, probabilities[:, number], sample_weight=weights)
        scores.append(score)
    return float(np.mean(scores))


def wilson(right: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share, `right` of `n`.

    Parameters
    ----------
    right, n : int
        `n` is at least 1.

    Returns
    -------
    (float, float)
        Lower and upper limit, 0 to 1.

    References
    ----------
    Wilson, Journal of the American Statistical Association 22, 1927, page 209.

    Examples
    --------
    >>> [round(each, 3) for each in wilson(94, 100)]
    [0.875, 0.972]
    """
    from scipy.stats import binomtest

    found = binomtest(right, n).proportion_ci(CONFIDENCE, method="wilson")
    return float(found.low), float(found.high)


def rounds_by_group(groups: Sequence[str], rounds: int, seed: int) -> Rounds:
    """Return how often each picture counts in each round of a bootstrap that draws whole groups with replacement.

    Parameters
    ----------
    groups : (N,) sequence of str
        Patient of each picture.
    rounds : int
    seed : int

    Returns
    -------
    (rounds, N) int16 array

    Notes
    -----
    Pictures of one patient are no independent cases. Drawing pictures one by one would make intervals too narrow
    (Davison and Hinkley, Bootstrap Methods and Their Application, 1997, section 3.8).
    """
    names, group = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    n_groups = len(names)
    alike = np.full(n_groups, 1 / n_groups)
    generator = np.random.Generator(np.random.Philox(seed))
    drawn = generator.multinomial(n_groups, alike, size=rounds)
    counts: Rounds = drawn.astype(np.int16)[:, group]
    return counts


def resampled(labels: Labels, probabilities: Probabilities, rounds: Rounds) -> dict[str, Floats]:
    """Return the figures of a classifier in each round of a bootstrap.

    Parameters
    ----------
    labels : (N,) int array
    probabilities : (N, C) float32 array
    rounds : (rounds, N) int16 array
        From `rounds_by_group`.

    Returns
    -------
    dict
        `accuracy`, `balanced_accuracy`, `macro_f1` and `auc`, each (rounds,) float64, NaN where a round has none.
    """
    n_classes = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)
    hit = labels == predicted
    right = _counted(labels[hit], rounds[:, hit], n_classes)
    true = _counted(labels, rounds, n_classes)
    said = _counted(predicted, rounds, n_classes)
    auc = []
    for counts in rounds:
        area = _auc(labels, probabilities, counts)
        auc.append(np.nan if area is None else area)
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        # A round without any picture has a mean of nothing: it is NaN, and no reason to warn.
        warnings.simplefilter("ignore", RuntimeWarning)
        both = true + said
        recall = np.where(true > 0, right / true, np.nan)
        f1 = np.where(both > 0, 2 * right / both, np.nan)
        accuracy = right.sum(axis=1) / true.sum(axis=1)
        balanced_accuracy = np.nanmean(recall, axis=1)
        macro_f1 = np.nanmean(f1, axis=1)
    return {
        "accuracy": accuracy,
        "balanced_accuracy": balanced_accuracy,
        "macro_f1": macro_f1,
        "auc": np.array(auc, dtype=float),
    }


def _counted(cells: Labels, rounds: Rounds, n_classes: int) -> Floats:
    """Return how many pictures of each class each round holds, (rounds, C)."""
    counted = [np.bincount(cells, weights=counts, minlength=n_classes) for counts in rounds]
    return np.stack(counted)


def interval(values: Floats) -> list[float] | None:
    """Return the middle 95 % of the rounds of a bootstrap, the percentile interval.

    Parameters
    ----------
    values : (rounds,) float64 array

    Returns
    -------
    list of two floats, or None
        None when no round has a value.

    References
    ----------
    Efron, Annals of Statistics 7, 1979, page 1.
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    lower = (1 - CONFIDENCE) / 2
    upper = (1 + CONFIDENCE) / 2
    low, high = np.quantile(known, [lower, upper])
    return [float(low), float(high)]


@dataclass(frozen=True)
class Reliability:
    """How often a classifier is right when it is so sure.

    Attributes
    ----------
    counts : list of int
        Pictures of each bin of confidence that holds any.
    confidence, accuracy : list of float
        Mean confidence and share of right answers of these bins.
    expected_calibration_error : float
    """

    counts: list[int]
    confidence: list[float]
    accuracy: list[float]
    expected_calibration_error: float


def reliability(labels: Labels, probabilities: Probabilities) -> Reliability:
    """Return the reliability curve of the most probable class, in ten bins of equal width, and its error.

    Parameters
    ----------
    labels : (N,) int array
        At least one.
    probabilities : (N, C) float32 array

    Returns
    -------
    Reliability

    References
    ----------
    Guo et al., On calibration of modern neural networks, ICML 2017, equation 3.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    # A confidence of exactly 1 belongs to the last bin.
    place = (confidence * BINS).astype(int)
    place = np.minimum(place, BINS - 1)
    counts = []
    mean = []
    share = []
    errors = []
    for number in range(BINS):
        held = place == number
        if not held.any():
            continue
        n = int(held.sum())
        sure = float(confidence[held].mean())
        correct = float(right[held].mean())
        counts.append(n)
        mean.append(sure)
        share.append(correct)
        errors.append(n * abs(sure - correct))
    error = sum(errors) / len(labels)
    return Reliability(counts, mean, share, error)


def threshold_for(labels: Labels, scores: Probabilities, recall: float) -> float:
    """Return the highest score from which on at least `recall` of the true pictures are called so.

    Parameters
    ----------
    labels : (N,) bool array
        Whether a picture is of the class; at least one is.
    scores : (N,) float32 array
    recall : float
        More than 0, at most 1.

    Returns
    -------
    float

    Examples
    --------
    >>> threshold_for(np.array([1, 1, 1, 1, 0]), np.array([0.9, 0.8, 0.4, 0.2, 0.6]), 0.75)
    0.4
    """
    is_true = labels.astype(bool)
    of_class = scores[is_true]
    ordered = np.sort(of_class)[::-1]
    # Without the margin a recall of 0.07 would need 8 of 100 pictures: in floats, 0.07 × 100 is a little over 7.
    needed = int(np.ceil(recall * len(ordered) - ROUNDING))
    return float(ordered[needed - 1])


def at_threshold(labels: Labels, scores: Probabilities, threshold: float) -> dict[str, Any]:
    """Return what it means to call every score from a threshold on the class.

    Parameters
    ----------
    labels : (N,) bool array
        Whether a picture is of the class.
    scores : (N,) float32 array
    threshold : float

    Returns
    -------
    dict
        The four counts, and `recall`, `specificity` and `precision`, each with its Wilson interval.
        None where there is nothing to count.
    """
    true = labels.astype(bool)
    said = scores >= threshold
    hits = int((true & said).sum())
    misses = int((true & ~said).sum())
    false = int((~true & said).sum())
    rejected = int((~true & ~said).sum())
    found: dict[str, Any] = {}
    found["true_positives"] = hits
    found["false_negatives"] = misses
    found["false_positives"] = false
    found["true_negatives"] = rejected
    shares = {}
    shares["recall"] = (hits, hits + misses)
    shares["specificity"] = (rejected, rejected + false)
    shares["precision"] = (hits, hits + false)
    for name, (right, n) in shares.items():
        # A share of nothing is no share, and has no interval.
        share = right / n if n else None
        limits = list(wilson(right, n)) if n else None
        found[name] = share
        found[f"{name}_interval"] = limits
    return found


def bands(values: Floats) -> list[str]:
    """Return the quarter of each number, in words with its limits.

    Parameters
    ----------
    values : (N,) float64 array

    Returns
    -------
    list of N str
        Equal numbers are in one band, NaN is `unknown`.

    Examples
    --------
    >>> bands(np.array([1.0, 2.0, 3.0, 4.0, np.nan]))
    ['up to 1.75', '1.75 to 2.5', '2.5 to 3.25', 'over 3.25', 'unknown']
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return [UNKNOWN for _ in values]
    # Columns with many equal numbers have equal quartiles: then there are fewer bands than four.
    edges = np.unique(np.quantile(known, [0.25, 0.5, 0.75]))
    between = [f"{low:g} to {high:g}" for low, high in itertools.pairwise(edges)]
    # `searchsorted` counts the edges below a value, and that is the place of its band.
    names = [f"up to {edges[0]:g}", *between, f"over {edges[-1]:g}"]
    found = []
    for value in values:
        place = int(np.searchsorted(edges, value))
        found.append(names[place] if np.isfinite(value) else UNKNOWN)
    return found


def mcnemar(first_right: Truths, second_right: Truths) -> dict[str, Any]:
    """Compare two classifiers on the same pictures by those that only one gets right: McNemar's exact test.

    Parameters
    ----------
    first_right, second_right : (N,) bool arrays
        Which pictures each classifier gets right.

    Returns
    -------
    dict
        `only_first`, `only_second` and `p`, which is 1 when the two never differ.

    References
    ----------
    McNemar, Psychometrika 12, 1947, page 153.
    """
    from scipy.stats import binomtest

    first_alone = first_right & ~second_right
    second_alone = ~first_right & second_right
    only_first = int(first_alone.sum())
    only_second = int(second_alone.sum())
    differing = only_first + only_second
    # The binomial test refuses to look at no case at all.
    p = float(binomtest(only_first, differing).pvalue) if differing else 1.0
    return {"only_first": only_first, "only_second": only_second, "p": p}
