"""Asking the model whether an explanation is true: what it loses without the strongest segments, and without others.

Notation: K segments, R random sets, S masks, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.core.masks import random_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Masks = NDArray[np.bool_]

LEAST_PROBABILITY = 1e-7
"""Probabilities are cut off here before log-odds: a float32 tells no smaller distance from 1."""
CURVE = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Shares of the segments that are removed, or kept alone, along a curve."""


@dataclass(frozen=True)
class Questions:
    """What the model is asked of one picture, under every fill alike.

    Attributes
    ----------
    masks : (S, K) bool array
        The first keeps all. Then each segment alone is off. What follows belongs to the classes, one after the other.
    places : dict
        For each class and each number of segments k, the row without the strongest k and the rows without other sets:
        (1 + R,) int64.
    curves : dict
        For each class the rows of its curves: (2, J) int64, without the strongest, and with the strongest alone.
    """

    masks: Masks
    places: dict[tuple[int, int], NDArray[np.int64]]
    curves: dict[int, NDArray[np.int64]]


def strongest_first(coefficients: Floats) -> NDArray[np.int64]:
    """Return segments by how much they speak for a class.

    Parameters
    ----------
    coefficients : (K,) float64 array

    Returns
    -------
    (K,) int64 array
        Of equal coefficients the segment with the lower number is first.
    """
    return np.argsort(-coefficients, kind="stable")


def other_sets(key: int, others: NDArray[np.int64], k: int, most: int) -> NDArray[np.int64]:
    """Return random sets of segments, none of them twice.

    Parameters
    ----------
    key : int
        Philox key, 128 bits.
    others : (L,) int64 array
        The segments to draw from.
    k : int
        Size of a set.
    most : int
        How many sets to return at most.

    Returns
    -------
    (R, k) int64 array
        All sets there are where these are no more than `most`. Each row is sorted by its place in `others`.

    Examples
    --------
    >>> other_sets(1, np.arange(4), 1, 39)[:, 0].tolist()
    [0, 1, 2, 3]
    """
    there_are = comb(len(others), k)
    wanted = min(most, there_are)
    if k == 1 and wanted == there_are:
        return others[:, None]
    sets: dict[tuple[int, ...], None] = {}
    start, at_once = 0, 4 * most
    while len(sets) < wanted:
        # The k smallest of random words are a random set. Few draws repeat one, but where few sets exist many do.
        words = random_words(key, start, at_once, len(others))
        drawn = np.sort(np.argsort(words, axis=1, kind="stable")[:, :k], axis=1)
        sets.update(dict.fromkeys(map(tuple, drawn.tolist())))
        start += at_once
    return others[np.array(list(sets)[:wanted], np.int64).reshape(wanted, k)]


def questions(
    rankings: dict[int, NDArray[np.int64]], n_segments: int, numbers: Sequence[int], n_sets: int, key: int
) -> Questions:
    """Return what to ask the model of one picture.

    Parameters
    ----------
    rankings : dict
        For each class that is checked, its segments, strongest first: (K,) int64.
    n_segments : int
        K.
    numbers : sequence of int
        How many of the strongest segments are taken away at once. For 1 all other segments are compared, else sets.
    n_sets : int
        Random sets for each number.
    key : int
        Philox key, 128 bits: sets are the same for the same key.

    Returns
    -------
    Questions

    Examples
    --------
    >>> asked = questions({0: np.array([2, 0, 1, 3])}, 4, [1, 2], 39, 7)
    >>> asked.masks[asked.places[0, 2]].astype(int).tolist()
    [[0, 1, 0, 1], [1, 0, 1, 0]]
    """
    off: list[NDArray[np.int64]] = [np.empty(0, np.int64), *np.arange(n_segments)[:, None]]
    places: dict[tuple[int, int], NDArray[np.int64]] = {}
    curves: dict[int, NDArray[np.int64]] = {}

    def ask(sets: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
        off.extend(sets)
        return np.arange(len(off) - len(sets), len(off))

    for c, order in rankings.items():
        for k in numbers:
            if k == 1:
                # The full picture is row 0, so that segment s alone is off in row s + 1. All classes share these.
                places[c, k] = order + 1
            elif k < n_segments:
                sets: Sequence[NDArray[np.int64]] = []
                if 2 * k <= n_segments:
                    sets = list(other_sets(key, np.sort(order[k:]), k, n_sets))
                places[c, k] = ask([order[:k], *sets])
        steps = [round(share * n_segments) for share in CURVE]
        without, alone = [order[:step] for step in steps], [order[step:] for step in steps]
        curves[c] = ask([*without, *alone]).reshape(2, -1)
    masks = np.ones((len(off), n_segments), np.bool_)
    for row, segments in zip(masks, off, strict=True):
        row[segments] = False
    return Questions(masks, places, curves)


def n_questions(n_segments: int, n_classes: int, numbers: Sequence[int], n_sets: int) -> int:
    """Return how many masks `questions` makes, without making them.

    Parameters
    ----------
    n_segments, n_classes : int
        Of the picture, and how many classes are checked.
    numbers : sequence of int
    n_sets : int

    Returns
    -------
    int

    Examples
    --------
    >>> n_questions(40, 1, [1, 3], 39) == len(questions({0: np.arange(40)}, 40, [1, 3], 39, 7).masks)
    True
    """
    of_class = 2 * len(CURVE)
    for k in numbers:
        if 1 < k < n_segments:
            of_class += 1 + (min(n_sets, comb(n_segments - k, k)) if 2 * k <= n_segments else 0)
    return 1 + n_segments + n_classes * of_class


def log_odds(probabilities: NDArray[np.floating[Any]]) -> Floats:
    """Return the log-odds of every class.

    Parameters
    ----------
    probabilities : (..., C) float array

    Returns
    -------
    (..., C) float64 array
        log p - log(1 - p), p cut off at 1e-7 from both ends.

    Examples
    --------
    >>> log_odds(np.array([0.5, 1.0], np.float32)).round(1).tolist()
    [0.0, 16.1]
    """
    p = np.clip(probabilities.astype(np.float64), LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    return np.asarray(np.log(p) - np.log1p(-p))


def compared(answers: Floats) -> tuple[float, float]:
    """Compare what is lost without the strongest segments with what is lost without other sets.

    Parameters
    ----------
    answers : (1 + R,) float64 array
        Log-odds: without the strongest segments, then without each of the other sets.

    Returns
    -------
    effect : float
        Log-odds lost beyond the mean of the other sets, NaN where there is none.
    p_value : float
        Add-one: share of all sets, the strongest among them, that lose at least as much.

    References
    ----------
    Phipson and Smyth, "Permutation p-values should never be zero", Statistical Applications in Genetics and Molecular
    Biology 9, 2010.

    Examples
    --------
    >>> compared(np.array([-1.0, 1.0, 1.0, 1.0]))
    (2.0, 0.25)
    """
    top, others = answers[0], answers[1:]
    if not len(others):
        return np.nan, np.nan
    at_least = int((others <= top).sum())
    return float(others.mean() - top), (1 + at_least) / (1 + len(others))


def judged(asked: Questions, answers: Floats, c: int, numbers: Sequence[int]) -> tuple[Floats, Floats]:
    """Return effect and p value of a class, for each number of segments and each fill.

    Parameters
    ----------
    asked : Questions
    answers : (F, S) float64 array
        Log-odds of the class.
    c : int
        The class.
    numbers : sequence of int

    Returns
    -------
    effect, p_value : (k, F) float64 arrays
        NaN where nothing was there to compare with.
    """
    found = np.full((2, len(numbers), len(answers)), np.nan)
    for place, k in enumerate(numbers):
        rows = asked.places.get((c, k))
        if rows is None:
            continue
        for fill, of_fill in enumerate(answers):
            found[:, place, fill] = compared(of_fill[rows])
    return found[0], found[1]


def areas(curve: NDArray[np.floating[Any]], full: NDArray[np.floating[Any]]) -> Floats:
    """Return the area under each curve of a class.

    Parameters
    ----------
    curve : (F, 2, J) float array
        Probabilities without the strongest share of the segments, and with it alone, at the shares of `CURVE`.
    full : (F,) float array
        Probability of the full picture.

    Returns
    -------
    (F, 2) float64 array
        Deletion, which is low where the strongest segments matter, and insertion, which is high there.

    References
    ----------
    Petsiuk, Das and Saenko, "RISE: randomized input sampling for explanation of black-box models", BMVC 2018.

    Examples
    --------
    >>> curve = np.array([[[0.2] * 5 + [0.0], [0.8] * 5 + [1.0]]])
    >>> areas(curve, np.array([1.0])).round(2).tolist()
    [[0.22, 0.78]]
    """
    # Nothing is removed at share 0, and nothing is kept there: then the picture is all fill, as without everything.
    empty = curve[:, 0, -1]
    begin = np.stack([full, empty], axis=-1)
    values = np.concatenate([begin[..., None], curve], axis=-1).astype(np.float64)
    return np.asarray(np.trapezoid(values, [0.0, *CURVE], axis=-1))


def combined(p_values: Floats) -> float:
    """Return one p value for a cohort of pictures.

    Parameters
    ----------
    p_values : (N,) float64 array
        NaN does not count.

    Returns
    -------
    float
        NaN without any.

    References
    ----------
    Fisher, "Statistical methods for research workers", 1932.
    """
    from scipy.stats import combine_pvalues

    known = p_values[~np.isnan(p_values)]
    return float(combine_pvalues(known, method="fisher").pvalue) if len(known) else float("nan")


def discoveries(p_values: Floats, rate: float) -> NDArray[np.bool_]:
    """Return which pictures hold, with the false discovery rate controlled.

    Parameters
    ----------
    p_values : (N,) float64 array
        NaN is never one.
    rate : float
        The expected share of false ones among them.

    Returns
    -------
    (N,) bool array

    References
    ----------
    Benjamini and Hochberg, "Controlling the false discovery rate", J. R. Stat. Soc. B 57, 1995.
    """
    from scipy.stats import false_discovery_control

    known = ~np.isnan(p_values)
    held = np.zeros(len(p_values), np.bool_)
    if known.any():
        held[known] = false_discovery_control(p_values[known]) <= rate
    return held
