"""Curves of training and of classification, drawn with matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from facelime_cli.drawing.charts import drawable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999")
"""Of Okabe and Ito (2008), which colour-blind people can tell apart."""
BLUE, VERMILION = PALETTE[:2]
HISTORY_INCHES = (9.0, 3.4)
OPERATING_INCHES = (9.0, 4.4)
RELIABILITY_INCHES = (4.6, 4.6)
LARGEST_INCHES = 9.0
MOST_NUMBERED = 12
"""Classes up to which a confusion matrix holds its numbers."""
HALF = 0.5
LONGEST_NAME = 28


def figure(inches: tuple[float, float]) -> Figure:
    """Return an empty figure that can be saved without a screen."""
    made = Figure(figsize=inches, layout="constrained")
    FigureCanvasAgg(made)
    return made


def history(rows: Sequence[Mapping[str, float]]) -> Figure:
    """Draw loss and accuracy against the epoch, training and validation.

    A dotted line begins each further phase, a ring marks the epoch that was kept.

    Parameters
    ----------
    rows : sequence of mapping
        From `training.train`, at least one.
    """
    made = figure(HISTORY_INCHES)
    epochs = range(1, len(rows) + 1)
    monitored = "val_loss" if "val_loss" in rows[0] else "loss"
    kept = min(range(len(rows)), key=lambda place: rows[place][monitored])
    for axes, name in zip(made.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for column, label, colour in ((name, "training", BLUE), (f"val_{name}", "validation", VERMILION)):
            if column in rows[0]:
                axes.plot(
                    epochs,
                    [row[column] for row in rows],
                    label=label,
                    color=colour,
                    marker="." if len(rows) < 2 else None,  # noqa: PLR2004 - a line needs two points
                )
        shown = f"val_{name}" if f"val_{name}" in rows[0] else name
        axes.plot(
            [kept + 1], [rows[kept][shown]], "o", markersize=9, markerfacecolor="none", color="black", label="kept"
        )
        for place in epochs[1:]:
            if rows[place - 1]["phase"] != rows[place - 2]["phase"]:
                axes.axvline(place - 0.5, color="grey", linestyle=":")
        axes.set(xlabel="epoch", ylabel=name)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=9)
    return made


def confusion(matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> Figure:
    """Draw a confusion matrix: counts, coloured by the share of the true class.

    Parameters
    ----------
    matrix : (C, C) sequence of int
        Rows are true, columns predicted.
    classes : sequence of C str
    """
    counts = np.asarray(matrix)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(2.4 + 0.75 * len(classes), LARGEST_INCHES)
    made = figure((side + 0.8, side))
    axes = made.subplots()
    shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(classes) <= MOST_NUMBERED:
        for (true, said), count in np.ndenumerate(counts):
            axes.text(
                said,
                true,
                str(count),
                ha="center",
                va="center",
                color="white" if shares[true, said] > HALF else "black",
            )
    axes.set(xlabel="predicted", ylabel="true", xticks=range(len(classes)), yticks=range(len(classes)))
    names = [drawable(name, LONGEST_NAME) for name in classes]
    axes.set_xticklabels(names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticklabels(names)
    made.colorbar(shown, ax=axes, fraction=0.046, pad=0.03).set_label("share of the true class", fontsize=9)
    return made


def operating(labels: NDArray[np.int64], probabilities: NDArray[np.float32], classes: Sequence[str]) -> Figure:
    """Draw ROC and precision-recall curves, each class against the rest.

    Of two classes only the second, since the first is its mirror.

    Parameters
    ----------
    labels : (N,) int array
    probabilities : (N, C) float32 array
    classes : sequence of C str
    """
    from sklearn import metrics

    made = figure(OPERATING_INCHES)
    left, right = made.subplots(1, 2)
    for c in range(1 if len(classes) == 2 else 0, len(classes)):  # noqa: PLR2004 - two classes mirror each other
        true = labels == c
        if not 0 < true.sum() < len(true):
            continue
        false_rate, hit_rate, _ = metrics.roc_curve(true, probabilities[:, c])
        precision, recall, _ = metrics.precision_recall_curve(true, probabilities[:, c])
        colour, name = PALETTE[c % len(PALETTE)], drawable(classes[c], LONGEST_NAME)
        left.plot(false_rate, hit_rate, color=colour, label=f"{name}: AUC {metrics.auc(false_rate, hit_rate):.3f}")
        right.step(
            recall,
            precision,
            where="post",
            color=colour,
            label=f"{name}: AP {metrics.average_precision_score(true, probabilities[:, c]):.3f}",
        )
    left.plot([0, 1], [0, 1], color="grey", linestyle=":")
    left.set(xlabel="false positive rate", ylabel="true positive rate (recall)", title="ROC")
    right.set(xlabel="recall", ylabel="precision", title="Precision and recall")
    for axes in (left, right):
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_legend_handles_labels()[1]:
            axes.legend(frameon=False, fontsize=8, loc="lower right" if axes is left else "lower left")
    return made


def reliability(found: Mapping[str, Any]) -> Figure:
    """Draw how often a classifier is right against how sure it is, and how many pictures there are in each bin.

    Parameters
    ----------
    found : mapping
        The fields of `metrics.Reliability`.
    """
    made = figure(RELIABILITY_INCHES)
    above, below = made.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot([0, 1], [0, 1], color="grey", linestyle=":", label="as sure as right")
    above.plot(
        found["confidence"],
        found["accuracy"],
        "o-",
        color=BLUE,
        label=f"this model: ECE {found['expected_calibration_error']:.3f}",
    )
    above.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
    above.legend(frameon=False, fontsize=9)
    below.bar(found["confidence"], found["counts"], width=0.03, color=BLUE)
    below.set(xlabel="probability of the predicted class", ylabel="pictures")
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
    return made
