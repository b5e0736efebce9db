"""Figures of a classifier that gives each finding of a picture a probability of its own.

Notation: N pictures, L findings, R rounds of a bootstrap. A label is 1 (present), 0 (absent) or -1 (unknown).
An unknown label counts nowhere: each figure of a finding is about the pictures whose label is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.core import metrics

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Labels = NDArray[np.int8]
    Probabilities = NDArray[np.float32]
    Rounds = NDArray[np.int16]
    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

FEWEST_GROUPS = 10
"""With fewer groups that have a finding, or that do not, its figures say nothing.

Measured by `benchmarks/few_positives.py`: the interval of an AUC of 0.8 that should hold the truth in 95 % of all cases
holds it in 71 % with 3 positive groups, 83 % with 5, 89 % with 10, 92 % with 20. For a validation that others rely on,
Collins et al., "Sample size considerations for the external validation of a multivariable prognostic model", Stat. Med.
35, 214, 2016, ask for 100 of each.
"""
HALF = 0.5
"""The threshold where none is picked."""
ALL = ("macro_auc", "macro_average_precision", "macro_f1", "micro_f1", "exact_match")
"""Figures over all findings."""
EACH = ("auc", "average_precision")
"""Figures of each finding that have an interval of the bootstrap."""
CHUNK_VALUES = 1 << 20
"""Values of the rounds that are worked on together; 8 MiB as float64."""


def counted(labels: Labels, groups: Sequence[str]) -> list[dict[str, Any]]:
    """Return how many pictures, and how many of their groups, have each finding.

    Parameters
    ----------
    labels : (N, L) int8 array
    groups : sequence of N str
        Patient or lesion of each picture.

    Returns
    -------
    list of L dict
        `n` pictures with a known label, of which `positive` and `negative`; `unknown`; `prevalence`, the share of
        `positive` in `n`, None without any; `positive_groups` and `negative_groups`; `enough`, whether there are
        `FEWEST_GROUPS` of both.

    Examples
    --------
    >>> found = counted(np.array([[1], [1], [0], [-1]], np.int8), ["a", "a", "b", "c"])
    >>> found[0]["n"], found[0]["positive"], found[0]["positive_groups"], found[0]["enough"]
    (3, 2, 1, False)
    """
    names = np.asarray(groups, dtype=str)
    found = []
    for column in labels.T:
        present, absent = column == 1, column == 0
        n_present, n_absent = int(present.sum()), int(absent.sum())
        n = n_present + n_absent
        with_it, without = len(np.unique(names[present])), len(np.unique(names[absent]))
        found.append(
            {
                "n": n,
                "positive": n_present,
                "negative": n_absent,
                "unknown": len(column) - n,
                "prevalence": n_present / n if n else None,
                "positive_groups": with_it,
                "negative_groups": without,
                "enough": min(with_it, without) >= FEWEST_GROUPS,
            }
        )
    return found


def figures(labels: Labels, probabilities: Probabilities, thresholds: Sequence[float]) -> dict[str, Any]:
    """Return the figures of a classifier on labelled pictures.

    Parameters
    ----------
    labels : (N, L) int8 array
        At least one picture.
    probabilities : (N, L) float32 array
    thresholds : sequence of L float
        From where on a finding is called.

    Returns
    -------
    dict
        Those of `ALL`, each a float or None, and those of `EACH`, each a list of L float or None.

    See Also
    --------
    resampled : for what each figure is.
    """
    once = np.ones((1, len(labels)), dtype=np.int16)
    found: dict[str, Any] = {}
    for name, values in resampled(labels, probabilities, thresholds, once).items():
        single = [float(value) if np.isfinite(value) else None for value in np.atleast_1d(values[0])]
        found[name] = single if name in EACH else single[0]
    return found


def resampled(
    labels: Labels, probabilities: Probabilities, thresholds: Sequence[float], rounds: Rounds
) -> dict[str, Floats]:
    """Return the figures of a classifier in each round of a bootstrap.

    Parameters
    ----------
    labels : (N, L) int8 array
    probabilities : (N, L) float32 array
    thresholds : sequence of L float
    rounds : (R, N) int16 array
        From `metrics.rounds_by_group`.

    Returns
    -------
    dict
        `auc` and `average_precision`, (R, L) float64 each, NaN where a finding is nowhere present or nowhere absent.
        `macro_auc` and `macro_average_precision`, (R,): the mean over the findings that are present and absent at
        least once; NaN in a round that lacks one of them.
        `macro_f1`, (R,): the mean over the findings that are present or called at least once in a round.
        `micro_f1`, (R,): of all known labels together.
        `exact_match`, (R,): share of the pictures without an unknown label for which every finding is right.

    Notes
    -----
    Each equals scikit-learn's `roc_auc_score`, `average_precision_score` and `f1_score` on the known labels.
    """
    found: dict[str, list[Any]] = {name: [] for name in (*EACH, *ALL)}
    called = probabilities >= np.asarray(thresholds, dtype=probabilities.dtype)
    scorable = has_both(labels)
    rankings = [Ranking.of(column, scores) for column, scores in zip(labels.T, probabilities.T, strict=True)]
    for some in chunks(rounds):
        areas, precisions = _by_finding(rankings, some)
        found["auc"].append(areas)
        found["average_precision"].append(precisions)
        found["macro_auc"].append(_mean_of(areas, scorable))
        found["macro_average_precision"].append(_mean_of(precisions, scorable))
        macro, micro = _f1(labels, called, some)
        found["macro_f1"].append(macro)
        found["micro_f1"].append(micro)
        found["exact_match"].append(_exact(labels, called, some))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def chunks(rounds: Rounds) -> Iterator[Floats]:
    """Yield some rounds after another, so that memory does not grow with their number.

    Parameters
    ----------
    rounds : (R, N) int16 array

    Yields
    ------
    (N, r) float64 array
        How often each picture counts in r of the rounds.
    """
    together = max(1, CHUNK_VALUES // rounds.shape[1])
    for start in range(0, len(rounds), together):
        # Pictures are the first axis here: they are ranked anew for each finding, whole rows at once.
        yield np.ascontiguousarray(rounds[start : start + together].T, dtype=np.float64)


def has_both(labels: Labels) -> Bools:
    """Return which findings are present at least once and absent at least once: only those have an AUC.

    Parameters
    ----------
    labels : (N, L) int8 array

    Returns
    -------
    (L,) bool array
    """
    both: Bools = (labels == 1).any(axis=0) & (labels == 0).any(axis=0)
    return both


def _mean_of(values: Floats, chosen: Bools) -> Floats:
    """Return the mean over the chosen findings: (R,). A round that lacks one has none."""
    if not chosen.any():
        return np.full(len(values), np.nan)
    mean: Floats = values[:, chosen].mean(axis=1)
    return mean


@dataclass(frozen=True)
class Ranking:
    """The pictures of which a finding is known, in the order of their scores.

    Attributes
    ----------
    rows : (n,) int array
        Places of these pictures, the highest score first.
    starts : (U,) int array
        Where in `rows` a step begins. Pictures with the same score are in one step. So are neighbours of different
        scores without the finding, since only where pictures have it does any figure change for the better.
    values : (U,) float32 array
        The lowest score of each step.
    present : (P,) int array
        Where in `rows` the pictures with the finding are.
    present_starts, present_steps : (V,) int array
        Where in `present` a step with such pictures begins, and which step it is.
    """

    rows: NDArray[np.intp]
    starts: NDArray[np.intp]
    values: Probabilities
    present: NDArray[np.intp]
    present_starts: NDArray[np.intp]
    present_steps: NDArray[np.intp]

    @classmethod
    def of(cls, labels: NDArray[np.int8], scores: Probabilities) -> Ranking:
        """Rank the pictures of which a finding is known.

        Parameters
        ----------
        labels : (N,) int8 array
        scores : (N,) float32 array
        """
        known = np.flatnonzero(labels >= 0)
        rows = known[np.argsort(-scores[known], kind="stable")]
        falling, is_present = scores[rows], labels[rows] == 1
        score_of_row = np.cumsum(_changes(falling[1:] != falling[:-1], len(rows))) - 1
        has_present = np.bincount(score_of_row, weights=is_present) > 0
        # A step begins with each score that pictures with the finding have, and behind it.
        begins = _changes(has_present[1:] | has_present[:-1], len(has_present))
        firsts = np.searchsorted(score_of_row, np.flatnonzero(begins))
        step_of_row = np.cumsum(begins)[score_of_row] - 1
        present = np.flatnonzero(is_present)
        steps, present_starts = np.unique(step_of_row[present], return_index=True)
        ends = np.append(firsts, len(rows))[1:] - 1
        return cls(rows, firsts, falling[ends], present, present_starts, steps)

    def counted(self, weights: Floats) -> tuple[Floats, Floats]:
        """Return how many pictures with and without the finding each step has.

        Parameters
        ----------
        weights : (N, R) float64 array
            How often each picture counts in each round.

        Returns
        -------
        hits, false : (U, R) float64 array
        """
        ranked = weights[self.rows]
        of_all: Floats = np.add.reduceat(ranked, self.starts, axis=0)
        hits = np.zeros_like(of_all)
        if len(self.present):
            hits[self.present_steps] = np.add.reduceat(ranked[self.present], self.present_starts, axis=0)
        return hits, of_all - hits


def _changes(differs: Bools, n: int) -> Bools:
    """Return whether each of n entries differs from the one before it, which the first one does."""
    return np.concatenate([np.ones(min(n, 1), dtype=bool), differs])


def _by_finding(rankings: Sequence[Ranking], weights: Floats) -> tuple[Floats, Floats]:
    """Return the area under the ROC curve and the average precision of each finding: (R, L) each."""
    areas, precisions = np.full((2, weights.shape[1], len(rankings)), np.nan)
    for c, ranking in enumerate(rankings):
        if len(ranking.rows):
            areas[:, c], precisions[:, c] = area_and_precision(ranking, weights)
    return areas, precisions


def area_and_precision(ranking: Ranking, weights: Floats) -> tuple[Floats, Floats]:
    """Return how well scores rank the pictures that have a finding before the others, in each round.

    Parameters
    ----------
    ranking : Ranking
        Of at least one picture.
    weights : (N, R) float64 array
        How often each picture counts.

    Returns
    -------
    auc, average_precision : (R,) float64 array
        NaN in a round without pictures of both kinds.

    References
    ----------
    Hanley and McNeil, "The meaning and use of the area under a receiver operating characteristic (ROC) curve",
    Radiology 143, 29, 1982: the chance that a picture with the finding has the higher score, ties count half.
    """
    # All rounds at once: scikit-learn's functions would take a call for each round and finding.
    hits, false = ranking.counted(weights)
    true_positives, false_positives = hits.cumsum(axis=0), false.cumsum(axis=0)
    n_present, n_absent = true_positives[-1], false_positives[-1]
    beaten = n_absent - false_positives + false / 2
    # Where nothing is called yet there are no hits either, so that its precision counts for nothing.
    precision = true_positives / np.maximum(true_positives + false_positives, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        area = (hits * beaten).sum(axis=0) / (n_present * n_absent)
        average = (hits * precision).sum(axis=0) / n_present
    average[n_absent == 0] = np.nan
    return area, average


def _f1(labels: Labels, called: Bools, weights: Floats) -> tuple[Floats, Floats]:
    """Return the macro and the micro F1: (R,) each."""
    known = labels >= 0
    present = labels == 1
    hits = weights.T @ (present & called)
    # F1 = 2 TP / (2 TP + FP + FN), and the divisor is all present plus all called ones.
    concerned = weights.T @ present + weights.T @ (called & known)
    with np.errstate(invalid="ignore", divide="ignore"):
        f1 = 2 * hits / concerned
        micro = 2 * hits.sum(axis=1) / concerned.sum(axis=1)
        n_defined = np.isfinite(f1).sum(axis=1)
        macro = np.nansum(f1, axis=1) / n_defined
    return macro, micro


def _exact(labels: Labels, called: Bools, weights: Floats) -> Floats:
    """Return the share of the pictures without an unknown label for which every finding is right: (R,)."""
    complete = wholly_known(labels)
    right = complete & (called == (labels == 1)).all(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        share: Floats = (right @ weights) / (complete @ weights)
    return share


def wholly_known(labels: Labels) -> Bools:
    """Return which pictures have no unknown label.

    Parameters
    ----------
    labels : (N, L) int8 array

    Returns
    -------
    (N,) bool array
    """
    known: Bools = np.all(labels >= 0, axis=1)
    return known


def at_threshold(labels: NDArray[np.int8], scores: Probabilities, threshold: float) -> dict[str, Any]:
    """Return what follows from calling a finding from a threshold on, of the pictures whose label is known.

    Parameters
    ----------
    labels : (N,) int8 array
    scores : (N,) float32 array
    threshold : float

    Returns
    -------
    dict
        As `metrics.at_threshold`, and `f1`; None where there is nothing to count.
    """
    known = labels >= 0
    found = metrics.at_threshold(labels[known] == 1, scores[known], threshold)
    concerned = 2 * found["true_positives"] + found["false_positives"] + found["false_negatives"]
    found["f1"] = 2 * found["true_positives"] / concerned if concerned else None
    return found


def best_threshold(labels: NDArray[np.int8], scores: Probabilities) -> float | None:
    """Return the threshold with the highest F1.

    Parameters
    ----------
    labels : (N,) int8 array
    scores : (N,) float32 array

    Returns
    -------
    float or None
        The highest of equally good ones; None where the finding is nowhere present.

    References
    ----------
    Rajpurkar et al., "CheXNet", arXiv 1711.05225, 2017, pick it so on their validation split.

    Examples
    --------
    >>> best_threshold(np.array([1, 1, 0, 1, 0, -1], np.int8), np.float32([0.75, 0.5, 0.4, 0.25, 0.1, 0.9]))
    0.25
    """
    ranking = Ranking.of(labels, scores)
    if not len(ranking.present):
        return None
    once = np.ones((len(labels), 1))
    hits, false = (each.cumsum(axis=0)[:, 0] for each in ranking.counted(once))
    f1 = 2 * hits / (hits + false + len(ranking.present))
    return float(ranking.values[f1.argmax()])


def calibration(labels: NDArray[np.int8], probabilities: Probabilities) -> metrics.Reliability | None:
    """Return how often a finding is present when the classifier gives it a probability.

    Parameters
    ----------
    labels : (N,) int8 array
    probabilities : (N,) float32 array

    Returns
    -------
    Reliability or None
        Its `confidence` is the mean probability of the finding, its `accuracy` the share of pictures that have it.
        None where no label is known.

    References
    ----------
    Guo et al., "On calibration of modern neural networks", ICML 2017, equation 3, on the probability of the finding.
    """
    known = labels >= 0
    if not known.any():
        return None
    return metrics.binned(probabilities[known], labels[known] == 1)
