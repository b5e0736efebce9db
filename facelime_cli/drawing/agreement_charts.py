"""How a model's values agree with known ones, drawn with matplotlib: scatter plots, and plots of Bland and Altman."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facelime_cli.drawing import palette
from facelime_cli.drawing.charts import drawable
from facelime_cli.drawing.curves import SHORT_NAME, figure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

PANEL_INCHES = 4.4
COLUMNS = 3
MOST_PANELS = 12
"""Values that are drawn at most."""
LARGE, SMALL, MANY = 16.0, 4.0, 500
"""Areas of a point where pictures are few and where they are more than that."""
FAINT = 0.5


@dataclass(frozen=True)
class Agreement:
    """One value of a model beside the known ones.

    Attributes
    ----------
    name : str
    unit : str
        It may be empty.
    true, said : (N,) float64 arrays
    figures : mapping
        From `value_figures.figures`, with their `intervals`.
    """

    name: str
    unit: str
    true: NDArray[np.float64]
    said: NDArray[np.float64]
    figures: Mapping[str, Any]

    @property
    def behind(self) -> str:
        """The unit in an axis' label."""
        return f" ({self.unit})" if self.unit else ""


def scatter(values: Sequence[Agreement]) -> Figure:
    """Draw the model's values against the known ones, a panel for each value.

    Parameters
    ----------
    values : sequence of Agreement
        At least one.

    Returns
    -------
    Figure
    """
    return _panels(values, _scatter)


def bland_altman(values: Sequence[Agreement]) -> Figure:
    """Draw the differences against the means of both, with the bias, the limits of agreement and their intervals.

    Parameters
    ----------
    values : sequence of Agreement
        At least one.

    Returns
    -------
    Figure

    References
    ----------
    Bland and Altman, Lancet 327, 307, 1986.
    """
    return _panels(values, _bland_altman)


def _panels(values: Sequence[Agreement], draw: Callable[[Axes, Agreement], None]) -> Figure:
    shown = values[:MOST_PANELS]
    columns = min(len(shown), COLUMNS)
    rows = -(-len(shown) // columns)
    made = figure((PANEL_INCHES * columns, PANEL_INCHES * rows))
    panels = made.subplots(rows, columns, squeeze=False).flatten()
    for axes, each in zip(panels, shown, strict=False):
        draw(axes, each)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    return made


def _points(axes: Axes, across: NDArray[np.float64], up: NDArray[np.float64]) -> None:
    size = SMALL if len(across) > MANY else LARGE
    axes.scatter(across, up, s=size, color=palette.BLUE, alpha=FAINT, linewidths=0, rasterized=len(across) > MANY)


def _scatter(axes: Axes, each: Agreement) -> None:
    low = float(min(each.true.min(), each.said.min()))
    high = float(max(each.true.max(), each.said.max()))
    axes.plot([low, high], [low, high], color="grey", linestyle=":")
    _points(axes, each.true, each.said)
    r2 = each.figures["r2"]
    words = "" if r2 is None else f", R² {r2:.2f}".replace("-", "−")
    axes.set_title(f"{drawable(each.name, SHORT_NAME)}: MAE {each.figures['mae']:.3g}{words}", fontsize=9)
    axes.set(xlabel=f"known{each.behind}", ylabel=f"model{each.behind}")
    axes.set_aspect("equal", adjustable="datalim")


def _bland_altman(axes: Axes, each: Agreement) -> None:
    middle, difference = (each.true + each.said) / 2, each.said - each.true
    _points(axes, middle, difference)
    axes.axhline(0, color="grey", linestyle=":")
    for name, colour, style in (
        ("bias", palette.VERMILION, "-"),
        ("lower_limit", palette.DARK_GREY, "--"),
        ("upper_limit", palette.DARK_GREY, "--"),
    ):
        value, bounds = each.figures[name], each.figures["intervals"][name]
        if value is None:
            continue
        axes.axhline(value, color=colour, linestyle=style)
        if bounds is not None:
            axes.axhspan(*bounds, color=colour, alpha=0.12, linewidth=0)
    axes.set_title(f"{drawable(each.name, SHORT_NAME)}: bias {each.figures['bias']:+.3g}".replace("-", "−"), fontsize=9)
    axes.set(xlabel=f"mean of both{each.behind}", ylabel=f"model − known{each.behind}")
