"""Curves of training and of classification, drawn with matplotlib."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from facelime_cli.drawing import palette, text_curves
from facelime_cli.drawing.charts import drawable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    Singles = NDArray[np.float32]
    Integers = NDArray[np.int64]

HISTORY_INCHES = (9.0, 3.4)
OPERATING_INCHES = (9.0, 4.4)
RELIABILITY_INCHES = (4.6, 4.6)
LARGEST_INCHES = 9.0
MOST_NUMBERED = 12
"""Classes up to which a confusion matrix holds its numbers."""
HALF = 0.5
LONGEST_NAME, SHORT_NAME = 28, 22
MOST_INSIDE = 8
"""Curves up to which the legend stands inside a panel."""
MOST_NAMED = 40
"""Curves that a legend names at most."""
LEGEND_INCHES = 0.19
"""Height of an entry of a legend that stands below its panel."""
DASHES = ("-", "--", "-.", ":")
CALIBRATION_COLUMNS = 4


def figure(inches: tuple[float, float]) -> Figure:
    """Return an empty figure that can be saved without a screen.

    Parameters
    ----------
    inches : (float, float)
        Width and height.

    Returns
    -------
    Figure
    """
    made = Figure(figsize=inches, layout="constrained")
    # A canvas of its own: pyplot would keep every figure in memory, and may look for a screen.
    FigureCanvasAgg(made)
    return made


def history(facts: Mapping[str, Any]) -> Figure:
    """Draw loss and accuracy against the epoch, of training and of validation.

    A dotted line begins each further phase; a ring marks the epoch whose weights were kept. What the probe on frozen
    features reaches on the validation split is a dashed line.

    Parameters
    ----------
    facts : mapping
        Of a model that was trained, see `text_curves.history`.

    Returns
    -------
    Figure
    """
    made = figure(HISTORY_INCHES)
    left, right = made.subplots(1, 2)
    for axes, name in ((left, "loss"), (right, "accuracy")):
        level = text_curves.probe_of(facts).get(name)
        if level is not None:
            axes.axhline(level, label="probe, validation", color=palette.DARK_GREY, linestyle="--")
        _plot_history(axes, facts["history"], name, text_curves.kept_row(facts))
    return made


def _plot_history(axes: Axes, rows: Sequence[Mapping[str, float]], name: str, kept: int) -> None:
    epochs = range(1, len(rows) + 1)
    validated = f"val_{name}"
    training = (name, "training", palette.BLUE)
    validation = (validated, "validation", palette.VERMILION)
    # A line needs two points: one epoch is drawn as a dot.
    marker = "." if len(rows) == 1 else None
    for column, label, colour in (training, validation):
        # A network that was trained without validation pictures has no such columns.
        if column not in rows[0]:
            continue
        values = [row[column] for row in rows]
        axes.plot(epochs, values, label=label, color=colour, marker=marker)
    shown = validated if validated in rows[0] else name
    value = rows[kept][shown]
    axes.plot([kept + 1], [value], "o", markersize=9, markerfacecolor="none", color="black", label="kept")
    for place in epochs[1:]:
        before, now = rows[place - 2], rows[place - 1]
        if before["phase"] != now["phase"]:
            axes.axvline(place - 0.5, color="grey", linestyle=":")
    axes.set(xlabel="epoch", ylabel=name)
    axes.locator_params(axis="x", integer=True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)


def confusion(matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> Figure:
    """Draw a confusion matrix: counts, coloured by the share of the true class.

    Parameters
    ----------
    matrix : (C, C) sequence of int
        Rows are true, columns predicted.
    classes : sequence of C str

    Returns
    -------
    Figure
    """
    counts = np.asarray(matrix)
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    wanted = 2.4 + 0.75 * len(classes)
    side = min(wanted, LARGEST_INCHES)
    # The colour bar stands beside the square.
    made = figure((side + 0.8, side))
    axes = made.subplots()
    shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(classes) <= MOST_NUMBERED:
        _number_cells(axes, counts, shares)
    places = range(len(classes))
    axes.set(xlabel="predicted", ylabel="true")
    axes.set(xticks=places, yticks=places)
    names = [drawable(name, LONGEST_NAME) for name in classes]
    axes.set_xticklabels(names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticklabels(names)
    bar = made.colorbar(shown, ax=axes, fraction=0.046, pad=0.03)
    bar.set_label("share of the true class", fontsize=9)
    return made


def _number_cells(axes: Axes, counts: Integers, shares: NDArray[np.float64]) -> None:
    for (true, predicted), count in np.ndenumerate(counts):
        # The darker half of the blues needs white ink.
        ink = "white" if shares[true, predicted] > HALF else "black"
        axes.text(predicted, true, str(count), ha="center", va="center", color=ink)


@dataclass(frozen=True)
class Ranked:
    """Scores of one class on pictures that are of it or not.

    Attributes
    ----------
    name : str
        The class.
    true : (n,) bool array
    scores : (n,) float32 array
    number : int
        Its place among the classes, which decides its colour.
    """

    name: str
    true: NDArray[np.bool_]
    scores: Singles
    number: int

    @property
    def style(self) -> dict[str, Any]:
        """Colour and dashes of its line, so that lines of the same colour differ."""
        again, place = divmod(self.number, len(palette.LINES))
        return {"color": palette.LINES[place], "linestyle": DASHES[again % len(DASHES)]}

    @property
    def defined(self) -> bool:
        """Whether it has curves: neither is defined for a class of all pictures or of none."""
        return bool(0 < self.true.sum() < len(self.true))


def one_against_rest(labels: Integers, probabilities: Singles, classes: Sequence[str]) -> list[Ranked]:
    """Return each class against the rest; of two classes only the second, since the first is its mirror.

    Parameters
    ----------
    labels : (N,) int array
        True class of each picture.
    probabilities : (N, C) float32 array
    classes : sequence of C str

    Returns
    -------
    list of Ranked
    """
    first = 1 if len(classes) == 2 else 0  # noqa: PLR2004 - two classes mirror each other
    return [Ranked(classes[c], labels == c, probabilities[:, c], c) for c in range(first, len(classes))]


def operating(ranked: Sequence[Ranked]) -> Figure:
    """Draw ROC and precision-recall curves.

    Parameters
    ----------
    ranked : sequence of Ranked

    Returns
    -------
    Figure
        With the area under the ROC curve (AUC) and the average precision (AP) of each class in its legends.

    Notes
    -----
    The curves are scikit-learn's `roc_curve`, `precision_recall_curve` and `average_precision_score`.
    """
    drawn = [each for each in ranked if each.defined]
    # Many entries would hide the curves: they stand below.
    is_crowded = len(drawn) > MOST_INSIDE
    width, height = OPERATING_INCHES
    n_named = min(len(drawn), MOST_NAMED)
    below = LEGEND_INCHES * (n_named + 1) if is_crowded else 0.0
    made = figure((width, height + below))
    rows = made.subplots(2, 2, height_ratios=(height, below)) if is_crowded else made.subplots(1, 2, squeeze=False)
    left, right = rows[0]
    for each in drawn:
        _plot_operating((left, right), each)
    left.plot([0, 1], [0, 1], color="grey", linestyle=":")
    left.set(xlabel="false positive rate", ylabel="true positive rate (recall)", title="ROC")
    right.set(xlabel="recall", ylabel="precision", title="Precision and recall")
    # Good curves run far from these corners, so that the legends hide nothing.
    corners = ("lower right", "lower left")
    for axes, corner, place in zip(rows[0], corners, rows[-1], strict=True):
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        axes.spines[["top", "right"]].set_visible(False)
        if is_crowded:
            place.set_axis_off()
        if drawn:
            lines, names = axes.get_legend_handles_labels()
            where = "upper center" if is_crowded else corner
            place.legend(lines[:n_named], names[:n_named], frameon=False, fontsize=8, loc=where)
    return made


def _plot_operating(panels: tuple[Axes, Axes], ranked: Ranked) -> None:
    from sklearn import metrics

    left, right = panels
    true, scores = ranked.true, ranked.scores
    name = drawable(ranked.name, LONGEST_NAME)
    false_rate, hit_rate, _ = metrics.roc_curve(true, scores)
    area = metrics.auc(false_rate, hit_rate)
    left.plot(false_rate, hit_rate, label=f"{name}: AUC {area:.3f}", **ranked.style)
    precision, recall, _ = metrics.precision_recall_curve(true, scores)
    average = metrics.average_precision_score(true, scores)
    right.step(recall, precision, where="post", label=f"{name}: AP {average:.3f}", **ranked.style)


@dataclass(frozen=True)
class Estimate:
    """A figure and its interval.

    Attributes
    ----------
    value : float or None
        None where there is none.
    interval : sequence of two float, or None
    """

    value: float | None
    interval: Sequence[float] | None


def forest(names: Sequence[str], panels: Mapping[str, Sequence[Estimate]], pale: Sequence[bool]) -> Figure:
    """Draw figures of several findings below each other, each with its interval.

    Parameters
    ----------
    names : sequence of L str
        The findings, from above to below.
    panels : mapping
        From the name of a figure, 0 to 1, to L estimates.
    pale : sequence of L bool
        Which findings are drawn pale, because they say nothing.

    Returns
    -------
    Figure
    """
    width, _ = OPERATING_INCHES
    made = figure((width, 1.2 + 0.28 * len(names)))
    places = range(len(names))
    for axes, (figure_name, estimates) in zip(
        made.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels.items(), strict=True
    ):
        for place, each in enumerate(estimates):
            colour = palette.DARK_GREY if pale[place] else palette.BLUE
            if each.interval is not None:
                axes.plot(each.interval, [place, place], color=colour, linewidth=2)
            if each.value is not None:
                axes.plot([each.value], [place], "o", color=colour)
        axes.set(xlabel=figure_name, xlim=(-0.02, 1.02), ylim=(len(names) - 0.5, -0.5), yticks=places)
        axes.set_yticklabels([drawable(name, LONGEST_NAME) for name in names])
        axes.grid(axis="x", color=palette.GRID)
        axes.spines[["top", "right"]].set_visible(False)
    return made


def reliabilities(found: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Draw for each finding how often it is present against its probability.

    Parameters
    ----------
    found : mapping
        From the findings to the fields of their `metrics.Reliability`; at least one.

    Returns
    -------
    Figure
    """
    columns = min(len(found), CALIBRATION_COLUMNS)
    rows = -(-len(found) // columns)
    width, _ = OPERATING_INCHES
    side = width / CALIBRATION_COLUMNS
    made = figure((max(side * columns, side + 1), (side + 0.3) * rows))
    panels = made.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flatten()
    for axes, (name, its) in zip(panels, found.items(), strict=False):
        axes.plot([0, 1], [0, 1], color="grey", linestyle=":")
        axes.plot(its["confidence"], its["accuracy"], "o-", markersize=4, color=palette.BLUE)
        error = its["expected_calibration_error"]
        axes.set_title(f"{drawable(name, SHORT_NAME)}\nECE {error:.3f}", fontsize=9)
        axes.set(xlim=(0, 1), ylim=(0, 1.02))
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[len(found) :]:
        axes.set_axis_off()
    made.supxlabel("probability of the finding", fontsize=10)
    made.supylabel("share that has it", fontsize=10)
    return made


def reliability(found: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> Figure:
    """Draw how often a classifier is right against how sure it is, and how many pictures there are in each bin.

    Parameters
    ----------
    found : mapping
        The fields of `metrics.Reliability`.
    before : mapping, optional
        The same before the classifier was calibrated.

    Returns
    -------
    Figure

    References
    ----------
    Guo et al., "On calibration of modern neural networks", ICML 2017.
    """
    made = figure(RELIABILITY_INCHES)
    above, below = made.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot([0, 1], [0, 1], color="grey", linestyle=":", label="as sure as right")
    error = found["expected_calibration_error"]
    label = f"this model: ECE {error:.3f}"
    above.plot(found["confidence"], found["accuracy"], "o-", color=palette.BLUE, label=label)
    if before is not None:
        label = f"before calibration: ECE {before['expected_calibration_error']:.3f}"
        above.plot(before["confidence"], before["accuracy"], ".--", color=palette.VERMILION, label=label)
    above.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
    above.legend(frameon=False, fontsize=9)
    below.bar(found["confidence"], found["counts"], width=0.03, color=palette.BLUE)
    below.set(xlabel="probability of the predicted class", ylabel="pictures")
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
    return made
