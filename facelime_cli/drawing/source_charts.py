"""One model on two sources, drawn with matplotlib: there in blue, here in vermilion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.core import metrics
from facelime_cli.drawing import palette
from facelime_cli.drawing.agreement_charts import FAINT, LARGE, MANY, SMALL
from facelime_cli.drawing.charts import drawable
from facelime_cli.drawing.curves import LONGEST_NAME, figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

PANEL_INCHES = 4.0
MOST_ROWS = 6
"""Classes or values that are drawn at most."""
COLOURS = {"there": palette.BLUE, "here": palette.VERMILION}
MARKERS = {"there": "o", "here": "s"}


@dataclass(frozen=True)
class Scored:
    """A class on one source, or a value.

    Attributes
    ----------
    true : (n,) bool array, or float64 array
        Whether each picture is of the class, or the known value.
    said : (n,) float array
        The probability of the class, or the model's value.
    called : (n,) bool array, optional
        What the threshold that was chosen there calls.
    """

    true: NDArray[Any]
    said: NDArray[Any]
    called: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Both:
    """A class or a value on both sources.

    Attributes
    ----------
    name : str
    there, here : Scored
    unit : str
        Of a value.
    """

    name: str
    there: Scored
    here: Scored
    unit: str = ""

    @property
    def sides(self) -> tuple[tuple[str, Scored], tuple[str, Scored]]:
        """Both sources with their names."""
        return ("there", self.there), ("here", self.here)


def classes(drawn: Sequence[Both]) -> Figure:
    """Draw for each class the ROC curve and the calibration on both sources, and where the threshold leads on either.

    Parameters
    ----------
    drawn : sequence of Both
        At least one; the first `MOST_ROWS` are drawn.
    """
    shown = drawn[:MOST_ROWS]
    made = figure((2 * PANEL_INCHES + 0.6, PANEL_INCHES * len(shown)))
    for (left, right), both in zip(made.subplots(len(shown), 2, squeeze=False), shown, strict=True):
        name = drawable(both.name, LONGEST_NAME)
        for side, scored in both.sides:
            _operating(left, side, scored)
            _calibration(right, side, scored)
        left.set(xlabel="1 − specificity", ylabel="sensitivity", title=f"{name}: ROC, and the threshold from there")
        right.set(xlabel="probability", ylabel="share of pictures", title=f"{name}: calibration")
        for axes in (left, right):
            axes.plot([0, 1], [0, 1], color="grey", linestyle=":")
            axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
            _finish(axes)
    return made


def values(drawn: Sequence[Both]) -> Figure:
    """Draw the model's values against the known ones on both sources, a panel for each value.

    Parameters
    ----------
    drawn : sequence of Both
        At least one; the first `MOST_ROWS` are drawn.
    """
    shown = drawn[:MOST_ROWS]
    columns = min(2, len(shown))
    rows = -(-len(shown) // columns)
    made = figure((PANEL_INCHES * columns, PANEL_INCHES * rows))
    panels = made.subplots(rows, columns, squeeze=False).flatten()
    for axes, both in zip(panels, shown, strict=False):
        numbers = np.concatenate([each for _, scored in both.sides for each in (scored.true, scored.said)])
        ends = [float(numbers.min()), float(numbers.max())]
        axes.plot(ends, ends, color="grey", linestyle=":")
        for side, scored in both.sides:
            area = SMALL if len(scored.true) > MANY else LARGE
            style = {"color": COLOURS[side], "marker": MARKERS[side], "alpha": FAINT, "linewidths": 0}
            axes.scatter(scored.true, scored.said, s=area, label=f"{side} ({len(scored.true):,})", **style)
        behind = f" ({both.unit})" if both.unit else ""
        axes.set(xlabel=f"known{behind}", ylabel=f"model{behind}", title=drawable(both.name, LONGEST_NAME))
        _finish(axes)
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    return made


def _operating(axes: Axes, side: str, scored: Scored) -> None:
    """Draw a ROC curve, and the point that the threshold leads to."""
    from sklearn import metrics as scored_by

    true, said = scored.true, scored.said
    # Neither is defined for pictures of one kind.
    if not 0 < true.sum() < len(true):
        return
    false_rate, hit_rate, _ = scored_by.roc_curve(true, said)
    area = scored_by.auc(false_rate, hit_rate)
    axes.plot(false_rate, hit_rate, color=COLOURS[side], label=f"{side}: AUC {area:.3f}")
    if scored.called is not None:
        point = [(scored.called & ~true).sum() / (~true).sum()], [(scored.called & true).sum() / true.sum()]
        axes.plot(*point, MARKERS[side], color=COLOURS[side], markersize=9, markeredgecolor="black")


def _calibration(axes: Axes, side: str, scored: Scored) -> None:
    """Draw how frequent a class is against its probability; a dot is as large as its bin has pictures."""
    if not len(scored.true):
        return
    found = metrics.binned(scored.said, scored.true)
    label = f"{side}: ECE {found.expected_calibration_error:.3f}"
    colour = COLOURS[side]
    axes.plot(found.confidence, found.accuracy, color=colour, label=label, alpha=FAINT)
    areas = [4 + 120 * count / len(scored.true) for count in found.counts]
    axes.scatter(found.confidence, found.accuracy, s=areas, color=colour, marker=MARKERS[side], zorder=3)


def _finish(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.title.set_fontsize(10)
    axes.legend(frameon=False, fontsize=9)
