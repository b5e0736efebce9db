"""Figures of a classifier on labelled pictures, by scikit-learn."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


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
        `n`, `accuracy`, `balanced_accuracy`, `macro_f1`, `auc` (one class against the rest, averaged; None where a class is missing), `recall`, `precision`
        and `f1` by class, `confusion_matrix` (rows true, columns predicted). No figures but `n` when there are no pictures.
    """
    from sklearn import metrics

    if len(labels) == 0:
        return {"n": 0}
    predicted, every = probabilities.argmax(axis=1), np.arange(len(classes))
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(labels, predicted, labels=every, zero_division=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class of `labels` that is never true: its recall is left out, as it should be
        balanced = float(metrics.balanced_accuracy_score(labels, predicted))
    return {
        "n": len(labels),
        "classes": list(classes),
        "accuracy": float(metrics.accuracy_score(labels, predicted)),
        "balanced_accuracy": balanced,
        "macro_f1": float(f1.mean()),
        "auc": _auc(labels, probabilities),
        "recall": dict(zip(classes, map(float, recall), strict=True)),
        "precision": dict(zip(classes, map(float, precision), strict=True)),
        "f1": dict(zip(classes, map(float, f1), strict=True)),
        "confusion_matrix": metrics.confusion_matrix(labels, predicted, labels=every).tolist(),
    }


def _auc(labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> float | None:
    from sklearn import metrics

    n_classes = probabilities.shape[1]
    if len(np.unique(labels)) < n_classes:
        return None
    scores = [metrics.roc_auc_score(labels == c, probabilities[:, c]) for c in range(n_classes)]
    return float(np.mean(scores))
