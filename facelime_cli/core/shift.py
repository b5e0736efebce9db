"""How the figures of one classifier differ between two sets of pictures that have nothing in common.

Notation: N pictures, C classes or findings, D drawings. The first drawing is every picture once; the others are rounds
of a bootstrap. A label is 1 (of the class), 0 (not), or -1 (unknown). An unknown label counts nowhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.core import calibration_line, findings, metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    Labels = NDArray[np.int8]
    Probabilities = NDArray[np.float32]
    Drawings = NDArray[np.int16]
    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

FEWEST_GROUPS = 2
"""With fewer groups there is nothing that a bootstrap could draw."""
FEWEST_DEFINED = 0.95
"""Share of the rounds that have a figure, below which it gets no interval: the rounds that are left are a choice."""
ASIDE = 1
"""What makes the random numbers of the second set others than those of the first, for the same seed."""
COMMON = ("prevalence", "mean_probability")
"""How frequent a class is, and how frequent it would be by the probabilities."""
CALIBRATION = ("calibration_error", "brier", "in_the_large", "slope")
"""Figures of how well the probabilities of a class fit."""
SHARES = ("recall", "specificity", "precision")
"""Figures of what is called."""


def drawings(groups: Sequence[str], rounds: int, seed: int, *, aside: bool = False) -> Drawings:
    """Return how often each picture counts: once, then in each round of a bootstrap that draws whole groups.

    Parameters
    ----------
    groups : sequence of N str
    rounds, seed : int
    aside : bool
        Whether to draw independently of what the same seed gives otherwise.

    Returns
    -------
    (D, N) int16 array
        The first row alone where there are fewer than `FEWEST_GROUPS` groups.
    """
    once = np.ones((1, len(groups)), dtype=np.int16)
    if len(set(groups)) < FEWEST_GROUPS:
        return once
    if aside:
        seed = int(np.random.SeedSequence([seed, ASIDE]).generate_state(1, np.uint64)[0])
    return np.concatenate([once, metrics.rounds_by_group(groups, rounds, seed)])


def difference(there: Floats, here: Floats) -> dict[str, Any]:
    """Return a figure on both sets, and its difference.

    Parameters
    ----------
    there, here : (D,) float64 arrays
        The figure in each drawing of either set; NaN where a drawing has none.

    Returns
    -------
    dict
        `there` and `here`, None where they are not defined; `difference`, here less there; `interval`, that of the
        difference. It is None where a set has too few groups to draw from, or where more than one round in twenty has
        no figure.

    References
    ----------
    The bootstrap of two samples draws each on its own: Davison and Hinkley, "Bootstrap Methods and their Application",
    1997, §3.2.

    Examples
    --------
    >>> difference(np.array([0.75]), np.array([0.5]))
    {'there': 0.75, 'here': 0.5, 'difference': -0.25, 'interval': None}
    """
    one, other = (float(each[0]) if np.isfinite(each[0]) else None for each in (there, here))
    found: dict[str, Any] = {"there": one, "here": other, "difference": None, "interval": None}
    if one is None or other is None:
        return found
    found["difference"] = other - one
    if len(there) == len(here) and len(there) > 1:
        changes = here[1:] - there[1:]
        if np.isfinite(changes).mean() >= FEWEST_DEFINED:
            found["interval"] = metrics.interval(changes)
    return found


def differences(there: Mapping[str, Floats], here: Mapping[str, Floats]) -> dict[str, dict[str, Any]]:
    """Return the differences of figures by their names.

    Parameters
    ----------
    there, here : mapping
        From the same names to (D,) float64 arrays.
    """
    return {name: difference(there[name], here[name]) for name in there}


def described(labels: Labels, scores: Probabilities, drawn: Drawings) -> dict[str, Floats]:
    """Return how frequent a class is, and how well its probabilities fit.

    Parameters
    ----------
    labels : (N,) int8 array
    scores : (N,) float32 array
        The probability of the class.
    drawn : (D, N) int16 array

    Returns
    -------
    dict
        By the names of `COMMON` and `CALIBRATION`, each (D,) float64, NaN where a drawing has none. The calibration
        error is that of `core.findings.calibration`, the Brier score the mean of (probability - label)², and the
        others are those of `core.calibration_line`.
    """
    known = labels >= 0
    true, scores, drawn = labels[known] == 1, scores[known], drawn[:, known]
    if not len(true):
        return {name: np.full(len(drawn), np.nan) for name in (*COMMON, *CALIBRATION)}
    odds = calibration_line.log_odds(scores)

    def figures(weights: Floats) -> dict[str, Floats]:
        return {
            "prevalence": averaged(true, weights),
            "mean_probability": averaged(scores.astype(np.float64), weights),
            "calibration_error": calibration_error(scores, true, weights),
            "brier": averaged((scores - true.astype(np.float64)) ** 2, weights),
            "in_the_large": calibration_line.in_the_large(odds, true, weights),
            "slope": calibration_line.slope(odds, true, weights),
        }

    return _in_chunks(figures, drawn)


def area(labels: Labels, scores: Probabilities, drawn: Drawings) -> Floats:
    """Return the area under the ROC curve in each drawing.

    Parameters
    ----------
    labels : (N,) int8 array
    scores : (N,) float32 array
    drawn : (D, N) int16 array

    Returns
    -------
    (D,) float64 array
        NaN in a drawing without pictures of both kinds.
    """
    ranking = findings.Ranking.of(labels, scores)
    if not len(ranking.rows):
        return np.full(len(drawn), np.nan)
    return _in_chunks(lambda weights: {"auc": findings.area_and_precision(ranking, weights)[0]}, drawn)["auc"]


def called(labels: Labels, is_called: Bools, drawn: Drawings) -> dict[str, Floats]:
    """Return what follows from calling some pictures.

    Parameters
    ----------
    labels : (N,) int8 array
    is_called : (N,) bool array
    drawn : (D, N) int16 array

    Returns
    -------
    dict
        By the names of `SHARES`, and `f1`, each (D,) float64, NaN where there is nothing to count.
    """
    present, absent = labels == 1, labels == 0
    parts = (present & is_called, present, absent & ~is_called, absent, absent & is_called)
    counted = np.stack(parts, axis=1).astype(np.float64)

    def figures(weights: Floats) -> dict[str, Floats]:
        hits, n_present, rejected, n_absent, false = (weights.T @ counted).T
        with np.errstate(invalid="ignore", divide="ignore"):
            return {
                "recall": hits / n_present,
                "specificity": rejected / n_absent,
                "precision": hits / (hits + false),
                # F1 = 2 TP / (2 TP + FP + FN), and the divisor is all present plus all called ones.
                "f1": 2 * hits / (n_present + hits + false),
            }

    return _in_chunks(figures, drawn)


def of_most_probable(labels: NDArray[np.int64], probabilities: Probabilities, drawn: Drawings) -> dict[str, Floats]:
    """Return the figures of all classes together, where each picture has one and the most probable one is called.

    Parameters
    ----------
    labels : (N,) int64 array
        The class of each picture.
    probabilities : (N, C) float32 array
    drawn : (D, N) int16 array

    Returns
    -------
    dict
        `accuracy`; `calibration_error` and `brier`, those of `core.calibration.figures`. Each (D,) float64.
    """
    n_classes = probabilities.shape[1]
    right = probabilities.argmax(axis=1) == labels
    sure = probabilities.max(axis=1)
    squares = ((probabilities.astype(np.float64) - np.eye(n_classes)[labels]) ** 2).sum(axis=1)

    def figures(weights: Floats) -> dict[str, Floats]:
        return {
            "accuracy": averaged(right, weights),
            "calibration_error": calibration_error(sure, right, weights),
            "brier": averaged(squares, weights),
        }

    return _in_chunks(figures, drawn)


def averaged(values: NDArray[Any], weights: Floats) -> Floats:
    """Return the mean of some values in each drawing.

    Parameters
    ----------
    values : (N,) array
    weights : (N, D) float64 array

    Returns
    -------
    (D,) float64 array
        NaN in a drawing without pictures.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = values.astype(np.float64) @ weights / weights.sum(axis=0)
    return found


def calibration_error(scores: Probabilities, happened: Bools, weights: Floats) -> Floats:
    """Return the expected calibration error in each drawing, as `core.metrics.binned` has it.

    Parameters
    ----------
    scores : (N,) float32 array
    happened : (N,) bool array
    weights : (N, D) float64 array

    Returns
    -------
    (D,) float64 array
        NaN in a drawing without pictures.
    """
    gaps = scores.astype(np.float64) - happened
    in_bin = metrics.bin_of(scores)[:, None] == np.arange(metrics.BINS)
    # The gap of a bin counts with its pictures: their number cancels.
    by_bin = np.abs((gaps[:, None] * in_bin).T @ weights)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = by_bin.sum(axis=0) / weights.sum(axis=0)
    return found


def _in_chunks(figures: Callable[[Floats], dict[str, Floats]], drawn: Drawings) -> dict[str, Floats]:
    """Return figures of all drawings, some of which are worked on together."""
    parts = [figures(weights) for weights in findings.chunks(drawn)]
    return {name: np.concatenate([each[name] for each in parts]) for name in parts[0]}
