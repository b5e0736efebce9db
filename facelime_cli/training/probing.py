"""A regularised logistic regression on a network's frozen features: what any further training has to be better than."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.core.labels import SEVERAL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from facelime_cli.models.running import Labelled
    from facelime_cli.store.units import Unit
    from facelime_cli.training.finetuning import Job

    Floats = NDArray[np.float32]
    Labels = NDArray[Any]

STRENGTHS = tuple(float(10.0**exponent) for exponent in np.arange(-4, 0.5, 0.5))
"""Inverse strengths (C) to choose from. The features are standardised first, so that one range fits every network."""
FOLDS = 5
FEWEST_FOLDS = 2
WITHOUT_FOLDS = 1e-2
"""The inverse strength where there are too few groups to choose one."""
TWO_SIDES = 2
MOST_ITERATIONS = 500
LEAST_DEVIATION = 1e-6
"""A feature that varies less is the same in every picture."""
LEAST_PROBABILITY = 1e-7


@dataclass(frozen=True)
class Features:
    """The frozen features of some pictures.

    Attributes
    ----------
    values : (N, F) float32 array
    labels : (N,) int64 array
        Class of each; (N, L) for findings, as in `core.labels`.
    groups : (N,) int64 array
        Patient or lesion of each.
    n_classes : int
        Of the dataset, whether or not each has a picture here.
    """

    values: Floats
    labels: Labels
    groups: Labels
    n_classes: int


@dataclass(frozen=True)
class Probe:
    """A logistic regression: features @ coef + bias are the logits.

    Attributes
    ----------
    coef : (F, C) float32 array
    bias : (C,) float32 array
    strength : tuple of float
        The chosen inverse strength (C): one, or one for each finding.
    log_loss : float
        Of pictures that were held out when the strength was chosen, the mean over them; NaN where none were.
    """

    coef: Floats
    bias: Floats
    strength: tuple[float, ...]
    log_loss: float

    def logits(self, values: Floats) -> Floats:
        """Return the logits of some features.

        Parameters
        ----------
        values : (N, F) float32 array

        Returns
        -------
        (N, C) float32 array
        """
        return np.asarray(values @ self.coef + self.bias, np.float32)


def features_of(job: Job, bare: Any, unit: Unit, name: str, split: Labelled, *, mirrored: bool = False) -> Features:
    """Return the features of a split; they lie in the unit's scratch files until training is done.

    Parameters
    ----------
    job : Job
    bare : keras.Model
        From display space to features.
    unit : Unit
    name : str
        Of the split.
    split : Labelled
        Its pictures.
    mirrored : bool
        Whether each picture is there a second time, with left and right exchanged.

    Returns
    -------
    Features
        The mirrored pictures follow the others, in the same order.
    """
    names = np.array(job.dataset.texts("group"), dtype=str)
    groups = np.unique(names, return_inverse=True)[1].ravel().astype(np.int64)[split.rows]
    parts = [job.features(name, bare, split, unit)]
    if mirrored:
        parts.append(job.features(name, bare, split, unit, mirrored=True))
    values = np.concatenate([part.read(part.rows.tolist()) for part in parts])
    times = len(parts)
    labels = np.concatenate([split.labels] * times)
    return Features(values, labels, np.tile(groups, times), job.what.n_classes)


def fit_probe(
    features: Features,
    weights: Mapping[int, Any] | None = None,
    strengths: Sequence[float] = STRENGTHS,
    seed: int = 0,
    fixed: Sequence[float] = (),
) -> Probe:
    """Return the logistic regression whose strength predicts the pictures of other groups best.

    Parameters
    ----------
    features : Features
    weights : mapping, optional
        What each class counts, from an entry of `CLASS_WEIGHTS`.
    strengths : sequence of float
        Inverse strengths to choose from. Of a single one nothing is held out.
    seed : int
        Of the folds.
    fixed : sequence of float
        The inverse strength, or one for each finding, where nothing is to be chosen.

    Returns
    -------
    Probe
        Of findings it has a regression each, fitted to the pictures of which the finding is known.
    """
    counts = weights or {}
    if features.labels.ndim != SEVERAL:
        return _fitted(features, counts, fixed or strengths, seed)
    single = []
    for finding, column in enumerate(features.labels.T):
        known = np.flatnonzero(column >= 0)
        of_one = Features(features.values[known], column[known], features.groups[known], TWO_SIDES)
        single.append(_fitted(of_one, counts.get(finding, {}), fixed[finding : finding + 1] or strengths, seed))
    losses = [each.log_loss for each in single if np.isfinite(each.log_loss)]
    return Probe(
        np.stack([each.coef[:, 1] - each.coef[:, 0] for each in single], axis=1),
        np.array([each.bias[1] - each.bias[0] for each in single], np.float32),
        tuple(each.strength[0] for each in single),
        float(np.mean(losses)) if losses else float("nan"),
    )


def _fitted(features: Features, weights: Mapping[int, float], strengths: Sequence[float], seed: int) -> Probe:
    """Return the regression on pictures of one class each."""
    values, labels = features.values, features.labels
    n_features = values.shape[1]
    if len(np.unique(labels)) < TWO_SIDES:
        # Nothing tells classes apart, so the answer is how often each is there; the half keeps it off 0 and 1.
        often = np.bincount(labels, minlength=features.n_classes) + 0.5
        bias = np.log(often / often.sum()).astype(np.float32)
        return Probe(np.zeros((n_features, features.n_classes), np.float32), bias, (WITHOUT_FOLDS,), float("nan"))
    mean = values.mean(axis=0)
    deviation = np.maximum(values.std(axis=0), LEAST_DEVIATION)
    standard = Features((values - mean) / deviation, labels, features.groups, features.n_classes)
    counted = np.array([weights.get(int(each), 1.0) for each in labels])
    strength, log_loss = _strength(standard, counted, strengths, seed)
    coef, bias = _regression(standard.values, labels, counted, [strength], features.n_classes)[0]
    coef /= deviation[:, None]
    return Probe(coef, bias - mean @ coef, (strength,), log_loss)


def _strength(
    features: Features, counted: NDArray[np.float64], strengths: Sequence[float], seed: int
) -> tuple[float, float]:
    """Return the inverse strength with the least loss on groups that were held out, and that loss."""
    folds = _folds(features, seed)
    if len(strengths) == 1 or not folds:
        return (strengths[0] if len(strengths) == 1 else WITHOUT_FOLDS), float("nan")
    losses = np.zeros(len(strengths))
    for train, held in folds:
        path = _regression(
            features.values[train], features.labels[train], counted[train], strengths, features.n_classes
        )
        for place, (coef, bias) in enumerate(path):
            losses[place] += _summed_loss(features.values[held] @ coef + bias, features.labels[held], counted[held])
    best = int(losses.argmin())
    return strengths[best], float(losses[best] / counted.sum())


def _folds(features: Features, seed: int) -> list[tuple[Labels, Labels]]:
    """Return what is fitted and what is held out, group by group; nothing where there are too few groups."""
    from sklearn.model_selection import StratifiedGroupKFold

    pairs = np.unique(np.stack([features.labels, features.groups]), axis=1)
    fewest = int(np.unique(pairs[0], return_counts=True)[1].min())
    if len(np.unique(features.groups)) < FEWEST_FOLDS:
        return []
    count = max(FEWEST_FOLDS, min(FOLDS, fewest))
    dealt = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    with warnings.catch_warnings():  # of a class with fewer groups than folds: known, and handled
        warnings.simplefilter("ignore", UserWarning)
        found = list(dealt.split(features.values, features.labels, features.groups))
    # A fold without two classes in what is fitted says nothing; one without a picture has nothing to say.
    return [(fit, held) for fit, held in found if len(held) and len(np.unique(features.labels[fit])) >= TWO_SIDES]


def _regression(
    values: Floats, labels: Labels, counted: NDArray[np.float64], strengths: Sequence[float], n_classes: int
) -> list[tuple[Floats, Floats]]:
    """Return weights and biases for each strength, the weakest first; each fit starts from the one before."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    model = LogisticRegression(max_iter=MOST_ITERATIONS, warm_start=True)
    found = []
    # On products this small, threads that wait for each other take up to twenty times as long as one alone.
    with threadpool_limits(1), warnings.catch_warnings():
        # Close to the end of a fit is close enough for a start of training.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for strength in strengths:
            model.set_params(C=strength).fit(values, labels, sample_weight=counted)
            found.append(_by_class(model, n_classes, len(labels)))
    return found


def _by_class(model: Any, n_classes: int, n_pictures: int) -> tuple[Floats, Floats]:
    """Return a column for each class, those that no picture is of with a probability below one picture's share."""
    own, own_bias = model.coef_, model.intercept_
    if len(own) == 1:  # scikit-learn's logit of the second class against the first
        own, own_bias = np.concatenate([-own, own]) / 2, np.concatenate([-own_bias, own_bias]) / 2
    coef = np.zeros((own.shape[1], n_classes), np.float32)
    bias = np.full(n_classes, own_bias.min() - np.log(n_pictures + 1), np.float32)
    coef[:, model.classes_], bias[model.classes_] = own.T, own_bias
    return coef, bias


def _summed_loss(logits: Floats, labels: Labels, counted: NDArray[np.float64]) -> float:
    from scipy.special import log_softmax

    chosen = log_softmax(logits.astype(np.float64), axis=1)[np.arange(len(labels)), labels]
    return float(-(counted * np.maximum(chosen, np.log(LEAST_PROBABILITY))).sum())
