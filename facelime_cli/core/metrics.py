"""Figures of a classifier on labelled pictures, by scikit-learn.

Notation: N pictures, C classes.
"""

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
    Bools = NDArray[np.bool_]

CONFIDENCE = 0.95
BINS = 10
"""Bins of the reliability curve."""
ROUNDING = 1e-9
"""Pictures by which a product of a recall and a number of pictures may be too large through rounding."""
UNKNOWN = "unknown"


def figures(labels: Labels, probabilities: Probabilities, classes: Sequence[str]) -> dict[str, Any]:
    """Return the figures that describe a classifier.

    Parameters
    ----------
    labels : (N,) int64 array
        True class of each picture.
    probabilities : (N, C) float32 array
    classes : sequence of C str

    Returns
    -------
    dict
        `n`, `classes`, `accuracy` and `balanced_accuracy`.
        `macro_f1` is the mean over the classes that are true or predicted at least once, as scikit-learn's.
        `auc` is the mean of one class against the rest; None where a class is missing.
        `recall`, `precision` and `f1` are by class; None for a class that does not occur.
        `confusion_matrix` has a row for each true class and a column for each predicted one.
        Without pictures there is `n` alone.

    Notes
    -----
    The figures are scikit-learn's; ties between classes go to the first.
    """
    from sklearn import metrics

    if len(labels) == 0:
        return {"n": 0}
    predicted = probabilities.argmax(axis=1)
    every = np.arange(len(classes))
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        labels, predicted, labels=every, zero_division=0.0
    )
    is_true = support > 0
    is_predicted = np.bincount(predicted, minlength=len(classes)) > 0
    occurs = is_true | is_predicted
    confusion = metrics.confusion_matrix(labels, predicted, labels=every)
    accuracy = float(metrics.accuracy_score(labels, predicted))
    return {
        "n": len(labels),
        "classes": list(classes),
        "accuracy": accuracy,
        "balanced_accuracy": _balanced_accuracy(labels, predicted),
        "macro_f1": float(f1[occurs].mean()),
        "auc": _auc(labels, probabilities),
        "recall": _by_class(classes, recall, is_true),
        "precision": _by_class(classes, precision, occurs),
        "f1": _by_class(classes, f1, occurs),
        "confusion_matrix": confusion.tolist(),
    }


def _balanced_accuracy(labels: Labels, predicted: Labels) -> float:
    from sklearn import metrics

    with warnings.catch_warnings():
        # It warns of a class that is predicted and never true: its recall is left out, which is what is wanted here.
        warnings.simplefilter("ignore", UserWarning)
        balanced = metrics.balanced_accuracy_score(labels, predicted)
    return float(balanced)


def _by_class(classes: Sequence[str], values: Floats, known: Bools) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for name, value, is_known in zip(classes, values, known, strict=True):
        found[name] = float(value) if is_known else None
    return found


def _auc(labels: Labels, probabilities: Probabilities, weights: Rounds | None = None) -> float | None:
    """Return the mean area under the ROC curves of each class against the rest; None where a class is missing."""
    from sklearn import metrics

    n_classes = probabilities.shape[1]
    drawn = labels if weights is None else labels[weights > 0]
    present = np.unique(drawn)
    # A mean over the classes that are there would be of other classes in each round of a bootstrap.
    if len(present) < n_classes:
        return None
    areas = []
    for c in range(n_classes):
        area = metrics.roc_auc_score(labels == c, probabilities[:, c], sample_weight=weights)
        areas.append(area)
    return float(np.mean(areas))


def wilson(right: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share.

    Parameters
    ----------
    right : int
        Pictures that count, at most `n`.
    n : int
        All pictures, at least one.

    Returns
    -------
    (float, float)
        0 to 1.

    Raises
    ------
    ValueError
        If `right` is larger than `n`, or if `n` is 0.

    References
    ----------
    Wilson, "Probable inference, the law of succession, and statistical inference", J. Am. Stat. Assoc. 22, 209, 1927.

    Examples
    --------
    >>> [round(each, 3) for each in wilson(94, 100)]
    [0.875, 0.972]
    """
    from scipy.stats import binomtest

    test = binomtest(right, n)
    found = test.proportion_ci(CONFIDENCE, method="wilson")
    return float(found.low), float(found.high)


def rounds_by_group(groups: Sequence[str], rounds: int, seed: int) -> Rounds:
    """Return how often each picture counts in each round of a bootstrap that draws whole groups with replacement.

    Parameters
    ----------
    groups : sequence of N str
        Patient or lesion of each picture.
    rounds : int
    seed : int

    Returns
    -------
    (rounds, N) int16 array

    Notes
    -----
    Pictures of one patient are not independent cases: drawing pictures one by one would make intervals too narrow.

    References
    ----------
    Davison and Hinkley, "Bootstrap Methods and their Application", 1997, §3.8.
    """
    names, group = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    n_groups = len(names)
    # Philox gives the same numbers on every machine and with every later NumPy.
    generator = np.random.Generator(np.random.Philox(seed))
    chances = np.full(n_groups, 1 / n_groups)
    drawn = generator.multinomial(n_groups, chances, size=rounds)
    counts: Rounds = drawn.astype(np.int16)[:, group]
    return counts


def resampled(labels: Labels, probabilities: Probabilities, rounds: Rounds) -> dict[str, Floats]:
    """Return the figures of a classifier in each round of a bootstrap.

    Parameters
    ----------
    labels : (N,) int64 array
        True class of each picture.
    probabilities : (N, C) float32 array
    rounds : (rounds, N) int16 array
        From `rounds_by_group`.

    Returns
    -------
    dict
        `accuracy`, `balanced_accuracy`, `macro_f1` and `auc`, as in `figures`, each (rounds,) float64.
        NaN where a round has none.
    """
    n_classes = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)
    hit = labels == predicted
    # Weighted counts give all rounds at once; scikit-learn's functions would take a thousand calls.
    right = _counted(labels[hit], rounds[:, hit], n_classes)
    true = _counted(labels, rounds, n_classes)
    called = _counted(predicted, rounds, n_classes)
    areas = [_auc(labels, probabilities, each) for each in rounds]
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        # A round may have no picture of any class.
        warnings.simplefilter("ignore", RuntimeWarning)
        accuracy = right.sum(axis=1) / true.sum(axis=1)
        recall = right / true
        recall[true == 0] = np.nan
        # F1 = 2 TP / (2 TP + FP + FN), and the divisor is all true plus all predicted ones.
        concerned = true + called
        f1 = 2 * right / concerned
        f1[concerned == 0] = np.nan
        balanced = np.nanmean(recall, axis=1)
        macro_f1 = np.nanmean(f1, axis=1)
    # None becomes NaN.
    auc = np.array(areas, dtype=float)
    return {"accuracy": accuracy, "balanced_accuracy": balanced, "macro_f1": macro_f1, "auc": auc}


def _counted(classes: Labels, rounds: Rounds, n_classes: int) -> Floats:
    """Return how many pictures of each class there are in each round: (rounds, C) float64."""
    counts = [np.bincount(classes, weights=each, minlength=n_classes) for each in rounds]
    return np.stack(counts)


def interval(values: Floats) -> list[float] | None:
    """Return the middle 95 % of the rounds of a bootstrap.

    Parameters
    ----------
    values : (rounds,) float64 array
        NaN where a round has no value.

    Returns
    -------
    list of two float, or None
        None where no round has a value.

    References
    ----------
    The percentile interval: Davison and Hinkley, "Bootstrap Methods and their Application", 1997, §5.3.

    Examples
    --------
    >>> [round(each, 2) for each in interval(np.arange(101.0))]
    [2.5, 97.5]
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    tails = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    ends: list[float] = np.quantile(known, tails).tolist()
    return ends


@dataclass(frozen=True)
class Reliability:
    """How often a classifier is right when it is so sure: one entry per bin of its confidence that holds pictures.

    Attributes
    ----------
    counts : list of int
        Pictures in each bin.
    confidence : list of float
        Mean probability of the predicted class.
    accuracy : list of float
    expected_calibration_error : float
        In probability.
    """

    counts: list[int]
    confidence: list[float]
    accuracy: list[float]
    expected_calibration_error: float


def reliability(labels: Labels, probabilities: Probabilities) -> Reliability:
    """Return the reliability curve of the most probable class, and its expected calibration error.

    Parameters
    ----------
    labels : (N,) int64 array
        True class of each picture; at least one picture.
    probabilities : (N, C) float32 array

    Returns
    -------
    Reliability
        In ten bins of equal width.

    References
    ----------
    Guo et al., "On calibration of modern neural networks", ICML 2017, equation 3.
    """
    predicted = probabilities.argmax(axis=1)
    return binned(probabilities.max(axis=1), predicted == labels)


def binned(probabilities: Probabilities, happened: Bools) -> Reliability:
    """Return how often something happened when a classifier gave it a probability.

    Parameters
    ----------
    probabilities : (N,) float32 array
        At least one.
    happened : (N,) bool array

    Returns
    -------
    Reliability
        In ten bins of equal width.
    """
    confidence = probabilities.astype(np.float64)
    bin_of_picture = bin_of(probabilities)
    counts, means, shares, gaps = [], [], [], []
    for number in range(BINS):
        inside = bin_of_picture == number
        if not inside.any():
            continue
        n = int(inside.sum())
        mean = float(confidence[inside].mean())
        share = float(happened[inside].mean())
        gaps.append(n * abs(mean - share))
        counts.append(n)
        means.append(mean)
        shares.append(share)
    error = sum(gaps) / len(confidence)
    return Reliability(counts, means, shares, error)


def bin_of(probabilities: Probabilities) -> NDArray[np.intp]:
    """Return the bin of the reliability curve that each probability belongs to.

    Parameters
    ----------
    probabilities : (N,) float32 array

    Returns
    -------
    (N,) int array
        From 0 to `BINS` - 1.
    """
    scaled = (probabilities.astype(np.float64) * BINS).astype(int)
    # A probability of exactly 1 belongs to the last bin.
    found: NDArray[np.intp] = np.minimum(scaled, BINS - 1)
    return found


def threshold_for(labels: NDArray[Any], scores: Probabilities, recall: float) -> float:
    """Return the highest threshold that finds at least a wanted share of a class's pictures.

    Parameters
    ----------
    labels : (N,) bool array
        Whether a picture is of the class; at least one is.
    scores : (N,) float32 array
    recall : float
        The wanted share, more than 0, at most 1.

    Returns
    -------
    float
        A picture is called so from this score on.

    Examples
    --------
    >>> threshold_for(np.array([1, 1, 1, 1, 0]), np.array([0.9, 0.8, 0.4, 0.2, 0.6]), 0.75)
    0.4
    """
    of_class = scores[labels.astype(bool)]
    ordered = np.sort(of_class)[::-1]
    # 0.55 · 100 is more than 55 in floats, and would ask for one picture more.
    wanted = int(np.ceil(recall * len(ordered) - ROUNDING))
    return float(ordered[wanted - 1])


def at_threshold(labels: Labels, scores: Probabilities, threshold: float) -> dict[str, Any]:
    """Return what follows from calling every score from a threshold on the class.

    Parameters
    ----------
    labels : (N,) bool array
        Whether a picture is of the class.
    scores : (N,) float32 array
    threshold : float

    Returns
    -------
    dict
        `true_positives`, `false_negatives`, `false_positives` and `true_negatives`.
        `recall`, `specificity` and `precision`, each with its Wilson interval (`recall_interval` and so on); None where
        there is nothing to count.
    """
    true = labels.astype(bool)
    called = scores >= threshold
    hits = _both(true, called)
    misses = _both(true, ~called)
    false = _both(~true, called)
    rejected = _both(~true, ~called)
    found: dict[str, Any] = {
        "true_positives": hits,
        "false_negatives": misses,
        "false_positives": false,
        "true_negatives": rejected,
    }
    found |= _share("recall", hits, hits + misses)
    found |= _share("specificity", rejected, rejected + false)
    # A threshold that no score reaches has no precision.
    found |= _share("precision", hits, hits + false)
    return found


def _share(name: str, right: int, n: int) -> dict[str, Any]:
    """Return a share and its interval, None where there is nothing to count."""
    if not n:
        return {name: None, f"{name}_interval": None}
    ends = list(wilson(right, n))
    return {name: right / n, f"{name}_interval": ends}


def _both(one: Bools, other: Bools) -> int:
    """Return of how many pictures both are true."""
    both = one & other
    return int(both.sum())


def bands(values: Floats) -> list[str]:
    """Return the quarter of each number, in words with its limits.

    Parameters
    ----------
    values : (N,) float64 array

    Returns
    -------
    list of N str
        Equal numbers are in one band; what is not finite is `unknown`.

    Examples
    --------
    >>> bands(np.array([1.0, 2.0, 3.0, 4.0, np.nan]))
    ['up to 1.75', '1.75 to 2.5', '2.5 to 3.25', 'over 3.25', 'unknown']
    """
    finite = np.isfinite(values)
    known = values[finite]
    if not len(known):
        return [UNKNOWN] * len(values)
    # Quarters of many equal numbers have equal limits: those bands are one.
    edges = np.unique(np.quantile(known, [0.25, 0.5, 0.75]))
    names = [f"up to {edges[0]:g}"]
    names += [f"{low:g} to {high:g}" for low, high in itertools.pairwise(edges)]
    names.append(f"over {edges[-1]:g}")
    places = np.searchsorted(edges, values)
    found = []
    for place, is_finite in zip(places, finite, strict=True):
        # NaN and infinity are in no quarter, though sorting has a place for them.
        found.append(names[place] if is_finite else UNKNOWN)
    return found


def mcnemar(first_right: Bools, second_right: Bools) -> dict[str, Any]:
    """Compare two classifiers on the same pictures, by those that only one gets right.

    Parameters
    ----------
    first_right, second_right : (N,) bool array
        Whether each classifier is right.

    Returns
    -------
    dict
        `only_first` and `only_second`, in pictures; `p`, two-sided, 1 where the classifiers never differ.

    References
    ----------
    McNemar, "Note on the sampling error of the difference between correlated proportions or percentages",
    Psychometrika 12, 153, 1947; here the exact test, on the binomial distribution.

    Examples
    --------
    >>> mcnemar(np.array([True, True, True]), np.array([True, False, False]))
    {'only_first': 2, 'only_second': 0, 'p': 0.5}
    """
    from scipy.stats import binomtest

    only_first = _both(first_right, ~second_right)
    only_second = _both(~first_right, second_right)
    differing = only_first + only_second
    # The test is not defined on no pictures at all.
    p = 1.0
    if differing:
        p = float(binomtest(only_first, differing).pvalue)
    return {"only_first": only_first, "only_second": only_second, "p": p}
