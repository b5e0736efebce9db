"""Figures for print, drawn with matplotlib: the same picture gives the same file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from facelime_cli.core import attribution
from facelime_cli.drawing import overlay
from facelime_cli.drawing.charts import drawable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

INCHES = (7.2, 5.6)
"""As wide as two columns of a journal."""
STUDENT_INCHES = (7.2, 3.6)
DOTS_PER_INCH = 110
"""Of charts on a page."""
PRINT_DOTS_PER_INCH = 300
FINE_PIXELS = 600
"""Side to which pixels are repeated, so that borders, a pixel wide, are thin lines."""
LONGEST_NAME = 40
FONT_POINTS = 8
SMALL_POINTS = 7
HATCH = "////"
RED_BLUE = "RdBu"
"""The X-ray system's colours, red against and blue for."""
LIME_FOR, LIME_AGAINST = (0, 160, 0), (210, 0, 0)
"""The `lime` package's green and red, which colour-blind readers cannot tell apart: only on request."""


@dataclass(frozen=True)
class Panel:
    """What one figure shows: a picture and one class's explanation.

    Attributes
    ----------
    image : (H, W, 3) uint8 array
    segments : (H, W) uint16 array
    coefficients : (K,) float64 array
    interval : (K, 2) float64 array
        NaN where there is none.
    truth : (H, W) uint8 array or None
        1 where an explanation should point.
    top : int
        How many of the strongest segments are marked.
    scale : float
        End of the colour scale, in hundredths of the coefficients' unit.
    style : str
        A key of `STYLES`.
    words : (str, str)
        The class, and the name of a hundredth of the unit.
    files : tuple of Path
        Where the figure is written; their endings name the formats.
    """

    image: NDArray[np.uint8]
    segments: NDArray[np.uint16]
    coefficients: NDArray[np.float64]
    interval: NDArray[np.float64]
    truth: NDArray[np.uint8] | None
    top: int
    scale: float
    style: str
    words: tuple[str, str]
    files: tuple[Path, ...]

    @property
    def unsure(self) -> NDArray[np.bool_]:
        """The segments whose interval holds 0: (K,) bool."""
        return np.asarray((self.interval[:, 0] <= 0) & (self.interval[:, 1] >= 0))

    @property
    def strongest(self) -> NDArray[np.int64]:
        """The marked segments, strongest first."""
        return attribution.strongest(self.coefficients, self.top)


def draw(panel: Panel) -> None:
    """Draw a figure in its style and write its files."""
    times = max(1, -(-FINE_PIXELS // max(panel.segments.shape)))
    truth = None if panel.truth is None else _enlarged(panel.truth, times)
    finer = replace(panel, image=_enlarged(panel.image, times), segments=_enlarged(panel.segments, times), truth=truth)
    write(STYLES[panel.style](finer), panel.files, PRINT_DOTS_PER_INCH)


def _enlarged(values: NDArray[Any], times: int) -> NDArray[Any]:
    return values.repeat(times, axis=0).repeat(times, axis=1)


def views(panel: Panel) -> Figure:
    """Draw the picture, its segments, the strongest ones kept, towards and against, the heatmap.

    The strongest coefficients with their intervals.
    """
    made = _figure(INCHES)
    axes = made.subplots(2, 3).ravel()
    _original(axes[0], panel)
    _show(axes[1], overlay.with_borders(panel.image, panel.segments), f"{len(panel.coefficients)} regions")
    _show(
        axes[2],
        overlay.kept(panel.image, panel.segments, panel.strongest),
        f"the {len(panel.strongest)} strongest kept",
    )
    _show(
        axes[3],
        overlay.towards_against(panel.image, panel.segments, panel.coefficients, panel.top),
        f"for and against {drawable(panel.words[0], LONGEST_NAME)}",
    )
    _hatch(axes[3], np.isin(panel.segments, panel.strongest[panel.unsure[panel.strongest]]))
    colour_legend(axes[3], hatched=bool(panel.unsure[panel.strongest].any()))
    _heatmap(axes[4], panel, scale_colours())
    _bars(axes[5], panel)
    return made


def as_lime(panel: Panel) -> Figure:
    """Draw the picture and its strongest segments in green (for) and red (against) with their borders.

    As the `lime` package does.
    """
    made = _figure(STUDENT_INCHES)
    axes = made.subplots(1, 2)
    _original(axes[0], panel)
    colours = (LIME_FOR, LIME_AGAINST)
    _show(
        axes[1],
        overlay.marked(panel.image, panel.segments, panel.coefficients, panel.top, colours),
        drawable(panel.words[0], LONGEST_NAME),
    )
    colour_legend(axes[1], colours)
    return made


def as_heatmap(panel: Panel) -> Figure:
    """Draw the picture, and every segment's coefficient from red (against) to blue (for), with its colour bar."""
    made = _figure(STUDENT_INCHES)
    axes = made.subplots(1, 2)
    _original(axes[0], panel)
    _heatmap(axes[1], panel, mpl.colormaps[RED_BLUE])
    return made


STYLES: dict[str, Callable[[Panel], Figure]] = {"facelime": views, "lime": as_lime, "heatmap": as_heatmap}


def scale_colours() -> Colormap:
    """Return the colours of `overlay.colour` from one end of the scale to the other."""
    return LinearSegmentedColormap.from_list(
        "facelime", [np.array(each) / 255 for each in (overlay.AGAINST, overlay.NEUTRAL, overlay.TOWARDS)]
    )


def colour_legend(
    axes: Axes,
    colours: tuple[tuple[int, int, int], tuple[int, int, int]] = (overlay.TOWARDS, overlay.AGAINST),
    *,
    hatched: bool = False,
) -> None:
    """Say below a panel which colour speaks for the class, which against it, and what hatching means."""
    handles = [
        Patch(color=(colour[0] / 255, colour[1] / 255, colour[2] / 255), label=label)
        for colour, label in zip(colours, ("for the class", "against it"), strict=True)
    ]
    if hatched:
        handles.append(Patch(facecolor="white", edgecolor="black", hatch=HATCH, label="may be nothing"))
    axes.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.01),
        ncols=len(handles),
        frameon=False,
        fontsize=SMALL_POINTS,
        handlelength=1.2,
        columnspacing=0.9,
    )


def write(figure: Figure, files: Sequence[Path], dots_per_inch: int = DOTS_PER_INCH) -> None:
    """Save a figure in the formats that the files' endings name, without dates.

    So equal figures are equal files.
    """
    undated: dict[str, dict[str, Any]] = {
        ".svg": {"Date": None},
        ".pdf": {"CreationDate": None},
        ".png": {"Software": None},
    }
    with mpl.rc_context({"svg.hashsalt": "facelime", "svg.fonttype": "path", "hatch.linewidth": 0.5}):
        for path in files:
            figure.savefig(path, dpi=dots_per_inch, metadata=undated[path.suffix])


def _figure(inches: tuple[float, float]) -> Figure:
    made = Figure(figsize=inches, layout="constrained")
    FigureCanvasAgg(made)
    return made


def _show(axes: Axes, image: NDArray[np.uint8], title: str) -> None:
    axes.imshow(image, interpolation="nearest")
    axes.set_title(title, fontsize=FONT_POINTS)
    axes.set_axis_off()


def _original(axes: Axes, panel: Panel) -> None:
    known = panel.truth is not None and panel.truth.any()
    _show(axes, panel.image, "picture, known region outlined" if known else "picture")
    if known:
        axes.contour(panel.truth, levels=[0.5], colors="white", linewidths=1.6)
        axes.contour(panel.truth, levels=[0.5], colors="black", linewidths=0.7)


def _hatch(axes: Axes, place: NDArray[np.bool_]) -> None:
    if place.any():
        axes.contourf(place.astype(float), levels=[0.5, 1.5], colors="none", hatches=[HATCH])


def _heatmap(axes: Axes, panel: Panel, colours: Colormap) -> None:
    _show(
        axes, overlay.pale(panel.image), "coefficients" + (" (hatched: may be nothing)" if panel.unsure.any() else "")
    )
    sure = np.ma.masked_where(panel.unsure[panel.segments], overlay.heatmap(panel.segments, panel.coefficients))
    heat = axes.imshow(sure, cmap=colours, vmin=-panel.scale, vmax=panel.scale, alpha=0.75, interpolation="nearest")
    _hatch(axes, panel.unsure[panel.segments])
    bar = axes.figure.colorbar(heat, ax=axes, location="bottom", fraction=0.046, pad=0.03)
    bar.set_label(f"{panel.words[1]}: against (−), for (+)", fontsize=SMALL_POINTS)
    bar.ax.tick_params(labelsize=SMALL_POINTS)


def _bars(axes: Axes, panel: Panel) -> None:
    """Draw the strongest coefficients with their intervals, the strongest at the top."""
    strongest = panel.strongest[::-1]
    values, interval = 100 * panel.coefficients[strongest], 100 * panel.interval[strongest]
    colours = [np.array(overlay.TOWARDS if value > 0 else overlay.AGAINST) / 255 for value in values]
    bars = axes.barh(range(len(strongest)), values, color=colours, height=0.7)
    for bar, unsure in zip(bars, panel.unsure[strongest], strict=True):
        if unsure:
            bar.set(facecolor="white", edgecolor=bar.get_facecolor(), hatch=HATCH)
    known = ~np.isnan(interval[:, 0])
    axes.hlines(np.flatnonzero(known), interval[known, 0], interval[known, 1], color="black", linewidth=1.0)
    axes.axvline(0, color="black", linewidth=0.6)
    axes.set_yticks(range(len(strongest)), [str(k) for k in strongest], fontsize=SMALL_POINTS)
    axes.tick_params(axis="x", labelsize=SMALL_POINTS)
    axes.set_ylabel("region", fontsize=SMALL_POINTS)
    axes.set_xlabel(panel.words[1] + (", 95 % interval" if known.any() else ""), fontsize=SMALL_POINTS)
    axes.set_title("strongest regions", fontsize=FONT_POINTS)
    axes.spines[["top", "right"]].set_visible(False)
